"""Cutting MyST text into blocks: running text, directives, literal code, formulas, labels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin

from medlib.yaml_text import parsed

DIRECTIVE = re.compile(r"\{(?P<name>[^\s{}]+)\}\s*(?P<argument>.*)", re.DOTALL)
OPTION = re.compile(r":(?P<key>[A-Za-z][\w-]*):[ \t]*(?P<value>.*)")
FENCE = re.compile(r"^(?P<before>.*?)(?:`{3,}|~{3,}|:{3,})")
KINDS = {
    "fence": "literal",
    "code_block": "literal",
    "html_block": "literal",
    "amsmath": "literal",
    "colon_fence": "literal",
    "math_block": "math",
    "math_block_label": "math",
    "myst_target": "target",
    "myst_line_comment": "nothing",
    "myst_block_break": "nothing",
    "front_matter": "nothing",
    "dl_open": "definitions",
}


@dataclass(frozen=True)
class Directive:
    """One directive: ``{name} argument``, its options and its body (MyST again, or literal)."""

    name: str
    argument: str = ""
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def label(self) -> str:
        """What references call it: its ``name`` or ``label``, or nothing."""
        return self.options.get("name") or self.options.get("label") or ""


@dataclass(frozen=True)
class Block:
    """A run of source lines of one kind.

    Attributes
    ----------
    kind : str
        ``text``, ``definitions``, ``literal``, ``math``, ``directive``, ``target`` or ``nothing``.
    text : str
        The lines; of a formula its content, of a target the label.
    first, prefix : str
        What stands before the block's first line and its other lines, where it is nested in a
        list or a quotation.
    directive : Directive or None
        The directive, for that kind.
    label : str
        The label of a formula.
    """

    kind: str
    text: str
    first: str = ""
    prefix: str = ""
    directive: Directive | None = None
    label: str = ""

    def place(self, text: str) -> str:
        """Put a translation of the block where the block stood."""
        lines = text.split("\n")
        rest = [f"{self.prefix}{line}".rstrip() for line in lines[1:]]
        return "\n".join([f"{self.first}{lines[0]}".rstrip(), *rest])


def blocks(text: str) -> list[Block]:
    """Cut MyST text into blocks, in order; together they hold every line once.

    Parameters
    ----------
    text : str
        The text of a Markdown cell, of a page, or of a directive's body.
    """
    lines = text.split("\n")
    found, at = [], 0
    for token in _special(parser().parse(text)):
        start, end = token.map
        if start < at:
            continue
        found += _running(lines[at:start])
        found.append(_block(token, lines[start:end]))
        at = end
    return found + _running(lines[at:])


def read_directive(info: str, content: str) -> Directive:
    """Read a directive from the line that opens it and what stands inside.

    Parameters
    ----------
    info : str
        What follows the fence: ``{figure} picture.png``.
    content : str
        The lines inside, which begin with the options.
    """
    match = DIRECTIVE.match(info.strip())
    options, body = _options(content.split("\n"))
    return Directive(match["name"], match["argument"].strip(), options, "\n".join(body).strip("\n"))


@cache
def parser() -> MarkdownIt:
    """Return a parser of the blocks of CommonMark and of what MyST adds in this book.

    What stands inside a line is left alone: nobody here asks, and it takes most of the time.
    """
    made = MarkdownIt("commonmark").enable("table")
    made.use(front_matter_plugin).use(myst_block_plugin).use(colon_fence_plugin)
    made.use(dollarmath_plugin, allow_labels=True, double_inline=True)
    return made.use(amsmath_plugin).use(deflist_plugin).disable("inline")


def _special(tokens: list[Token]) -> Iterator[Token]:
    """Yield the tokens that are not running text, at any depth."""
    return (token for token in tokens if token.type in KINDS and token.map)


def _running(lines: list[str]) -> list[Block]:
    """Cut running text at blank lines: no role and no code span crosses them."""
    found: list[Block] = []
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip(" >"):
            paragraph.append(line)
            continue
        if paragraph:
            found.append(Block("text", "\n".join(paragraph)))
        found.append(Block("text", line))
        paragraph = []
    return found[:-1]


def _block(token: Token, lines: list[str]) -> Block:
    """Turn a token and its lines into a block."""
    kind = KINDS[token.type]
    match = FENCE.match(lines[0])
    if token.type in {"fence", "colon_fence"} and DIRECTIVE.match(token.info.strip()):
        first = match["before"]
        inside = read_directive(token.info, token.content)
        prefix = re.sub(r"[^\s>]", " ", first)
        return Block("directive", "\n".join(lines), first, prefix, directive=inside)
    if kind == "math":
        first = lines[0].partition("$$")[0]
        prefix = re.sub(r"[^\s>]", " ", first)
        return Block(kind, token.content.strip("\n"), first, prefix, label=token.info)
    return Block(kind, token.content if kind == "target" else "\n".join(lines))


def _options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split the content of a directive into its options and its body."""
    if lines and lines[0].strip() == "---":
        end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), len(lines))
        values = parsed("\n".join(lines[1:end])) or {}
        return {key: str(value) for key, value in values.items()}, lines[end + 1 :]
    options, at = {}, 0
    while at < len(lines) and (match := OPTION.fullmatch(lines[at].strip())):
        options[match["key"]] = match["value"].strip()
        at += 1
    return options, lines[at:]
