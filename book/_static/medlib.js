// Equations wider than the column scroll sideways: make those, and only those, reachable by Tab, as
// the theme does for code and tables.
"use strict";

function markScrollableMath() {
  for (const box of document.querySelectorAll("div.math, div.math mjx-container")) {
    if (box.scrollWidth > box.clientWidth + 1) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
  }
}

window.addEventListener("load", () => {
  const ready = window.MathJax?.startup?.promise ?? Promise.resolve();
  ready.then(markScrollableMath);
});
window.addEventListener("resize", markScrollableMath);
