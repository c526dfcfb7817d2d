"""The figures of the report, each with what it shows in words."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from medlib import plots
from medlib.errors import MedlibError
from medlib.own import page
from medlib.own.candidates import history_of
from medlib.plots.decisions import confusion_counts
from medlib.plots.shown import estimate, written

if TYPE_CHECKING:
    from medlib.evaluate import Scores
    from medlib.own.report import Result

__all__ = ["calibration", "confusion", "curves", "roc", "worst", "worst_rows"]

WORST, BESIDE = 8, 4  # pictures of errors that are shown, and how many side by side
WIDE = 20  # letters of a line above a picture
ERRORS = (
    "These are the errors of which the model was surest. Above is the picture as the model sees "
    "it; below, bright where Grad-CAM finds what spoke for the wrong answer. A map shows what the "
    "score depends on, not whether that is a good reason. cases.csv says which case is which file."
)


def curves(result: "Result") -> str:
    """Draw losses and validation scores of the training from scratch; nothing without one."""
    scratch = next((one for one in result.trained if one.name == "scratch"), None)
    history = history_of(scratch.folder) if scratch else None
    if history is None or not any("val_auc" in epoch for epoch in history.epochs):
        return ""
    first, last = history.epochs[0], history.best
    alt = (
        f"Two curves over {len(history.epochs)} epochs: the training loss goes from "
        f"{first['train_loss']:.2f} to {last['train_loss']:.2f}; the validation AUC ends at "
        f"{last.get('val_auc', float('nan')):.3f}."
    )
    caption = (
        "The training from scratch, epoch by epoch. A validation loss that rises while the "
        "training loss falls means that pictures are learned by heart. A dot marks the epoch that "
        "was kept."
    )
    return page.figure(plots.training_curves({"from scratch": history}).png(), alt, caption)


def roc(result: "Result") -> str:
    """Draw the ROC curve of the test pictures with its band."""
    scores = result.scores
    words = written(estimate([scores], "auc", result.resamples))
    try:
        drawn = plots.roc({"model": scores}, title="ROC curve, test pictures")
    except MedlibError:
        return page.paragraph("There is no ROC curve: a class is missing among the test pictures.")
    alt = f"ROC curve of the test pictures, with a shaded band; the area below it is {words}."
    caption = (
        "ROC curve. Sensitivity against the share of false alarms, for every threshold. Area "
        f"{words}, with a 95 % interval by resampling {unit_words(scores)}. The dotted line is "
        "guessing."
    )
    return page.figure(drawn.png(), alt, caption)


def confusion(result: "Result") -> str:
    """Draw the confusion matrix; a table of findings where a case may carry several."""
    scores, classes = result.scores, result.found.classes
    if scores.labels.ndim == 2:
        return _findings(scores, classes)
    counts = confusion_counts(scores.labels, scores.probabilities)
    drawn = plots.confusion(scores, classes, title="Confusion, test pictures")
    lines = "; ".join(
        f"of {counts[k].sum()} pictures of {name}, {counts[k, k]} are called so"
        for k, name in enumerate(classes)
    )
    caption = "Confusion matrix. Rows are what the pictures are, columns what the model calls them."
    return page.figure(drawn.png(), f"Confusion matrix: {lines}.", caption)


def calibration(result: "Result") -> str:
    """Draw how often probabilities come true."""
    error = estimate([result.scores], "expected_calibration_error", result.resamples)
    drawn = plots.reliability({"model": result.scores}, title="Calibration, test pictures")
    alt = (
        "Reliability diagram: stated probability against how often it came true, with intervals; "
        f"expected calibration error {written(error)}."
    )
    caption = (
        "Calibration. Dots on the diagonal: of the pictures to which the model gives 80 %, 80 % "
        "are positive. Dots below it: the model is too sure. A probability of this model is no "
        "risk of a patient."
    )
    return page.figure(drawn.png(), alt, caption)


def worst(result: "Result") -> str:
    """Draw the gravest errors with Grad-CAM; pictures with burned-in text are never shown."""
    rows = worst_rows(result)
    if not len(rows):
        return page.paragraph("No error can be shown: there is none, or each has burned-in text.")
    parts = [rows[k : k + BESIDE] for k in range(0, len(rows), BESIDE)]
    return "\n".join([*(_errors(result, part) for part in parts), page.paragraph(ERRORS)])


def worst_rows(result: "Result") -> np.ndarray:
    """Return the rows of the scores with the gravest errors that may be shown, the worst first."""
    scores, facts = result.scores, result.pictures.facts
    truth = scores.labels
    if truth.ndim == 1:
        truth = np.eye(scores.probabilities.shape[1], dtype=int)[truth]
    gap = np.abs(truth - scores.probabilities).max(axis=1)
    order = np.argsort(-gap, kind="stable")
    wrong = _is_wrong(scores)
    shown = [r for r in order if wrong[r] and not facts[scores.index[r]].burned_in]
    return np.array(shown[:WORST], dtype=int)


def unit_words(scores: "Scores") -> str:
    """Say what an interval resamples."""
    return "pictures" if scores.groups is None else "whole patients"


def _errors(result: "Result", rows: np.ndarray) -> str:
    """Draw a row of errors, with maps where the network has any."""
    place, target, titles = _described(result, rows)
    images = result.chosen.data.test.images[place]
    maps = _maps(result, images, target)
    if maps is None:
        drawn = plots.image_grid(images, titles, columns=BESIDE)
    else:
        drawn = plots.heatmaps(images, maps, dataset=None, titles=titles)
    said = "; ".join(title.replace("\n", " ") for title in titles)
    alt = f"Errors among the test pictures, with maps of where the model looked: {said}."
    caption = f"Cases {', '.join(str(int(i) + 1) for i in result.scores.index[rows])}."
    return page.figure(drawn.png(), alt, caption)


def _is_wrong(scores: "Scores") -> np.ndarray:
    if scores.labels.ndim == 2:
        return ((scores.probabilities > 0.5) != scores.labels).any(axis=1)
    return scores.probabilities.argmax(axis=1) != scores.labels


def _described(result: "Result", rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return place in the test split, the wrong answer and a title of each error."""
    scores, classes = result.scores, result.found.classes
    order = {int(index): place for place, index in enumerate(result.chosen.data.test.index)}
    place = np.array([order[int(scores.index[row])] for row in rows])
    target, titles = [], []
    for row in rows:
        p, case = scores.probabilities[row], int(scores.index[row]) + 1
        if scores.labels.ndim == 1:
            said = int(p.argmax())
            is_so = fill(f"is {classes[scores.labels[row]]}", WIDE)
            words = f"{is_so}\n{fill(f'said {classes[said]}, {p[said]:.2f}', WIDE)}"
        else:
            said = int(np.abs(p - scores.labels[row]).argmax())
            words = fill(f"{classes[said]}: {'yes' if scores.labels[row, said] else 'no'}", WIDE)
            words += f"\nsaid {p[said]:.2f}"
        target.append(said)
        titles.append(f"case {case}\n{words}")
    return place, np.array(target), titles


def _maps(result: "Result", images: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Return Grad-CAM maps; None for a network that has none."""
    from medlib import explain

    try:
        return explain.explain(
            result.saved.module,
            images,
            method="grad_cam",
            target=target,
            task=result.saved.task,
            output="log_odds",
        )
    except MedlibError:
        return None


def _findings(scores: "Scores", classes: Sequence[str]) -> str:
    """Return a table of the decisions of each finding at one half."""
    called = scores.probabilities > 0.5
    rows = []
    for k, name in enumerate(classes):
        there = scores.labels[:, k] == 1
        rows.append(
            [
                name,
                int((called[:, k] & there).sum()),
                int((~called[:, k] & there).sum()),
                int((called[:, k] & ~there).sum()),
                int((~called[:, k] & ~there).sum()),
            ]
        )
    columns = ("finding", "found", "missed", "false alarms", "rightly left out")
    return page.table(columns, rows, "Decisions at a probability of one half, finding by finding")
