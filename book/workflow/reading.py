"""How long a chapter takes to read and how hard it is, counted from its source at each build.

Words are read at the pace that a meta-analysis found for non-fiction (Brysbaert 2019, How many
words do we read per minute?, Journal of Memory and Language 109, 104047). What a formula, a line
of code, a figure and an exercise cost is an assumption; book/trust.md states it to the readers, and
a test keeps the two alike. Nothing here enters a chapter before it is executed: the stage adds the
line, so that no run depends on it.
"""

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book.workflow import chapters, kept, source, terms
from book.workflow.compendium import resolve
from book.workflow.myst import Block, blocks
from book.workflow.words import _, ngettext
from medlib.errors import MedlibError

WORDS_A_MINUTE = 238  # silent reading of English non-fiction, Brysbaert 2019
SECONDS_A_FORMULA = 30
SECONDS_A_LINE = 4  # of code that is not folded
SECONDS_A_FIGURE = 30  # also a table or a piece of the library that a cell shows
MINUTES_BY_HAND = 10
MINUTES_IN_CODE = 20
STEP = 5  # minutes to which times are rounded: finer would pretend to know the reader
LEVELS = 3
PLACE = "book/trust"  # the page that explains this, below the label
LABEL = "reading-times"
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
CODE = {"code", "code-block", "code-cell", "literalinclude"}
SILENT = {"toctree", "bibliography", "tableofcontents", "contents", "raw"}
GENERATED = {"claims-table", "results-table"}
MARKUP = re.compile(
    r"\{cite[^}]*\}`[^`]*`"  # a citation is passed over
    r"|^\s*\|?[\s:|-]+\|?\s*$"  # the line below a table's head
    r"|^\+\+\+.*$|^\([\w-]+\)=$",  # cell breaks and labels
    re.MULTILINE,
)
INLINE_FORMULA = re.compile(r"\$[^$\n]+\$")
ONE_WORD = re.compile(r"\{(?:claim|measured|eq|numref|ref|doc)\}`[^`]*`|\]\([^)\s]*\)")
WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
PLACEHOLDER = re.compile(
    r"^```\{reading-(?P<what>table|time)\}\n(?::with: *(?P<added>[\d. ]+)\n)?```$", re.MULTILINE
)
TITLE = re.compile(r"^# .*$", re.MULTILINE)
LINK = re.compile(r"\]\((?P<page>[^)#\s]+)\.(?:md|ipynb)")


@dataclass(frozen=True)
class Load:
    """What a reader meets on a page.

    Attributes
    ----------
    words : int
        Words of text, captions and tables, without those of exercises; a value or a formula in a
        line counts as one.
    formulas, inline : int
        Formulas that stand alone, and those within a line.
    lines : int
        Lines of code that are not folded.
    figures : int
        Figures, and tables or code that a cell shows.
    by_hand, in_code : int
        Exercises whose solution holds no code, and those whose solution does.
    exercise_words : int
        Words of the exercises and their solutions.
    """

    words: int = 0
    formulas: int = 0
    inline: int = 0
    lines: int = 0
    figures: int = 0
    by_hand: int = 0
    in_code: int = 0
    exercise_words: int = 0

    def __add__(self, other: "Load") -> "Load":
        """Add two loads, field by field."""
        names = (field.name for field in fields(self))
        return Load(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def minutes(self) -> tuple[float, float, float]:
        """Minutes to read text, formulas and figures; the same with code; the same with exercises.

        The last holds the work on the exercises and the reading of their solutions.
        """
        seconds = self.formulas * SECONDS_A_FORMULA + self.figures * SECONDS_A_FIGURE
        text = self.words / WORDS_A_MINUTE + seconds / 60
        code = text + self.lines * SECONDS_A_LINE / 60
        work = self.by_hand * MINUTES_BY_HAND + self.in_code * MINUTES_IN_CODE
        return text, code, code + self.exercise_words / WORDS_A_MINUTE + work


@dataclass(frozen=True)
class Reading:
    """A chapter as the landing page lists it.

    Attributes
    ----------
    label : str
        Number and title.
    load : Load
        What a reader meets in it.
    terms : int
        Different terms of the glossary that its text uses.
    level : int
        1, 2 or 3: the third of the book that it lies in, by `hardness`.
    """

    label: str
    load: Load
    terms: int
    level: int = 1


def survey(root: Path = chapters.ROOT) -> dict[str, Reading]:
    """Count every chapter of a checkout.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    dict
        By Sphinx's name of the page, in the order of the contents: the notebooks, and the numbered
        pages of prose. The landing page, the generated pages and the reference pages of the
        appendix are not read from the first line to the last, so they are not counted.
    """
    known = glossary_terms(root / "book" / "glossary.md")
    found = {document: _read(root, document, known) for document in _documents(root)}
    hard = hardness(found)
    ordered = sorted(found, key=hard.__getitem__)
    levels = {each: 1 + LEVELS * i // len(ordered) for i, each in enumerate(ordered)}
    return {name: Reading(r.label, r.load, r.terms, levels[name]) for name, r in found.items()}


def hardness(found: Mapping[str, Reading]) -> dict[str, float]:
    """Rank the chapters by formulas and code for each word of text and by the terms they use.

    Parameters
    ----------
    found : mapping of str to Reading
        The chapters.

    Returns
    -------
    dict
        For each chapter the mean of three shares, each the share of chapters that have less.
    """
    measures = {
        name: (
            (each.load.formulas + each.load.inline) / max(each.load.words, 1),
            each.load.lines / max(each.load.words, 1),
            float(each.terms),
        )
        for name, each in found.items()
    }
    columns = [sorted(column) for column in zip(*measures.values(), strict=True)]
    return {
        name: sum(map(bisect_left, columns, values)) / len(columns) / len(measures)
        for name, values in measures.items()
    }


def line(reading: Reading, *, linked: bool) -> str:
    """Return what stands below a chapter's title.

    Parameters
    ----------
    reading : Reading
        The chapter.
    linked : bool
        Whether the book has the page that explains how this is counted.
    """
    minutes = [_rounded(each) for each in reading.load.minutes]
    return _shown(
        _("About {minutes} minutes to read").format(minutes=minutes[0]),
        *_more(minutes, reading.load),
        _("level {level} of {levels}").format(level=reading.level, levels=LEVELS),
        linked=linked,
    )


def lines(found: Mapping[str, Reading], *, linked: bool) -> dict[str, str]:
    """Return the line of each chapter, by Sphinx's name of its page."""
    return {document: line(each, linked=linked) for document, each in found.items()}


def with_line(text: str, added: str) -> str:
    """Put a line below the title of a page."""
    return TITLE.sub(lambda match: f"{match[0]}\n\n{added}\n", text, count=1)


def fill(text: str, document: str, found: Mapping[str, Reading]) -> str:
    """Fill the places of a page that ask for the time of a path or for the table of all chapters.

    A place ``{reading-time}`` adds up the chapters that the paragraph above it links, and those
    that the paragraph names without a link: its option ``with`` holds their numbers, or a Part's.

    Parameters
    ----------
    text : str
        The page.
    document : str
        Sphinx's name of it, from which its links lead.
    found : mapping of str to Reading
        The chapters.

    Raises
    ------
    MedlibError
        For a number that no chapter has.
    """

    def filled(match: re.Match[str]) -> str:
        if match["what"] == "table":
            return "\n".join(_table(found))
        paragraph = text[: match.start()].rstrip().rpartition("\n\n")[2]
        path = pages_linked(paragraph, document) | set(_numbered(match["added"] or "", found))
        return path_line([each for name, each in found.items() if name in path])

    return PLACEHOLDER.sub(filled, text)


def pages_linked(paragraph: str, document: str) -> set[str]:
    """Return the pages that a paragraph links, by Sphinx's names."""
    return {resolve(match["page"], document) for match in LINK.finditer(paragraph)}


def path_line(path: Sequence[Reading]) -> str:
    """Return how long some chapters take together."""
    load = sum((each.load for each in path), Load())
    hours = [max(1, round(each / 60)) for each in load.minutes]
    return _shown(
        ngettext("{number} chapter", "{number} chapters", len(path)).format(number=len(path)),
        ngettext("about {number} hour to read", "about {number} hours to read", hours[0]).format(
            number=hours[0]
        ),
        *_more(hours, load),
        linked=False,
    )


def _numbered(numbers: str, found: Mapping[str, Reading]) -> Iterator[str]:
    """Yield the chapters of some numbers: ``4.2`` is a chapter, ``4`` a whole Part."""
    for number in numbers.split():
        chosen = [name for name, each in found.items() if _has_number(each, number)]
        if not chosen:
            raise MedlibError(f"no chapter has the number {number!r} that {{reading-time}} names")
        yield from chosen


def _has_number(reading: Reading, number: str) -> bool:
    own = reading.label.partition(" ")[0]
    return own == number or own.startswith(f"{number}.")


def glossary_terms(path: Path) -> re.Pattern[str] | None:
    """Return a pattern that finds the glossary's English terms in lower-case text.

    Parameters
    ----------
    path : Path
        The page; where it is missing or holds no term, there is no pattern.
    """
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    names = sorted(terms.Terms.of(page, {}).names, key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, names))})(?:s|es)?\b") if names else None


def _documents(root: Path) -> Iterator[str]:
    """Yield the pages that are read from the first line to the last."""
    for document in chapters.contents(root):
        prose = chapters.PROSE.get(document, "")
        numbered = document.startswith("notebooks/") or "." in prose
        if numbered and (root / f"{document}.md").is_file():
            yield document


def _read(root: Path, document: str, known: re.Pattern[str] | None) -> Reading:
    """Count one page, or remember what it came to."""
    path = root / f"{document}.md"
    label = f"{chapters.document_number(document)} {chapters.title_of(path)}"
    pattern = known.pattern if known else ""
    name = f"reading/{document}"
    load, count = kept.of_file(name, path, lambda: _counted(path, document, known), pattern)
    return Reading(label, Load(**load), count)


def _counted(path: Path, document: str, known: re.Pattern[str] | None) -> list[Any]:
    """Count one page: its load as plain values, and the number of its terms."""
    if document.startswith("notebooks/"):
        notebook = source.read(path)
        load = of_chapter(notebook)
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
        load = of_text(text)
    plain = " ".join(text.lower().split())
    return [asdict(load), len(set(known.findall(plain))) if known else 0]


def _rounded(minutes: float) -> int:
    return max(STEP, STEP * round(minutes / STEP))


def _more(times: list[int], load: Load) -> Iterator[str]:
    """Yield the times with code and with exercises, where a page has any."""
    if load.lines and times[1] > times[0]:
        yield _("{time} with the code").format(time=times[1])
    if load.by_hand + load.in_code:
        yield _("{time} with the exercises").format(time=times[2])


def _shown(*pieces: str, linked: bool) -> str:
    """Return the pieces as one line in a box of its own, which the style sheet makes small."""
    counted = _("how this is counted")
    how = f" ({{ref}}`{counted} <{LABEL}>`)" if linked else ""
    return f":::{{container}} reading-line\n{' · '.join(pieces)}{how}\n:::"


def _table(found: Mapping[str, Reading]) -> Iterator[str]:
    """Yield the table of all chapters, in MyST."""
    heads = (_("Chapter"), _("Text"), _("With code"), _("With exercises"), _("Level"))
    yield f"| {' | '.join(heads)} |"
    yield "|---|--:|--:|--:|:-:|"
    for document, each in found.items():
        ending = ".ipynb" if document.startswith("notebooks/") else ".md"
        times = " | ".join(str(_rounded(minutes)) for minutes in each.load.minutes)
        yield f"| [{each.label}](/{document}{ending}) | {times} | {each.level} |"


def of_text(text: str) -> Load:
    """Count a piece of MyST text: a Markdown cell, a page, the inside of a directive."""
    return sum(map(_of_block, blocks(text)), Load())


def of_chapter(notebook: NotebookNode) -> Load:
    """Count a chapter's source, read as a notebook."""
    return sum(map(_of_cell, notebook.cells), Load())


def _of_cell(cell: NotebookNode) -> Load:
    if cell.cell_type != "code":
        return of_text(cell.source)
    tags = set(cell.metadata.get("tags", []))
    if "remove-cell" in tags:
        return Load()
    lines = 0 if tags & FOLDED else _full_lines(cell.source)
    caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
    return of_text(caption) + Load(lines=lines, figures=int(bool(caption) or _shows(cell.source)))


def _shows(code: str) -> bool:
    """Tell whether a cell ends with something that it shows; what is recorded is not shown."""
    body = ast.parse(source.plain_python(code)).body
    if not body or code.rstrip().endswith(";") or not isinstance(body[-1], ast.Expr):
        return False
    name = getattr(getattr(body[-1].value, "func", None), "id", "")
    return name not in {"record", "print"}


def _of_block(block: Block) -> Load:
    if block.kind == "math":
        return Load(formulas=1)
    if block.kind == "literal":
        return Load(lines=max(_full_lines(block.text) - 2, 0))
    if block.kind in {"text", "definitions"}:
        return _of_prose(block.text)
    return _of_directive(block) if block.directive is not None else Load()


def _of_prose(text: str) -> Load:
    text = MARKUP.sub(" ", text)
    inline = len(INLINE_FORMULA.findall(text))
    plain = ONE_WORD.sub(" value ", INLINE_FORMULA.sub(" formula ", text))
    return Load(words=len(WORD.findall(plain)), inline=inline)


def _of_directive(block: Block) -> Load:
    name, body = block.directive.name, block.directive.body
    if name in SILENT:
        return Load()
    if name == "math":
        return Load(formulas=1)
    if name in CODE:
        return Load(lines=_full_lines(body))
    if name in {"exercise", "solution"}:
        return _of_exercise(name, body)
    if name in {"figure", "image"} | GENERATED:
        return Load(figures=1) + of_text(body)
    return _of_prose(block.directive.argument) + of_text(body)


def _of_exercise(name: str, body: str) -> Load:
    """Count a task or a solution: an exercise is done in code where its solution holds code."""
    inside = of_text(body)
    solved = name == "solution"
    return Load(
        by_hand=int(solved and not inside.lines),
        in_code=int(solved and inside.lines > 0),
        exercise_words=inside.words,
    )


def _full_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())
