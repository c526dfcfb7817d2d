"""Tables that a reader can sort: by mouse and keyboard, announced, and plain without scripts."""

from pathlib import Path

import pytest
from site_visit import NARROW, TOO_WIDE, pages, violations

pytestmark = pytest.mark.site
TABLE = "table.medlib-sortable"
COLUMN = """([column]) => [...document.querySelector("table.medlib-sortable").tBodies[0].rows]
  .map((row) => row.cells[column].textContent.trim())"""
SORTS = """() => [...document.querySelectorAll("table.medlib-sortable thead th")]
  .map((head) => head.getAttribute("aria-sort"))"""
# A table of our own in place of the page's: numbers, an absent one, words that hold numbers.
TOY = """() => {
  const table = document.createElement("table");
  table.className = "medlib-sortable";
  table.innerHTML = `<caption>Toy</caption>
    <thead><tr><th scope="col">set</th><th scope="col">size</th></tr></thead>
    <tbody><tr><th scope="row">set 10</th><td>9</td></tr>
    <tr><th scope="row">Set 2</th><td>not\u00a0given</td></tr>
    <tr><th scope="row">set 1</th><td>1,399</td></tr>
    <tr><th scope="row">set 3</th><td>9</td></tr></tbody>`;
  document.querySelector("table.medlib-sortable").replaceWith(table);
  makeSortable(table);
}"""


@pytest.fixture
def name(site: Path) -> str:
    """Return the first page with a table to sort, or skip."""
    for each in pages():
        if "medlib-sortable" in (site / each).read_text(encoding="utf-8"):
            return each
    pytest.skip("no page holds a table to sort")


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace(",", "")) for text in texts]


def column_of(page, title: str) -> int:
    heads = page.locator(f"{TABLE} >> nth=0").locator("thead th").all_inner_texts()
    return [head.strip() for head in heads].index(title)


def test_a_press_sorts_by_size_and_another_turns_it_round(page, address: str, name: str):
    page.goto(address + name)
    size = column_of(page, "size")
    before = page.evaluate(COLUMN, [size])
    button = page.locator(f"{TABLE} thead th").nth(size).locator("button")
    button.click()
    up = numbers(page.evaluate(COLUMN, [size]))
    assert up == sorted(numbers(before))
    assert [i for i, each in enumerate(page.evaluate(SORTS)) if each == "ascending"] == [size]
    button.click()
    assert numbers(page.evaluate(COLUMN, [size])) == sorted(up, reverse=True)
    assert page.evaluate(SORTS)[size] == "descending"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_sorts_and_keeps_the_focus(page, address: str, name: str, key: str):
    page.goto(address + name)
    page.locator(f"{TABLE} thead button").first.focus()
    page.keyboard.press(key)
    assert page.evaluate(SORTS)[0] == "ascending"
    assert page.evaluate("document.activeElement.className") == "medlib-sort"


def test_another_column_takes_the_mark_over(page, address: str, name: str):
    page.goto(address + name)
    buttons = page.locator(f"{TABLE} >> nth=0").locator("thead button")
    buttons.nth(0).click()
    buttons.nth(1).click()
    marks = page.evaluate(SORTS)
    assert (marks[0], marks[1]) == (None, "ascending")


def test_numbers_sort_as_numbers_ties_stay_and_what_is_absent_comes_last(
    page, address: str, name: str
):
    page.goto(address + name)
    page.evaluate(TOY)
    buttons = page.locator(f"{TABLE} thead button")
    buttons.nth(1).click()
    assert page.evaluate(COLUMN, [0]) == ["set 10", "set 3", "set 1", "Set 2"]
    buttons.nth(1).click()
    assert page.evaluate(COLUMN, [0]) == ["set 1", "set 10", "set 3", "Set 2"]
    buttons.nth(0).click()
    assert page.evaluate(COLUMN, [0]) == ["set 1", "Set 2", "set 3", "set 10"]


def test_a_sorted_table_is_accessible_and_fits_a_phone(page, address: str, name: str):
    page.goto(address + name)
    page.locator(f"{TABLE} thead button").first.click()
    assert violations(page, TABLE) == []
    page.set_viewport_size(NARROW)
    assert page.evaluate(TOO_WIDE) == []


def test_the_table_is_whole_and_plain_without_scripts(browser, address: str, name: str):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + name)
    table = page.locator(TABLE).first
    assert table.locator("thead th").first.inner_text().strip()
    assert table.locator("tbody tr").count() > 3
    assert table.locator("button").count() == 0
    context.close()
