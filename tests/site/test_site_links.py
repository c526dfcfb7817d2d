"""Links and anchors of the whole site, read from its files: none leads nowhere."""

import html.parser
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from PIL import Image
from site_visit import ROOT, pages

from book.workflow import chapters

pytestmark = pytest.mark.site


@dataclass
class Page(html.parser.HTMLParser):
    """The links and the anchors of one page."""

    links: list[tuple[str, str]] = field(default_factory=list)  # class, address
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src"):
            if name in found and tag != "base":
                self.links.append((found.get("class", ""), found[name]))


@cache
def read(path: Path) -> Page:
    """Read one page's links and anchors."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def problem(site: Path, source: Path, link: str) -> str | None:
    """Say what is wrong with a link, or None."""
    if urlsplit(link).scheme or link.startswith("//"):
        known = urlsplit(link).scheme in {"https", "mailto", "data"}
        return None if known else f"{link}: not https"
    address, anchor = urldefrag(link)
    target = source if not address else (source.parent / unquote(urlsplit(address).path)).resolve()
    if not target.is_file() or not target.is_relative_to(site.resolve()):
        return f"{link}: no such file"
    if anchor and target.suffix == ".html" and unquote(anchor) not in read(target).anchors:
        return f"{link}: no such anchor"
    return None


def test_no_broken_link(site: Path):
    broken = []
    for name in pages():
        source = (site / name).resolve()
        found = (problem(site, source, link) for _, link in read(source).links)
        broken += [f"{name} -> {each}" for each in found if each]
    assert not broken, "\n".join(sorted(set(broken)))


def test_links_into_the_repository_name_files_that_are_there(site: Path):
    """The weekly check of addresses leaves our own out, which may not be public yet."""
    start = re.compile(rf"{re.escape(chapters.repository_url())}/(?:blob|raw|edit|tree)/[^/]+/")
    found = {
        start.sub("", urldefrag(link).url)
        for name in pages()
        for _, link in read((site / name).resolve()).links
        if start.match(link)
    }
    assert found
    assert [name for name in sorted(found) if not (ROOT / unquote(name)).exists()] == []


def test_home_forwards_to_the_first_page(site: Path):
    assert "book/index.html" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "book" / "index.html").exists()


@pytest.mark.parametrize("language", ["", "zh/"])
def test_every_page_can_be_reached(site: Path, language: str):
    home = (site / language / "book" / "index.html").resolve()
    linked = {
        (home.parent / unquote(urlsplit(link).path)).resolve()
        for _, link in read(home).links
        if not urlsplit(link).scheme
    }
    own = [name for name in pages() if name.startswith("zh/") == bool(language)]
    unlinked = [name for name in own if (site / name).resolve() not in linked | {home}]
    assert own
    assert [name for name in unlinked if name != "404.html"] == []


def test_text_leads_to_references_and_glossary(site: Path):
    links = {name: [at for _, at in read((site / name).resolve()).links] for name in pages()}
    chapters = [at for name in links if name.startswith("notebooks/") for at in links[name]]
    assert any("references.html#" in at for at in chapters)
    prose = [at for name in links if name != "book/glossary.html" for at in links[name]]
    assert any("glossary.html#term-" in at for at in prose)


def test_terms_lead_to_where_they_are_first_used(site: Path):
    page = (site / "book" / "glossary.html").resolve()
    uses = {at for _, at in read(page).links if "#words-" in at}
    assert len(uses) > 50
    assert any(at.startswith("../notebooks/") for at in uses)


def test_titles_differ(site: Path):
    titles = [(site / name).read_text(encoding="utf-8") for name in pages()]
    titles = [text.partition("<title>")[2].partition("</title>")[0].strip() for text in titles]
    assert len(set(titles)) == len(titles)


def test_the_map_of_the_site_lists_its_pages(site: Path):
    text = (site / "sitemap.xml").read_text(encoding="utf-8")
    listed = [at.partition("</loc>")[0] for at in text.split("<loc>")[1:]]
    root = chapters.latest_url(chapters.repository_url())
    ours = [name for name in pages() if Path(name).name not in {"404.html", "search.html"}]
    assert sorted(listed) == sorted(f"{root}/{name}" for name in ours)


def test_pages_say_what_other_sites_show_of_them(site: Path):
    root = chapters.latest_url(chapters.repository_url())
    cards: dict[str, bytes] = {}
    for name in (each for each in pages() if "/" in each and not each.endswith("/search.html")):
        text = (site / name).read_text(encoding="utf-8")
        for wanted in ("og:title", "og:url", "og:image"):
            assert text.count(f'property="{wanted}"') == 1, f"{name}: {wanted}"
        assert 'type="application/rss+xml"' in text, name
        address = text.partition('"og:image" content="')[2].partition('"')[0]
        with Image.open(site / address.removeprefix(f"{root}/")) as card:
            assert card.size == (1200, 630), name
            cards[name] = card.tobytes()
    own = [card for name, card in cards.items() if not name.startswith("zh/")]
    assert len(set(own)) == len(own), "each page has its own"
