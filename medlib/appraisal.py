"""How good a saved model is: its scores with intervals, beside what every model must beat.

The validation split may be looked at as often as one likes. The test split is scored through
`medlib.evaluate.evaluate_once`, once for each model (its weights, whatever the file is called), and
the look is written down in ``test-access.json`` beside the model before the labels are opened.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medlib.baselines import BASELINES
from medlib.data import cards
from medlib.errors import MedlibError, TestSplitUsed
from medlib.evaluate import Scores, evaluate_once, read_scores, rounded
from medlib.intervals import bootstrap
from medlib.metrics import METRICS
from medlib.paths import score_file
from medlib.project import describe_data, find_data
from medlib.results import write_json
from medlib.run import begin, current
from medlib.saved import SavedModel

if TYPE_CHECKING:
    from medlib.data import Dataset

__all__ = [
    "ACCESS_LOG",
    "Appraisal",
    "appraisal_on_record",
    "appraise",
    "appraise_test_once",
    "data_of",
]

ACCESS_LOG = "test-access.json"
RUN = "cli"  # stands where a chapter's name stands; its folder lies beside the model


@dataclass(frozen=True)
class Appraisal:
    """The scores of a model and of the baselines on one split.

    Attributes
    ----------
    data, split : str
        What was scored.
    cases : int
        Number of images.
    model : mapping of str to (value, low, high)
        By metric; the ends of the 95 % interval are None where it is undefined.
    baselines : mapping of str to mapping of str to float
        By baseline and metric.
    notes : tuple of str
        What a reader must know beside the numbers.
    scores : Path or None
        The file with the score of each image; on the test split only.
    """

    data: str
    split: str
    cases: int
    model: Mapping[str, tuple[float, float | None, float | None]]
    baselines: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]
    scores: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "cases": self.cases,
            "metrics": {
                name: {"value": value, "interval": None if low is None else [low, high]}
                for name, (value, low, high) in self.model.items()
            },
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
            "notes": list(self.notes),
            "scores": None if self.scores is None else str(self.scores),
        }


def data_of(saved: SavedModel) -> "Dataset":
    """Return the data set that a model was trained on, or what stood in for it.

    Raises
    ------
    MedlibError
        Where the model does not say, or the set is not here.
    """
    known = saved.provenance.get("data", {})
    if known.get("kind") == "own":
        raise MedlibError(
            f"{saved.path} was trained on own images, and its scores stand in the report beside "
            "it: the test was made once; for new pictures there is 'medlib predict'"
        )
    named = isinstance(known.get("name"), str) and known["name"] in cards()
    if known.get("kind") not in ("card", "phantom") or not named:
        raise MedlibError(
            f"{saved.path} does not say which data set it was trained on: evaluate a model that "
            "'medlib train' wrote"
        )
    return find_data(known["name"], phantom=known["kind"] == "phantom")


def appraise(
    saved: SavedModel,
    data: "Dataset",
    split: str = "val",
    *,
    baselines: bool = True,
    resamples: int = 2_000,
) -> Appraisal:
    """Score a model on a split whose labels are open.

    Parameters
    ----------
    saved : SavedModel
        The model.
    data : Dataset
        The set; `data_of` finds that of the training.
    split : {"train", "val"}
        Which images.
    baselines : bool
        Whether to fit and score the baselines too.
    resamples : int
        Bootstrap resamples of the intervals.
    """
    if split not in {"train", "val"}:
        raise MedlibError(f"the split {split!r} is locked: the open ones are 'train' and 'val'")
    cases = data.train if split == "train" else data.val

    def score(name: str, probabilities: np.ndarray) -> Scores:
        known = (name, data.name, int(saved.provenance.get("seed", 0)), "")
        return Scores(*known, cases.labels, rounded(probabilities), cases.index, cases.groups)

    scores = score("model", saved.predict_proba(cases.images))
    others = {
        name: score(name, model.predict_proba(cases.images))
        for name, model in (_fitted(data) if baselines else {}).items()
    }
    return _appraisal(data, split, scores, others, _notes(saved, data, split), resamples)


def appraise_test_once(
    saved: SavedModel, data: "Dataset", *, baselines: bool = True, resamples: int = 2_000
) -> Appraisal:
    """Score a model on the test split: once, and on the record.

    The scores of each image are kept in a folder ``<model>-test`` beside the model.

    Raises
    ------
    TestSplitUsed
        Where these weights were scored before (the message names the date), and in a chapter.
    MedlibError
        Where the record cannot be read or written, or the data changed since the training.
    """
    _refuse_in_a_chapter()
    if saved.path is None:
        raise MedlibError("the test split is for saved models: save it first (medlib.saved)")
    log = saved.path.with_name(ACCESS_LOG)
    looks = _read_log(log)
    _refuse_second(looks, saved, data, log)
    _refuse_other_data(saved, data)
    models = {"model": saved} | (_fitted(data) if baselines else {})
    # all models predict before the labels are opened, so that no failure there costs the look
    ready = {name: model.predict_proba(data.test.images) for name, model in models.items()}
    seed = int(saved.provenance.get("seed", 0))
    folder = _test_folder(saved)
    begin(RUN, profile="cpu", seed=seed, device="cpu", build=folder.absolute())
    _write_log(log, [*looks, _look(saved, data)])
    scores = {
        name: evaluate_once(_Known(found), data, model_id=name, seed=seed)
        for name, found in ready.items()
    }
    return _of_test(saved, data, scores, looks, resamples)


def appraisal_on_record(
    saved: SavedModel, data: "Dataset", *, resamples: int = 2_000
) -> Appraisal | None:
    """Return what `appraise_test_once` found before, from the files; None where it never looked.

    Parameters
    ----------
    saved : SavedModel
        The model, where it was tested.
    data : Dataset
        Its set.
    resamples : int
        Bootstrap resamples of the intervals.
    """
    folder = _test_folder(saved) / "scores" / RUN
    looks = _read_log(saved.path.with_name(ACCESS_LOG))
    seed = int(saved.provenance.get("seed", 0))
    named = {n: folder / score_file(n, data.name, seed) for n in ("model", *BASELINES)}
    known = any(look.get("weights") == saved.digest for look in looks)
    if not known or not all(path.exists() for path in named.values()):
        return None
    scores = {name: read_scores(path) for name, path in named.items()}
    return _of_test(saved, data, scores, looks[:-1], resamples)


def _test_folder(saved: SavedModel) -> Path:
    """Return where the scores of the test images are kept, beside the model."""
    return saved.path.with_name(f"{saved.path.stem}-test")


def _of_test(
    saved: SavedModel,
    data: "Dataset",
    scores: dict[str, Scores],
    before: list[dict[str, Any]],
    resamples: int,
) -> Appraisal:
    """Appraise the scores of the test images, with the looks that came before them."""
    notes = _test_notes(before, data) + _notes(saved, data, "test")
    return _appraisal(data, "test", scores.pop("model"), scores, notes, resamples)


@dataclass(frozen=True)
class _Known:
    """A model whose predictions are known already."""

    probabilities: np.ndarray

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        return self.probabilities


def _fitted(data: "Dataset") -> dict[str, Any]:
    return {
        name: build().fit(data.train.images, data.train.labels) for name, build in BASELINES.items()
    }


def _appraisal(
    data: "Dataset",
    split: str,
    scores: Scores,
    others: Mapping[str, Scores],
    notes: tuple[str, ...],
    resamples: int,
) -> Appraisal:
    """Compute every metric that the task allows."""
    model = {}
    for metric in _metrics_for(data.task):
        with suppress(MedlibError):  # undefined for this task, or where a class is absent
            model[metric] = _with_interval(scores, metric, resamples)
    beside = {}
    for name, other in others.items():
        beside[name] = {}
        for metric in model:
            with suppress(MedlibError):
                beside[name][metric] = other.value(metric)
    return Appraisal(data.name, split, len(scores.labels), model, beside, notes, scores.path)


def _metrics_for(task: str) -> list[str]:
    """List the metrics; the kappa of ordered classes means nothing for others."""
    return [name for name in METRICS if task == "ordinal" or name != "quadratic_kappa"]


def _with_interval(
    scores: Scores, metric: str, resamples: int
) -> tuple[float, float | None, float | None]:
    value = scores.value(metric)
    try:
        found = bootstrap(scores, metric, resamples)
    except MedlibError:  # too few cases of a class to resample
        return value, None, None
    return value, found.low, found.high


def _notes(saved: SavedModel, data: "Dataset", split: str) -> tuple[str, ...]:
    """Say what limits the meaning of the scores."""
    notes = []
    if data.synthetic:
        notes.append("generated images (phantoms): no number here is a result")
    if split == "train":
        notes.append("the model learned these images: scores on them say nothing of new ones")
    selected = saved.provenance.get("recipe_values", {}).get("select")
    if split == "val" and selected != "last":
        notes.append("the epoch was chosen on these images, which flatters the scores a little")
    if _is_other_data(saved, data):
        notes.append("the data set is not the one of the training: its digest has changed")
    return tuple(notes)


def _is_other_data(saved: SavedModel, data: "Dataset") -> bool:
    return saved.provenance.get("data", {}).get("digest") != describe_data(data)["digest"]


# ---------------------------------------------------------------- the record of looks


def _read_log(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["looks"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MedlibError(
            f"{path}, the record of looks at the test split, cannot be read ({error}): put back "
            "the copy that belongs to the model"
        ) from error


def _write_log(path: Path, looks: list[dict[str, Any]]) -> None:
    try:
        write_json(path, {"schema": 1, "looks": looks})
    except OSError as error:
        raise MedlibError(
            f"cannot write {path}: {error.strerror or error}; without a record the test split "
            "stays closed: copy the model to a folder that you may write to"
        ) from error


def _look(saved: SavedModel, data: "Dataset") -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": data.name,
        "file": saved.path.name,
        "weights": saved.digest,
    }


def _refuse_in_a_chapter() -> None:
    """Keep chapters at their own door, which logs into the results of the book."""
    try:
        chapter = current().chapter
    except MedlibError:  # no run is open: this is the command line, or a program of one's own
        return
    if chapter != RUN:
        raise TestSplitUsed(
            f"chapter {chapter} scores the test split with medlib.evaluate_once, not through the "
            "record of a model file"
        )


def _refuse_second(
    looks: list[dict[str, Any]], saved: SavedModel, data: "Dataset", log: Path
) -> None:
    for look in looks:
        if look.get("weights") == saved.digest and look.get("data") == data.name:
            raise TestSplitUsed(
                f"this model was scored on the test split of {data.name} on {look['date']} "
                f"(see {log}): use those scores, in {saved.path.stem}-test beside the model; "
                "a choice between models is made on validation"
            )


def _refuse_other_data(saved: SavedModel, data: "Dataset") -> None:
    if _is_other_data(saved, data):
        raise MedlibError(
            f"the data set {data.name} is not the one that the model was trained on (its digest "
            "has changed), so that its test split may hold training images: train anew"
        )


def _test_notes(looks: list[dict[str, Any]], data: "Dataset") -> tuple[str, ...]:
    """Say how often the split was looked at from this folder before."""
    before = sum(look.get("data") == data.name for look in looks)
    if not before:
        return ()
    return (
        f"look {before + 1} at this test split from this folder: the best of several looks "
        "promises too much",
    )
