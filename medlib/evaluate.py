"""The one door to the test labels: score a model once, keep every image's scores in a file.

`evaluate_once` is the only function of the book that sees test labels, once for each model, seed,
data set and input variant of a chapter. It writes the scores and the labels of every image to a CSV
file, and everything that is said about the test split later (intervals, calibration, tables, plots)
is computed from that file. `evaluate_masks_once` is the same door for masks, `evaluate_folds` the
one for sets of so few patients that each of them has to be predicted. `evaluate_audit` is a
second door for the two chapters whose subject is the misuse itself. A static test,
``book/workflow/lock_check.py``, finds any other way.
"""

import csv
import io
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from medlib import cases, paths
from medlib.cases import Cases
from medlib.errors import MedlibError, TestSplitUsed
from medlib.metrics import METRICS, check_probabilities, check_scores
from medlib.run import Run, current

if TYPE_CHECKING:
    from medlib.data import Dataset
    from medlib.multilabel.base import Method

AUDIT_CHAPTERS = {
    "02-03": "shows what a split that leaks does to the test score",
    "04-08": "shows what choosing the epoch on the test split does to a benchmark",
}
_NAME = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_FILE = re.compile(
    r"(?P<model_id>.+?)__(?P<data>.+?)__seed(?P<seed>\d+)(?:__(?P<variant>.+?))?(?:__phantom)?"
)
_Judged = TypeVar("_Judged", "Scores", Cases)
_looks: tuple[Run | None, set[str]] = (None, set())


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one model on one test split, image by image.

    Attributes
    ----------
    model_id, data, variant : str
        The model's id, the data set's name, the input variant (empty for the plain images).
    seed : int
        Seed of the training.
    labels : array of shape (N,) or (N, K), int64
    probabilities : array of shape (N, K), float64
        As they stand in the file: rounded to six significant digits.
    index : array of shape (N,), int64
        Position of each image in its source.
    groups : array of shape (N,), str, or None
        Patients, where the data set names them.
    synthetic : bool
        True for generated images (phantoms): such scores are never a result.
    path : Path or None
        The file.
    published : bool
        True for scores of the published edition that stand in for the run's own.
    """

    model_id: str
    data: str
    seed: int
    variant: str
    labels: np.ndarray
    probabilities: np.ndarray
    index: np.ndarray
    groups: np.ndarray | None = None
    synthetic: bool = False
    path: Path | None = None
    published: bool = False

    @property
    def filename(self) -> str:
        """Name of the CSV file: ``model__data__seed0[__variant][__phantom].csv``."""
        key = (self.model_id, self.data, self.seed, self.variant)
        return paths.score_file(*key, synthetic=self.synthetic)

    def value(self, metric: str, weights: np.ndarray | None = None) -> float | np.ndarray:
        """Compute a metric of `medlib.metrics.METRICS` by name, such as ``"auc"``.

        With weights ``(B, N)``, which say how often each case counts, B values at once.
        """
        if metric not in METRICS:
            raise MedlibError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
        return METRICS[metric](self.labels, self.probabilities, weights)


def evaluate_once(
    model: Any, data: "Dataset", *, model_id: str, seed: int, variant: str = ""
) -> Scores:
    """Score a model on the test split, once.

    Parameters
    ----------
    model : torch.nn.Module, object with ``predict_proba(images)``, or callable
        What turns the test images (N, C, H, W), or features (N, F), into probabilities (N, K).
    data : Dataset
        The set whose test split is scored.
    model_id : str
        Name of the model in files, claims and tables.
    seed : int
        Seed of the training.
    variant : str
        Name of a change made to the input, such as ``"noise-2"``; empty for the plain images.

    Returns
    -------
    Scores
        Also written to ``<build>/scores/<chapter>/``; the access is logged in the results.

    Raises
    ------
    TestSplitUsed
        Where the chapter has scored this model, seed, set and variant before; for a long run
        (`medlib.run.resume`) that holds over all its processes.
    MedlibError
        Where the model's output is no table of probabilities; the look is then not used up.
    """
    _refuse_masks(variant)
    return _evaluate(model, data, _Look(model_id, data.name, seed, variant))


def evaluate_masks_once(
    model: Any, data: "Dataset", *, model_id: str, seed: int, variant: str = ""
) -> Cases:
    """Judge a model's masks of the test split, once.

    Parameters
    ----------
    model : torch.nn.Module, object with ``predict_masks(images)``, or callable
        What turns the test images (N, C, H, W) into masks (N, H, W): bool, or class numbers of
        which all but 0 are a lesion.
    data : Dataset
        The set whose test masks are the truth.
    model_id, seed, variant
        As in `evaluate_once`; a network with two heads may pass through both doors.

    Returns
    -------
    Cases
        Dice, IoU and Hausdorff distance of each image, also written beside the scores.

    Raises
    ------
    TestSplitUsed
        Where the chapter has judged this model, seed, set and variant before.
    MedlibError
        Where the set has no masks or the model gives none; the look is then not used up.
    """
    named = "-".join(part for part in (cases.VARIANT, variant) if part)
    return _evaluate_masks(model, data, _Look(model_id, data.name, seed, named))


def evaluate_folds(
    method: "Method",
    features: np.ndarray | Callable[[np.ndarray], np.ndarray],
    data: "Dataset",
    *,
    model_id: str,
    seed: int,
    findings: Sequence[str] | None = None,
    hide: Mapping[str, Any] | None = None,
    variant: str = "",
) -> Scores:
    """Predict every case of a set by cross-validation over patients, once.

    For multi-label sets with too few patients for a test split. Each fold is predicted by a copy of
    the method that learned from the other folds; the predictions of all folds are pooled. The folds
    are the committed ones (``data/splits/NAME-folds.txt``), the same for all methods. The method
    learns from labels of the test split when they lie in other folds, hence it must be one of
    medlib's, settled before: nothing may be tuned between two calls.

    Parameters
    ----------
    method : Method
        Of `medlib.multilabel`; the object itself learns nothing.
    features : ndarray or callable
        ``(N, F)`` of all cases, in the order train, val, test; or what makes them from all images
        ``(N, C, H, W)``. They must not depend on labels.
    data : Dataset
        A multi-label set.
    model_id, seed
        As in `evaluate_once`; the seed is that of the method and of what is hidden.
    findings : sequence of str, optional
        Labels that are learned and judged, by class name; by default those that the card supports.
    hide : mapping, optional
        Arguments of `medlib.multilabel.hide`, such as ``{"how": "random", "rate": 0.9}``: what the
        method does not get to know. It is judged on the full truth.
    variant : str
        Added to the variant ``folds`` in the name of the file.

    Returns
    -------
    Scores
        Of all cases; ``variant`` is ``"folds"`` or begins with ``"folds-"``.

    Raises
    ------
    TestSplitUsed
        Where the chapter has judged this model, seed, set and variant before.
    MedlibError
        For a set with one label a case, an unknown finding, or a method from elsewhere.
    """
    if data.task != "multi-label":
        raise MedlibError(f"{data.name} has one label a case: evaluate_folds is for several")
    names = list(findings or data.card.supported or data.class_names)
    unknown = sorted(set(names) - set(data.class_names))
    if unknown:
        raise MedlibError(f"{data.name} has no finding {', '.join(unknown)}")
    _refuse_foreign(method)
    named = "-".join(part for part in ("folds", variant) if part)
    look = _Look(model_id, data.name, seed, named, "folds")
    return _evaluate_folds(method, features, data, look, names, hide)


def evaluate_audit(
    model: Any, data: "Dataset", *, reason: str, model_id: str, seed: int, variant: str = ""
) -> Scores:
    """Score a model on the test split in a chapter about misuse of the test split.

    As `evaluate_once`, but logged as an audit with its reason. Nothing may be chosen from it
    except to show what such a choice does.

    Raises
    ------
    TestSplitUsed
        Outside the chapters of `AUDIT_CHAPTERS`, and for a second look under one key.
    MedlibError
        Without a reason.
    """
    if not reason.strip():
        raise MedlibError("evaluate_audit needs a reason: one sentence that goes into the log")
    if current().chapter[:5] not in AUDIT_CHAPTERS:
        raise TestSplitUsed(
            f"evaluate_audit is only for the chapters {', '.join(AUDIT_CHAPTERS)}, "
            f"not for {current().chapter}: use evaluate_once"
        )
    _refuse_masks(variant)
    return _evaluate(model, data, _Look(model_id, data.name, seed, variant, "audit", reason))


def shown(scores: Sequence[Scores | Cases]) -> list[Scores | Cases]:
    """Choose what tables and plots draw: the run's scores, or the published ones in their place.

    A run of the profile ``fast``, or on phantoms, has no results to show. For each of its scores
    this returns the committed scores of the published edition where there are any, marked
    ``published=True``, and the run's own where there are none.

    Parameters
    ----------
    scores : sequence of Scores or Cases
        As `evaluate_once` or `evaluate_masks_once` returned them.
    """
    run = current()
    if run.profile.results and not run.synthetic:
        return list(scores)
    return [_published(each, run) or each for each in scores]


def read_scores(path: Path | str) -> Scores | Cases:
    """Read a file of scores, or of masks judged case by case.

    Raises
    ------
    MedlibError
        Where the file is missing or is not what `write_scores` writes.
    """
    path = Path(path)
    named = _FILE.fullmatch(path.stem)
    if path.suffix != ".csv" or not named:
        raise MedlibError(
            f"{path.name} is no name of a score file: expected model__data__seed0.csv"
        )
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        is_masks = cases.is_cases(named["variant"])
        return (cases.from_columns if is_masks else _from_columns)(columns, path, named)
    except (OSError, ValueError, KeyError, OverflowError, csv.Error) as error:
        raise MedlibError(f"{path} cannot be read as scores: {error}") from error


def write_scores(scores: Scores | Cases, path: Path | str) -> None:
    """Write scores as CSV: ``index[,group],label,p0,p1,...``, the same bytes for the same scores.

    The first column is called ``phantom_index`` where the images were generated, so that a renamed
    or copied file still says so. The file appears whole or not at all.

    Raises
    ------
    MedlibError
        Where scores of phantoms would land in the committed results.
    """
    from medlib.results import write_csv

    path = Path(path)
    committed = paths.package_file("results").resolve()
    if scores.synthetic and committed in path.resolve().parents:
        raise MedlibError(f"{path.name} comes from phantoms: it may not be written to results/")
    write_csv(path, scores.rows() if isinstance(scores, Cases) else _rows(scores))


@dataclass(frozen=True)
class _Look:
    """One look at a test split: its key, and the door it goes through."""

    model_id: str
    data: str
    seed: int
    variant: str
    door: str = "once"
    reason: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("model_id", self.model_id), ("variant", self.variant)):
            if (value or name == "model_id") and not _NAME.fullmatch(value):
                raise MedlibError(
                    f"{name} {value!r} cannot be part of a file name: use letters and digits "
                    f"joined by single '-', '_' or '.'"
                )
        if self.variant == "phantom":
            raise MedlibError("variant 'phantom' is reserved: it marks scores of generated images")

    @property
    def key(self) -> str:
        return f"{self.model_id}, {self.data}, seed {self.seed}, variant {self.variant!r}"


def _evaluate(model: Any, data: "Dataset", look: _Look) -> Scores:
    """Predict, then open the lock: the order keeps a failed prediction from costing the look."""
    from medlib.data import locked
    from medlib.results import log_access

    run = current()
    _refuse_second(run, look)
    probabilities = _predict(model, data, run)
    _looks_of(run).add(look.key)
    # once a phantom was loaded, a model may have learned from it: no score of the run is a result
    synthetic = bool(data.synthetic or run.synthetic)
    log_access(**vars(look))
    labels, probabilities = check_scores(locked.read_test_labels(data), probabilities)
    scores = Scores(
        look.model_id,
        look.data,
        look.seed,
        look.variant,
        labels,
        rounded(probabilities),
        np.asarray(data.test.index),
        data.test.groups,
        synthetic,
    )
    return _kept(scores, run)


def _kept(judged: _Judged, run: Run) -> _Judged:
    """Write what a door has found below the run's folder; return it with its file."""
    path = Path(run.build) / "scores" / run.chapter / judged.filename
    write_scores(judged, path)
    return replace(judged, path=path)


def _evaluate_masks(model: Any, data: "Dataset", look: _Look) -> Cases:
    """Predict masks, then open the lock, as `_evaluate` does for labels."""
    from medlib.data import locked
    from medlib.results import log_access

    run = current()
    _refuse_second(run, look)
    found = _predict_masks(model, data, run)
    _looks_of(run).add(look.key)
    log_access(**vars(look))
    made = Cases(
        look.model_id,
        look.data,
        look.seed,
        look.variant,
        np.asarray(locked.read_test_labels(data)),
        cases.judged(locked.read_test_masks(data), found),
        np.asarray(data.test.index),
        data.test.groups,
        bool(data.synthetic or run.synthetic),
    )
    return _kept(made, run)


def _evaluate_folds(
    method: "Method",
    features: np.ndarray | Callable[[np.ndarray], np.ndarray],
    data: "Dataset",
    look: _Look,
    findings: Sequence[str],
    hide: Mapping[str, Any] | None,
) -> Scores:
    """Open the lock, hide labels, predict fold by fold."""
    from medlib import multilabel
    from medlib.data import locked
    from medlib.results import log_access

    run, parts = current(), (data.train, data.val, data.test)
    _refuse_second(run, look)
    table = features
    if callable(features):
        table = features(np.concatenate([part.images for part in parts]))
    _looks_of(run).add(look.key)
    log_access(**vars(look))
    answers = (data.train.labels, data.val.labels, locked.read_test_labels(data))
    columns = [data.class_names.index(name) for name in findings]
    truth = np.concatenate(answers)[:, columns]
    known = truth
    if hide is not None:
        known = multilabel.hide(truth, **{"seed": look.seed, "features": table, **hide})
    fold, groups, index = _folds(data, truth)
    pooled = multilabel.out_of_fold(method, table, known, groups, seed=look.seed, fold=fold)
    named = look.model_id, look.data, look.seed, look.variant
    synthetic = bool(data.synthetic or run.synthetic)
    scores = Scores(*named, truth, rounded(pooled.probabilities), index, groups, synthetic)
    return _kept(scores, run)


def _folds(data: "Dataset", truth: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Return fold, patient and index of each case: the committed folds, or new ones of phantoms."""
    from medlib.data import splits
    from medlib.multilabel import patient_folds

    parts = (data.train, data.val, data.test)
    named = all(part.groups is not None for part in parts)
    groups = np.concatenate([part.groups for part in parts]) if named else None
    index = np.concatenate([part.index for part in parts])
    committed = None if data.synthetic else splits.read_folds(data.card)
    if committed is None:
        return patient_folds(truth, groups), groups, index
    return committed[index], groups, index


def _refuse_foreign(method: Any) -> None:
    """Refuse what could look at the labels that it learns from: anything but medlib's methods."""
    for each in _learners(method):
        if type(each).__module__.partition(".")[0] not in {"medlib", "sklearn"}:
            raise MedlibError(
                f"evaluate_folds hands labels of the test split to the method that learns: it "
                f"takes those of medlib.multilabel, not {type(each).__name__}"
            )
    if not hasattr(method, "fit"):
        raise MedlibError(f"{type(method).__name__} is no method: it has no fit")


def _learners(held: Any) -> Iterator[Any]:
    """Yield a method and all that it holds that learns, also in tuples and lists."""
    inside: Iterable[Any] = ()
    if hasattr(held, "fit"):
        yield held
        inside = getattr(held, "__dict__", {}).values()
    elif isinstance(held, tuple | list):
        inside = held
    for each in inside:
        yield from _learners(each)


def _refuse_masks(variant: str) -> None:
    if cases.is_cases(variant):
        raise MedlibError(
            f"variant {variant!r} is reserved: it marks masks, which evaluate_masks_once judges"
        )


def _looks_of(run: Run) -> set[str]:
    """Return the keys used in this run; a new `medlib.begin` starts with none."""
    global _looks
    if _looks[0] is not run:
        _looks = (run, set())
    return _looks[1]


def _refuse_second(run: Run, look: _Look) -> None:
    if look.key in _looks_of(run) or (run.resumed and _scored_before(run, look)):
        raise TestSplitUsed(
            f"chapter {run.chapter} has already scored the test split for {look.key}. Use the "
            f"scores that the first call returned; for another model give another model_id; "
            f"to repeat the whole chapter start it again from medlib.begin"
        )


def _scored_before(run: Run, look: _Look) -> bool:
    """Tell whether another process of a long run has scored this key.

    A look whose process died before it wrote the scores has shown nobody anything: it may end.
    """
    key = (look.model_id, look.data, look.seed, look.variant)
    folder = Path(run.build) / "scores" / run.chapter
    names = (paths.score_file(*key, synthetic=synthetic) for synthetic in (False, True))
    return any((folder / name).exists() for name in names)


def _predict(model: Any, data: "Dataset", run: Run) -> np.ndarray:
    """Return the model's probabilities for the test images, checked: (N, K) float64."""
    images, several = data.test.images, data.task == "multi-label"
    probabilities = np.asarray(_predictor(model, data, run)(images), dtype=np.float64)
    check_probabilities(probabilities, len(images), several=several)
    if probabilities.shape[1] != data.num_classes:
        raise MedlibError(
            f"the model gives {probabilities.shape[1]} columns, but {data.name} has "
            f"{data.num_classes} classes"
        )
    return probabilities


def _predictor(model: Any, data: "Dataset", run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """Find the way to call a model: network, estimator or function."""
    if "torch" in sys.modules and isinstance(model, sys.modules["torch"].nn.Module):
        from medlib.train import predict_proba

        return lambda images: predict_proba(model, images, task=data.task, device=run.device)
    if hasattr(model, "predict_proba"):
        return model.predict_proba
    if callable(model):
        return model
    raise MedlibError(
        f"cannot score a {type(model).__name__}: expected a torch module, an object with "
        f"predict_proba(images), or a function of the images"
    )


def _predict_masks(model: Any, data: "Dataset", run: Run) -> np.ndarray:
    """Return the model's lesions in the test images, checked: (N, H, W) bool."""
    if not data.card.masks or data.task == "multi-label":
        raise MedlibError(
            f"{data.name} has no masks with one label an image: evaluate_masks_once needs a set "
            f"such as busi128, for labels there is evaluate_once"
        )
    images = data.test.images
    found = np.asarray(_masker(model, run)(images))
    shape = (len(images), *images.shape[2:])
    if found.shape != shape or not (found.dtype == bool or np.issubdtype(found.dtype, np.integer)):
        raise MedlibError(
            f"the model gives {found.dtype} {found.shape}, expected masks {shape} of bool or class "
            f"numbers: compare probabilities with a threshold first"
        )
    return found > 0


def _masker(model: Any, run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """Find the way to get masks from a model: network, object or function."""
    if "torch" in sys.modules and isinstance(model, sys.modules["torch"].nn.Module):
        from medlib.train import predict_masks

        return lambda images: predict_masks(model, images, device=run.device)
    if hasattr(model, "predict_masks"):
        return model.predict_masks
    if callable(model):
        return model
    raise MedlibError(
        f"cannot get masks from a {type(model).__name__}: expected a torch module, an object with "
        f"predict_masks(images), or a function of the images"
    )


def _published(scores: Scores | Cases, run: Run) -> Scores | Cases | None:
    """Return the committed scores under the same key, or None."""
    name = replace(scores, synthetic=False).filename
    for profile in dict.fromkeys((run.profile.name, "cpu")):
        path = paths.package_file(f"results/{profile}/scores/{run.chapter}/{name}")
        if path.is_file():
            return replace(read_scores(path), published=True)
    return None


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """Round to what the file keeps: six significant digits of p or of 1 - p, the smaller.

    A sure network gives many probabilities just below one; plain rounding would turn them into
    ties and change the AUC.
    """
    text = [_number(value) for value in np.asarray(probabilities).ravel()]
    return np.array(text, dtype=np.float64).reshape(np.shape(probabilities))


def _number(value: float) -> str:
    gap = 1 - value
    if not 0 < gap < 0.5:
        return f"{value:.6g}"
    return f"{value:.{min(15, 5 - math.floor(math.log10(gap)))}f}".rstrip("0")


def _rows(scores: Scores) -> Iterable[list]:
    """Yield the header and the rows of the file."""
    labels = scores.labels.reshape(len(scores.labels), -1)
    several = scores.labels.ndim == 2
    names = [f"label{k}" for k in range(labels.shape[1])] if several else ["label"]
    grouped = scores.groups is not None
    first = "phantom_index" if scores.synthetic else "index"
    columns = scores.probabilities.shape[1]
    yield [first, *(["group"] if grouped else []), *names, *(f"p{k}" for k in range(columns))]
    for row, index in enumerate(scores.index):
        group = [scores.groups[row]] if grouped else []
        yield [index, *group, *labels[row], *map(_number, scores.probabilities[row])]


def _from_columns(columns: dict[str, tuple[str, ...]], path: Path, named: re.Match) -> Scores:
    """Build scores from the columns of a file and the parts of its name."""
    synthetic = "phantom_index" in columns
    label_names = [name for name in columns if name.startswith("label")]
    probability_names = [name for name in columns if re.fullmatch(r"p\d+", name)]
    labels = np.array([columns[name] for name in label_names], dtype=np.int64).T
    probabilities = np.array([columns[name] for name in probability_names], dtype=np.float64).T
    labels, probabilities = check_scores(
        labels[:, 0] if label_names == ["label"] else labels, probabilities
    )
    index = columns["phantom_index" if synthetic else "index"]
    groups = np.array(columns["group"]) if "group" in columns else None
    return Scores(
        named["model_id"],
        named["data"],
        int(named["seed"]),
        named["variant"] or "",
        labels,
        probabilities,
        np.array(index, dtype=np.int64),
        groups,
        synthetic,
        path,
    )
