"""Chromium prints one sheet after the other; one that is not whole is an error with its name."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pikepdf

from book.workflow.pdf_page import TOP, Heading, Sheet
from book.workflow.test import BROWSER_FLAGS, INSTALL_BROWSER, browser
from medlib.errors import MedlibError

OLDEST = 131  # the first that prints heads and numbers of pages
MARGINS = (22, 20, 20, 20)  # millimetres: top, right, bottom, left
WIDTH = 210 - MARGINS[1] - MARGINS[3]
POINTS = 72 / 25.4  # in a millimetre
PIXELS = 96 / 25.4
LEAST = 0.75  # of its size: what a wide table may shrink to
PATIENCE = 120_000  # milliseconds for a page to load
RULES = """\
html {{ counter-reset: page {before}; }}
@page {{
  size: A4;
  margin: {margins};
  font: 8.5pt "Liberation Sans", Arial, sans-serif;
  @top-left {{ content: {left}; color: #555; }}
  @top-right {{ content: {right}; color: #555; }}
  @bottom-center {{ content: counter(page{style}); }}
}}
@page :first {{
  @top-left {{ content: none; }}
  @top-right {{ content: none; }}
}}
"""
# Tables, formulas and drawings that are wider than the paper are made smaller as a whole; a table
# that would become too small to read has its words broken before.
FIT = """(least) => {
  const wide = (box) =>
    Math.max(box.getBoundingClientRect().width, box.scrollWidth) /
    (box.parentElement.getBoundingClientRect().width + 1);
  for (const box of document.querySelectorAll("table, mjx-container, .medlib-diagram svg")) {
    if (1 / wide(box) < least) box.classList.add("medlib-crowded");
    const times = wide(box);
    if (times > 1) box.style.zoom = Math.max(least / 1.5, 1 / times);
  }
  // a figure in the shape of a page takes most of one; a wide one leaves room for text
  for (const image of document.querySelectorAll("figure img, .cell_output img"))
    image.style.maxHeight = image.naturalHeight > 1.15 * image.naturalWidth ? "165mm" : "105mm";
}"""
FAULTS = """() => [
  ...[...document.images].filter((each) => !each.naturalWidth).map(
    (each) => `no image ${each.src}`),
  ...[...document.querySelectorAll("mjx-merror")].map(
    (each) => `formula not understood: ${each.getAttribute("title") || each.textContent}`),
]"""
MATHS = "window.MathJax?.startup?.promise.then(() => true) ?? true"


@dataclass(frozen=True)
class Printed:
    """A sheet on paper.

    Attributes
    ----------
    document, title, headings
        As in `Sheet`.
    first : int
        Number on its first page.
    data : bytes
        The PDF.
    pages : int
        How many pages it has.
    places : dict
        Page (from 0) and height on it (points from below) by the identifier of what stands there.
    """

    document: str
    title: str
    headings: list[Heading]
    first: int
    data: bytes
    pages: int
    places: dict[str, tuple[int, float]]

    def number(self, target: str) -> int:
        """Return the number of the page on which something stands."""
        return self.first + self.places[target][0]


class Printer:
    """A window of Chromium that prints sheets.

    Parameters
    ----------
    window : playwright page
        The window.
    folder : Path
        Where the files for it are written.
    book : str
        Title of the book, for the head of each page.
    """

    def __init__(self, window: Any, folder: Path, book: str) -> None:
        self.window, self.folder, self.book = window, folder, book

    def print(self, page: Sheet, first: int, *, roman: bool = False) -> Printed:
        """Print a sheet.

        Parameters
        ----------
        page : Sheet
            The sheet.
        first : int
            Number of its first page.
        roman : bool
            Whether its numbers are roman, as before the first chapter.

        Raises
        ------
        MedlibError
            Where an image is missing, a formula is not understood, or the browser fails; the
            message names the page.
        """
        from playwright.sync_api import Error

        file = self.folder / f"{page.document.replace('/', '-')}.html"
        file.write_text(page.html, encoding="utf-8")
        try:
            faults, data = self._load_and_print(file, rules(self.book, page.title, first, roman))
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            raise MedlibError(f"{page.document}: Chromium could not print it: {reason}") from None
        if faults:
            raise MedlibError(f"{page.document}: {faults[0]} ({len(faults)} faults)")
        with pikepdf.open(io.BytesIO(data)) as pdf:
            return Printed(
                page.document, page.title, page.headings, first, data, len(pdf.pages), places(pdf)
            )

    def _load_and_print(self, file: Path, style: str) -> tuple[list[str], bytes]:
        self.window.goto(file.as_uri())
        self.window.add_style_tag(content=style)
        self.window.evaluate(MATHS)
        self.window.evaluate(FIT, LEAST)
        faults = self.window.evaluate(FAULTS)
        return faults, self.window.pdf(
            prefer_css_page_size=True, print_background=True, tagged=True
        )


@contextmanager
def printer(folder: Path, book: str) -> Iterator[Printer]:
    """Open Chromium and yield a printer.

    Raises
    ------
    MedlibError
        Where there is no Chromium, with the line that installs it.
    """
    program = browser()
    if not program or not Path(program).exists():
        raise MedlibError(f"no Chromium to print with: {INSTALL_BROWSER}")
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=BROWSER_FLAGS)
        try:
            yield Printer(_window(chromium), folder, book)
        finally:
            chromium.close()


def _window(chromium: Any) -> Any:
    """Open a window as wide as the text on the paper."""
    if int(chromium.version.partition(".")[0]) < OLDEST:
        raise MedlibError(f"Chromium {OLDEST} or newer is needed, found {chromium.version}")
    size = {"width": int(WIDTH * PIXELS), "height": 1000}
    window = chromium.new_page(viewport=size, reduced_motion="reduce")
    window.set_default_timeout(PATIENCE)
    window.emulate_media(media="print", color_scheme="light")
    return window


def rules(book: str, title: str, first: int, roman: bool) -> str:
    """Return the style of the paper: its size, what stands above and below, the first number."""
    return RULES.format(
        before=first - 1,
        margins=" ".join(f"{each}mm" for each in MARGINS),
        left=_quoted(book),
        right=_quoted(title),
        style=", lower-roman" if roman else "",
    )


def places(pdf: pikepdf.Pdf) -> dict[str, tuple[int, float]]:
    """Return the page (from 0) and the height on it of everything that a link can lead to.

    Chromium measures from the edge of the text and means the edge of the paper, some versions do;
    the first thing on the first page tells by how much.
    """
    numbers = {page.obj.objgen: number for number, page in enumerate(pdf.pages)}
    found = {
        name.removeprefix("/"): (numbers[place[0].objgen], float(place[3]))
        for name, place in pdf.Root.get("/Dests", {}).items()
    }
    height = float(pdf.pages[0].mediabox[3])
    low = height - MARGINS[0] * POINTS - found[TOP][1] if TOP in found else 0.0
    return {name: (page, round(top + low, 1)) for name, (page, top) in found.items()}


def _quoted(text: str) -> str:
    """Return a text as a string of CSS."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
