"""What is translated in a page: its messages, found and replaced by one walk over the source.

A message is a paragraph, a heading, an item of a list, a cell of a table, a definition of the
glossary, the title of a box, a caption or an alternative text, as MyST, on one line. Code, formulas
that stand alone, labels and paths are none. Roles stay what they are, so that a message holds the
name of a claim and never its value.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

from markdown_it.token import Token
from nbformat import NotebookNode

from book.workflow.inline import PIECE
from book.workflow.myst import DIRECTIVE, FENCE, OPTION, parser

Say = Callable[[str], str]  # from a message to what stands in its place

LITERAL = {
    "bibliography", "code", "code-block", "code-cell", "eval-rst", "literalinclude", "math", "raw",
    "toctree",
}  # fmt: skip
TITLED = {
    "admonition", "card", "dropdown", "exercise", "grid-item-card", "list-table", "tab-item",
    "table",
}  # fmt: skip
SAID = {"alt", "caption"}  # options that readers see
SILENT = {"claim", "measured", "eq", "numref", "cite", "math"}  # roles without words of their own
INDENT = "  "  # of a definition below its term
WORD = re.compile(r"[^\W\d_]{2}|[\u3400-\u9fff]")


def rewrite(text: str, say: Say) -> str:
    """Return MyST text with each of its messages replaced.

    Parameters
    ----------
    text : str
        A page, a Markdown cell, or the body of a directive.
    say : callable
        What stands in the place of a message, on one line.
    """
    lines: list[str | None] = list(text.split("\n"))
    at: dict[int, int] = {}  # up to where a line is done: the cells of a row share one
    for token in parser().parse(text):
        if token.map is None:
            continue
        if token.type == "inline" and _worded(token.content):
            _replace(lines, token, at, say)
        elif token.type in {"fence", "colon_fence"} and DIRECTIVE.match(token.info.strip()):
            _replace_directive(lines, token, say)
    return "\n".join(line for line in lines if line is not None)


def rewrite_notebook(notebook: NotebookNode, say: Say) -> None:
    """Replace the messages of a chapter: of its text, its captions, its alternative texts."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = rewrite(cell.source, say)
            continue
        shown = cell.metadata.get("mystnb", {})
        for group, key in (("figure", "caption"), ("image", "alt")):
            if key in shown.get(group, {}):
                shown[group][key] = rewrite(shown[group][key], say)


def of_text(text: str) -> list[str]:
    """Return the messages of MyST text, in order; one that comes again is listed again."""
    found: list[str] = []
    rewrite(text, lambda message: found.append(message) or message)
    return found


def of_notebook(notebook: NotebookNode) -> list[str]:
    """Return the messages of a chapter, read as a notebook."""
    found: list[str] = []
    rewrite_notebook(notebook, lambda message: found.append(message) or message)
    return found


def pieces(message: str) -> Iterator[tuple[str, str]]:
    """Yield what a translation has to keep: (kind, content) of roles, code, formulas and links."""
    for match in PIECE.finditer(message):
        if match["role"]:
            yield match["role"], match["content"]
        for kind in ("code", "math", "picture", "link"):
            if match[kind]:
                yield kind, match[kind]


def _worded(message: str) -> bool:
    """Tell whether there is a word in a message, or the title of another page."""
    return bool(WORD.search(PIECE.sub(_words, message)))


def _words(match: re.Match[str]) -> str:
    role = (match["role"] or "").partition(":")[0]
    if role and role not in SILENT:
        return match["content"]
    return "title" if match["open"] == "[]" else match["alt"] or " "


def _replace(lines: list[str | None], token: Token, at: dict[int, int], say: Say) -> None:
    """Replace one run of text; its first line keeps what stands before, its other lines go."""
    start, end = token.map
    said = say(" ".join(token.content.split()))
    first, *others = token.content.split("\n")
    before = lines[start] or ""
    found = before.find(first, at.get(start, 0))
    if found < 0:  # a cell with a bar in it
        first, said = first.replace("|", r"\|"), said.replace("|", r"\|")
        found = before.index(first, at.get(start, 0))
    at[start] = found + len(said)
    lines[start] = before[:found] + said + before[found + len(first) :]
    for i in range(start + 1, start + 1 + len(others)):
        lines[i] = None


def _replace_directive(lines: list[str | None], token: Token, say: Say) -> None:
    """Replace the title, the options and the body of a directive."""
    start, end = token.map
    name, argument = DIRECTIVE.match(token.info.strip()).group("name", "argument")
    opening = lines[start] or ""
    if (name in TITLED or name.startswith("prf:")) and _worded(argument):
        lines[start] = opening.replace(argument, say(" ".join(argument.split())))
    prefix = re.sub(r"[^\s>]", " ", FENCE.match(opening)["before"])
    count = token.content.count("\n")
    new = [
        f"{prefix}{line}".rstrip() for line in _inside(name, token.content.split("\n")[:-1], say)
    ]
    lines[start + 1 : start + 1 + count] = [*new, *[None] * (count - len(new))]


def _inside(name: str, lines: list[str], say: Say) -> list[str]:
    """Return the lines inside a directive with their messages replaced; never more lines."""
    options = []
    while lines and (match := OPTION.fullmatch(lines[0].strip())):
        value = match["value"].strip()
        said = match["key"] in SAID and _worded(value)
        options.append(f":{match['key']}: {say(value)}" if said else lines[0])
        lines = lines[1:]
    if name == "glossary":
        return [*options, *_definitions(lines, say)]
    if lines and name not in LITERAL:
        lines = rewrite("\n".join(lines), say).split("\n")
    return [*options, *lines]


def _definitions(lines: list[str], say: Say) -> Iterator[str]:
    """Yield the lines of a glossary; its terms stand there in both languages."""
    for indented, run in groupby(lines, lambda line: line.startswith(INDENT)):
        if not indented:
            yield from run
            continue
        definition = "\n".join(line.removeprefix(INDENT) for line in run)
        yield from (f"{INDENT}{line}" for line in rewrite(definition, say).split("\n"))
