"""Reading by keyboard alone: every control is reached, in the page's order, seen and used."""

from pathlib import Path
from typing import Any

import pytest
from site_visit import HOME, MATH_READY, NARROW, first_page_with, pages, wait_until

pytestmark = pytest.mark.site
PATIENCE = 10_000  # milliseconds; a loaded machine takes its time to move things
MOST_STOPS = 600
RING = 3.0  # contrast that WCAG 1.4.11 asks of what shows the focus, against the page
BACK = 40  # steps backwards, under the bar that stays at the top
CONTROLS = """
  window.controls = () => [...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter((n) => !n.disabled && n.tabIndex >= 0 && !n.closest("[inert]")
      && n.checkVisibility({ visibilityProperty: true }) && n.getClientRects().length);
  window.named = (n) => n.outerHTML.slice(0, 120);
"""
# One stop: what has the focus, whether a reader sees it, and whether the order is the page's.
# The ring of a control may lie on what the control fills: a card, a form, the arrow of a fold.
STOP = """([least]) => {
  const node = document.activeElement;
  if (node === document.body || node === document.documentElement) return null;
  const numbers = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3)
    .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (at) => at && ((c) => (numbers(c)[3] ?? 1) > 0.5 ? c : ground(at.parentElement))(
    getComputedStyle(at).backgroundColor);
  const page = light(ground(node.parentElement) ?? "rgb(255, 255, 255)");
  const apart = (colour) => {
    const [low, high] = [light(colour), page].sort((a, b) => a - b);
    return (numbers(colour)[3] ?? 1) > 0 && (high + 0.05) / (low + 0.05) >= least;
  };
  const rings = (style) => {
    const line = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      && apart(style.outlineColor);
    const shadows = style.boxShadow.match(/rgba?\\([^)]*\\) 0px 0px 0px [\\d.]+px/g) ?? [];
    return line || shadows.some((each) => apart(each.slice(0, each.indexOf(")") + 1)));
  };
  const places = [[node], [node, "::after"], [node.querySelector(".toctree-toggle")],
    [node.closest(".bd-search")]].filter(([at]) => at);
  const card = node.matches(".sd-stretched-link") ? [node.closest(".sd-card")] : [];
  const box = [node, ...card, ...node.children].flatMap((each) => [...each.getClientRects()])
    .find((r) => r.width && r.height && r.bottom > 0 && r.top < innerHeight);
  const last = window.lastStop;
  window.lastStop = node;
  window.seenStops = (window.seenStops ?? new Set()).add(node);
  const at = box && document.elementFromPoint(
    Math.min(Math.max((box.left + box.right) / 2, 1), innerWidth - 1),
    Math.min(Math.max((box.top + box.bottom) / 2, 1), innerHeight - 1));
  const faults = [];
  if (!places.some(([n, part]) => rings(getComputedStyle(n, part)))) faults.push("no ring");
  if (!box) faults.push("outside the window");
  else if (!at || !(node.contains(at) || at.contains(node))) faults.push(`under ${named(at)}`);
  if (last && !(last.compareDocumentPosition(node) & (window.goingBack ? 2 : 4))) {
    faults.push("out of order");
  }
  return faults.map((fault) => `${fault}: ${named(node)}`);
}"""
MISSED = (
    "(skipped) => controls().filter((n) => !seenStops.has(n) && !n.closest(skipped)).map(named)"
)
NOTHING = "none"  # an element that no page has
MENU = ".skip-link, #pst-back-to-top, .bd-sidebar-primary, .bd-header-article"


@pytest.fixture
def still(browser, address: str):
    """A window without animations, which would show a ring before it is there."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    context.add_init_script(CONTROLS)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def chapter(site: Path) -> str:
    """Return the smallest chapter with all that a reader opens, copies and asks after."""
    wanted = ('<details class="admonition', 'class="claim ', 'div class="highlight"')
    texts = {name: (site / name).read_text("utf-8") for name in pages() if "notebooks/" in name}
    found = [name for name, text in texts.items() if all(each in text for each in wanted)]
    if not found:
        pytest.skip("no chapter holds a claim, code and a solution")
    return min(found, key=lambda name: len(texts[name]))


def visit(page: Any, url: str) -> None:
    page.goto(url, wait_until="load")
    page.evaluate(MATH_READY)


def walk(page: Any, key: str = "Tab", most: int = MOST_STOPS) -> list[str]:
    """Press a key until the focus leaves the page, or so often; return what is wrong on the way."""
    faults: list[str] = []
    for _ in range(most):
        page.keyboard.press(key)
        found = page.evaluate(STOP, [RING])
        if found is None:
            return faults
        faults += found
    assert most < MOST_STOPS, "the focus never leaves the page"
    return faults


def skip_menu(page: Any) -> None:
    """Begin at the text; the menu, alike on all pages, is walked once."""
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def test_every_control_of_the_landing_page_is_reached_and_seen(still, address: str):
    visit(still, address + HOME)
    assert walk(still) == []
    assert still.evaluate(MISSED, NOTHING) == []


def test_the_focus_is_seen_in_the_dark(still, address: str):
    visit(still, address + HOME)
    still.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert walk(still, most=12) == []
    skip_to_bar = "document.querySelector('.bd-header-article button').focus()"
    still.evaluate(f"window.lastStop = null; {skip_to_bar}")
    assert walk(still, most=24) == []


def test_every_control_of_a_chapter_is_reached_and_seen(still, address: str, chapter: str):
    visit(still, address + chapter)
    skip_menu(still)
    assert walk(still) == []
    assert still.evaluate(MISSED, MENU) == []
    still.evaluate("() => { window.goingBack = true; window.lastStop = null; }")
    assert walk(still, "Shift+Tab", BACK) == []


def test_every_control_of_the_explorer_is_reached_and_seen(still, site, address: str):
    visit(still, address + first_page_with(site, 'class="medlib-explorer"'))
    skip_menu(still)
    assert walk(still) == []
    assert still.evaluate(MISSED, MENU) == []


def test_every_result_of_a_search_is_reached_and_seen(still, address: str):
    still.goto(f"{address}search.html?q=resnet")
    still.wait_for_selector("#search-results li a")
    wait_until(still, "/\\d/.test(document.querySelector('.search-summary').textContent)")
    skip_menu(still)
    assert walk(still) == []
    assert still.locator("#search-results li a").count() > 5
    assert still.evaluate(MISSED, MENU) == []


@pytest.mark.parametrize("opened_by", ["Control+k", "button"])
def test_the_search_box_opens_and_escape_closes_it(still, address: str, opened_by: str):
    visit(still, address + HOME)
    box = still.locator("#pst-search-dialog")
    button = still.locator(".search-button__button:visible").first
    if opened_by == "button":
        button.press("Enter")
    else:
        still.keyboard.press(opened_by)
    box.wait_for(state="visible", timeout=PATIENCE)
    assert still.evaluate("document.activeElement.name") == "q"
    still.keyboard.press("Escape")
    box.wait_for(state="hidden", timeout=PATIENCE)
    if opened_by == "button":
        assert button.evaluate("node => node === document.activeElement")


def test_the_colours_change_by_keyboard(still, address: str):
    visit(still, address + HOME)
    button = still.locator(".theme-switch-button:visible").first
    looks = set()
    for key in ("Enter", "Space", "Enter"):
        button.press(key)
        looks.add(still.evaluate("document.documentElement.dataset.theme"))
    assert looks == {"light", "dark"}


def test_a_menu_of_the_bar_opens_and_escape_closes_it(still, address: str, chapter: str):
    visit(still, address + chapter)
    button = still.locator(".dropdown-download-buttons > button")
    entries = still.locator(".dropdown-download-buttons .dropdown-menu")
    button.press("Enter")
    entries.wait_for(state="visible", timeout=PATIENCE)
    still.keyboard.press("ArrowDown")
    assert still.evaluate("document.activeElement.closest('.dropdown-menu') !== null")
    assert still.evaluate("document.activeElement.matches(':focus-visible')")
    still.keyboard.press("Escape")
    entries.wait_for(state="hidden", timeout=PATIENCE)
    assert button.evaluate("node => node === document.activeElement")


def test_pages_below_a_page_unfold_in_the_menu(still, site, address: str):
    visit(still, address + HOME)
    fold = still.locator("nav.bd-links summary").first
    inside = still.locator("nav.bd-links details li a").first
    assert not inside.is_visible()
    fold.press("Enter")
    inside.wait_for(state="visible", timeout=PATIENCE)
    still.keyboard.press("Tab")
    assert inside.evaluate("node => node === document.activeElement")


def test_code_is_copied_by_keyboard(still, address: str, chapter: str):
    visit(still, address + chapter)
    block = still.locator("article div:not(.output) > div.highlight").first
    block.locator("button.copybtn").press("Enter")
    copied = still.evaluate("navigator.clipboard.readText()")
    assert copied.split() == block.locator("pre").inner_text().split()
    assert copied.strip()


def test_the_sentence_behind_a_value_opens_by_keyboard_mouse_and_touch(
    still, browser, address: str, chapter: str
):
    visit(still, address + chapter)
    claim = still.locator("article p > .claim:has(.claim-note)").first
    note = claim.locator(".claim-note")
    shown = "node => !node.matches('.visually-hidden') && node.getBoundingClientRect().width > 99"
    claim.focus()
    assert note.evaluate(shown)
    still.keyboard.press("Escape")
    assert not note.evaluate(shown)
    claim.hover()
    assert note.evaluate(shown)
    box = note.bounding_box()
    still.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert note.evaluate(shown), "the sentence goes away when the mouse moves onto it"
    still.mouse.move(2, 2)
    assert not note.evaluate(shown)
    phone = browser.new_context(viewport=NARROW, has_touch=True)
    touched = phone.new_page()
    touched.goto(address + chapter)
    claim = touched.locator("article p > .claim:has(.claim-note)").first
    claim.scroll_into_view_if_needed()
    claim.tap(position={"x": 4, "y": 8})
    box = claim.locator(".claim-note").bounding_box()
    assert box["width"] > 99
    assert 0 <= box["x"] <= NARROW["width"] - box["width"]
    phone.close()


def test_what_is_wider_than_a_phone_scrolls_by_keyboard(still, address: str, chapter: str):
    still.set_viewport_size(NARROW)
    visit(still, address + chapter)
    wide = """() => [...document.querySelectorAll('article pre, article .math, article figure,'
      + ' article .pst-scrollable-table-container, article .output.text_html')]
      .filter((n) => n.checkVisibility() && n.scrollWidth > n.clientWidth + 4
        && getComputedStyle(n).overflowX === "auto")"""
    wait_until(still, f"({wide})().length > 0")
    assert still.evaluate(f"({wide})().filter((n) => n.tabIndex < 0).map(named)") == []
    still.evaluate(f"({wide})()[0].focus()")
    for _ in range(3):
        still.keyboard.press("ArrowRight")
    wait_until(still, "document.activeElement.scrollLeft > 0")


def test_the_menu_of_a_phone_keeps_the_focus_until_escape(still, address: str):
    still.set_viewport_size(NARROW)
    visit(still, address + HOME)
    menu = still.locator("#pst-primary-sidebar-modal")
    button = still.locator(".bd-header-article .primary-toggle")
    button.press("Enter")
    menu.wait_for(state="visible", timeout=PATIENCE)
    for _ in range(5):
        still.keyboard.press("Tab")
        assert menu.evaluate("node => node.contains(document.activeElement)")
    still.keyboard.press("Escape")
    menu.wait_for(state="hidden", timeout=PATIENCE)
    assert button.evaluate("node => node === document.activeElement")
