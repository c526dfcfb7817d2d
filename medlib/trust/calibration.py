"""Probabilities that mean what they say: temperature, Platt and isotonic scaling.

Each calibrator is fitted on validation labels and probabilities with ``fit`` and used with
``apply``. It keeps the table's form: rows sum to one where a case has one class; several labels a
case are calibrated one by one.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from medlib.errors import MedlibError
from medlib.metrics import check_probabilities, check_scores

_TINY = 1e-12  # probabilities are kept this far from 0 and 1 before their logarithm is taken
_COOLEST, _HOTTEST = 0.02, 50.0  # temperatures searched


class Temperature:
    """Temperature scaling: one number that all logits are divided by (Guo et al., 2017).

    It changes how sure a model is, never which class it prefers. It is found by the lowest negative
    log-likelihood, within 0.02 and 50. Probabilities are enough: their logarithms are the logits up
    to a constant that softmax ignores.

    Attributes
    ----------
    temperature : float
        Above 1: the model was too sure. 1 before `fit`.
    """

    def __init__(self) -> None:
        self.temperature = 1.0
        self._several: bool | None = None

    def fit(self, labels: np.ndarray, probabilities: np.ndarray, *, logits: bool = False) -> Self:
        """Find the temperature on validation cases.

        Parameters
        ----------
        labels : (N,) or (N, K) int array
            Classes, or zeros and ones where a case may carry several labels.
        probabilities : (N, K) array
            Probabilities, or logits where `logits` is true.
        logits : bool
            Whether the second argument holds logits.
        """
        several = np.ndim(labels) == 2
        raw = _as_logits(probabilities, several, logits)
        labels = check_scores(labels, _normalised(raw, several))[0]

        def loss(log_temperature: float) -> float:
            return _negative_log_likelihood(labels, raw / np.exp(log_temperature))

        found = minimize_scalar(
            loss,
            bounds=(np.log(_COOLEST), np.log(_HOTTEST)),
            method="bounded",
            options={"xatol": 1e-8},
        )
        self.temperature, self._several = float(np.exp(found.x)), several
        return self

    def apply(self, probabilities: np.ndarray, *, logits: bool = False) -> np.ndarray:
        """Return calibrated probabilities, (N, K), of new cases; arguments as in `fit`."""
        several = _fitted(self._several)
        return _normalised(_as_logits(probabilities, several, logits) / self.temperature, several)


class _ByClass:
    """A calibrator that maps each column by itself: the positive class, every class or label.

    More than two classes are each calibrated against the rest, then the rows are divided by their
    sums (Zadrozny and Elkan, 2002).
    """

    def __init__(self) -> None:
        self._several: bool | None = None
        self._maps: list[Any] = []

    def fit(self, labels: np.ndarray, probabilities: np.ndarray) -> Self:
        """Fit the mappings on validation cases; shapes as in `Temperature.fit`.

        Raises
        ------
        MedlibError
            Where a class, or a label, is absent or carried by every case.
        """
        labels, probabilities = check_scores(labels, probabilities)
        self._several = labels.ndim == 2
        columns = probabilities.shape[1]
        truth = labels if self._several else labels[:, None] == np.arange(columns)
        chosen = [1] if not self._several and columns == 2 else range(columns)
        for k in chosen:
            if len(np.unique(truth[:, k])) < 2:
                raise MedlibError(
                    f"cannot calibrate class {k}: the validation cases hold it always or never; "
                    f"use Temperature, which needs no class by itself"
                )
        self._maps = [self._fit_one(truth[:, k].astype(int), probabilities[:, k]) for k in chosen]
        return self

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of new cases, (N, K)."""
        several = _fitted(self._several)
        probabilities = np.asarray(probabilities, dtype=np.float64)
        check_probabilities(probabilities, len(probabilities), several=several)
        binary = not several and len(self._maps) == 1
        if probabilities.shape[1] != (2 if binary else len(self._maps)):
            raise MedlibError(
                f"fitted on {2 if binary else len(self._maps)} columns, "
                f"got {probabilities.shape[1]}"
            )
        if binary:
            mapped = self._apply_one(self._maps[0], probabilities[:, 1])
            return np.stack([1 - mapped, mapped], axis=1)
        pairs = zip(self._maps, probabilities.T, strict=True)
        mapped = np.stack([self._apply_one(one, column) for one, column in pairs], axis=1)
        return mapped if several else _rows_to_one(mapped)

    @staticmethod
    def _fit_one(truth: np.ndarray, scores: np.ndarray) -> Any:
        raise NotImplementedError

    @staticmethod
    def _apply_one(fitted: Any, scores: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Platt(_ByClass):
    """Platt scaling: a logistic curve of each class's log-odds (Platt, 2000).

    With Platt's targets, (positives + 1) / (positives + 2) and 1 / (negatives + 2) in place of one
    and zero, so that classes which separate fully still get a finite curve.
    """

    @staticmethod
    def _fit_one(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
        from sklearn.linear_model import LogisticRegression

        positives, negatives = truth.sum(), (1 - truth).sum()
        target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        odds = np.tile(_log_odds(scores), 2)[:, None]
        # a case with target t counts t times as positive and 1 - t times as negative
        weights, both = np.concatenate([target, 1 - target]), np.repeat([1, 0], len(truth))
        model = LogisticRegression(C=1e9, max_iter=1_000, tol=1e-8)
        model.fit(odds, both, sample_weight=weights)
        return float(model.coef_[0, 0]), float(model.intercept_[0])

    @staticmethod
    def _apply_one(fitted: tuple[float, float], scores: np.ndarray) -> np.ndarray:
        slope, intercept = fitted
        return expit(slope * _log_odds(scores) + intercept)


class Isotonic(_ByClass):
    """Isotonic calibration: the best rising step function (Zadrozny and Elkan, 2002).

    It assumes no form and therefore needs many cases: on about a hundred it fits their noise. It
    merges scores, so that the AUC may fall slightly.
    """

    @staticmethod
    def _fit_one(truth: np.ndarray, scores: np.ndarray) -> Any:
        from sklearn.isotonic import IsotonicRegression

        return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)

    @staticmethod
    def _apply_one(fitted: Any, scores: np.ndarray) -> np.ndarray:
        return fitted.predict(scores)


@dataclass(frozen=True)
class ReliabilityCurve:
    """How often predictions of a stated probability came true, bin by bin; empty bins left out.

    Attributes
    ----------
    stated : (B,) array
        Mean stated probability of the cases of a bin.
    true : (B,) array
        Share of them for which it was true.
    count : (B,) int array
        Number of them.
    """

    stated: np.ndarray
    true: np.ndarray
    count: np.ndarray

    @property
    def expected_error(self) -> float:
        """Mean of ``|true - stated|`` over the cases: the expected calibration error."""
        return float(self.count @ np.abs(self.true - self.stated) / self.count.sum())


def reliability_curve(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    positive: int | None = None,
    bins: int = 15,
    equal_counts: bool = False,
) -> ReliabilityCurve:
    """Bin cases by a stated probability and count how often it came true.

    Parameters
    ----------
    labels : (N,) or (N, K) int array
    probabilities : (N, K) array
    positive : int, optional
        The class, or label, whose probability is looked at. Where omitted, the probability of the
        chosen class: the curve behind `medlib.metrics.expected_calibration_error`.
    bins : int
        Number of bins.
    equal_counts : bool
        Bins with equally many cases in place of equally wide ones.
    """
    labels, probabilities = check_scores(labels, probabilities)
    stated, true = _statements(labels, probabilities, positive)
    if equal_counts:
        place = np.argsort(np.argsort(stated, kind="stable")) * bins // len(stated)
    else:  # (low, high] as in Guo et al. (2017); a probability of 0 falls into the first
        place = np.clip(np.ceil(stated * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    means = [np.bincount(place, values, bins)[kept] / count[kept] for values in (stated, true)]
    return ReliabilityCurve(*means, count[kept])


def _statements(
    labels: np.ndarray, probabilities: np.ndarray, positive: int | None
) -> tuple[np.ndarray, np.ndarray]:
    if positive is None and labels.ndim == 2:
        raise MedlibError(f"name the label: positive=0 ... {probabilities.shape[1] - 1}")
    if positive is None:
        right = probabilities.argmax(axis=1) == labels
        return probabilities.max(axis=1), right.astype(float)
    truth = labels[:, positive] if labels.ndim == 2 else labels == positive
    return probabilities[:, positive], truth.astype(float)


def _as_logits(values: np.ndarray, several: bool, already: bool) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if already:
        if values.ndim != 2 or not np.isfinite(values).all():
            raise MedlibError(f"logits must be finite, of shape (N, K); got {values.shape}")
        return values
    check_probabilities(values, len(values), several=several)
    return _log_odds(values) if several else np.log(np.maximum(values, _TINY))


def _normalised(logits: np.ndarray, several: bool) -> np.ndarray:
    return expit(logits) if several else softmax(logits, axis=1)


def _negative_log_likelihood(labels: np.ndarray, logits: np.ndarray) -> float:
    if labels.ndim == 2:
        return float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean())
    return -float(log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    return logit(np.clip(probabilities, _TINY, 1 - _TINY))


def _rows_to_one(values: np.ndarray) -> np.ndarray:
    """Divide rows by their sums; a row of zeros, where no class was left, becomes uniform."""
    sums = values.sum(axis=1, keepdims=True)
    even = np.full_like(values, 1 / values.shape[1])
    return np.divide(values, sums, out=even, where=sums > 0)


def _fitted(several: bool | None) -> bool:
    if several is None:
        raise MedlibError("this calibrator knows nothing yet: call fit(labels, probabilities)")
    return several
