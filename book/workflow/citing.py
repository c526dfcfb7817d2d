"""What closes a page: when its text was last changed, and how to cite it, as BibTeX.

Both are added when the site is staged, after the chapters were executed, so that no run depends on
them. Author, title and version stand in ``CITATION.cff``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from book.workflow import chapters, completed
from book.workflow.words import _
from medlib.yaml_text import parsed

SPECIAL = re.compile(r"[&%#_]")  # what LaTeX would take for a command


@dataclass(frozen=True)
class Work:
    """The book as it is cited.

    Attributes
    ----------
    title, authors, version, year : str
        As in ``CITATION.cff``; the authors joined as BibTeX wants them.
    url : str
        Address of the edition, without a last slash: of the one that is cited once it is released,
        before of the site, which leads to the latest.
    """

    title: str
    authors: str
    version: str
    year: str
    url: str


def work(root: Path = chapters.ROOT) -> Work:
    """Read how the book is cited.

    Parameters
    ----------
    root : Path
        The checkout.
    """
    cff = parsed((root / "CITATION.cff").read_text("utf-8"))
    config = parsed((root / "_config.yml").read_text("utf-8"))
    version, url = str(cff["version"]), chapters.site_url(chapters.repository_url(root))
    if version in completed.releases(root):
        url = f"{url}/{chapters.edition_folder(f'v{version}')}"
    return Work(
        title=cff["title"],
        authors=" and ".join(map(_author, cff["authors"])),
        version=version,
        year=str(cff.get("date-released") or config["copyright"])[:4],
        url=url,
    )


def bibtex(document: str, title: str, book: Work) -> str:
    """Return the entry of a page.

    Parameters
    ----------
    document : str
        Sphinx's name of the page, such as ``notebooks/03-05-resnet``.
    title : str
        Its title without a number.
    book : Work
        The book.
    """
    number = chapters.document_number(document)
    part = "Appendix" if number and number.isalpha() else "Chapter"
    fields = {
        "author": book.authors,
        "title": f"{{{_escaped(title)}}}",
        "howpublished": f"{part} {number} of: {_escaped(book.title)}",
        "year": book.year,
        "version": book.version,
        "note": f"Version {book.version}",
        "url": f"{book.url}/{document}.html",
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    key = f"compendium{book.year}-{document.rpartition('/')[2]}"
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def closing(document: str, title: str, days: Mapping[str, str], book: Work) -> str:
    """Return the end of a page: the day of its last change, and its citation where it is numbered.

    Parameters
    ----------
    document, title, book
        As for `bibtex`.
    days : mapping of str to str
        Day by source, as `book.workflow.changed.days` returns it.
    """
    day = days.get(f"{document}.md")
    changed = _("Text last changed on {day}.").format(day=day)
    line = f":::{{container}} page-line\n{changed}\n:::" if day else ""
    cited = chapters.document_number(document) and document != "book/index"
    return "\n\n".join(filter(None, (line, cited and _fold(bibtex(document, title, book)))))


def _fold(entry: str) -> str:
    """Return an entry in a box that the reader opens; its button copies it."""
    title = _("Cite this chapter")
    return f":::{{admonition}} {title}\n:class: dropdown citation\n\n```bibtex\n{entry}\n```\n:::"


def _author(person: Mapping[str, str]) -> str:
    """Return an author for BibTeX: braces keep the name of a group in one piece."""
    if "name" in person:
        return f"{{{_escaped(person['name'])}}}"
    return f"{_escaped(person['family-names'])}, {_escaped(person['given-names'])}"


def _escaped(text: str) -> str:
    """Return a text as LaTeX shows it."""
    return SPECIAL.sub(r"\\\g<0>", text.replace("`", ""))
