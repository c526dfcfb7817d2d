"""Out-of-distribution scores: how unlike the training images an image is to a model.

Every score is higher for stranger cases, whatever sign its paper uses.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from medlib.errors import MedlibError
from medlib.intervals import Interval, delong, wilson

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Detection:
    """How well a score tells novel cases from known ones.

    Attributes
    ----------
    auroc : Interval
        Chance that a novel case scores above a known one, with DeLong's interval.
    false_positive_rate : Interval
        Share of the novel cases taken for known where the threshold lets the wished share of known
        ones through, with Wilson's interval for that threshold.
    threshold : float
        Cases at or below it are taken for known.
    """

    auroc: Interval
    false_positive_rate: Interval
    threshold: float


def last_layer(model: "nn.Module", images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what goes into a network's last linear layer, and what comes out: its logits.

    Parameters
    ----------
    model : nn.Module
        A classifier whose last linear layer is the last of its modules of that type.
    images : (N, C, H, W) uint8 array
        Normalised as in `medlib.train.fit`.

    Returns
    -------
    (N, D) array
        The features.
    (N, K) array
        The logits.

    Raises
    ------
    MedlibError
        For a network without a linear layer.
    """
    from torch import nn

    from medlib.predict import predict_logits

    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise MedlibError(f"{type(model).__name__} has no linear layer: no features to compare")
    seen = []
    handle = linear[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits = predict_logits(model, images)
    finally:
        handle.remove()
    return np.concatenate([part.double().cpu().numpy() for part in seen]), logits


def max_softmax(probabilities: np.ndarray) -> np.ndarray:
    """One minus the largest probability (Hendrycks and Gimpel, 2017).

    Parameters
    ----------
    probabilities : (N, K) array

    Returns
    -------
    (N,) array
    """
    return 1 - _table(probabilities, "probabilities").max(axis=1)


def energy(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Free energy of the logits, ``-T log sum exp(logits / T)`` (Liu et al., 2020).

    Logits are needed: softmax takes away what this measures, their common height.

    Parameters
    ----------
    logits : (N, K) array
    temperature : float
        Above 0.

    Returns
    -------
    (N,) array
    """
    if not temperature > 0:
        raise MedlibError(f"a temperature is above 0, got {temperature}")
    return -temperature * logsumexp(_table(logits, "logits") / temperature, axis=1)


class Mahalanobis:
    """Squared Mahalanobis distance to the nearest class, one covariance for all (Lee et al., 2018).

    Without the paper's input preprocessing and its ensemble of layers.

    Parameters
    ----------
    shrinkage : float
        Share, from 0 to 1, of a multiple of the identity that is mixed into the covariance. With
        fewer cases than features a little is needed: without it, directions in which the training
        cases do not vary are ignored.
    """

    def __init__(self, shrinkage: float = 0.0) -> None:
        if not 0 <= shrinkage <= 1:
            raise MedlibError(f"shrinkage lies within [0, 1], got {shrinkage}")
        self.shrinkage = shrinkage
        self.means = self.precision = None

    def fit(self, features: np.ndarray, labels: np.ndarray) -> "Mahalanobis":
        """Learn class means and the common covariance.

        Parameters
        ----------
        features : (N, D) array
            Of the training cases, such as the input of the last layer.
        labels : (N,) int array
        """
        from scipy.linalg import pinvh

        features, labels = _table(features, "features"), np.asarray(labels)
        if labels.shape != (len(features),):
            raise MedlibError(f"need a class for each of {len(features)} cases, {labels.shape}")
        classes, member = np.unique(labels, return_inverse=True)
        self.means = np.stack([features[labels == k].mean(axis=0) for k in classes])
        centred = features - self.means[member]
        covariance = centred.T @ centred / len(features)
        identity = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
        mixed = (1 - self.shrinkage) * covariance + self.shrinkage * identity
        self.precision = pinvh(mixed)
        return self

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the squared distance to the nearest class mean, (N,), of features (N, D)."""
        if self.means is None:
            raise MedlibError("no class means yet: call fit(features, labels) first")
        features = _table(features, "features", self.means.shape[1])
        away = (features - mean for mean in self.means)
        return np.min([np.einsum("nd,nd->n", d @ self.precision, d) for d in away], axis=0)


class NearestNeighbours:
    """Distance to the k-th nearest training case (Sun et al., 2022).

    Parameters
    ----------
    k : int
        Which neighbour counts.
    normalise : bool
        Whether features are first scaled to length one, as in the paper.
    """

    def __init__(self, k: int = 10, *, normalise: bool = True) -> None:
        self.k, self.normalise = k, normalise
        self._index = None
        self._width = 0

    def fit(self, features: np.ndarray) -> "NearestNeighbours":
        """Remember the features, (N, D), of the training cases."""
        from sklearn.neighbors import NearestNeighbors

        features = _table(features, "features")
        if not 1 <= self.k <= len(features):
            raise MedlibError(f"k must lie within 1 and {len(features)} cases, got {self.k}")
        self._index = NearestNeighbors(n_neighbors=self.k).fit(self._scaled(features))
        self._width = features.shape[1]
        return self

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the distance to the k-th neighbour, (N,), of features (N, D)."""
        if self._index is None:
            raise MedlibError("no neighbours yet: call fit(features) first")
        features = self._scaled(_table(features, "features", self._width))
        return self._index.kneighbors(features)[0][:, -1]

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        if not self.normalise:
            return features
        length = np.linalg.norm(features, axis=1, keepdims=True)
        return features / np.maximum(length, 1e-12)


def detection(known: np.ndarray, novel: np.ndarray, keep: float = 0.95) -> Detection:
    """AUROC and false-positive rate at a kept share of known cases (FPR at 95 % TPR).

    "Positive" means known there, as in Liu et al. (2020): a false positive is a novel case that
    passes for a known one.

    Parameters
    ----------
    known : (N,) array
        Scores of cases like the training cases.
    novel : (M,) array
        Scores of others.
    keep : float
        Share of the known cases that must pass.
    """
    from medlib.evaluate import Scores

    known, novel = (np.asarray(x, dtype=np.float64).ravel() for x in (known, novel))
    if not 0 < keep <= 1:
        raise MedlibError(f"the share to keep lies within (0, 1], got {keep}")
    if min(len(known), len(novel)) < 2 or np.isnan(np.concatenate([known, novel])).any():
        raise MedlibError("need at least two known and two novel cases, without NaN")
    threshold = float(np.quantile(known, keep, method="inverted_cdf"))
    labels = np.repeat([0, 1], [len(known), len(novel)])
    place = np.unique(np.concatenate([known, novel]), return_inverse=True)[1] / len(labels)
    both = np.stack([1 - place, place], axis=1)  # a rank as a probability: the AUROC sees no more
    scores = Scores("novelty", "", 0, "", labels, both, np.arange(len(labels)))
    passed = wilson(int((novel <= threshold).sum()), len(novel))
    return Detection(delong(scores), passed, threshold)


def _table(values: np.ndarray, name: str, width: int | None = None) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all() or len(values) == 0:
        raise MedlibError(f"{name} must be finite, of shape (N, columns); got {values.shape}")
    if width is not None and values.shape[1] != width:
        raise MedlibError(f"fitted on {width} columns, got {name} with {values.shape[1]}")
    return values
