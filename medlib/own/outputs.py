"""The files beside the report: cases, predictions, a summary; and the check of the ONNX model."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medlib.evaluate import Scores
from medlib.own.reading import Pictures
from medlib.results import write_csv, write_json

if TYPE_CHECKING:
    from medlib.own.report import Result
    from medlib.saved import SavedModel

__all__ = ["onnx_gap", "quietly", "write_cases", "write_predictions", "write_summary"]


def write_cases(path: Path, pictures: Pictures, rows: Mapping[str, np.ndarray]) -> None:
    """Write which file is which case, on which side of the split, and what was left out."""
    side = {int(row): name for name, part in rows.items() for row in part}
    lines = [
        [row + 1, case.shown, "; ".join(case.labels), case.patient or "", side[row], ""]
        for row, case in enumerate(pictures.cases)
    ]
    lines += [["", s.shown, "", "", "not used", s.why] for s in pictures.skipped]
    write_csv(path, [["case", "file", "label", "patient", "part", "why not used"], *lines])


def write_predictions(
    path: Path, pictures: Pictures, scores: Scores, classes: Sequence[str]
) -> None:
    """Write the probabilities of each test picture, as ``medlib predict --csv`` does."""
    lines = []
    for row, values in zip(scores.index, scores.probabilities, strict=True):
        case = pictures.cases[row]
        numbers = [f"{value:.6g}" for value in values]
        lines.append([row + 1, case.shown, "; ".join(case.labels), *numbers])
    write_csv(path, [["case", "file", "label", *classes], *lines])


def write_summary(path: Path, result: "Result") -> dict[str, Any]:
    """Write and return what was done, for programs."""
    summary = {
        "schema": 1,
        "data": result.found.title,
        "classes": list(result.found.classes),
        "task": result.saved.task,
        "parts": {name: len(part) for name, part in result.rows.items()},
        "audit": result.audit.to_dict(),
        "candidates": {
            one.name: {"validation_auc": _finite(one.validation_auc), "seconds": one.seconds}
            for one in result.trained
        },
        "chosen": result.chosen.name,
        "test": result.appraisal.to_dict() | {"scores": "model-test"},
        "onnx": result.exported,
        "seconds": round(result.seconds, 1),
    }
    write_json(path, summary)
    return summary


def onnx_gap(saved: "SavedModel", path: Path, images: np.ndarray) -> float | None:
    """Return by how much the probabilities of the ONNX file differ at most; None without a runtime.

    Parameters
    ----------
    saved : SavedModel
        The model that was exported.
    path : Path
        The ONNX file.
    images : ndarray
        ``(N, C, S, S)`` uint8.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images})[0]
    return float(np.abs(found - saved.predict_proba(images)).max())


def quietly(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function whose libraries talk to the terminal, and keep their talk away."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return function(*arguments)
    finally:
        logging.disable(logging.NOTSET)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
