"""Where each term of the glossary is first used: a line in its entry that leads to the section.

The pages are those that are staged, with the links that ``terms`` made in them, in the order of
the book. A term is first used where its first link stands; a term without any is looked for in
captions, tables and boxes too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from book.workflow.inline import PIECE
from book.workflow.myst import Block
from book.workflow.terms import Terms, entries, placed
from book.workflow.words import _

DOCUMENT = "book/glossary"
FIRST_USE = _("First used in {where}.")
HEADING = re.compile(r"#{2,3} +(?P<title>[^\n]+?) *(?=\n|$)")
MARKUP = re.compile(r"[`{}<>$*_\\\[\]]")


@dataclass
class Page:
    """A page that is staged.

    Attributes
    ----------
    document : str
        Sphinx's name of the page: ``notebooks/03-05-resnet``.
    title : str
        Its number, where it has one, and its title.
    texts : list of str
        Its Markdown, cell by cell.
    """

    document: str
    title: str
    texts: list[str]


@dataclass(frozen=True)
class Section:
    """A section of a page, or the page before its first section.

    Attributes
    ----------
    page : Page
        The page.
    cell, at : int
        Where its heading begins; -1 for the beginning of the page.
    title : str
        Its heading, or nothing.
    """

    page: int
    cell: int = -1
    at: int = -1
    title: str = ""


def weave(pages: Sequence[Page], glossary: str) -> str:
    """Link the terms on all pages, and say in the glossary where each is first used.

    Parameters
    ----------
    pages : sequence of Page
        The pages in the order of the book; their texts are changed.
    glossary : str
        The glossary's page.

    Returns
    -------
    str
        The glossary's page with a line more in each entry.
    """
    terms = Terms.of(glossary)
    for page in pages:
        page.texts[:] = terms.link(page.texts)
    found = first_uses(pages, terms)
    labels = _mark(pages, set(found.values()))
    lines = {term: _line(pages[at.page], at, labels.get(at)) for term, at in found.items()}
    return with_lines(glossary, lines)


def first_uses(pages: Sequence[Page], terms: Terms) -> dict[str, Section]:
    """Return the section in which each term is first used; a term that is not used is left out."""
    linked: dict[str, Section] = {}
    named: dict[str, Section] = {}
    for section, text in _prose(pages):
        for _at, term in terms.roles(text):
            linked.setdefault(term, section)
        for use in terms.uses(PIECE.sub(_shown, text)):
            named.setdefault(use.term, section)
    return named | linked


def with_lines(glossary: str, lines: Mapping[str, str]) -> str:
    """Put a paragraph below each definition for which there is a line."""
    for entry in entries(glossary):
        line = lines.get(entry.splitlines()[0])
        if line:
            glossary = glossary.replace(f"\n{entry}\n", f"\n{entry}\n\n  {line}\n", 1)
    return glossary


def _prose(pages: Sequence[Page]) -> Iterator[tuple[Section, str]]:
    """Yield the text of every block of prose with the section that it stands in."""
    for number, page in enumerate(pages):
        section = Section(number)
        for cell, text in enumerate(page.texts):
            for at, block in placed(text):
                heading = HEADING.match(block.text) if block.kind == "text" else None
                if heading:
                    section = Section(number, cell, at, heading["title"])
                elif block.kind not in {"literal", "math", "target", "nothing"}:
                    yield section, _words(block)


def _words(block: Block) -> str:
    """Return the text of a block; of a directive its argument and what stands inside."""
    inside = block.directive
    return f"{inside.argument}\n{inside.body}" if inside else block.text


def _mark(pages: Sequence[Page], sections: set[Section]) -> dict[Section, str]:
    """Put a label before the headings of sections, and return the labels."""
    labels: dict[Section, str] = {}
    for section in sorted(sections, key=lambda each: (each.page, each.cell, each.at), reverse=True):
        if section.at < 0:
            continue
        page = pages[section.page]
        text = page.texts[section.cell]
        label = f"words-{page.document.rpartition('/')[2]}-{_slug(section.title)}"
        taken = sum(each.startswith(label) for each in labels.values())
        labels[section] = f"{label}-{taken + 1}" if taken else label
        page.texts[section.cell] = f"{text[: section.at]}({labels[section]})=\n{text[section.at :]}"
    return labels


def _line(page: Page, section: Section, label: str | None) -> str:
    """Return the line of an entry."""
    if label is None:
        return FIRST_USE.format(where=f"{{doc}}`{page.title} </{page.document}>`")
    title = "" if MARKUP.search(section.title) else f": {section.title}"
    return FIRST_USE.format(where=f"{{ref}}`{page.title}{title} <{label}>`")


def _shown(match: re.Match[str]) -> str:
    """Blank out what is no running text; lengths do not matter here."""
    return match["alt"] or " " if match["image"] else "]" if match["link"] else " "


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
