"""Cases: one picture each, with its label, its patient under a neutral code, and its split."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from medlib.errors import MedlibError

__all__ = ["Case", "Found", "OwnDataError", "Skipped", "hide_names", "split_named", "with_codes"]

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
HIDDEN = "[name hidden]"
SHORTEST = 4  # letters of a name that is hidden also inside a longer word


class OwnDataError(MedlibError):
    """Own images that cannot be used as they are; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Case:
    """One picture of a reader's own.

    Attributes
    ----------
    path : Path
        The file.
    shown : str
        How messages and reports name it: below the folder that was given, without patients' names.
    labels : tuple of str
        Its class, or its findings where a case may carry several (perhaps none).
    patient : str or None
        Who it is of; after `with_codes` a code that means nothing elsewhere.
    split : {"train", "val", "test"} or None
        Where the reader put it; None leaves that to medlib.
    plane : int or None
        Which slice of a volume, from 0; None for a picture.
    burned_in : bool
        Whether the file itself says that text is burned into its pixels.
    """

    path: Path
    shown: str
    labels: tuple[str, ...]
    patient: str | None = None
    split: str | None = None
    plane: int | None = None
    burned_in: bool = False


@dataclass(frozen=True)
class Skipped:
    """A file, or a line of a table, that is not used, and why."""

    shown: str
    why: str


@dataclass(frozen=True)
class Found:
    """What a folder or a table holds.

    Attributes
    ----------
    root : Path
        The folder that all files lie in.
    title : str
        Its own name, or that of the table.
    cases : tuple of Case
        In a fixed order.
    skipped : tuple of Skipped
        What is left out, each with a sentence.
    notes : tuple of str
        What a reader should know of how the cases were found.
    multi_label : bool
        Whether a case may carry several findings at once.
    """

    root: Path
    title: str
    cases: tuple[Case, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    multi_label: bool = False
    classes: tuple[str, ...] = field(default=())


def split_named(word: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for a word that means it, else None."""
    plain = word.strip().lower()
    return next((name for name, words in SPLIT_NAMES.items() if plain in words), None)


def with_codes(found: Found) -> Found:
    """Replace what names a patient by codes: ``patient-0001`` for the first that occurs.

    The codes are running numbers, not hashes: those of short hospital numbers could be guessed.
    """
    codes: dict[str, str] = {}
    for case in found.cases:
        if case.patient is not None:
            codes.setdefault(case.patient, f"patient-{len(codes) + 1:04d}")
    cases = (replace(c, patient=codes.get(c.patient)) for c in found.cases)
    return replace(found, cases=tuple(cases))


def hide_names(text: str, names: Iterable[str]) -> str:
    """Replace names in a text, such as a file's path.

    A name of four letters or more is hidden wherever it stands, a shorter one as a whole word.
    """
    for name in sorted(set(names), key=len, reverse=True):
        inner = re.escape(name)
        pattern = inner if len(name) >= SHORTEST else rf"(?<![^\W_]){inner}(?![^\W_])"
        text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
    return text
