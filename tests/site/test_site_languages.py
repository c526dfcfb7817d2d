"""The Chinese pages in a browser: language, letters, ways to and fro, search."""

from pathlib import Path

import pytest
from site_visit import pages

from book.workflow.languages import LANGUAGES
from book.workflow.languages import pages as translated

pytestmark = pytest.mark.site
PATIENCE = 10_000
CHINESE = [f"zh/{page}.html" for page in translated(LANGUAGES[0])]
FONTS = {"PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC"}
LOOK = """() => ({
  lang: document.documentElement.lang,
  family: getComputedStyle(document.querySelector("article p")).fontFamily,
  line: parseFloat(getComputedStyle(document.querySelector("article section > p")).lineHeight)
    / parseFloat(getComputedStyle(document.querySelector("article section > p")).fontSize),
  slanted: [...document.querySelectorAll("article *")]
    .filter((node) => getComputedStyle(node).fontStyle !== "normal")
    .filter((node) => [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE
      && /[\\u3400-\\u9fff]/.test(child.data))).map((node) => node.outerHTML.slice(0, 80)),
})"""


@pytest.fixture(autouse=True)
def _with_chinese(site: Path):
    if not (site / CHINESE[0]).exists():
        pytest.fail("the site has no Chinese pages")


def test_each_translated_page_is_there(site: Path):
    assert set(CHINESE) <= set(pages())


@pytest.mark.parametrize("name", CHINESE)
def test_a_chinese_page_says_so_and_has_room_and_letters_for_it(page, address: str, name: str):
    page.goto(address + name)
    look = page.evaluate(LOOK)
    assert look["lang"] == "zh-CN"
    assert {each.strip(' "') for each in look["family"].split(",")} >= FONTS
    assert look["line"] >= 1.75
    assert look["slanted"] == []


def test_the_switch_leads_to_the_same_page_and_back_by_keyboard(page, address: str):
    page.goto(f"{address}book/glossary.html")
    page.locator("a.medlib-switch[lang=zh-CN]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/zh/book/glossary.html")
    page.locator("a.medlib-switch[lang=en]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}book/glossary.html")


def test_a_page_without_a_translation_leads_to_the_note_on_the_chinese_front_page(
    page, address: str
):
    page.goto(f"{address}book/trust.html")
    switch = page.locator("a.medlib-switch[lang=zh-CN]")
    assert "本页尚无中文版" in switch.text_content()
    switch.click()
    page.wait_for_url("**/zh/book/index.html#translation")
    note = page.locator("#translation")
    assert note.is_visible()
    assert "尚未经人工审校" in note.text_content()


def test_a_chapter_in_the_chinese_menu_leads_to_its_english_page(page, address: str):
    page.goto(f"{address}zh/book/glossary.html")
    way = page.locator("#pst-primary-sidebar a[hreflang=en]", has_text="0.1 ").first
    assert "（英文）" in way.text_content()
    page.goto(way.evaluate("link => link.href"))
    assert page.url == f"{address}book/trust.html"
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("term", ["过拟合", "灵敏度", "卷积", "overfitting", "sensitivity"])
def test_the_chinese_search_finds_terms_of_both_languages(page, address: str, term: str):
    page.goto(f"{address}zh/search.html?q={term}")
    found = page.locator('#search-results li a[href*="book/glossary.html"]').first
    found.wait_for(timeout=PATIENCE)
    found.click()
    page.wait_for_url("**/zh/book/glossary.html*")
    assert term in page.locator("main").text_content()


def test_chinese_terms_of_the_english_glossary_say_their_language(page, address: str):
    page.goto(f"{address}book/glossary.html")
    term = page.locator("dl.glossary dt", has_text="灵敏度").first
    assert term.get_attribute("lang") == "zh-CN"
    assert term.evaluate("node => getComputedStyle(node).fontStyle") == "normal"


def test_counterparts_are_named_in_heads_and_map(site: Path):
    map_of_site = (site / "sitemap.xml").read_text("utf-8")
    for name in CHINESE:
        for page in (site / name, site / name.removeprefix("zh/")):
            head = page.read_text("utf-8").partition("</head>")[0]
            assert 'hreflang="zh-CN"' in head, page
            assert 'hreflang="en"' in head, page
        assert f"/{name}</loc>" in map_of_site
