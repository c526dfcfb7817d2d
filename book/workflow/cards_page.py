"""Appendix B: every data card as a section of one page, with the chapters whose code names the set.

The page is made from ``data/*.yml`` and the chapters' sources when the site is staged: a new card,
or a chapter that begins to use one, appears by itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from book.workflow import chapters, fingerprint, kept, source
from book.workflow.report import pipe_table
from medlib import data
from medlib.data import Card

DOCUMENT = "book/data-cards"
DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
INTRO = """\
A card says what a data set is, where it comes from, what may be done with it, and what is known to
be wrong with it. This page is made from the files `data/*.yml`, which the library reads too: what a
card says of sizes and digests is checked at each download, and a file that differs is refused.

*Terms read* says whether somebody of this project read the terms of use. Pictures of a set stand on
these pages only where they were read and allow it; other sets give numbers and curves. How the
cases of a test split fall into classes is left out on purpose: the labels of test splits are locked
({doc}`/book/trust`)."""
TASKS = {
    "binary": "which of two classes an image belongs to",
    "multi-class": "which one of several classes an image belongs to",
    "ordinal": "which one of several ordered grades an image has",
    "multi-label": "which of several findings an image shows; it may show several, or none",
}
SPECIAL = re.compile(r"([\\$*_<>\[\]|{}])")
Uses = Mapping[str, Sequence[chapters.Chapter]]


def data_cards(root: Path = chapters.ROOT) -> Iterator[str]:
    """Yield the lines of the page.

    Parameters
    ----------
    root : Path
        The checkout whose chapters are searched for the names of the sets.
    """
    yield from ("# Data-set cards", "", INTRO, "")
    known, uses = data.cards(), chapters_by_card(root)
    caption = f"The {len(known)} sets at a glance. Each name leads to its card."
    yield from (f"````{{table}} {caption}", ":name: tab-data-cards", "")
    head = ("Set", "Pictures of", "Task", "Classes", "Cases", "Side (px)", "Terms read", "Chapters")
    yield from pipe_table(head, (_overview_row(card, uses) for card in known.values()))
    yield from ("````", "")
    for card in known.values():
        yield from _section(card, uses[card.name], root)


def chapters_by_card(root: Path = chapters.ROOT) -> dict[str, list[chapters.Chapter]]:
    """Return, for each card, the chapters whose code names it, in the order of the book."""
    found: dict[str, list[chapters.Chapter]] = {name: [] for name in data.cards()}
    for chapter in chapters.chapters(root):
        for name in _named(chapter.source):
            found[name].append(chapter)
    return found


def _named(path: Path) -> list[str]:
    """Return the cards that a chapter names."""
    known = " ".join(data.cards())
    return kept.of_file(
        f"cards/{path.stem}",
        path,
        lambda: sorted(fingerprint.cards_named(source.code(source.read(path)))),
        known,
    )


def anchor(name: str) -> str:
    """Return the label of a card, by which a page links to it."""
    return f"card-{name}"


def _overview_row(card: Card, uses: Uses) -> Sequence[str]:
    """Return one set of the table at the top."""
    return (
        f"[{_text(card.title)}](#{anchor(card.name)})",
        _text(card.modality) if card.kind == "image" else f"none: {_text(card.modality)}",
        card.task,
        str(card.num_classes),
        f"{sum(card.counts.values()):,}",
        str(card.size) if card.kind == "image" else DASH,
        "yes" if card.licence["read"] else "no",
        str(len(uses[card.name]) or DASH),
    )


def _section(card: Card, used_by: Sequence[chapters.Chapter], root: Path) -> Iterator[str]:
    """Yield one card."""
    yield from (f"({anchor(card.name)})=", f"## {_text(card.title)}", "")
    kind = "Images" if card.kind == "image" else "A table"
    yield f"{kind}: {_text(card.modality)}. The task is {card.task}: {TASKS[card.task]}."
    yield ""
    if card.notes and card.layout == "medmnist":
        yield from ("In the words of MedMNIST:", "", f"> {_text(card.notes)}", "")
    elif card.notes:
        yield from (_text(card.notes), "")
    for name, value in _facts(card, used_by):
        yield from (name, f": {value}", "")
    yield from _known_flaws(card)
    yield from _counts(card)
    yield from ("**How to get it**", "", *_command(card), "")
    yield from _sources(card, root)


def _facts(card: Card, used_by: Sequence[chapters.Chapter]) -> Iterator[tuple[str, str]]:
    """Yield name and value of what a card says in a line each."""
    yield "Size", _size(card)
    if card.feature_names:
        yield "Features", ", ".join(map(_text, card.feature_names))
    if card.masks:
        yield "Masks", "the lesions are outlined"
    if card.groups:
        kept = ", and no {0} is in two splits" if card.split["kind"] == "file" else ""
        yield "Groups", f"each case names its {card.groups}{kept.format(card.groups)}"
    if card.supported:
        listed = ", ".join(map(_text, card.supported))
        yield "Classes with enough cases for a claim", listed
    yield "Licence", _licence(card)
    pictures = "may be shown" if card.publishable else "are never shown: numbers and curves only"
    yield "Pictures on these pages", pictures
    yield "Reference", f"{{cite:t}}`{card.citation}`"
    named = ", ".join(_chapter_link(each) for each in used_by)
    yield "Named in the code of", named or "no chapter yet"


def _size(card: Card) -> str:
    if card.kind != "image":
        return f"{card.size} measurements a case"
    colours = "1 channel" if card.channels == 1 else f"{card.channels} channels"
    others = ", ".join(str(size) for size in sorted(card.variants))
    more = f"; also published with sides of {others} px" if others else ""
    return f"{card.size} {TIMES} {card.size} px, {colours}{more}"


def _licence(card: Card) -> str:
    """Say under which terms a set stands, and whether they were read."""
    read = "its terms were read" if card.licence["read"] else "its terms were not read by us"
    name = card.licence["name"]
    shown = "unknown to us" if name == "not read" else _text(name)
    note = f"; {_text(card.licence['note'])}" if card.licence.get("note") else ""
    return f"[{shown}]({card.licence['url']}), {read}{note}"


def _known_flaws(card: Card) -> Iterator[str]:
    yield from ("**Known flaws**", "")
    if not card.flaws:
        yield "None is known to us. That is no proof that there is none."
    for flaw in card.flaws:
        yield f"- {_text(flaw['what']).removesuffix('.')} {_cited(flaw['source'])}."
    yield ""


def _cited(where: str) -> str:
    """Return who says so: ourselves, an address, or a reference."""
    if where == "measured":
        return "(measured by us)"
    address = urlsplit(where)
    return f"([{address.netloc}]({where}))" if address.netloc else f"{{cite:p}}`{where}`"


def _counts(card: Card) -> Iterator[str]:
    """Yield the table of cases by split, and by class where we hold the labels and may count."""
    train, val = (card.class_counts.get(split, ()) for split in ("train", "val"))
    if not train:
        yield from (f"{card.num_classes} classes: {', '.join(map(_text, card.classes))}.", "")
        yield from _totals(card)
        return
    yield from (f"````{{table}} Cases of {_text(card.title)} by class and split.", "")
    rows = [
        (_text(name), _count(train, i), _count(val, i), "sealed")
        for i, name in enumerate(card.classes)
    ]
    total = ("**all cases**", *(f"{card.counts[split]:,}" for split in ("train", "val", "test")))
    yield from pipe_table(("Class", "Train", "Val", "Test"), [*rows, total])
    yield from ("````", "")
    if card.multi_label:
        yield from ("A case may count in several rows, or in none.", "")


def _totals(card: Card) -> Iterator[str]:
    """Yield the number of cases of each split alone."""
    counts = [f"{card.counts[split]:,} {split}" for split in ("train", "val", "test")]
    yield from (f"Cases: {', '.join(counts)}. The classes were not counted: no copy was here.", "")


def _count(counts: Sequence[int], i: int) -> str:
    return f"{counts[i]:,}" if counts else DASH


def _command(card: Card) -> Iterator[str]:
    """Yield how to get a set, and what comes."""
    yield from ("```bash", f"medlib data get {card.name}", "```", "")
    size = f"The download has {card.download_bytes / 1e6:,.1f} MB. " if card.download_bytes else ""
    asked = "comes only when asked for by name" if card.opt_in else "comes with `make book` too"
    yield f"{size}It {asked}."


def _sources(card: Card, root: Path) -> Iterator[str]:
    """Yield the origins, the digests and the split, for those who check them."""
    yield from ("**Where it comes from**", "")
    yield from (f"{i}. {_origin(origin)}" for i, origin in enumerate(card.origins, start=1))
    yield ""
    yield from (f"- {_digest(key)}: `{value}`" for key, value in card.digests.items())
    variants = sorted(card.variants.items())
    yield from (f"- md5 of the file at {size} px: `{item['md5']}`" for size, item in variants)
    yield from (f"- split: {_split(card, root)}", "")


def _digest(key: str) -> str:
    """Say what a digest of a card is taken over."""
    over = {"arrays": "sha256 of the arrays", "facts": "sha256 of all but the pixels"}
    return over.get(key, f"{key} of the file")


def _split(card: Card, root: Path) -> str:
    if card.split["kind"] == "official":
        return "the official one"
    file = card.split["file"]
    folder = f"{chapters.repository_url(root)}/blob/{chapters.branch(root)}"
    return f"ours, as row indices in [`{file}`]({folder}/{file})"


def _origin(origin: Mapping[str, object]) -> str:
    """Return one origin: a link with the host's name, and all else that the card says of it."""
    url = str(origin["url"])
    details = [_detail(key, value) for key, value in origin.items() if key not in {"kind", "url"}]
    extra = f" ({'; '.join(details)})" if details else ""
    return f"[{urlsplit(url).netloc}]({url}){extra}"


def _detail(key: str, value: object) -> str:
    """Return one more fact of an origin: words as they are, all else as code."""
    if key == "note":
        return _text(str(value))
    if key == "record":
        return _text(str(value))
    if isinstance(value, str) and value.startswith("https://"):
        return f"[{key}]({value})"
    if isinstance(value, Mapping):
        return f"also {', '.join(value)}"
    return f"{key} `{value}`"


def _chapter_link(chapter: chapters.Chapter) -> str:
    return f"{{doc}}`{_text(chapter.label)} </{chapter.document}>`"


def _text(words: str) -> str:
    """Keep the words of a card out of the page's markup."""
    return SPECIAL.sub(r"\\\1", " ".join(words.split()))
