"""A visit to one page in the browser: everything the tests want to know of it, in one go."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("MEDLIB_SITE") or ROOT / "_build" / "fast" / "html")
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
HOME = "book/index.html"
GRAVE = {"serious", "critical"}
NARROW = {"width": 360, "height": 800}  # a small phone
WIDE = {"width": 1280, "height": 900}

MATH_READY = "async () => { await window.MathJax?.startup?.promise; }"

PROBE = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (node) => (node?.innerText ?? "").trim();
  return {
    title: document.title,
    headings: all("main article h1, main .bd-search-container h1").map(text),
    images: all("img").map((i) => ({
      source: i.getAttribute("src"), alt: i.getAttribute("alt"), width: i.naturalWidth,
      inArticle: i.closest("article") !== null, sized: i.hasAttribute("width"),
    })),
    figures: all("article figure").map((f) => ({
      id: f.id, number: text(f.querySelector("figcaption .caption-number")),
      caption: text(f.querySelector("figcaption .caption-text")),
      drawn: f.querySelector("img, svg, table, pre") !== null,
    })),
    tables: all("article table > caption .caption-number").map(text),
    mathWithout: all("article .math").filter((m) => !m.querySelector("mjx-container svg"))
      .map((m) => m.textContent.slice(0, 80)),
    mathErrors: all("mjx-merror, [data-mjx-error]").map((m) => m.textContent.slice(0, 80)),
    copyable: all("article div:not(.output) > div.highlight > pre").length,
    copyButtons: all("button.copybtn").length,
    links: all("a[href]").map((a) => a.href),
    chapter: document.querySelector("article .run-card, article .banner-not-run") !== null,
    weight: performance.getEntriesByType("resource")
      .filter((r) => !r.name.includes("/_static/")).reduce((sum, r) => sum + r.encodedBodySize, 0),
  };
}"""

# axe-core looks at every node: thousands of coloured words and strokes that are all alike. The
# first code blocks keep their colours, which stand for the rest; the others become plain text.
THIN_OUT = """() => {
  [...document.querySelectorAll("article pre")].slice(3)
    .forEach((block) => { block.textContent = block.textContent; });
  document.querySelectorAll("mjx-container svg").forEach((drawn) => drawn.replaceChildren());
}"""

TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const scrolls = (node) => { for (let n = node.parentElement; n; n = n.parentElement) {
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(n).overflowX)) return true; }
    return false; };
  const found = [...document.querySelectorAll("main *")]
    .filter((n) => n.getBoundingClientRect().right > room + 1 && !scrolls(n))
    .map((n) => `${n.tagName.toLowerCase()}.${n.className} ${n.textContent.slice(0, 40)}`);
  return [`page is ${document.documentElement.scrollWidth} px wide, ${room} fit`, ...found];
}"""

AUDIT = """async ([where, rules]) => {
  const options = { resultTypes: ["violations"] };
  if (rules) options.runOnly = { type: "rule", values: rules };
  const { violations } = await axe.run(where, options);
  return violations.map((v) => ({ id: v.id, impact: v.impact,
    nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)) }));
}"""


def pages() -> list[str]:
    """List the pages of the site by their address, without those that only forward."""
    if not SITE.is_dir():
        return []
    found = (path.relative_to(SITE) for path in sorted(SITE.rglob("*.html")))
    moved = yaml.safe_load((ROOT / "book" / "moved.yml").read_text("utf-8")) or {}
    forwards = {"index.html", "zh/index.html", *(f"{old}.html" for old in moved)}
    own = [p for p in found if not {"_static", "_sources"} & set(p.parts)]
    return [p.as_posix() for p in own if p.as_posix() not in forwards]


@dataclass
class Visit:
    """What a visit found.

    Attributes
    ----------
    name : str
        Address of the page below the site's root.
    errors : list of str
        Console errors, script errors, answers of 400 and above.
    foreign : list of str
        Requests to another host.
    facts : dict
        The answers of `PROBE`.
    overflow : dict
        What does not fit, by the circumstance: a phone, or text at 200 %.
    violations : list of dict
        axe-core's findings, in the light look, and of contrast in the dark one.
    """

    name: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    overflow: dict[str, list[str]] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)


def visit_page(page: Any, address: str, name: str) -> Visit:
    """Open a page, look at it light and dark, narrow and enlarged, and write down what there is."""
    found = Visit(name)
    remove = _listen(page, address, found)
    page.set_viewport_size(WIDE)
    page.goto(address + name, wait_until="load")
    page.evaluate(MATH_READY)
    found.facts = page.evaluate(PROBE)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    found.overflow["text at 200 %"] = page.evaluate(TOO_WIDE)
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size(NARROW)
    found.overflow["a phone of 360 px"] = page.evaluate(TOO_WIDE)
    page.set_viewport_size(WIDE)
    found.violations = _audit(page, name)
    remove()
    return found


def _audit(page: Any, name: str) -> list[dict[str, Any]]:
    """Run axe-core with all its rules on the light page, and for contrast on the dark one.

    The menu is the same on all pages: it is looked at on the first one.
    """
    page.evaluate(THIN_OUT)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    menu = [] if name == HOME else [["#pst-primary-sidebar"]]
    where = {"include": [["html"]], "exclude": menu}
    found = page.evaluate(AUDIT, [where, None])
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = page.evaluate(AUDIT, [where, ["color-contrast"]])
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    return found + [{**each, "id": f"{each['id']} (dark)"} for each in dark]


def _listen(page: Any, address: str, found: Visit) -> Any:
    """Write down errors and foreign requests from now on; return what stops it."""

    def console(message: Any) -> None:
        if message.type == "error":
            found.errors.append(f"console: {message.text}")

    def request(asked: Any) -> None:
        if not asked.url.startswith((address, "data:", "blob:")):
            found.foreign.append(asked.url)

    def response(answer: Any) -> None:
        if answer.status >= 400:
            found.errors.append(f"{answer.status}: {answer.url}")

    def script(error: Any) -> None:
        found.errors.append(f"script: {error}")

    heard = {"console": console, "request": request, "response": response, "pageerror": script}
    for event, listener in heard.items():
        page.on(event, listener)

    def remove() -> None:
        for event, listener in heard.items():
            page.remove_listener(event, listener)

    return remove
