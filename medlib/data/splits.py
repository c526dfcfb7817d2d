"""Split files: which rows of a data set are for training, validation and testing; indices only.

A file holds one line a split, ``train: 0-93 101 105-120``, so that it can be read, compared and
committed. How each was made is in `medlib.data.making`.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from medlib import paths
from medlib.data.cards import SPLITS, Card
from medlib.errors import MedlibError


def read_split(card: Card) -> dict[str, np.ndarray]:
    """Return the rows of each split of a data set, ``(N,)`` int64 ascending.

    Raises
    ------
    MedlibError
        Where the file is missing or damaged, or does not cover the set as its card says.
    """
    return dict(_read(paths.package_file(card.split["file"]), tuple(card.counts.items())))


@cache
def _read(path: Path, counts: tuple[tuple[str, int], ...]) -> dict[str, np.ndarray]:
    try:
        rows = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MedlibError(f"split file {path} cannot be read: {error}") from error
    sizes = {split: len(rows.get(split, ())) for split in SPLITS}
    together = np.concatenate(list(rows.values()))
    if sizes != dict(counts) or len(np.unique(together)) != len(together):
        raise MedlibError(f"split file {path} holds {sizes}, its card says {dict(counts)}")
    return rows


def read_folds(card: Card) -> np.ndarray | None:
    """Return the committed fold of each row of a data set, ``(N,)`` int64; None where it has none.

    Raises
    ------
    MedlibError
        Where the file is damaged or does not cover the set.
    """
    path = paths.package_file(f"data/splits/{card.name}-folds.txt")
    if not path.is_file():
        return None
    fold = np.full(sum(card.counts.values()), -1)
    try:
        for name, rows in parse(path.read_text(encoding="utf-8")).items():
            fold[rows] = int(name.removeprefix("fold"))
    except (OSError, ValueError, IndexError) as error:
        raise MedlibError(f"fold file {path} cannot be read: {error}") from error
    if (fold < 0).any():
        raise MedlibError(f"fold file {path} names no fold for {(fold < 0).sum()} rows")
    return fold


def parse(text: str) -> dict[str, np.ndarray]:
    """Read the text of a split file."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            split, _, runs = line.partition(":")
            found[split.strip()] = np.concatenate([_run(run) for run in runs.split()])
    return found


def render(rows: Mapping[str, np.ndarray], about: str) -> str:
    """Write the text of a split file; `about` becomes its first line."""
    lines = [f"# {about}"]
    for split in rows:
        lines.append(f"{split}: {' '.join(_runs(np.sort(rows[split])))}")
    return "\n".join(lines) + "\n"


def _run(text: str) -> np.ndarray:
    first, _, last = text.partition("-")
    return np.arange(int(first), int(last or first) + 1)


def _runs(rows: np.ndarray) -> list[str]:
    pieces = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in pieces if len(p)]
