// Tables marked medlib-sortable get a button in each column's head: it sorts the rows by that column,
// and the other way round when pressed again. Without this script the table is as it was written.
"use strict";

const NUMBER = /^[-+−]?[\d,]*\.?\d+$/;
const ABSENT = new Set(["", "–", "not given"]);
const WORDS = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

// Text of a cell; spaces that must not break count as spaces.
function cellText(row, column) {
  return row.cells[column].textContent.replace(/\s+/g, " ").trim();
}

// Numbers where all cells that hold something are numbers, else words; null for an empty cell.
function sortKeys(rows, column) {
  const texts = rows.map((row) => cellText(row, column));
  const given = texts.filter((text) => !ABSENT.has(text));
  const numeric = given.length > 0 && given.every((text) => NUMBER.test(text));
  return texts.map((text) => {
    if (ABSENT.has(text)) return null;
    return numeric ? Number(text.replace(/,/g, "").replace("−", "-")) : text;
  });
}

// Equal rows keep their order; empty cells come last, whichever way the column is sorted.
function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "number" ? a - b : WORDS.compare(a, b));
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const up = heads[column].getAttribute("aria-sort") !== "ascending";
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const keys = new Map(sortKeys(rows, column).map((key, i) => [rows[i], key]));
  rows.sort((a, b) => compareKeys(keys.get(a), keys.get(b), up ? 1 : -1));
  body.append(...rows);
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "medlib-sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column));
    head.append(button);
  });
  const hint = document.createElement("span");
  hint.className = "medlib-sort-hint";
  hint.textContent = " " + _("Press a column's name to sort by it.");
  table.caption?.append(hint);
}

document.querySelectorAll("table.medlib-sortable").forEach(makeSortable);
