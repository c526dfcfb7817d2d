"""Check the translations: in step with the pages, complete, and true to what must not change.

A translation keeps roles, code, formulas, links, numbers and the fields that are filled in later.
Chinese has its own punctuation.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Message

from book.workflow import catalogues, chapters, first_uses, messages, terms
from book.workflow.inline import EXPLICIT, PIECE

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
FIELD = re.compile(r"\{(\w*)\}(?!`)")
HAN = "\u3400-\u9fff"
WESTERN = re.compile(rf"[{HAN}][,;:?!.]")
ENDS = "。：？！）"


def findings(root: Path = chapters.ROOT) -> list[str]:
    """Say what is wrong with the translations of a checkout, one line each.

    Parameters
    ----------
    root : Path
        The checkout.
    """
    found = catalogues.stale(root)
    pairs = glossary_pairs(root)
    for language in catalogues.languages(root):
        for domain in catalogues.translated(language, root):
            path = catalogues.file_of(language, domain, root).relative_to(root)
            for message in catalogues.read(language, domain, root):
                found += [f"{path}: {fault}" for fault in _faults(message, language, pairs)]
    return found


def glossary_pairs(root: Path = chapters.ROOT) -> dict[str, str]:
    """Return the English term behind each Chinese one of the glossary."""
    page = (root / f"{first_uses.DOCUMENT}.md").read_text("utf-8")
    heads = (entry.splitlines()[:2] for entry in terms.entries(page))
    return {chinese: english for english, chinese in heads}


def faults(source: str, said: str, language: str, pairs: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with the translation of a message.

    Parameters
    ----------
    source, said : str
        The message and its translation.
    language : str
        Such as ``zh_CN``.
    pairs : dict of str to str
        The English term behind each translated one, as `glossary_pairs` returns them.
    """
    before, after = _kept(source, pairs), _kept(said, pairs)
    lost, new = before - after, after - before
    for what, pieces in (("lost", lost), ("new", new)):
        if pieces:
            yield f"{what}: {', '.join(sorted(f'{kind} {text}' for kind, text in pieces))}"
    if language.startswith("zh"):
        plain = PIECE.sub(" ", said)
        if match := WESTERN.search(plain):
            yield f"Western punctuation: {match[0]}"
        if source.endswith((".", ". ")) and not plain.rstrip().endswith(tuple(ENDS)):
            yield "ends without a Chinese full stop"


def _faults(message: Message, language: str, pairs: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with one message of a catalogue, with its beginning."""
    if not message.id:
        return
    sources = message.id if isinstance(message.id, tuple) else (message.id,)
    said = message.string if isinstance(message.string, tuple) else (message.string,)
    start = f"{sources[0][:60]!r}"
    if not all(said):
        yield f"{start} is not translated"
    elif message.fuzzy:
        yield f"{start} has changed: mend its translation and take the mark `fuzzy` away"
    else:
        wrong = faults(sources[-1], said[-1], language, pairs)
        yield from (f"{start}: {fault}" for fault in wrong)


def _kept(text: str, pairs: dict[str, str]) -> Counter[tuple[str, str]]:
    """Count what a translation has to keep."""
    found = Counter(
        (kind, _target(kind, content, pairs)) for kind, content in messages.pieces(text)
    )
    rest = PIECE.sub(" ", text)
    found.update(("field", name) for name in FIELD.findall(rest))
    found.update(("number", number) for number in NUMBER.findall(FIELD.sub(" ", rest)))
    return found


def _target(kind: str, content: str, pairs: dict[str, str]) -> str:
    """Return what a role refers to; its words may be translated."""
    if kind not in {"term", "ref", "doc", "numref"}:
        return content
    explicit = EXPLICIT.fullmatch(content)
    target = " ".join((explicit["target"] if explicit else content).split())
    return pairs.get(target, target).lower() if kind == "term" else target


def main() -> int:
    """Print what is wrong, or that nothing is."""
    found = findings()
    print("\n".join(found) or "the translations are complete and in step with the pages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
