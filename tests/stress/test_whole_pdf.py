"""The whole book on paper: nothing of the site is missing, and no link leads nowhere.

Prints ``_build/cpu/html``, or the folder named by ``MEDLIB_SITE``; takes minutes.
"""

import os
import re
import time
from pathlib import Path

import pikepdf
import pytest

from book.workflow import pdf, pdf_edition, pdf_page
from medlib import paths
from tests.pdf_reader import links, sheet_of, words

SITE = Path(os.environ.get("MEDLIB_SITE") or paths.build_dir("cpu") / "html")
FIGURE = re.compile(r'<span class="caption-number">((?:Fig|Table|Listing)[^<]*?) ?</span>')
MOST = 40  # MB that readers download without a second thought

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Print the book once: (the PDF, its file, pages, seconds)."""
    if not (SITE / "book/index.html").exists():
        pytest.skip(f"no site at {SITE}: make book builds it")
    target, started = tmp_path_factory.mktemp("pdf") / "book.pdf", time.monotonic()
    pages = pdf.make(pdf.contents(), SITE, "cpu", pdf_edition.edition(), target, lambda _: None)
    with pikepdf.open(target) as book:
        yield book, target, pages, time.monotonic() - started


@pytest.fixture(scope="module")
def text(made) -> list[str]:
    return [words(page) for page in made[0].pages]


def test_the_book_is_printed_and_no_burden(made, finding):
    _, target, pages, seconds = made
    size = target.stat().st_size / 2**20
    value = f"{pages} pages, {size:.0f} MB, {seconds / 60:.0f} minutes"
    finding("pdf", "The book on paper", value, bar=f"at most {MOST} MB", held=size <= MOST)
    assert size <= MOST


def test_every_figure_of_the_site_is_on_paper(text, finding):
    whole = re.sub(r"\s", "", "".join(text))
    numbers = {
        (document, number)
        for part in pdf.contents().values()
        for document in part
        for number in FIGURE.findall((SITE / f"{document}.html").read_text("utf-8"))
    }
    missing = [each for each in numbers if re.sub(r"\s", "", each[1]) not in whole]
    value = f"{len(numbers) - len(missing)} of {len(numbers)}"
    finding("pdf", "Figures and tables of the site found", value, bar="all", held=not missing)
    assert len(numbers) > 100
    assert not missing


def test_no_link_inside_the_book_is_dead(made, finding):
    book = made[0]
    found = links(book)
    sheets = {page.obj.objgen for page in book.pages}
    inside = [link for _, link in found if "/Dest" in link]
    dead = [link for link in inside if link.Dest[0].objgen not in sheets]
    left = [str(link.A.URI) for _, link in found if "/A" in link]
    wrong = [each for each in left if each.startswith((pdf_page.HOST, "file:"))]
    good = not dead and not wrong
    finding("pdf", "Links inside the book", f"{len(inside)} lead to a page", bar="all", held=good)
    assert len(inside) > 5000
    assert good


def test_the_contents_lead_forward_page_by_page(made, text):
    book = made[0]
    front = next(number for number, page in enumerate(book.pages) if page.label == "1")
    places = [sheet_of(book, link.Dest) for number, link in links(book) if 1 <= number < front]
    assert len(places) > 500
    assert places == sorted(places)
    chapters = [each for part in pdf.contents().values() for each in part]
    assert len(set(places)) >= len(chapters)
    for number in {places[0], *places[:: len(places) // 20]}:
        assert book.pages[number].label in text[number]
