"""Quizzes and reading times in a browser: hidden until asked, by keyboard, without scripts."""

import re
from pathlib import Path

import pytest
from site_visit import TOO_WIDE

pytestmark = pytest.mark.site
QUIZ = "book/quiz-1.html"
PATIENCE = 10_000  # milliseconds; a loaded machine takes its time to move things
LINE = "article .reading-line"
TIMES = (
    r"About \d+ minutes to read( · \d+ with the code)?( · \d+ with the exercises)? · level [123]"
)


def without(site: Path, name: str) -> None:
    """Skip where the site was built of a book that has no such page."""
    if not (site / name).exists():
        pytest.skip(f"the site has no {name}")


@pytest.mark.parametrize("script", [True, False])
def test_answers_are_hidden_until_they_are_opened_by_keyboard(browser, site, address, script):
    without(site, QUIZ)
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(address + QUIZ)
    answers = page.locator("article details.admonition")
    assert answers.count() == 5
    for number in range(5):
        answer = answers.nth(number)
        told = answer.get_by_text("is right.")
        assert answer.locator("summary").inner_text().strip() == f"Answer {number + 1}"
        assert not told.is_visible()
        answer.locator("summary").focus()
        page.keyboard.press("Enter")
        told.wait_for(state="visible", timeout=PATIENCE)
    context.close()


def test_a_quiz_shows_results_and_leads_to_the_sections_that_explain_them(page, site, address):
    without(site, QUIZ)
    page.goto(address + QUIZ)
    assert page.locator("article .claim").count() >= 3
    where = page.locator("article details a.reference.internal[href*='notebooks/'][href*='#']")
    addresses = where.evaluate_all("links => links.map((link) => link.href)")
    assert len(addresses) >= 5
    page.goto(addresses[0])
    anchor = addresses[0].partition("#")[2]
    assert page.evaluate("(id) => document.getElementById(id) !== null", anchor)


@pytest.mark.parametrize("name", ["notebooks/03-05-resnet.html", "book/trust.html"])
def test_a_chapter_says_below_its_title_how_long_it_takes(page, site, address, name):
    without(site, name)
    page.goto(address + name)
    line = page.locator("article h1 + .reading-line")
    assert re.match(TIMES, line.inner_text().strip())
    assert page.locator('meta[name="description"]').get_attribute("content")[:5] != "About"
    line.locator("a").click()
    page.wait_for_url("**/book/trust.html#reading-times")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_landing_page_tells_how_long_each_way_takes(page, site, address, theme):
    page.goto(f"{address}book/index.html")
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
    lines = page.locator(LINE)
    assert lines.count() == 3
    assert all(
        re.match(r"\d+ chapters · about \d+ hour", t.strip()) for t in lines.all_inner_texts()
    )
    fold = page.locator("article details.admonition", has=page.locator("table"))
    assert not fold.locator("table").is_visible()
    page.set_viewport_size({"width": 360, "height": 800})
    fold.locator("summary").click()
    fold.locator("table").wait_for(state="visible", timeout=PATIENCE)
    assert fold.locator("tbody tr").count() >= 40
    assert page.evaluate(TOO_WIDE) == []
