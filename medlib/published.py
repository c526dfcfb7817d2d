"""Scores of the MedMNIST sets that others have published, with their sources, as they stand.

They lie in ``data/published_medmnist.csv``. None of them comes with an interval; some come with a
standard deviation over seeds. A value marked as unchecked was not compared with a stored copy of
its source, and pages that show it say so.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from medlib import paths
from medlib.errors import MedlibError

METRICS = ("auc", "accuracy")
UNCHECKED = "†"


@dataclass(frozen=True)
class Published:
    """A published row: one model on the official test split of one set.

    Attributes
    ----------
    data, model : str
        Name of the card, and the model as its source names it.
    image_size : int or None
        Side length of the images that the network saw; None where the row is the best of several.
    source : str
        Key in ``book/references.bib``; empty where the source is not named.
    auc, accuracy : float
    auc_sd, accuracy_sd : float or None
        Standard deviation over seeds, where it is given.
    seeds : int or None
        Trainings behind the mean; None where the source does not say it for this row.
    unchecked : tuple of str
        Those of ``"auc"`` and ``"accuracy"`` that were not compared with a copy of the source.
    """

    data: str
    model: str
    image_size: int | None
    source: str
    auc: float
    accuracy: float
    auc_sd: float | None
    accuracy_sd: float | None
    seeds: int | None
    unchecked: tuple[str, ...]

    def value(self, metric: str) -> float:
        """Return ``"auc"`` or ``"accuracy"``."""
        if metric not in METRICS:
            raise MedlibError(f"published rows have {' and '.join(METRICS)}, not {metric!r}")
        return self.auc if metric == "auc" else self.accuracy

    def written(self, metric: str) -> str:
        """Return a value with its spread where it has one, and with a mark where unchecked."""
        spread = self.auc_sd if metric == "auc" else self.accuracy_sd
        text = f"{self.value(metric):.3f}" + (f" ± {spread:.3f}" if spread is not None else "")
        return f"{text} {UNCHECKED}" if metric in self.unchecked else text


def published_scores(data: str | None = None) -> list[Published]:
    """Return the published rows of a set, or of all sets, in the order of the file.

    Raises
    ------
    MedlibError
        For a set without any.
    """
    found = [row for row in _rows() if data in (None, row.data)]
    if not found:
        known = ", ".join(dict.fromkeys(row.data for row in _rows()))
        raise MedlibError(f"nothing published is stored for {data!r}: there are {known}")
    return found


@cache
def _rows() -> tuple[Published, ...]:
    path = paths.package_file("data/published_medmnist.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_row(cells) for cells in csv.DictReader(file))


def _row(cells: Mapping[str, str]) -> Published:
    size, seeds = cells["image_size"], cells["seeds"]
    unchecked = tuple(cells["unchecked"].split())
    if not {*unchecked} <= {*METRICS}:
        raise MedlibError(f"published_medmnist.csv: unchecked names {cells['unchecked']!r}")
    spreads = (float(cells[f"{m}_sd"]) if cells[f"{m}_sd"] else None for m in METRICS)
    return Published(
        cells["data"],
        cells["model"],
        int(size) if size else None,
        cells["source"],
        float(cells["auc"]),
        float(cells["accuracy"]),
        *spreads,
        int(seeds) if seeds else None,
        unchecked,
    )
