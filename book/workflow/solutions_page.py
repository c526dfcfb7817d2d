"""Appendix D: all exercises of all chapters with their solutions, which stay closed until asked.

The page is made from the chapters' sources when the site is staged. Numbers are those that the
chapters show; labels within an exercise stay with the chapter, so that references lead there.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from book.workflow import chapters, kept, source
from book.workflow.myst import Block, Directive, blocks
from medlib.errors import MedlibError

DOCUMENT = "book/solutions"
HEADING = re.compile(r"^## Exercises *$", re.MULTILINE)
INTRO = """\
All exercises of the book, in the order of its chapters. A solution opens on a click. Try first: a
solution that was only read is forgotten sooner. The numbers are those of the chapters, whose
figures, equations and variables the text means; the link below each exercise leads there.

Code of a solution runs below the last cell of its chapter, on your machine or in Colab."""
BACK = "*Every exercise of the book, with its solution, stands in {{ref}}`appendix D <{label}>`.*"
LABEL = re.compile(r"^:(?:label|name):.*\n?", re.MULTILINE)
DOC_ROLE = re.compile(r"(\{(?:doc|download)\}`)([^`]*)(`)")
EXPLICIT = re.compile(r"(?P<text>.*<)(?P<target>[^<>]+)>", re.DOTALL)
LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)\s]+\.(?:md|ipynb|svg|png)[^)\s]*)(\))")
FENCE = re.compile(r"^ *:{3,}", re.MULTILINE)


@dataclass
class Exercise:
    """One exercise of a chapter.

    Attributes
    ----------
    label : str
        Its label in the chapter.
    number : str
        What the reader sees: ``3.5.1``.
    title : str
        Its title in MyST, or nothing.
    text : str
        The task in MyST, ready for another page.
    solutions : list of str
        Its solutions, likewise; empty where there is none.
    """

    label: str
    number: str
    title: str
    text: str
    solutions: list[str] = field(default_factory=list)

    @property
    def heading(self) -> str:
        """Number and title in one line."""
        return f"Exercise {self.number}{f': {self.title}' if self.title else ''}"


def solutions(root: Path = chapters.ROOT) -> Iterator[str]:
    """Yield the lines of the page.

    Parameters
    ----------
    root : Path
        The checkout whose chapters hold the exercises.
    """
    yield from ("# Solutions", "", INTRO, "")
    for chapter in chapters.chapters(root):
        found = exercises(chapter)
        if found:
            yield from (f"({anchor(chapter)})=", f"## {chapter.label}", "")
            for exercise in found:
                yield from _shown(exercise)


def exercises(chapter: chapters.Chapter) -> list[Exercise]:
    """Return the exercises of a chapter in order, each with its solutions.

    Raises
    ------
    MedlibError
        For a solution whose exercise the chapter does not have, and for the forms that span cells.
    """
    read = kept.of_file(
        f"exercises/{chapter.stem}",
        chapter.source,
        lambda: [asdict(exercise) for exercise in _exercises(chapter)],
        chapter.number,
    )
    return [Exercise(**each) for each in read]


def _exercises(chapter: chapters.Chapter) -> list[Exercise]:
    """Read the exercises of a chapter."""
    found: dict[str, Exercise] = {}
    for directive in _directives(chapter):
        body = _elsewhere(directive.body, chapter.document)
        if directive.name == "solution":
            _owner(found, directive, chapter).solutions.append(body)
        elif directive.name == "exercise":
            number = f"{chapter.number}.{len(found) + 1}"
            title = _elsewhere(directive.argument, chapter.document)
            label = directive.label or f"{chapter.stem}-{number}"
            found[label] = Exercise(directive.label, number, title, body)
        else:
            raise MedlibError(
                f"{chapter.source.name}: {{{directive.name}}} spans cells, which {DOCUMENT} cannot "
                "show: use {exercise} and {solution}, with code in a fence inside"
            )
    return list(found.values())


def anchor(chapter: chapters.Chapter) -> str:
    """Return the label of a chapter's section on the page."""
    return f"all-exercises-{chapter.stem}"


def with_link(text: str, chapter: chapters.Chapter) -> str:
    """Add the way to this page below the heading of a chapter's exercises.

    Parameters
    ----------
    text : str
        A Markdown cell of the chapter.
    chapter : Chapter
        The chapter.
    """
    line = BACK.format(label=anchor(chapter))
    return HEADING.sub(lambda match: f"{match[0]}\n\n{line}", text, count=1)


def _directives(chapter: chapters.Chapter) -> Iterator[Directive]:
    """Yield the directives of exercises and solutions on a chapter's page, in order."""
    for cell in source.read(chapter.source).cells:
        if cell.cell_type == "markdown":
            for block in blocks(cell.source):
                name = block.directive.name if block.directive else ""
                if re.fullmatch(r"(?:exercise|solution)(?:-start|-end)?", name):
                    yield block.directive


def _owner(found: dict[str, Exercise], directive: Directive, chapter: chapters.Chapter) -> Exercise:
    """Return the exercise that a solution is of."""
    if directive.argument not in found:
        raise MedlibError(
            f"{chapter.source.name}: a solution names {directive.argument!r}, which no exercise "
            "above it has as its label"
        )
    return found[directive.argument]


def _shown(exercise: Exercise) -> Iterator[str]:
    """Yield one exercise of the page."""
    if exercise.label:
        yield f"(all-{exercise.label})="
    yield from (f"### {exercise.heading}", "", exercise.text, "")
    for number, text in enumerate(exercise.solutions, start=1):
        nth = f" {number}" if len(exercise.solutions) > 1 else ""
        fence = ":" * (max([2, *map(len, map(str.strip, FENCE.findall(text)))]) + 1)
        yield from (f"{fence}{{admonition}} Solution{nth} of exercise {exercise.number}",)
        yield from (":class: dropdown", "", text, fence, "")
    if not exercise.solutions:
        yield from ("*No solution yet.*", "")
    if exercise.label:
        yield from (f"[Exercise {exercise.number} in its chapter](#{exercise.label})", "")


def _elsewhere(text: str, document: str) -> str:
    """Return a piece of a chapter for another page: without its labels, its links from the root."""
    return "\n".join(_moved(block, document) for block in blocks(text) if block.kind != "target")


def _moved(block: Block, document: str) -> str:
    """Return one block of a chapter as another page may hold it."""
    if block.kind == "math":
        return block.place(f"$$\n{block.text}\n$$")
    if block.kind == "directive":
        return LABEL.sub("", _from_root(block.text, document))
    if block.kind == "literal":
        return block.text
    return _from_root(block.text, document)


def _from_root(text: str, document: str) -> str:
    """Turn links that are relative to a page into links from the root of the book."""

    def resolved(target: str) -> str:
        if target.startswith("/"):
            return target
        return "/" + posixpath.normpath(posixpath.join(posixpath.dirname(document), target))

    def role(match: re.Match[str]) -> str:
        named = EXPLICIT.fullmatch(match[2])
        inside = f"{named['text']}{resolved(named['target'])}>" if named else resolved(match[2])
        return f"{match[1]}{inside}{match[3]}"

    return LINK.sub(lambda m: f"{m[1]}{resolved(m[2])}{m[3]}", DOC_ROLE.sub(role, text))
