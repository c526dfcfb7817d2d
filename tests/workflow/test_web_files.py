"""The files beside the pages: map of the site, feed, 404, old addresses, words of a search."""

from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as Xml

import pytest

from book._ext import medlib_finder, site_text
from book.workflow import chapters, web_files
from medlib.errors import MedlibError

URL = "https://ann.github.io/book"
PAGES = ["notebooks/03-05-resnet", "book/index"]
CHANGELOG = """# Changelog

## [0.2.0] - unreleased

### Fixed

- A number of `net` & a table.

## [0.1.0] - 2026-12-01

- Everything.
"""


def test_the_map_lists_every_page_in_order_with_the_day_where_it_is_known():
    text = web_files.sitemap(PAGES, URL, {"book/index.md": "2026-11-09"})
    space = {"s": web_files.SITEMAP}
    entries = Xml.fromstring(text).findall("s:url", space)
    assert [each.findtext("s:loc", namespaces=space) for each in entries] == [
        f"{URL}/book/index.html",
        f"{URL}/notebooks/03-05-resnet.html",
    ]
    assert [each.findtext("s:lastmod", namespaces=space) for each in entries] == [
        "2026-11-09",
        None,
    ]


def test_the_feed_holds_the_editions():
    channel = Xml.fromstring(web_files.feed(CHANGELOG, URL, "A book"))[0]
    assert channel.findtext("title") == "A book: editions"
    first, second = channel.findall("item")
    assert first.findtext("title") == "Edition 0.2.0, to come"
    assert first.find("pubDate") is None
    assert "<li>A number of <code>net</code> &amp; a table.</li>" in first.findtext("description")
    assert parsedate_to_datetime(second.findtext("pubDate")).date().isoformat() == "2026-12-01"
    assert second.findtext("guid") == f"{URL}/book/releases.html#0.1.0"
    assert Xml.fromstring(web_files.feed("", URL, "A book"))[0].findall("item") == []


def test_the_feed_of_this_book_names_its_edition():
    text = (chapters.ROOT / "CHANGELOG.md").read_text("utf-8")
    items = Xml.fromstring(web_files.feed(text, URL, "A book")).findall("channel/item")
    assert items[-1].findtext("title").startswith("Edition 0.1.0")


def test_the_page_for_missing_addresses_works_at_any_depth():
    text = web_files.not_found(URL, "Nets & more", "book/index.html")
    assert f'href="{URL}/book/index.html" data-to="book/index.html"' in text
    assert f'action="{URL}/search.html"' in text
    assert 'const published = "/book/";' in text
    assert "Nets &amp; more" in text
    assert "src=" not in text, "it must not need another file"
    above = web_files.not_found(URL, "Nets", "book/index.html", "latest/")
    assert f'href="{URL}/latest/book/index.html" data-to="latest/book/index.html"' in above
    assert f'action="{URL}/latest/search.html" data-to="latest/search.html"' in above


def test_an_old_address_leads_to_the_new_one(tmp_path):
    path = tmp_path / "moved.yml"
    assert web_files.moved(path, PAGES) == {}
    path.write_text("notebooks/03-05-residual: notebooks/03-05-resnet\n", encoding="utf-8")
    ((old, new),) = web_files.moved(path, PAGES).items()
    text = web_files.redirect(old, new, URL)
    assert f'<link rel="canonical" href="{URL}/notebooks/03-05-resnet.html">' in text
    assert 'content="0; url=../notebooks/03-05-resnet.html"' in text
    assert '<a href="../notebooks/03-05-resnet.html">' in text
    assert 'location.replace("../notebooks/03-05-resnet.html" + location.search' in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("book/index: notebooks/03-05-resnet", "is a page"),
        ("../out: book/index", "not of the form"),
        ("book/old: book/gone", "which is no page"),
    ],
)
def test_a_wrong_move_is_refused(tmp_path, line, message):
    path = tmp_path / "moved.yml"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(MedlibError, match=message):
        web_files.moved(path, PAGES)


def test_the_moves_of_this_book_lead_to_pages():
    web_files.moved(chapters.ROOT / "book" / "moved.yml", chapters.contents())


def test_files_are_written_where_they_differ(tmp_path):
    files = web_files.beside(PAGES, URL, "A book", "book/index.html", tmp_path)
    assert list(files) == ["404.html", "sitemap.xml", "releases.xml"]
    web_files.write(tmp_path, files)
    before = (tmp_path / "sitemap.xml").stat().st_mtime_ns
    web_files.write(tmp_path, files)
    assert (tmp_path / "sitemap.xml").stat().st_mtime_ns == before


def test_chinese_is_searched_by_pairs_of_characters():
    split = medlib_finder.SearchBoth({}).split
    assert split("准确率 of ResNet-18") == ["准确", "确率", "of", "ResNet", "18"]
    assert split("Adam优化器, 熵") == ["Adam", "优化", "化器", "熵"]


def test_a_chapter_can_be_downloaded_as_source_and_as_script():
    files = medlib_finder.downloads("notebooks/03-05-resnet")
    text = (chapters.ROOT / "notebooks" / "03-05-resnet.md").read_text("utf-8")
    assert files["_sources/notebooks/03-05-resnet.md"] == text
    script = files["_sources/notebooks/03-05-resnet.py"]
    compile(script, "script", "exec")
    assert "# %% [markdown]" in script


def test_the_first_sentence_stands_for_the_page():
    assert site_text.first_sentence("It learns, e.g. from 3.5 images. Then it stops.") == (
        "It learns, e.g. from 3.5 images."
    )
