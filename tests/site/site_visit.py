"""A visit to one page in the browser: everything the tests want to know of it, in one go."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("MEDLIB_SITE") or ROOT / "_build" / "fast" / "html")
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
HOME = "book/index.html"
NARROW = {"width": 360, "height": 800}  # a small phone
WIDE = {"width": 1280, "height": 900}

MATH_READY = "async () => { await window.MathJax?.startup?.promise; }"

# How far what a reader sees has jumped while the page loaded: the sum of Chrome's layout shifts.
JUMPS = """() => new Promise((resolve) => {
  let sum = 0;
  const add = (entries) => entries.filter((entry) => !entry.hadRecentInput)
    .forEach((entry) => { sum += entry.value; });
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  setTimeout(() => { add(observer.takeRecords()); resolve(sum); });
})"""

# Pictures load when a reader comes near; here all of them at once.
LOAD_ALL = """async () => {
  const later = [...document.querySelectorAll('img[loading="lazy"]')];
  later.forEach((picture) => { picture.loading = "eager"; });
  await Promise.allSettled(later.map((picture) => picture.decode()));
}"""

PROBE = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (node) => (node?.innerText ?? "").trim();
  return {
    title: document.title,
    headings: all("main article h1, main .bd-search-container h1").map(text),
    images: all("img").map((i) => ({
      source: i.getAttribute("src"), alt: i.getAttribute("alt"), width: i.naturalWidth,
      inArticle: i.closest("article") !== null,
      sized: i.hasAttribute("width") && i.hasAttribute("height"),
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
    weight: ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
      .filter((r) => !r.name.includes("/_static/")).reduce((sum, r) => sum + r.encodedBodySize, 0),
  };
}"""

# All that a reader can open stands open, and is looked at too.
OPEN_FOLDS = "() => document.querySelectorAll('article details').forEach((d) => { d.open = true; })"

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

DARK_RULES = ["color-contrast", "link-in-text-block"]  # the others find the same in both looks
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


def first_page_with(site: Path, piece: str) -> str:
    """Return the first page whose HTML holds a piece, or skip."""
    for name in pages():
        if piece in (site / name).read_text(encoding="utf-8"):
            return name
    pytest.skip(f"no page holds {piece!r}")


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
    seconds : float
        Processor time of the page's thread until the load was complete and the page answers.
    jumps : float
        Chrome's cumulative layout shift until the formulas stand.
    overflow : dict
        What does not fit, by the circumstance: a phone, or text at 200 %.
    violations : list of dict
        axe-core's findings, in the light look, and of colours in the dark one.
    """

    name: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    jumps: float = 0.0
    overflow: dict[str, list[str]] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)


def visit_page(page: Any, address: str, name: str) -> Visit:
    """Open a page, look at it light and dark, narrow and enlarged, and write down what there is."""
    found = Visit(name)
    remove = _listen(page, address, found)
    page.set_viewport_size(WIDE)
    with ThreadClock(page) as clock:
        page.goto(address + name, wait_until="load")
        found.seconds = clock.seconds()
    page.evaluate(MATH_READY)
    found.jumps = page.evaluate(JUMPS)
    page.evaluate(LOAD_ALL)
    found.facts = page.evaluate(PROBE)
    page.evaluate(OPEN_FOLDS)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    found.overflow["text at 200 %"] = page.evaluate(TOO_WIDE)
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size(NARROW)
    found.overflow["a phone of 360 px"] = page.evaluate(TOO_WIDE)
    page.set_viewport_size(WIDE)
    page.evaluate(THIN_OUT)
    # the menu is the same on all pages: it is looked at on the first one
    found.violations = violations(page, leave_out=[] if name == HOME else ["#pst-primary-sidebar"])
    remove()
    return found


class ThreadClock:
    """Processor time of a page's thread: a busy machine does not slow this clock down."""

    def __init__(self, page: Any) -> None:
        self.session = page.context.new_cdp_session(page)

    def __enter__(self) -> "ThreadClock":
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.start = self._total()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.detach()

    def seconds(self) -> float:
        """Return the processor seconds since the clock was started."""
        return self._total() - self.start

    def _total(self) -> float:
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")


def wait_until(page: Any, expression: str, patience: float = 10.0) -> None:
    """Ask the page again and again until an expression holds.

    Playwright's own ``wait_for_function`` evaluates text within the page, which its policy refuses.

    Raises
    ------
    AssertionError
        Where it does not hold after ``patience`` seconds.
    """
    end = time.monotonic() + patience
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"not within {patience} s: {expression}"
        page.wait_for_timeout(50)


def violations(
    page: Any, inside: str = "html", leave_out: list[str] | None = None
) -> list[dict[str, Any]]:
    """Return what axe-core finds: with all its rules in the light look, of colours in the dark one.

    Parameters
    ----------
    page
        A window of the browser, as it is to be looked at.
    inside : str
        CSS selector of the part that is looked at.
    leave_out : list of str
        Selectors of parts that are not.
    """
    page.evaluate(AXE.read_text(encoding="utf-8"))
    where = {"include": [[inside]], "exclude": [[each] for each in leave_out or ()]}
    found = page.evaluate(AUDIT, [where, None])
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = page.evaluate(AUDIT, [where, DARK_RULES])
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
