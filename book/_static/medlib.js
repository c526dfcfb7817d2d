// What the pages do beside reading: formulas without a standstill, boxes that scroll by keyboard, the
// focus that comes back from a phone's menu, and the sentence behind each value of a claim. Without
// this script all of it can still be read.
"use strict";

// ---------- formulas ----------

const FORMULAS_AT_ONCE = 12; // about 40 ms of work: the page answers between two parts

// MathJax would set all formulas in one piece, which holds a long chapter up for a second. Where an
// address names a place within the page, one piece is right: nothing must move after the jump.
async function typesetInParts() {
  const formulas = location.hash ? [] : [...document.querySelectorAll(".math")];
  for (let i = 0; i < formulas.length; i += FORMULAS_AT_ONCE) {
    await MathJax.typesetPromise(formulas.slice(i, i + FORMULAS_AT_ONCE));
    await new Promise((resume) => setTimeout(resume));
  }
  return formulas.length ? undefined : MathJax.startup.defaultPageReady();
}

if (window.MathJax) window.MathJax.startup = { pageReady: typesetInParts };

// ---------- what scrolls sideways ----------

// Equations, figures, tables and diagrams wider than the screen scroll sideways: make those, and only those,
// reachable by Tab, as the theme does for code.
const SCROLLABLE = ".math, div.math mjx-container, article figure, article .output.text_html";
const OVERHANG = 4; // pixels by which a slanted letter leaves its box

function markScrollable() {
  for (const box of document.querySelectorAll(SCROLLABLE)) {
    const scrolls = getComputedStyle(box).overflowX === "auto";
    if (scrolls && box.scrollWidth > box.clientWidth + OVERHANG) {
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

// ---------- the menus of a phone ----------

// The theme moves its menus into dialogs, and the focus is lost where one of them closes.
for (const side of ["primary", "secondary"]) {
  const menu = document.getElementById(`pst-${side}-sidebar-modal`);
  const button = document.querySelector(`.bd-header-article .${side}-toggle`);
  menu?.addEventListener("close", () => button?.focus());
}

// ---------- the sentence behind a value ----------

// A tooltip of the browser's own would open for the mouse alone: this one also opens at a touch and by
// Tab, stays while the mouse is on it, and closes with Escape.
const NOTE_MARGIN = 8; // pixels between the sentence and the window's edge

function openNotes() {
  return document.querySelectorAll(".claim-note:not(.visually-hidden)");
}

function placeNote(note) {
  const value = note.parentElement.getClientRects()[0];
  const { width, height } = note.getBoundingClientRect();
  const left = Math.min(value.left, innerWidth - width - NOTE_MARGIN);
  const below = value.bottom + height + NOTE_MARGIN < innerHeight;
  note.style.left = `${Math.max(left, NOTE_MARGIN)}px`;
  note.style.top = `${below ? value.bottom : value.top - height}px`;
}

function showNote(claim) {
  hideNotes();
  const note = claim.querySelector(".claim-note");
  note.classList.remove("visually-hidden");
  placeNote(note);
}

function hideNotes() {
  openNotes().forEach((note) => note.classList.add("visually-hidden"));
}

function giveNote(claim) {
  if (!claim.querySelector(".claim-note")) return;
  claim.removeAttribute("title");
  claim.tabIndex = 0;
  claim.addEventListener("focus", () => showNote(claim));
  claim.addEventListener("blur", hideNotes);
  claim.addEventListener("mouseenter", () => showNote(claim));
  claim.addEventListener("mouseleave", hideNotes);
}

document.querySelectorAll(".claim").forEach(giveNote);
document.addEventListener("keydown", ({ key }) => key === "Escape" && hideNotes());
document.addEventListener("scroll", () => openNotes().forEach(placeNote), { passive: true });
