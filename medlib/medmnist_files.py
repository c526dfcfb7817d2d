"""Scores in the files that the ``medmnist`` package reads: one line an image, named by its scores.

The package's evaluator knows a file by its name alone, for example
``breastmnist_test_[AUC]0.901_[ACC]0.863@resnet18_0.csv``: data set, split, and behind the ``@`` the
run. A line holds the index of an image in the split and a score for each class; there is no header,
and there are no labels (medmnist 3.0.2, ``medmnist.Evaluator``). Whoever has the package and the
data set can so check our scores with code that is not ours.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medlib.errors import MedlibError
from medlib.evaluate import Scores
from medlib.results import write_csv

_NAME = re.compile(
    r"(?P<data>[a-z0-9]+)(?:_(?P<size>\d+))?_(?P<split>train|val|test)"
    r"_\[AUC\](?P<auc>[\d.]+)_\[ACC\](?P<accuracy>[\d.]+)@(?P<run>[^.]+)\.csv"
)


@dataclass(frozen=True, eq=False)
class MedMNISTFile:
    """What a file of the package's convention says.

    Attributes
    ----------
    data, split, run : str
        Data set, split and run, from the name.
    size : int
        Side length of the images in pixels; 28 where the name has none.
    auc, accuracy : float
        As they stand in the name, rounded to three decimals.
    index : array of shape (N,), int64
        Position of each image in the official split.
    probabilities : array of shape (N, K), float64
        A score for each class.
    """

    data: str
    split: str
    run: str
    size: int
    auc: float
    accuracy: float
    index: np.ndarray
    probabilities: np.ndarray


def medmnist_name(scores: Scores, run: str | None = None) -> str:
    """Return the name of the file of some scores of a test split.

    Parameters
    ----------
    scores : Scores
        Of images of 28 pixels.
    run : str, optional
        What stands behind the ``@``; model and seed where omitted.

    Raises
    ------
    MedlibError
        For generated images, and for a run that the package could not read back.
    """
    if scores.synthetic:
        raise MedlibError(f"{scores.filename} comes from generated images: it is no result")
    run = f"{scores.model_id}_{scores.seed}".replace(".", "-") if run is None else run
    if not re.fullmatch(r"[\w-]+", run):
        raise MedlibError(f"run {run!r}: use letters, digits, '-' and '_'; the package cuts at '.'")
    judged = f"[AUC]{scores.value('auc'):.3f}_[ACC]{scores.value('accuracy'):.3f}"
    return f"{scores.data}_test_{judged}@{run}.csv"


def write_medmnist(scores: Scores, folder: Path | str, run: str | None = None) -> Path:
    """Write scores in the package's convention and return the file; see `medmnist_name`."""
    path = Path(folder) / medmnist_name(scores, run)
    lines = zip(scores.index.tolist(), scores.probabilities.tolist(), strict=True)
    write_csv(path, ([index, *row] for index, row in lines))
    return path


def read_medmnist(path: Path | str) -> MedMNISTFile:
    """Read a file of the package's convention, ours or another's, its lines ordered by index.

    Raises
    ------
    MedlibError
        Where the name or the content is not what the package writes.
    """
    path = Path(path)
    named = _NAME.fullmatch(path.name)
    if not named:
        raise MedlibError(
            f"{path.name} is no name that the medmnist package writes: expected "
            f"breastmnist_test_[AUC]0.901_[ACC]0.863@run.csv"
        )
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = np.array([[float(cell) for cell in row] for row in csv.reader(file)])
        table = table[table[:, 0].argsort()]
    except (OSError, ValueError, IndexError, OverflowError, csv.Error) as error:
        raise MedlibError(f"{path} cannot be read as scores: {error}") from error
    return MedMNISTFile(
        named["data"],
        named["split"],
        named["run"],
        int(named["size"] or 28),
        float(named["auc"]),
        float(named["accuracy"]),
        table[:, 0].astype(np.int64),
        table[:, 1:],
    )
