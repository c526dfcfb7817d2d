"""The glossary's terms in running text: which words mean them, and their first use as a link.

The source files stay as they are. When the site is staged, the first plain use of a term on a page
becomes the role ``term``, which leads to the glossary. A use is left alone where a link would
change anything but itself: each change is parsed, and dropped unless all other text, markup and
mathematics come out the same. Headings, links, tables, quotations, code, formulas and the bodies of
directives never get one, nor does bold or slanted text that is more than the term.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.attrs import attrs_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from mdit_py_plugins.substitution import substitution_plugin

from book.workflow.myst import Block, blocks
from medlib.yaml_text import parsed

GLOSSARY = re.compile(
    r"^(`{3,})\{glossary\}[^\n]*\n(?P<inside>.*?)^\1 *$", re.DOTALL | re.MULTILINE
)
ROLE = re.compile(r"\{term\}`(?P<content>[^`]+)`")
WORD = re.compile(r"(?<![\w/.@-])\w{1,2}")  # where a word begins
EXPLICIT = re.compile(r"(?P<text>.+?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
CLOSED = {"heading_open", "link_open", "th_open", "td_open", "blockquote_open"}
STRESSED = {"strong_open", "em_open"}

WORDS = Path(__file__).resolve().parents[1] / "terms.yml"


@dataclass(frozen=True)
class Use:
    """A plain use of a term: where it stands in a text, and which term it is."""

    start: int
    end: int
    term: str


class Terms:
    """The terms of a glossary, and the words by which running text uses them.

    Parameters
    ----------
    names : sequence of str
        The terms as the glossary spells them.
    words : mapping, optional
        ``also``, other words for a term; ``by_hand``, terms that are never looked for; and
        ``not_meant``, phrases to pass over. By default those of ``book/terms.yml``.
    """

    def __init__(self, names: Sequence[str], words: Mapping[str, Any] | None = None) -> None:
        self.names = {name.lower(): name for name in names}
        self.words = parsed(WORDS.read_text("utf-8")) if words is None else words

    @classmethod
    def of(cls, page: str, words: Mapping[str, Any] | None = None) -> "Terms":
        """Read the terms of a glossary's page: the first line of each entry."""
        return cls([entry.splitlines()[0] for entry in entries(page)], words)

    def named(self, content: str) -> str | None:
        """Return the term that a role's content means, or None where the glossary lacks it."""
        match = EXPLICIT.fullmatch(content)
        return self.names.get(" ".join((match["target"] if match else content).lower().split()))

    def roles(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield position and term of every role in a text."""
        for match in ROLE.finditer(text):
            term = self.named(match["content"])
            if term:
                yield match.start(), term

    def uses(self, text: str) -> Iterator[Use]:
        """Yield the plain uses in a text, in order; where two begin at one place, the longer."""
        end = 0
        for word in WORD.finditer(text):
            if word.start() < end:
                continue
            for pattern, term in self._patterns.get(word[0].lower(), ()):
                match = pattern.match(text, word.start())
                if match:
                    end = match.end()
                    if term:
                        yield Use(match.start(), end, term)
                    break

    def link(self, texts: Sequence[str]) -> list[str]:
        """Link the first plain use of each term on a page, unless a role comes before it.

        Parameters
        ----------
        texts : sequence of str
            The page's Markdown, cell by cell.

        Returns
        -------
        list of str
            The same texts with the links.
        """
        seen: set[str] = set()
        return [self._linked(text, seen) for text in texts]

    @cached_property
    def _phrases(self) -> list[tuple[str, str]]:
        """The phrases to look for, longest first, each with its term; "" where none is meant."""
        by_hand, also = set(self.words.get("by_hand", ())), self.words.get("also", {})
        names = [name for name in self.names.values() if name not in by_hand and "(" not in name]
        found = [(name, name) for name in names]
        found += [(phrase, name) for name, phrases in also.items() for phrase in phrases]
        found += [(phrase, "") for phrase in self.words.get("not_meant", ())]
        return sorted(found, key=lambda pair: (-len(pair[0]), pair[0]))

    @cached_property
    def _patterns(self) -> dict[str, list[tuple[re.Pattern[str], str]]]:
        """The phrases as patterns, by the letters with which they begin."""
        found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        for phrase, term in self._phrases:
            pattern = re.compile(rf"(?:{_tolerant(phrase)})(?![\w-])")
            found.setdefault(WORD.match(phrase)[0].lower(), []).append((pattern, term))
        return found

    def _linked(self, text: str, seen: set[str]) -> str:
        """Link one text, and add to `seen` the terms that it uses as links."""
        pieces, end = [], 0
        for start, block in placed(text):
            if block.kind == "literal":
                continue
            pieces += [text[end:start], self._linked_block(block, seen)]
            end = start + len(block.text)
        return "".join([*pieces, text[end:]])

    def _linked_block(self, block: Block, seen: set[str]) -> str:
        """Link the first uses in one block."""
        roles = dict(reversed(list((term, at) for at, term in self.roles(block.text))))
        text = block.text
        if block.kind == "text":
            wanted = self._first(text, seen, roles)
            text = self._tried(text, wanted) or self._one_by_one(text, seen, roles)
        seen.update(term for _, term in self.roles(text))
        return text

    def _first(self, text: str, seen: set[str], roles: dict[str, int]) -> list[Use]:
        """Return the first use of each term that is new and not yet a role."""
        found: dict[str, Use] = {}
        for use in self._new(text, seen, roles):
            found.setdefault(use.term, use)
        return list(found.values())

    def _new(self, text: str, seen: set[str], roles: dict[str, int]) -> Iterator[Use]:
        """Yield the uses of terms that are new and not yet a role, brackets left out."""
        for use in self.uses(text):
            before = text[: use.start]
            open_bracket = before.count("[") > before.count("]")
            if use.term not in seen and use.start < roles.get(use.term, len(text)):
                yield from [] if open_bracket else [use]

    def _tried(self, text: str, uses: Sequence[Use]) -> str | None:
        """Return the text with all uses linked, or None where that changes anything else."""
        after = text
        for use in reversed(uses):
            after = (
                after[: use.start] + _role(after[use.start : use.end], use.term) + after[use.end :]
            )
        return after if _same(text, after, len(uses)) else None

    def _one_by_one(self, text: str, seen: set[str], roles: dict[str, int]) -> str:
        """Link those uses that can be, for each term its first one."""
        kept: list[Use] = []
        for use in self._new(text, seen, roles):
            new = use.term not in {each.term for each in kept}
            if new and self._tried(text, [*kept, use]):
                kept.append(use)
        return self._tried(text, kept) or text


def entries(page: str) -> list[str]:
    """Return the entries of a glossary's page, each with its lines."""
    match = GLOSSARY.search(page)
    inside = match["inside"].strip("\n") if match else ""
    return re.split(r"\n{2,}(?=\S)", inside) if inside else []


def placed(text: str) -> Iterator[tuple[int, Block]]:
    """Yield the blocks of a text that stand in it letter by letter, each with its position."""
    at = 0
    for block in blocks(text):
        start = text.find(block.text, at)
        if block.text and start >= 0:
            yield start, block
            at = start + len(block.text)


def _tolerant(phrase: str) -> str:
    """Return a pattern for a phrase: across lines, hyphened, plural, beginning a sentence."""
    words = [re.escape(word) for word in re.split(r"[\s-]+", phrase)]
    *before, last = words
    plural = rf"{last[:-1]}(?:y|ies)" if re.search("[^aeiou]y$", last) else rf"{last}(?:s|es)?"
    if phrase == phrase.lower():
        first = plural if not before else before[0]
        initial = f"[{first[0].upper()}{first[0]}]{first[1:]}" if first[0].isalpha() else first
        words = [initial, *before[1:], plural] if before else [initial]
    else:
        words = [*before, plural]
    return r"(?:\s+|-)".join(words)


def _role(shown: str, term: str) -> str:
    """Return the role for words as they stand in the text."""
    words = " ".join(shown.split())
    return f"{{term}}`{words}`" if words == term else f"{{term}}`{words} <{term}>`"


@dataclass
class _Reading:
    """What a parser reads in a text: its pieces, and its terms by whether a link fits there."""

    pieces: list[tuple[str, ...]]
    fitting: int = 0
    others: int = 0


def _same(before: str, after: str, added: int) -> bool:
    """Tell whether two texts differ in links that were added, and in nothing else."""
    if not added:
        return before == after
    old, new = _reading(before), _reading(after)
    fits = new.fitting == old.fitting + added and new.others == old.others
    return fits and new.pieces == old.pieces


def _reading(text: str) -> _Reading:
    """Parse a text; a role ``term`` counts as the words that it shows."""
    found, inside = _Reading([]), []
    tokens = list(_all(_parser().parse(text)))
    for i, token in enumerate(tokens):
        if token.type == "myst_role" and token.meta.get("name") == "term":
            closed = CLOSED & set(inside) or (set(inside) & STRESSED and not _alone(tokens, i))
            found.fitting, found.others = found.fitting + (not closed), found.others + bool(closed)
            _add_words(found, _shown(token.content))
        elif token.type in {"text", "softbreak"}:
            _add_words(found, token.content or " ")
        else:
            found.pieces.append((token.type, token.content, str(token.attrs), token.info))
        if token.nesting == 1:
            inside.append(token.type)
        elif token.nesting == -1:
            inside.pop()
    return found


def _alone(tokens: Sequence[Token], i: int) -> bool:
    """Tell whether stressed text is the term and nothing else, as where a chapter explains it."""
    return tokens[i - 1].type in STRESSED and tokens[i + 1].type.endswith("_close")


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield blocks and, in place of running text, what it consists of."""
    for token in tokens:
        yield from token.children if token.type == "inline" and token.children else [token]


def _add_words(found: _Reading, words: str) -> None:
    """Join words to those before them, with one space for any white space."""
    last = found.pieces.pop()[1] if found.pieces and found.pieces[-1][0] == "words" else ""
    found.pieces.append(("words", re.sub(r"\s+", " ", last + words)))


def _shown(content: str) -> str:
    match = EXPLICIT.fullmatch(content)
    return match["text"] if match else content


@cache
def _parser() -> MarkdownIt:
    """Return a parser of CommonMark with what MyST adds inside a paragraph."""
    parser = MarkdownIt("commonmark").enable("table").use(myst_role_plugin)
    parser.use(dollarmath_plugin, allow_labels=True, double_inline=True).use(amsmath_plugin)
    return parser.use(attrs_plugin, spans=True).use(substitution_plugin)
