"""All of it in order: find, read, audit, split, train, choose on validation, test once, report."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medlib.appraisal import Appraisal, appraisal_on_record, appraise_test_once
from medlib.data import Dataset
from medlib.data.own import own_dataset
from medlib.errors import MedlibError
from medlib.evaluate import Scores, read_scores
from medlib.leftovers import sweep
from medlib.own import outputs
from medlib.own.audit import Audit, audit, labels_of, without_copies
from medlib.own.candidates import FOLDERS, WAYS, Candidate
from medlib.own.cases import Found, OwnDataError
from medlib.own.finding import find_cases
from medlib.own.reading import Pictures, read_cases, usual_sizes
from medlib.own.report import Result, write_report
from medlib.own.splitting import patients_of, split_pictures
from medlib.project import Plan
from medlib.saved import FILE, SavedModel, SavedModelError, export_onnx, load_model

__all__ = ["Options", "audit_only", "train_on_own"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a reader may decide.

    Attributes
    ----------
    plan : Plan
        Network, recipe, seed and device of the training from scratch.
    ways : tuple of {"scratch", "features"}
        Which trainings are compared.
    size : int or None
        Side length of the pictures; None follows the files.
    fit : {"squeeze", "crop", "pad"}
        What becomes of pictures that are not square.
    patient_folders : bool
        Whether the folders inside a class name patients.
    positive : str or None
        Of two classes, the positive one.
    slices : int
        How many slices of each volume are used.
    resume : bool
        Whether to go on with what the folder holds.
    resamples : int
        Of the bootstrap behind the intervals.
    """

    plan: Plan = field(default_factory=Plan)
    ways: tuple[str, ...] = ("scratch", "features")
    size: int | None = None
    fit: str = "squeeze"
    patient_folders: bool = False
    positive: str | None = None
    slices: int = 3
    resume: bool = False
    resamples: int = 2_000


def audit_only(path: Path | str, options: Options, say: Say = lambda text: None) -> Audit:
    """Find and audit pictures, and learn nothing from them; arguments as `train_on_own`."""
    found, pictures = _looked_through(Path(path), options, say)
    return audit(pictures, found.classes, found.notes)


def train_on_own(
    path: Path | str, out: Path | str, options: Options, say: Say = lambda text: None
) -> dict[str, Any]:
    """Train on a reader's own pictures, test once, and write everything into a folder.

    Parameters
    ----------
    path : Path or str
        A folder with a folder for each class, or a table (CSV).
    out : Path or str
        Where model, report and tables go; made where it is missing.
    options : Options
        Everything else.
    say : callable
        Takes a line of progress.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    OwnDataError
        Where the pictures cannot be used as they are; the message says what to do.
    MedlibError
        Where the folder holds another training, or cannot be written.
    """
    path, out, started = Path(path), Path(out), time.perf_counter()
    _check_out(path, out, options)
    found, pictures = _looked_through(path, options, say)
    labels = labels_of(pictures.cases, found.classes, found.multi_label)
    rows = split_pictures(pictures, labels, found.classes, options.plan.seed)
    looked = audit(pictures, found.classes, found.notes)
    say(f"{len(pictures.cases)} pictures: " + ", ".join(f"{k} {len(v)}" for k, v in rows.items()))
    sets = _data_sets(found, pictures, labels, rows)
    outputs.write_cases(out / "cases.csv", pictures, rows)
    trained = _trained(sets, out, options, say)
    chosen = _chosen(trained, out, say)
    saved = load_model(out)
    appraisal, scores = _tested_once(saved, chosen.data, options, say)
    outputs.write_predictions(out / "test-predictions.csv", pictures, scores, found.classes)
    exported = _exported(saved, chosen.data, out, say)
    seconds = time.perf_counter() - started
    result = Result(found, pictures, looked, rows, labels_per_part(sets, scores), trained, chosen,
                    saved, appraisal, scores, exported, seconds, options.resamples)  # fmt: skip
    say("writing the report")
    summary = outputs.write_summary(out / "summary.json", result)
    write_report(out / "report.html", result)  # last: it says "finished"
    sweep(out, deep=True)
    return summary


def labels_per_part(sets: dict[int, Dataset], scores: Scores) -> dict[str, np.ndarray]:
    """Return the labels of each part, those of the test part from the one look at it."""
    data = next(iter(sets.values()))
    return {"train": data.train.labels, "val": data.val.labels, "test": scores.labels}


def _looked_through(path: Path, options: Options, say: Say) -> tuple[Found, Pictures]:
    """Find and read all pictures, copies left out."""
    found = find_cases(
        path,
        patient_folders=options.patient_folders,
        positive=options.positive,
        slices=options.slices,
    )
    say(f"found {len(found.cases)} pictures of {len(found.classes)} classes in {found.title}")
    sizes = tuple(dict.fromkeys(usual_sizes(found, options.size)))
    pictures = without_copies(read_cases(found, sizes, fit=options.fit))
    _refuse_lost_classes(found, pictures)
    return found, pictures


def _refuse_lost_classes(found: Found, pictures: Pictures) -> None:
    left = {label for case in pictures.cases for label in case.labels}
    lost = [name for name in found.classes if name not in left]
    if lost:
        why = pictures.skipped[0]
        raise OwnDataError(
            f"no usable picture of {', '.join(lost)} is left; the first file left out, "
            f"{why.shown}: {why.why}"
        )


def _data_sets(
    found: Found, pictures: Pictures, labels: np.ndarray, rows: dict[str, np.ndarray]
) -> dict[int, Dataset]:
    """Make a data set for each size of the pictures."""
    groups = patients_of(pictures, np.arange(len(pictures.cases)))
    return {
        size: own_dataset(
            images, labels, rows, title=found.title, classes=found.classes, groups=groups
        )
        for size, images in pictures.images.items()
    }


def _trained(
    sets: dict[int, Dataset], out: Path, options: Options, say: Say
) -> tuple[Candidate, ...]:
    """Train each way; the smaller pictures are for the training from scratch."""
    found = []
    extra = {"fit": options.fit, "slices": options.slices}
    for way in options.ways:
        data = sets[min(sets) if way == "scratch" else max(sets)]
        say(f"training: {FOLDERS[way].replace('-', ' ')}")
        one = WAYS[way](data, out / FOLDERS[way], options.plan, resume=options.resume, extra=extra)
        say(f"validation AUC {one.validation_auc:.3f} after {one.seconds:.0f} s")
        found.append(one)
    return tuple(found)


def _chosen(trained: tuple[Candidate, ...], out: Path, say: Say) -> Candidate:
    """Take the candidate with the higher validation AUC, and put its model where it is used."""
    chosen = max(trained, key=lambda one: one.validation_auc)
    if len(trained) > 1:
        say(f"chosen on validation: {FOLDERS[chosen.name].replace('-', ' ')}")
    shutil.copyfile(chosen.folder / FILE, out / FILE)
    return chosen


def _tested_once(
    saved: SavedModel, data: Dataset, options: Options, say: Say
) -> tuple[Appraisal, Scores]:
    """Score the chosen model on the test pictures, on record."""
    say("testing, once")
    found = appraisal_on_record(saved, data, resamples=options.resamples)  # resumed after it
    found = found or appraise_test_once(saved, data, resamples=options.resamples)
    return found, read_scores(found.scores)


def _exported(saved: SavedModel, data: Dataset, out: Path, say: Say) -> str:
    """Write the model as ONNX and compare it; return a sentence for the report."""
    say("exporting to ONNX")
    path = out / "model.onnx"
    try:
        outputs.quietly(export_onnx, saved, path)
    except SavedModelError as error:
        return f"No ONNX file was written: {error}"
    gap = outputs.onnx_gap(saved, path, data.test.images[:64])
    if gap is None:
        return "model.onnx holds the same model for other programs (not compared: no onnxruntime)."
    return (
        f"model.onnx holds the same model for other programs; its probabilities differ from those "
        f"of model.pt by {gap:.1g} at most."
    )


def _check_out(path: Path, out: Path, options: Options) -> None:
    """Refuse a folder that lies among the pictures, or holds a finished training."""
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise OwnDataError(f"{out} lies inside {path}, where it would be taken for a class: choose "
                           "a folder elsewhere")  # fmt: skip
    if (out / "report.html").exists():
        raise MedlibError(f"{out} already holds a finished training and its report: choose another "
                          "folder")  # fmt: skip
    if (out / FILE).exists() and not options.resume:
        raise MedlibError(f"{out} already holds a trained model: choose another folder")
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".writable").touch()
        (out / ".writable").unlink()
        if new:
            out.rmdir()  # so that pictures that cannot be used leave no empty folder behind
    except OSError as error:
        raise MedlibError(
            f"cannot write to {out}: {error.strerror or error}: choose another folder"
        ) from error
