"""The report: one HTML file on what was looked at, what was learned, and how far to trust it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from medlib.appraisal import Appraisal
from medlib.evaluate import Scores
from medlib.metrics import auc, over_labels
from medlib.own import drawings, page
from medlib.own.audit import Audit
from medlib.own.candidates import FOLDERS, Candidate
from medlib.own.cases import Found
from medlib.own.reading import Pictures
from medlib.results import write_text
from medlib.saved import SavedModel

__all__ = ["NO_DEVICE", "Result", "write_report"]

NO_DEVICE = (
    "This model is no medical device. It was made for learning and research, was tested on the "
    "pictures described here and on no others, and must not be used to decide anything about a "
    "patient."
)
MOST_LISTED = 500  # files left out that the report names; cases.csv names all
PARTS = {"train": "training", "val": "validation", "test": "test"}
MEANING = {
    "auc": "chance that a positive picture gets the higher score",
    "average_precision": "mean precision over the positive pictures",
    "accuracy": "share of right answers",
    "sensitivity": "share of the positive pictures that are found",
    "specificity": "share of the negative pictures that are called so",
    "balanced_accuracy": "mean over the classes of the share found",
    "f1": "mean of precision and sensitivity",
    "brier": "squared distance of probability and truth: lower is better",
    "expected_calibration_error": "gap of stated and true frequency: lower is better",
}
BASELINE_WORDS = {
    "constant": "shares of the classes",
    "histogram": "brightness alone",
    "neighbours": "similar pictures",
}


@dataclass(frozen=True)
class Result:
    """All that the report is made of.

    Attributes
    ----------
    found : Found
        The cases as they were found.
    pictures : Pictures
        Those that are used.
    audit : Audit
        What was noticed.
    rows : dict of str to ndarray
        Rows of ``train``, ``val`` and ``test``.
    labels : dict of str to ndarray
        Labels of each part.
    trained : tuple of Candidate
        What was compared on validation.
    chosen : Candidate
        What was tested.
    saved : SavedModel
        The model of the chosen candidate.
    appraisal : Appraisal
        Scores with intervals, and baselines.
    scores : Scores
        Of each test picture.
    exported : str
        A sentence on the ONNX file.
    seconds : float
        Of everything before the report.
    resamples : int
        Of the bootstrap.
    """

    found: Found
    pictures: Pictures
    audit: Audit
    rows: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    trained: tuple[Candidate, ...]
    chosen: Candidate
    saved: SavedModel
    appraisal: Appraisal
    scores: Scores
    exported: str
    seconds: float
    resamples: int = 2_000


def write_report(path: Path, result: Result) -> None:
    """Write the report as one file without foreign resources.

    Parameters
    ----------
    path : Path
        The HTML file.
    result : Result
        What it tells.
    """
    title = f"Report: a classifier learned from {result.found.title}"
    body = (
        *_summary(result),
        page.section("What was looked at", _looked_at(result)),
        page.section("How it was trained", _training(result)),
        page.section("The one test", _test(result)),
        page.section("The gravest errors", [drawings.worst(result)]),
        page.section("Model card", _card(result)),
        page.section("How to use it", _use(result)),
    )
    write_text(path, page.page(title, body))


# ---------------------------------------------------------------- sections


def _summary(result: Result) -> Iterator[str]:
    count, patients = len(result.scores.labels), _patients(result)
    of = f"{count} test pictures" + (f" of {patients} patients" if patients else "")
    line = _headline(result)
    yield page.paragraph(f"{line} That was measured once, on {of} that the model had never met.",
                         "lead")  # fmt: skip
    beside = result.appraisal.baselines
    known = [(n, v["auc"]) for n, v in beside.items() if "auc" in v and n != "constant"]
    if known and "auc" in result.appraisal.model:
        name, value = max(known, key=lambda pair: pair[1])
        yield page.paragraph(
            f"Beside it: what every model must beat, {BASELINE_WORDS[name]}, reaches {value:.3f}, "
            "and guessing 0.500."
        )
    yield f'<div class="box warn">{page.paragraph(NO_DEVICE)}</div>'
    if result.audit.warnings:
        words = page.as_list(result.audit.warnings)
        yield f'<div class="box warn"><p>Read this first:</p>{words}</div>'


def _headline(result: Result) -> str:
    if "auc" not in result.appraisal.model:
        return "No area under the ROC curve can be given: a class is missing in the test part."
    value, low, high = result.appraisal.model["auc"]
    interval = "" if low is None else f" (95 % interval {low:.3f} to {high:.3f})"
    area = "Area under the ROC curve"
    if len(result.found.classes) > 2 or result.found.multi_label:
        area += f", mean over the {'findings' if result.found.multi_label else 'classes'}"
    return f"{area}: {value:.3f}{interval}."


def _looked_at(result: Result) -> Iterator[str]:
    found = result.audit
    yield page.paragraph(
        f"{found.pictures} pictures are used"
        + f"{_of_whom(found)}; {len(found.skipped)} files or lines were left out."
    )
    yield page.table(
        ("class" if not result.found.multi_label else "finding", *PARTS.values(), "all"),
        list(_counts(result)),
        "Pictures of each class in each part of the split",
    )
    yield page.paragraph(
        f"Width {_range(found.widths)}, height {_range(found.heights)} pixels (least, median, "
        f"most). In nine of ten pictures the mean brightness is {found.brightness[0]:g} to "
        f"{found.brightness[2]:g} of 255, the contrast (standard deviation) {found.contrast[0]:g} "
        f"to {found.contrast[2]:g}."
    )
    yield page.as_list(f"{count} pictures: {change}" for change, count in found.changes)
    yield _left_out(result)


def _left_out(result: Result) -> str:
    skipped = result.audit.skipped
    if not skipped:
        return page.paragraph("No file was left out.")
    rows = [(one.shown, one.why) for one in skipped[:MOST_LISTED]]
    listed = page.table(("file or line", "why"), rows, "What was left out, and why")
    more = len(skipped) - len(rows)
    tail = page.paragraph(f"and {more} others: cases.csv names all") if more else ""
    return page.folded(f"What was left out ({len(skipped)})", listed + tail)


def _training(result: Result) -> Iterator[str]:
    yield page.paragraph(
        "The training pictures were learned from, the validation pictures chose, and the test "
        "pictures were not touched until the end. " + _split_words(result)
    )
    rows = [
        (FOLDERS[one.name].replace("-", " "), one.about, _number(one.validation_auc),
         "tested" if one is result.chosen else "")
        for one in result.trained
    ]  # fmt: skip
    columns = ("training", "what it is", "validation AUC", "")
    yield page.table(columns, rows, "Trainings compared on validation")
    if len(result.trained) > 1:
        yield page.paragraph(
            "The validation score of the pretrained one is flattered a little: how much its line "
            "is held back was chosen on the same pictures.",
            "soft",
        )
    yield drawings.curves(result)


def _split_words(result: Result) -> str:
    given = any(case.split for case in result.pictures.cases)
    who = "The reader made the split" if given else "medlib made the split"
    if result.audit.patients:
        rest = result.audit.unnamed
        single = f" {rest} pictures name no patient and were split one by one." if rest else ""
        return f"{who}; all pictures of a patient are on one side.{single}"
    return f"{who} picture by picture, since no patient is named."


def _test(result: Result) -> Iterator[str]:
    names = list(result.appraisal.baselines)
    rows = []
    for metric, (value, low, high) in result.appraisal.model.items():
        beside = [_number(result.appraisal.baselines[n].get(metric, math.nan)) for n in names]
        interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
        words = metric.replace("_", " ") if metric != "auc" else "AUC"
        rows.append([words, MEANING.get(metric, ""), _number(value), interval, *beside])
    beside = (BASELINE_WORDS[name] for name in names)
    columns = ("measure", "what it is", "model", "95 % interval", *beside)
    yield page.table(columns, rows, "Scores on the test pictures")
    yield page.paragraph(
        f"Intervals resample {drawings.unit_words(result.scores)}: they say how much another test "
        "set of the same kind could differ. They say nothing of pictures from another hospital or "
        "device. Decisions (sensitivity and the like) are taken at a probability of one half.",
        "soft",
    )
    if result.found.multi_label:
        yield _each_finding(result)
    yield drawings.roc(result)
    yield drawings.confusion(result)
    yield drawings.calibration(result)


def _each_finding(result: Result) -> str:
    values = over_labels(auc, result.scores.labels, result.scores.probabilities)
    rows = [
        (name, int(result.scores.labels[:, k].sum()), _number(values[k]))
        for k, name in enumerate(result.found.classes)
    ]
    return page.table(("finding", "test pictures with it", "AUC"), rows, "AUC of each finding")


def _card(result: Result) -> Iterator[str]:
    record = result.saved.provenance
    classes = ", ".join(result.found.classes)
    task = result.saved.task
    positive = f"; {result.found.classes[1]} counts as positive" if task == "binary" else ""
    versions = ", ".join(f"{name} {v}" for name, v in record["versions"].items())
    rows = [
        ("purpose", "learning and research; no medical device, no use on patients"),
        ("task", f"{task}: {classes}{positive}"),
        ("pictures", f"{result.found.title}: " + ", ".join(
            f"{len(result.rows[k])} for {words}" for k, words in PARTS.items())),
        ("model", result.chosen.about),
        ("parameters", f"{record['parameters']:,}"),
        ("pictures are brought to", _brought(result)),
        ("seed", str(record["seed"])),
        ("weights (sha256)", " ".join(result.saved.digest[k : k + 16] for k in range(0, 64, 16))),
        ("made with", versions),
        ("date", datetime.now(UTC).strftime("%Y-%m-%d")),
        ("time", f"{result.seconds:.0f} s for everything before this report"),
    ]  # fmt: skip
    if "pretrained" in record:
        source = record["pretrained"]
        rows.insert(4, ("pretrained part", f"{source['source']}; {source['licence']}"))
    yield page.table(("entry", "value"), rows, "Model card")
    yield page.paragraph("What this report does not show:")
    yield page.as_list(_limits(result))


def _limits(result: Result) -> Iterator[str]:
    yield "how the model does on pictures of another hospital, device, or group of patients"
    yield "whether it helps anybody who decides"
    yield "whether the labels are right: the model was held against them, errors included"
    if len(result.trained) > 1:
        yield "how the other training would have tested: it was dropped on validation"
    yield "how much another seed or another split would move the scores"
    yield from result.appraisal.notes


def _use(result: Result) -> Iterator[str]:
    yield page.paragraph("The probabilities of new pictures, the same as in this report:")
    yield "<pre><code>medlib predict THIS-FOLDER pictures/ --csv scores.csv</code></pre>"
    yield page.paragraph(result.exported)
    yield page.as_list(
        [
            "model.pt: the model; model.onnx: the same for other programs",
            "cases.csv: which file is which case, its part of the split, and what was left out",
            "test-predictions.csv: the probabilities of each test picture",
            "test-access.json: when the test pictures were looked at",
            "summary.json: this report for programs",
        ]
    )


# ---------------------------------------------------------------- words and numbers


def _counts(result: Result) -> Iterator[list[object]]:
    for k, name in enumerate(result.found.classes):
        each = []
        for part in PARTS:
            labels = result.labels[part]
            each.append(int((labels == k).sum() if labels.ndim == 1 else labels[:, k].sum()))
        yield [name, *each, sum(each)]
    each = [len(result.rows[part]) for part in PARTS]
    yield ["all pictures", *each, sum(each)]


def _patients(result: Result) -> int:
    """Return the patients of the test pictures; 0 where some of the pictures name none."""
    groups = result.scores.groups
    return 0 if groups is None or result.audit.unnamed else len(np.unique(groups))


def _of_whom(found: Audit) -> str:
    if not found.patients:
        return ", of unknown patients"
    rest = f" and, {found.unnamed} of them, of unknown ones" if found.unnamed else ""
    return f", of {found.patients} patients{rest}"


def _brought(result: Result) -> str:
    data, fit = result.chosen.data, result.saved.provenance.get("fit", "squeeze")
    colour = "grey" if data.in_channels == 1 else "colour"
    return f"{data.image_size} x {data.image_size} pixels, {colour}; not square: {fit}"


def _range(values: tuple[int, int, int]) -> str:
    return " / ".join(map(str, values))


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
