"""`make pdf`: the finished site as one book to print, ``_build/<profile>/book.pdf``.

Chromium prints page after page, which is quick and names the page that fails; one file of the whole
book took it more than ten minutes and nine gigabytes. The sheets are then joined.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from book.workflow import chapters, pdf_front, pdf_join, pdf_page, pdf_print
from book.workflow.pdf_edition import Edition, edition
from book.workflow.plainly import plainly
from book.workflow.progress import clock
from medlib import paths
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

Parts = Mapping[str, Sequence[str]]  # caption -> documents


def contents(root: Path = chapters.ROOT) -> dict[str, list[str]]:
    """Return the pages of the book by the caption of their part, in the order of the menu.

    Parameters
    ----------
    root : Path
        The checkout.
    """
    toc = parsed((root / "_toc.yml").read_text("utf-8"))
    parts = {"": [toc["root"]]}
    for part in toc.get("parts", [toc]):
        parts.setdefault(part.get("caption", ""), []).extend(_files(part.get("chapters", [])))
    return parts


def _files(entries: Sequence[dict[str, Any]]) -> list[str]:
    return [name for each in entries for name in (each["file"], *_files(each.get("sections", [])))]


def between(parts: Parts, pages: str) -> dict[str, list[str]]:
    """Return the parts from a first to a last page.

    Parameters
    ----------
    parts : mapping of str to sequence of str
        All pages by part.
    pages : str
        ``FIRST,LAST`` or one name; the folder may be left out: ``03-05-resnet,book/quiz-3``.

    Raises
    ------
    MedlibError
        For a name that no page has, or a last page before the first.
    """
    every = [each for part in parts.values() for each in part]
    places = [_place(name.strip(), every) for name in pages.split(",")]
    wanted = every[places[0] : places[-1] + 1]
    if not wanted or len(places) > 2:
        raise MedlibError(f"--pages takes FIRST,LAST in the order of the book, got {pages!r}")
    kept = {caption: [each for each in part if each in wanted] for caption, part in parts.items()}
    return {caption: part for caption, part in kept.items() if part}


def _place(name: str, every: Sequence[str]) -> int:
    for place, document in enumerate(every):
        if name in (document, document.rpartition("/")[2]):
            return place
    raise MedlibError(f"--pages: the book has no page {name!r}; _toc.yml lists them")


def make(
    parts: Parts,
    folder: Path,
    profile: str,
    about: Edition,
    target: Path,
    say: Callable[[str], None] = print,
) -> int:
    """Print the book and return its number of pages.

    Parameters
    ----------
    parts : mapping of str to sequence of str
        Pages by the caption of their part.
    folder : Path
        The built site.
    profile : str
        Whose run its numbers are of.
    about : Edition
        Which edition it is.
    target : Path
        The file to write.
    say : callable
        Takes a line of text.

    Raises
    ------
    MedlibError
        Where there is no site or no Chromium, or where a page cannot be printed.
    """
    every = [each for part in parts.values() for each in part]
    if not (folder / f"{every[0]}.html").exists():
        raise MedlibError(f"no site at {folder}: make book, or make site, builds it")
    site = pdf_page.Site(folder, about.url, frozenset(every))
    work = target.with_name("pdf")
    try:
        with pdf_print.printer(work, about.title.partition(":")[0]) as printer:
            printed = _print_all(parts, site, printer, say)
            first = folder / f"{every[0]}.html"
            front = printer.print(pdf_front.front(about, profile, printed, first), 1, roman=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say("joining ...")
    pdf_join.join(front, printed, about, target)
    return front.pages + sum(each.pages for part in printed.values() for each in part)


def _print_all(
    parts: Parts, site: pdf_page.Site, printer: pdf_print.Printer, say: Callable[[str], None]
) -> dict[str, list[pdf_print.Printed]]:
    """Print all chapters, one after the other, since each must know its first number."""
    started, number, page = time.monotonic(), 0, 1
    total = sum(map(len, parts.values()))
    printed: dict[str, list[pdf_print.Printed]] = {caption: [] for caption in parts}
    for caption, documents in parts.items():
        for document in documents:
            opening = caption if document == documents[0] else ""
            each = printer.print(pdf_page.sheet(site, document, opening), page)
            printed[caption].append(each)
            number, page = number + 1, page + each.pages
            say(
                f"[{number:2d}/{total}] {each.title[:56]:<56} {each.pages:3d} pages   "
                f"elapsed {clock(time.monotonic() - started)}"
            )
    return printed


def main(argv: Sequence[str] | None = None) -> int:
    """Print the book of the profile named on the command line."""
    parser = argparse.ArgumentParser(prog="make pdf", description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--pages", default="", metavar="FIRST,LAST", help="only these pages")
    parser.add_argument("--site", type=Path, help="a built site elsewhere")
    args = parser.parse_args(argv)
    parts = between(contents(), args.pages) if args.pages else contents()
    build = paths.build_dir(args.profile)
    target, started = build / "book.pdf", time.monotonic()
    pages = make(parts, args.site or build / "html", args.profile, edition(), target)
    size = target.stat().st_size / 2**20
    print(f"{target}: {pages} pages, {size:.0f} MB; took {clock(time.monotonic() - started)}")
    return 0


if __name__ == "__main__":
    sys.exit(plainly("make pdf", main))
