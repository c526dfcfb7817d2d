"""Where each term of the glossary is first used: a line in its entry that leads to the section.

The pages are those that are staged, with the links that ``terms`` made in them, in the order of
the book. A term is first used where its first link stands; a term without any is looked for in
captions, tables and boxes too.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from book.workflow import kept
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


def weave(pages: Sequence[Page], glossary: str, keep: Callable[..., Any] = kept.anew) -> str:
    """Link the terms on all pages, and say in the glossary where each is first used.

    Parameters
    ----------
    pages : sequence of Page
        The pages in the order of the book; their texts are changed.
    glossary : str
        The glossary's page.
    keep : callable
        `kept.kept` to remember what each page came to.

    Returns
    -------
    str
        The glossary's page with a line more in each entry.
    """
    terms = Terms.of(glossary)
    shared = kept.digest(glossary, json.dumps(terms.words, sort_keys=True), kept.code_digest())
    linked: dict[str, Section] = {}
    named: dict[str, Section] = {}
    for number, page in enumerate(pages):
        key = kept.digest(shared, *page.texts)
        each = keep(f"terms/{page.document}", key, lambda page=page: _woven(page, terms))
        page.texts[:] = each["texts"]
        for known, uses in ((linked, each["linked"]), (named, each["named"])):
            for term, place in uses.items():
                known.setdefault(term, Section(number, *place))
    found = named | linked
    labels = _mark(pages, set(found.values()))
    lines = {term: _line(pages[at.page], at, labels.get(at)) for term, at in found.items()}
    return with_lines(glossary, lines)


def _woven(page: Page, terms: Terms) -> dict[str, Any]:
    """Link the terms on a page; say where it first uses each, as a link and in any other way."""
    texts = terms.link(page.texts)
    linked: dict[str, tuple[int, int, str]] = {}
    named: dict[str, tuple[int, int, str]] = {}
    for place, text in _prose(texts):
        for _at, term in terms.roles(text):
            linked.setdefault(term, place)
        for use in terms.uses(PIECE.sub(_shown, text)):
            named.setdefault(use.term, place)
    return {"texts": texts, "linked": linked, "named": named}


def with_lines(glossary: str, lines: Mapping[str, str]) -> str:
    """Put a paragraph below each definition for which there is a line."""
    for entry in entries(glossary):
        line = lines.get(entry.splitlines()[0])
        if line:
            glossary = glossary.replace(f"\n{entry}\n", f"\n{entry}\n\n  {line}\n", 1)
    return glossary


def _prose(texts: Sequence[str]) -> Iterator[tuple[tuple[int, int, str], str]]:
    """Yield every block of prose, with cell, position and title of the section it stands in."""
    section = (-1, -1, "")
    for cell, text in enumerate(texts):
        for at, block in placed(text):
            heading = HEADING.match(block.text) if block.kind == "text" else None
            if heading:
                section = (cell, at, heading["title"])
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
