"""Mask-then-classify in the long runs: find the lesion, measure its signs, classify the signs.

Nothing here sees a test image. Whether the classifier is better fitted on the masks that the
network finds in the training images, which it has learned by heart, or on the true ones, is decided
on validation; both are kept in the record, with what the signs are worth on masks made worse.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from torch import nn

from medlib import metrics, segmentation
from medlib.data import Dataset, Split
from medlib.predict import predict_masks
from medlib.shapes import SIGNS, describe, shape_classifier

FOUND, TRUE = "found", "true"
BENIGN, MALIGNANT = "benign", "malignant"
WORSE: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "eroded": lambda mask, n: ndimage.binary_erosion(mask, iterations=n),
    "dilated": lambda mask, n: ndimage.binary_dilation(mask, iterations=n),
    "shifted": lambda mask, n: ndimage.shift(mask.astype(np.uint8), (0, n), order=0) > 0,
    "smoothed": lambda mask, n: ndimage.gaussian_filter(mask.astype(np.float64), n) > 0.5,
}
PIXELS = (0, 1, 2, 4, 8)


@dataclass(frozen=True)
class ShapesOfMasks:
    """A segmenter, and a classifier of the signs of the lesions that it finds."""

    network: nn.Module
    classifier: Any

    def masks(self, images: np.ndarray) -> np.ndarray:
        """Return where the network sees a lesion, ``(N, H, W)`` bool."""
        return predict_masks(self.network, images) > 0

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, ``(N, K)``."""
        return self.classifier.predict_proba(describe(images, self.masks(images)).values)


def fitted(network: nn.Module, data: Dataset, seed: int) -> tuple[ShapesOfMasks, dict[str, Any]]:
    """Fit a classifier on found and one on true masks; keep the one that validation prefers.

    Returns
    -------
    model, details
        The details: ``fitted_on``, ``fits`` (for each kind of masks: C, weights, validation),
        ``alone`` (AUC of each sign, malignant against benign), ``worsened`` and ``cases``.
    """
    masks = {split: _masks(network, getattr(data, split)) for split in ("train", "val")}
    tables = {
        split: {kind: describe(getattr(data, split).images, m).values for kind, m in kinds.items()}
        for split, kinds in masks.items()
    }
    models = {
        k: shape_classifier(seed).fit(t, data.train.labels) for k, t in tables["train"].items()
    }
    fits = {kind: _fit(model, tables["val"], data) for kind, model in models.items()}
    best = max(fits, key=lambda kind: fits[kind]["validation"][FOUND]["auc"])
    details = {
        "fitted_on": best,
        "fits": fits,
        "alone": {split: _alone(tables[split], getattr(data, split), data) for split in tables},
        "worsened": list(_worsened(models[TRUE], data)),
        "cases": _cases(models[best], tables["val"], masks["val"], data.val),
    }
    return ShapesOfMasks(network, models[best]), details


def lesion_auc(labels: np.ndarray, scores: np.ndarray, data: Dataset) -> float | None:
    """Return the AUC of malignant against benign, normal images left out; None where undefined.

    Parameters
    ----------
    labels, scores : (N,) array
        A case without a score (NaN) does not count.
    data : Dataset
        Names the classes.
    """
    malignant = labels == data.class_names.index(MALIGNANT)
    counted = (malignant | (labels == data.class_names.index(BENIGN))) & ~np.isnan(scores)
    if len(np.unique(malignant[counted])) < 2:
        return None
    ranks = np.unique(scores[counted], return_inverse=True)[1]
    ranks = ranks / max(ranks.max(), 1)
    return _rounded(metrics.auc(malignant[counted].astype(int), np.stack([1 - ranks, ranks], 1)))


def _masks(network: nn.Module, split: Split) -> dict[str, np.ndarray]:
    return {FOUND: predict_masks(network, split.images) > 0, TRUE: split.masks > 0}


def _fit(model: Any, tables: dict[str, np.ndarray], data: Dataset) -> dict[str, Any]:
    """Return what a fit chose, its weights, and what it is worth on validation."""
    weights = model.best_estimator_["classify"].coef_
    named = {
        name: dict(zip(SIGNS, map(_rounded, row), strict=True))
        for name, row in zip(data.class_names, weights, strict=True)
    }
    validation = {kind: _judged(model, table, data) for kind, table in tables.items()}
    return {"C": model.best_params_["classify__C"], "weights": named, "validation": validation}


def _judged(model: Any, table: np.ndarray, data: Dataset) -> dict[str, float | None]:
    labels, found = data.val.labels, model.predict_proba(table)
    benign, malignant = (found[:, data.class_names.index(name)] for name in (BENIGN, MALIGNANT))
    return {
        "auc": _rounded(metrics.auc(labels, found)),
        "accuracy": _rounded(metrics.accuracy(labels, found)),
        "lesion_auc": lesion_auc(labels, malignant / (malignant + benign), data),
    }


def _alone(tables: dict[str, np.ndarray], split: Split, data: Dataset) -> dict[str, Any]:
    """Return the AUC of each sign alone, on found and on true masks."""
    return {
        kind: {s: lesion_auc(split.labels, c, data) for s, c in zip(SIGNS, table.T, strict=True)}
        for kind, table in tables.items()
    }


def _worsened(model: Any, data: Dataset) -> Iterator[dict[str, Any]]:
    """Yield what a classifier of true masks is worth on validation masks made worse."""
    truth = data.val.masks > 0
    lesions = truth.any((1, 2))
    for change, worse in WORSE.items():
        for pixels in PIXELS:
            masks = np.stack([worse(mask, pixels) if pixels else mask for mask in truth])
            overlap = segmentation.dice(truth, masks)[lesions].mean()
            judged = _judged(model, describe(data.val.images, masks).values, data)
            yield {"change": change, "pixels": pixels, "lesion_dice": _rounded(overlap), **judged}


def _cases(
    model: Any, tables: dict[str, np.ndarray], masks: dict[str, np.ndarray], split: Split
) -> dict[str, list[Any]]:
    """Return the validation split case by case: label, Dice, probabilities on both masks."""
    found = {
        f"probabilities_{k}": model.predict_proba(t).round(6).tolist() for k, t in tables.items()
    }
    overlap = segmentation.dice(masks[TRUE], masks[FOUND])
    return {"label": split.labels.tolist(), "dice": overlap.round(6).tolist(), **found}


def _rounded(value: float) -> float:
    return round(float(value), 6)
