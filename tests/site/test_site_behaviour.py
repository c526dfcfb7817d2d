"""What readers do with the site: search, copy, fold, switch to dark, go by keyboard."""

from pathlib import Path

import pytest
from site_visit import MATH_READY, NARROW, ROOT, first_page_with, pages, violations, wait_until

from book.workflow import terms

pytestmark = pytest.mark.site
PATIENCE = 10_000  # milliseconds; a loaded machine takes its time to move things


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("term", ["receptive field", "breast", "感受野"])
def test_search_finds_a_term(page, address: str, term: str):
    page.goto(f"{address}search.html?q={term.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    found = page.locator("#search-results li a").first
    found.click()
    page.wait_for_selector("article h1")
    assert term.split()[0] in page.locator("main").text_content().lower()  # also folded text


@pytest.mark.parametrize("term", ["准确率", "展开", "Accuracy"])
def test_search_leads_to_the_glossary_in_both_languages(page, address: str, term: str):
    page.goto(f"{address}search.html?q={term}")
    found = page.locator('#search-results li a[href*="book/glossary.html"]').first
    found.wait_for(timeout=PATIENCE)
    found.click()
    page.wait_for_selector("article h1")
    assert term.lower() in page.locator("main").text_content().lower()


def test_search_finds_every_entry_of_the_glossary(page, address: str):
    entries = terms.entries((ROOT / "book" / "glossary.md").read_text("utf-8"))
    names = [line for entry in entries for line in entry.splitlines() if not line.startswith(" ")]
    page.goto(f"{address}search.html?q=accuracy")
    page.wait_for_selector("#search-results li a")
    lost = page.evaluate(
        "(names) => names.filter((name) => !Search._performSearch(...Search._parseQuery(name))"
        ".some((found) => found[0] === 'book/glossary'))",
        names,
    )
    assert len(names) > 500
    assert lost == []


def test_a_missing_address_leads_home_and_to_the_search(page, site: Path, address: str):
    lost = (site / "404.html").read_text(encoding="utf-8")
    page.route("**/gone/**", lambda route: route.fulfill(status=404, body=lost))
    page.goto(f"{address}notebooks/gone/away.html")
    page.locator("main a").click()
    page.wait_for_url(f"{address}book/index.html")
    page.goto(f"{address}notebooks/gone/away.html")
    page.locator("input").fill("resnet")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}search.html?q=resnet*")


def test_chapters_can_be_downloaded_in_three_forms(page, site: Path, address: str):
    name = next(each for each in pages() if each.startswith("notebooks/"))
    page.goto(address + name)
    links = page.locator(".dropdown-download-buttons a")
    endings = {link.get_attribute("href").rpartition(".")[2] for link in links.all()}
    assert endings == {"ipynb", "md", "py"}


def test_search_box_opens_by_keyboard_and_leads_to_results(page, address: str):
    page.goto(f"{address}book/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("resnet")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=resnet*")


def test_copy_button_copies_the_code(page, site: Path, address: str):
    page.goto(address + first_page_with(site, 'div class="highlight"'))
    block = page.locator("article div:not(.output) > div.highlight").first
    block.hover()
    block.locator("button.copybtn").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.split() == block.locator("pre").inner_text().split()
    assert copied.strip()


def test_dark_mode_switches_and_is_remembered(page, address: str):
    page.goto(f"{address}book/index.html")
    seen = {page.evaluate("document.documentElement.dataset.theme"): background(page)}
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        page.wait_for_timeout(300)
        seen[page.evaluate("document.documentElement.dataset.theme")] = background(page)
    assert set(seen) == {"light", "dark"}
    assert seen["light"] != seen["dark"]
    while page.evaluate("document.documentElement.dataset.mode") != "dark":
        page.locator(".theme-switch-button").first.click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_solutions_open_and_close_by_keyboard(page, site: Path, address: str, key: str):
    page.goto(address + first_page_with(site, '<details class="admonition'))
    fold = page.locator("details.admonition").first
    fold.locator("summary").focus()
    inside = fold.locator(":scope > :not(summary)").first
    assert not inside.is_visible()
    page.keyboard.press(key)
    inside.wait_for(state="visible", timeout=PATIENCE)
    page.keyboard.press(key)
    inside.wait_for(state="hidden", timeout=PATIENCE)


def test_a_link_into_a_closed_fold_opens_it(page, site: Path, address: str):
    name = first_page_with(site, '<details class="admonition')
    page.goto(address + name)
    page.evaluate("document.querySelector('details.admonition > :not(summary)').id = 'inside'")
    page.evaluate("location.hash = 'inside'")
    page.locator("#inside").wait_for(state="visible", timeout=PATIENCE)


def test_first_tab_stop_skips_to_the_text(page, address: str):
    page.goto(f"{address}book/index.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_until(page, "location.hash === '#main-content'")


def test_phone_menu_opens_and_closes(page, address: str):
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"{address}book/index.html")
    menu = page.locator("#pst-primary-sidebar-modal")
    assert not menu.is_visible()
    page.locator(".bd-header-article .primary-toggle").click()
    menu.wait_for(state="visible", timeout=PATIENCE)
    page.wait_for_timeout(400)  # it slides in
    page.keyboard.press("Escape")
    menu.wait_for(state="hidden", timeout=PATIENCE)


def test_text_is_there_without_scripts(browser, address: str):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}book/index.html")
    assert page.locator("article h1").is_visible()
    assert page.locator("nav.bd-links a").first.is_visible()
    context.close()


@pytest.mark.parametrize(
    ("button", "opened"),
    [
        (".search-button__button", "#pst-search-dialog"),
        (".dropdown-download-buttons > button", ".dropdown-download-buttons"),
        (".bd-header-article .primary-toggle", "#pst-primary-sidebar-modal"),
        (".bd-header-article .secondary-toggle", "#pst-secondary-sidebar-modal"),
    ],
)
def test_what_a_phone_opens_is_accessible(page, address: str, button: str, opened: str):
    page.set_viewport_size(NARROW)
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{address}book/trust.html")
    page.locator(f"{button}:visible").first.click()
    page.locator(f"{opened} :is(input, a)").first.wait_for(state="visible", timeout=PATIENCE)
    assert violations(page, opened) == []


def test_a_chapter_on_a_phone_is_accessible(page, site: Path, address: str):
    page.set_viewport_size(NARROW)
    page.goto(address + first_page_with(site, 'class="medlib-diagram"'))
    page.evaluate(MATH_READY)
    wait_until(page, "document.querySelector('article [tabindex]') !== null")
    assert violations(page, leave_out=["#pst-primary-sidebar"]) == []
