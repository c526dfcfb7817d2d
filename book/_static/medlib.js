// Equations, figures and diagrams wider than the screen scroll sideways: make those, and only those,
// reachable by Tab, as the theme does for code and tables.
"use strict";

const SCROLLABLE = "div.math, .math mjx-container, article figure, .medlib-diagram";

function markScrollable() {
  for (const box of document.querySelectorAll(SCROLLABLE)) {
    if (box.scrollWidth > box.clientWidth + 1) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
  }
}

window.addEventListener("load", () => {
  const ready = window.MathJax?.startup?.promise ?? Promise.resolve();
  ready.then(markScrollable);
});
window.addEventListener("resize", markScrollable);
