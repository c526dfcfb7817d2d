"""The generated appendix on the built site: names, numbers and links that only Sphinx knows."""

import posixpath
import re
from pathlib import Path

import pytest
from site_visit import pages
from sphinx.util.inventory import InventoryFile

from book.workflow import api_pages, chapters, imports, solutions_page

pytestmark = pytest.mark.site
SOURCE = re.compile(r'<a class="reference external" href="([^"]+)"><span class="viewcode-link">')


@pytest.fixture(scope="module")
def described(site: Path) -> dict[str, str]:
    """The addresses of all names of Python that the site describes."""
    with (site / "objects.inv").open("rb") as file:
        found = InventoryFile.load(file, "", posixpath.join)
    kinds = ("py:function", "py:class", "py:exception", "py:data")
    return {name: entry[2] for kind in kinds for name, entry in found.get(kind, {}).items()}


def test_every_public_name_is_described_on_the_page_of_its_group(described):
    for group in api_pages.GROUPS:
        names = [n for m in api_pages.modules_of(group) for n in api_pages.names_of(m)]
        assert [n.target for n in names if n.target not in described] == []
        where = f"{api_pages.DOCUMENT}-{group.slug}.html#"
        assert [n.target for n in names if not described[n.target].startswith(where)] == []


def test_every_described_name_leads_to_lines_of_the_repository(site):
    files = {path.relative_to(chapters.ROOT).as_posix() for path in imports.modules().values()}
    front = f"{chapters.repository_url()}/blob/{chapters.branch()}/"
    for group in api_pages.GROUPS:
        text = (site / f"{api_pages.DOCUMENT}-{group.slug}.html").read_text("utf-8")
        links = SOURCE.findall(text)
        functions = [
            n for m in api_pages.modules_of(group) for n in api_pages.names_of(m) if not n.constant
        ]
        assert len(links) >= len(functions)
        for link in links:
            file, _, lines = link.removeprefix(front).partition("#")
            assert file in files
            assert re.fullmatch(r"L\d+-L\d+", lines)
        assert " object at 0x" not in text
        assert str(chapters.ROOT) not in text


def test_the_numbers_of_the_exercises_are_those_of_the_chapters(site):
    shown = (site / f"{solutions_page.DOCUMENT}.html").read_text("utf-8")
    for chapter in chapters.chapters():
        if chapter.page not in pages():
            continue
        text = (site / chapter.page).read_text("utf-8")
        numbers = re.findall(r'<span class="caption-number">Exercise ([A-Z\d][\d.]*\d)', text)
        found = solutions_page.exercises(chapter)
        assert [each.number for each in found] == numbers, chapter.stem
        assert all(f'{chapter.page}#{each.label}"' in shown for each in found)
        anchor = solutions_page.anchor(chapter)
        assert f"solutions.html#{anchor}" in text
        assert f'id="{anchor}"' in shown


@pytest.mark.parametrize("name", ["evaluate_masks_once", "cross_entropy", "Recipe"])
def test_search_finds_a_name_of_the_library(page, address: str, name: str):
    page.goto(f"{address}search.html?q={name}")
    page.wait_for_selector('#search-results li a[href*="book/api"]', timeout=20_000)
