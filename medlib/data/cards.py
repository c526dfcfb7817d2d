"""Data cards: what a data set is, where it comes from, what may be done with it, its known flaws.

A card is a small YAML file, ``data/<name>.yml``; this module reads and checks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from medlib import paths
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

TASKS = ("binary", "multi-class", "ordinal", "multi-label")
SPLITS = ("train", "val", "test")
LAYOUTS = {"medmnist": "md5", "rows": "arrays", "sklearn": "arrays"}  # and the digest of each


@dataclass(frozen=True)
class Card:
    """What is known about a data set before a byte of it is read.

    Attributes
    ----------
    name : str
        Short name, also the name of its files.
    title : str
        Name as its authors write it.
    kind : {"image", "tabular"}
        Whether a case is a picture or a row of measurements.
    modality : str
        How the pictures were taken, in words.
    task : {"binary", "multi-class", "ordinal", "multi-label"}
        What is asked of a classifier.
    classes : tuple of str
        Class names, in the order of the labels.
    channels, size : int
        Channels and side length of the stored images; for tables, 1 and the number of features.
    counts : mapping
        Number of cases in ``train``, ``val`` and ``test``.
    file : str
        Name of the file that holds the arrays.
    layout : {"medmnist", "rows", "sklearn"}
        How the arrays lie in that file.
    digests : mapping
        ``md5`` of the file, or ``arrays`` (sha256 over the arrays, see `medlib.data.archive`) and
        ``facts`` (the same over all that is not pixels).
    origins : tuple of mappings
        Where it is downloaded from, official source first: ``kind``, ``url``, ``commit`` ...
    split : mapping
        ``kind`` (``official`` or ``file``) and, for the latter, ``file`` with the row indices.
    licence : mapping
        ``name``, ``url`` and ``read``: whether somebody of this project read the terms.
    publishable : bool
        Whether its pictures may appear on the published pages.
    citation : str
        Key in ``book/references.bib``.
    opt_in : bool
        Whether it is only downloaded when asked for by name.
    download_bytes : int or None
        Size of the download, where known.
    groups : str or None
        What the groups are (``patient``), or None where the source names none.
    flaws : tuple of mappings
        Known faults: ``what`` and ``source`` (a bibliography key, or ``measured``).
    topics : tuple of str
        Words to search by.
    notes : str
        Anything a reader must know before use.
    class_counts : mapping
        Cases of each class in ``train`` and ``val``, where we hold the data; never of ``test``.
    variants : mapping
        The same images at other side lengths: ``{size: {url, md5}}``.
    feature_names : tuple of str
        Names of the columns of a table.
    supported : tuple of str
        Classes with enough cases to support a claim, where that is not all of them.
    masks : bool
        Whether the lesions are outlined.
    """

    name: str
    title: str
    kind: str
    modality: str
    task: str
    classes: tuple[str, ...]
    channels: int
    size: int
    counts: Mapping[str, int]
    file: str
    layout: str
    digests: Mapping[str, str]
    origins: tuple[Mapping[str, Any], ...]
    split: Mapping[str, str]
    licence: Mapping[str, Any]
    publishable: bool
    citation: str
    opt_in: bool
    download_bytes: int | None = None
    groups: str | None = None
    flaws: tuple[Mapping[str, str], ...] = ()
    topics: tuple[str, ...] = ()
    notes: str = ""
    class_counts: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    feature_names: tuple[str, ...] = ()
    supported: tuple[str, ...] = ()
    masks: bool = False

    @property
    def num_classes(self) -> int:
        """Number of classes, or of labels where a case may carry several."""
        return len(self.classes)

    @property
    def multi_label(self) -> bool:
        """Whether a case may carry several labels at once."""
        return self.task == "multi-label"

    def at_size(self, size: int | None) -> "Card":
        """Return the card of the same set at another side length.

        Parameters
        ----------
        size : int or None
            Side length in pixels; None or the card's own size returns the card itself.

        Raises
        ------
        MedlibError
            Where the set is not published at that size.
        """
        if size is None or size == self.size:
            return self
        if size not in self.variants:
            sizes = ", ".join(str(s) for s in sorted({self.size, *self.variants}))
            raise MedlibError(f"'{self.name}' has no images of {size} px: choose one of {sizes}")
        variant = self.variants[size]
        origin = {**self.origins[0], "url": variant["url"]}
        return replace(
            self,
            size=size,
            file=f"{self.name}_{size}.npz",
            origins=(origin,),
            digests={"md5": variant["md5"]},
            download_bytes=None,
            variants={},
            opt_in=True,
        )


def card(name: str) -> Card:
    """Return the card of a data set.

    Raises
    ------
    MedlibError
        Where there is no such set; the message lists those there are.
    """
    known = cards()
    if name not in known:
        raise MedlibError(f"unknown data set {name!r}: choose one of {', '.join(known)}")
    return known[name]


def cards() -> dict[str, Card]:
    """Return all cards by name, sorted."""
    return dict(_cards_in(paths.package_file("data")))


@cache
def _cards_in(folder: Path) -> dict[str, Card]:
    files = sorted(folder.glob("*.yml"))
    if not files:
        raise MedlibError(f"no data cards in {folder}: the installation of medlib is incomplete")
    return {path.stem: read_card(path) for path in files}


def forget() -> None:
    """Forget the cards read so far; they are read anew at the next call."""
    _cards_in.cache_clear()


def read_card(path: Path) -> Card:
    """Read one card and check it.

    Raises
    ------
    MedlibError
        Where the file is not a card; the message names the file and the entry.
    """
    try:
        entries = parsed(path.read_text(encoding="utf-8"))
        if not isinstance(entries, dict):
            raise TypeError("it is no table of entries")
        _check_kinds(entries)
        found = Card(**{key: _frozen(value) for key, value in entries.items()})
    except (OSError, yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise MedlibError(f"data card {path} cannot be read: {said}") from error
    _check(found, path)
    return found


def _check_kinds(entries: Mapping[str, object]) -> None:
    """Refuse an entry of another kind than `Card` announces, before anything computes with it."""
    for name, kind in get_type_hints(Card).items():
        if name in entries and not _is_kind(entries[name], kind):
            raise TypeError(f"{name} is {entries[name]!r:.80}, expected {_KINDS.get(kind, kind)}")


def _is_kind(value: object, kind: Any) -> bool:
    """Tell whether a value of a YAML file is what an annotation says; lists stand for tuples."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is UnionType:
        return any(_is_kind(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, list) and all(_is_kind(each, inner[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(
            _is_kind(key, inner[0]) and _is_kind(each, inner[1]) for key, each in value.items()
        )
    return type(value) is kind or (value is None and kind is NoneType)


_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}


def _frozen(value: object) -> object:
    """Turn the lists of a YAML file into tuples, so that a card cannot be changed by mistake."""
    return tuple(value) if isinstance(value, list) else value


def _check(found: Card, path: Path) -> None:
    """Refuse a card whose entries contradict each other."""
    wrong = []
    if found.name != path.stem:
        wrong.append(f"name is {found.name!r}, expected {path.stem!r}")
    if found.task not in TASKS:
        wrong.append(f"task is {found.task!r}, expected one of {TASKS}")
    if set(found.counts) != set(SPLITS):
        wrong.append(f"counts has {sorted(found.counts)}, expected {SPLITS}")
    if found.task == "binary" and found.num_classes != 2:
        wrong.append(f"a binary task with {found.num_classes} classes")
    if any(set(flaw) != {"what", "source"} for flaw in found.flaws):
        wrong.append("each flaw needs 'what' and 'source'")
    if any(not {"kind", "url"} <= set(origin) for origin in found.origins):
        wrong.append("each origin needs 'kind' and 'url'")
    if not {"name", "url", "read"} <= set(found.licence):
        wrong.append("the licence needs 'name', 'url' and 'read'")
    if found.layout not in LAYOUTS:
        wrong.append(f"layout is {found.layout!r}, expected one of {LAYOUTS}")
    elif not {LAYOUTS[found.layout]} <= set(found.digests):
        wrong.append(f"digests lacks {LAYOUTS[found.layout]!r}")
    if any(size < 1 for size in (found.size, found.channels, *found.counts.values())):
        wrong.append("size, channels and counts must be at least 1")
    if wrong:
        raise MedlibError(f"data card {path}: {'; '.join(wrong)}")


def field_names() -> tuple[str, ...]:
    """Return the entries that a card may have."""
    return tuple(f.name for f in fields(Card))
