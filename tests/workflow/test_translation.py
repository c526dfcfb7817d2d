"""The translated edition: what its pages say of the others, and where its links lead."""

from types import SimpleNamespace

import pytest
from docutils import nodes

from book._ext import medlib_languages
from book.workflow import catalogues, languages, translation, web_files, words
from book.workflow.languages import LANGUAGES
from book.workflow.translation import Edition

CHINESE = LANGUAGES[0]
URL = "https://ann.github.io/book/"
TITLES = {
    "book/trust": "0.1 信任",
    "book/glossary": "C 术语表",
    "notebooks/03-05-resnet": "3.5 ResNet",
}


@pytest.fixture
def edition() -> Edition:
    labels = {"times": "book/trust.html#times", "own": "book/index.html#own"}
    return Edition(CHINESE, ["book/index", "book/glossary"], TITLES, labels)


@pytest.mark.parametrize(
    ("text", "led"),
    [
        ("见[](trust.md)。", "见[0.1 信任（英文）](en://book/trust.html)。"),
        ("见[这里](trust.md#a)。", "见[这里](en://book/trust.html#a)。"),
        ("见[](../notebooks/03-05-resnet.ipynb)。",
         "见[3.5 ResNet（英文）](en://notebooks/03-05-resnet.html)。"),
        ("见{ref}`方法 <times>`。", "见[方法](en://book/trust.html#times)。"),
        ("见{doc}`/book/trust`。", "见[0.1 信任（英文）](en://book/trust.html)。"),
        ("见[](glossary.md)。", "见[](glossary.md)。"),
        ("见{ref}`own`，[外](https://a.org)。", "见{ref}`own`，[外](https://a.org)。"),
        ("见`[](trust.md)`。", "见`[](trust.md)`。"),
    ],
)  # fmt: skip
def test_links_to_pages_in_english_lead_there_and_say_so(edition: Edition, text: str, led: str):
    with words.speaking(catalogues.compiled("zh_CN")):
        assert translation.led(text, "book/index", edition) == led


def test_cards_lead_to_pages_in_english(edition: Edition):
    card = ":::{grid-item-card} 核对\n:link: trust\n:link-type: doc\n\n正文。\n:::"
    led = translation.led(card, "book/index", edition)
    assert ":link: en://book/trust.html\n:link-type: url" in led


def test_the_glossary_has_the_chinese_term_first_in_the_order_of_pinyin(edition: Edition):
    page = "# 术语表\n\n```{glossary}\nstride\n步幅\n  移动。\n\nAdam\nAdam优化器\n  方法。\n\n"
    page += "patch\n图像块\n  一块。\n\nbias\n偏置\n  常数。\n```\n"
    staged = page.replace("  移动。", "  移动。\n\n  First used in {ref}`0.1 Trust: A <times>`.")
    with words.speaking(catalogues.compiled("zh_CN")):
        text = translation.glossary(page, staged, edition)
    order = ["Adam优化器\nAdam\n", "步幅\nstride\n", "偏置\nbias\n", "图像块\npatch\n"]
    assert sorted(order, key=text.index) == order
    assert "  移动。\n\n  首次使用：{ref}`0.1 信任（英文） <times>`。\n" in text
    assert text.endswith("```\n")
    assert text.count("首次使用") == 1


def test_the_front_page_says_who_translated_it_and_what_is_not_translated(edition: Edition):
    with words.speaking(catalogues.compiled("zh_CN")):
        front = translation.notice("book/index", edition)
        other = translation.notice("book/glossary", edition)
    assert "AI智能体" in front
    assert "尚未经人工审校" in front
    assert "均为英文" in front
    assert "[](/book/glossary.md)" in front
    assert "尚未经人工审校" in other
    assert "en://book/glossary.html" in other


def test_the_menu_shows_the_whole_book():
    titles = dict.fromkeys(catalogues.titles(), "标题")
    edition = Edition(CHINESE, ["book/index", "book/glossary"], titles, {})
    toc = translation.contents(edition)
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    assert {"file": "book/glossary"} in entries
    assert sum("url" in entry for entry in entries) > 60
    assert all(entry["url"].startswith("en://") for entry in entries if "url" in entry)


def test_ways_to_english_pages_become_relative_addresses_that_name_their_language():
    found = languages.english('<a href="en://book/trust.html#a">', "book/index")
    assert found == '<a href="../../book/trust.html#a" hreflang="en">'
    assert 'href="../book' in languages.english('<a href="en://book/trust.html">', "search")


def test_the_switch_leads_to_the_same_page_or_to_the_front_page_with_a_note():
    (there,) = medlib_languages.switches("book/glossary", None)
    assert (there["url"], there["tag"], there["note"]) == ("../zh/book/glossary.html", "zh-CN", "")
    (front,) = medlib_languages.switches("notebooks/03-05-resnet", None)
    assert front["url"] == "../zh/book/index.html#translation"
    assert "尚无中文版" in front["note"]
    (back,) = medlib_languages.switches("book/glossary", CHINESE)
    assert back["url"] == "../../book/glossary.html"
    assert back["name"] == "English"
    (search,) = medlib_languages.switches("search", None)
    assert search["url"] == "zh/search.html"


def test_a_translated_page_names_its_counterpart_to_search_engines_in_both_editions():
    here = medlib_languages.alternates("book/glossary", URL, None)
    assert f'hreflang="zh-CN" href="{URL}zh/book/glossary.html"' in here
    assert f'hreflang="x-default" href="{URL}book/glossary.html"' in here
    assert medlib_languages.alternates("book/glossary", f"{URL}zh/", CHINESE) == here
    assert medlib_languages.alternates("book/trust", URL, None) == ""


def test_the_map_of_the_site_lists_the_translated_pages():
    files = web_files.beside(
        ["book/index", "book/glossary"], URL.rstrip("/"), "T", "h", languages.chapters.ROOT
    )
    assert f"{URL}zh/book/glossary.html" in files["sitemap.xml"]


def test_a_message_without_a_translation_stays_english():
    known = catalogues.read("zh_CN", catalogues.CONTENTS)
    assert translation._translation(known, "ResNet") == "ResNet"
    known.get("Glossary").flags.add("fuzzy")
    assert translation._translation(known, "Glossary") == "Glossary"


def test_terms_in_the_other_language_say_so():
    config = SimpleNamespace(language="en")
    settings = SimpleNamespace(env=SimpleNamespace(config=config), language_code="en")
    document = nodes.document(settings, None)
    terms = [nodes.term("", "准确率"), nodes.term("", "accuracy")]
    document += terms
    medlib_languages.TermLanguage(document).run()
    assert [term["classes"] for term in terms] == [["language-zh-CN"], []]


def test_words_of_the_scripts_reach_the_browser():
    assert "点击列名即可按该列排序。" in translation.script(CHINESE)
