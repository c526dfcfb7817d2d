"""Operating points: where to cut a score, what the cut costs, and what it is worth.

A threshold is chosen on validation scores by a rule (a wished sensitivity or specificity, Youden's
index, stated costs), then kept and applied to the test scores. A case is called positive where its
score is at or above the threshold. The functions take labels and probabilities, or the `Scores` of
a test split that was scored once; none of them reads a data set.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, expit, logit

from medlib.errors import MedlibError
from medlib.intervals import Interval, between_zero_and_one, bootstrap, wilson
from medlib.metrics import check_scores

if TYPE_CHECKING:
    from medlib.evaluate import Scores

Rule = Callable[..., float]


@dataclass(frozen=True)
class OperatingPoint:
    """What one threshold does to a set of cases.

    The intervals are Wilson's, which take cases as independent and the threshold as given. Where
    patients have several images, or for several seeds, see `operating_characteristic`.

    Attributes
    ----------
    threshold : float
        Cases with a score at or above it are called positive.
    true_positive, false_negative, false_positive, true_negative : int
        Numbers of cases.
    level : float
        Confidence level of the intervals.
    """

    threshold: float
    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    level: float = 0.95

    @property
    def prevalence(self) -> float:
        """Share of positive cases among all."""
        positives = self.true_positive + self.false_negative
        return positives / (positives + self.false_positive + self.true_negative)

    @property
    def sensitivity(self) -> Interval:
        """Share of the positive cases that are called positive."""
        return self._share(self.true_positive, self.false_negative)

    @property
    def specificity(self) -> Interval:
        """Share of the negative cases that are called negative."""
        return self._share(self.true_negative, self.false_positive)

    @property
    def ppv(self) -> Interval:
        """Positive predictive value at the prevalence of these cases: share of right alarms."""
        return self._share(self.true_positive, self.false_positive)

    @property
    def npv(self) -> Interval:
        """Negative predictive value at the prevalence of these cases: share of right all-clears."""
        return self._share(self.true_negative, self.false_negative)

    def ppv_at(self, prevalence: float) -> Interval:
        """Positive predictive value where another share of the cases is positive.

        Bayes' rule from sensitivity and specificity, which are taken to hold there too. The
        interval is on the logit scale, from the spread of the likelihood ratio; it takes the
        prevalence as known (Mercaldo, Lau and Zhou, 2007). One half is added to every count for
        the interval where one of them is zero.
        """
        value = _bayes(self.sensitivity.value, 1 - self.specificity.value, prevalence)
        hits = (self.true_positive, self.false_negative)
        return self._likelihood(value, hits, (self.false_positive, self.true_negative), prevalence)

    def npv_at(self, prevalence: float) -> Interval:
        """Negative predictive value where another share of the cases is positive.

        As `ppv_at`, with the two classes exchanged.
        """
        value = _bayes(self.specificity.value, 1 - self.sensitivity.value, 1 - prevalence)
        clear = (self.true_negative, self.false_positive)
        missed = (self.false_negative, self.true_positive)
        return self._likelihood(value, clear, missed, 1 - prevalence)

    def _share(self, part: int, rest: int) -> Interval:
        """Return a share with its Wilson interval; anything is possible where nothing was seen."""
        if part + rest == 0:
            return Interval(0.0, 1.0, math.nan, self.level)
        return wilson(part, part + rest, self.level)

    def _likelihood(
        self, value: float, right: tuple[int, int], wrong: tuple[int, int], share: float
    ) -> Interval:
        """Return a predictive value with the interval of logit(share) + log(likelihood ratio)."""
        extra = 0.5 if 0 in (*right, *wrong) else 0.0
        (a, b), (c, d) = ([n + extra for n in pair] for pair in (right, wrong))
        centre = logit(share) + math.log(a / (a + b)) - math.log(c / (c + d))
        spread = math.sqrt(b / (a * (a + b)) + d / (c * (c + d)))
        half = NormalDist().inv_cdf((1 + self.level) / 2) * spread
        low, high = (float(expit(end)) for end in (centre - half, centre + half))
        return Interval(min(low, value), max(high, value), value, self.level)


@dataclass(frozen=True)
class DecisionCurve:
    """The net benefit of acting on a model, over the thresholds a reader may hold.

    Attributes
    ----------
    thresholds : array of shape (T,)
        Probabilities above which one would act.
    model : array of shape (T,)
        Net benefit of acting on the model, in true positives a case.
    everyone : array of shape (T,)
        Net benefit of acting on every case. Acting on none has 0.
    prevalence : float
        Share of positive cases it holds for.
    """

    thresholds: np.ndarray
    model: np.ndarray
    everyone: np.ndarray
    prevalence: float

    @property
    def useful(self) -> np.ndarray:
        """Whether the model beats both acting on all and acting on none, shape (T,) bool."""
        return self.model > np.maximum(self.everyone, 0)


def at_sensitivity(truth: np.ndarray, scores: np.ndarray, target: float = 0.95) -> float:
    """Return the highest threshold whose sensitivity is at least `target`.

    Parameters
    ----------
    truth : (N,) array
        1 for positive cases, 0 for the others; of the validation split.
    scores : (N,) array
        Higher for positive cases.
    target : float
        Wished sensitivity on these cases. New cases reach it only on average, and few validation
        cases make that loose.
    """
    cuts, sensitivity, _ = _cuts(truth, scores)
    return float(cuts[sensitivity >= _share_of(target, "sensitivity") - 1e-12].max())


def at_assured_sensitivity(
    truth: np.ndarray, scores: np.ndarray, target: float = 0.95, *, confidence: float = 0.95
) -> float:
    """Return the highest threshold that keeps a sensitivity on new cases, with a stated confidence.

    With the threshold above the k lowest of n positive scores, the share of new positive cases
    below it is at most a Beta(k + 1, n - k) draw, whatever the distribution of the scores (Wilks,
    1941). It exceeds 1 - target with the probability that a binomial of n and 1 - target is at most
    k; the largest k is taken for which that is at most 1 - confidence.

    Parameters
    ----------
    truth, scores : (N,) arrays
        As in `at_sensitivity`; independent cases of the kind that is to come.
    target : float
        Sensitivity that new cases shall reach, below 1.
    confidence : float
        Share of validation splits for which they do.

    Raises
    ------
    MedlibError
        Where there are too few positive cases: the least number is named.
    """
    if not (0 < target < 1 and 0 < confidence < 1):
        raise MedlibError(f"target and confidence lie within (0, 1), got {target}, {confidence}")
    cuts, sensitivity, _ = _cuts(truth, scores)
    positives = int(np.sum(truth))
    misses = np.flatnonzero(bdtr(np.arange(positives), positives, 1 - target) <= 1 - confidence)
    if len(misses) == 0:
        needed = math.ceil(math.log(1 - confidence) / math.log(target))
        raise MedlibError(
            f"{positives} positive cases assure no sensitivity of {target:g}: with a confidence of "
            f"{confidence:g} it takes {needed} of them, or a lower target"
        )
    return float(cuts[sensitivity >= 1 - misses[-1] / positives - 1e-12].max())


def at_specificity(truth: np.ndarray, scores: np.ndarray, target: float = 0.95) -> float:
    """Return the lowest threshold whose specificity is at least `target`.

    Parameters as in `at_sensitivity`.
    """
    cuts, _, specificity = _cuts(truth, scores)
    return float(cuts[specificity >= _share_of(target, "specificity") - 1e-12].min())


def youden(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the threshold of the largest sensitivity + specificity - 1 (Youden, 1950).

    The lowest of several equals, which is the most sensitive one. Parameters as in
    `at_sensitivity`. It weighs a missed case as heavily as ``(1 - prevalence) / prevalence`` false
    alarms: where costs are known, `at_cost` says so openly.
    """
    cuts, sensitivity, specificity = _cuts(truth, scores)
    return float(cuts[_first_best(sensitivity + specificity)])


def at_cost(
    truth: np.ndarray,
    scores: np.ndarray,
    *,
    miss: float,
    alarm: float = 1.0,
    prevalence: float | None = None,
) -> float:
    """Return the threshold of the lowest mean cost on validation cases.

    Parameters
    ----------
    truth, scores : (N,) arrays
        As in `at_sensitivity`.
    miss : float
        Cost of a false negative.
    alarm : float
        Cost of a false positive, in the same unit.
    prevalence : float, optional
        Share of positive cases where the model will be used; that of `truth` where omitted.
    """
    _need_costs(miss, alarm)
    share = np.mean(truth) if prevalence is None else _share_of(prevalence, "prevalence")
    cuts, sensitivity, specificity = _cuts(truth, scores)
    cost = miss * share * (1 - sensitivity) + alarm * (1 - share) * (1 - specificity)
    return float(cuts[_first_best(-cost)])


def bayes_threshold(miss: float, alarm: float = 1.0) -> float:
    """Return the threshold of lowest expected cost for calibrated probabilities (Elkan, 2001).

    Acting costs ``alarm * (1 - p)``, not acting ``miss * p``: act from ``alarm / (alarm + miss)``
    on. No validation case is needed, but probabilities that mean what they say are.
    """
    _need_costs(miss, alarm)
    return alarm / (alarm + miss)


def choose(
    labels: np.ndarray,
    probabilities: np.ndarray,
    rule: Rule = youden,
    *,
    positive: int | None = None,
    **options: float,
) -> np.ndarray:
    """Choose thresholds on validation scores, one for each label.

    Parameters
    ----------
    labels : (N,) or (N, K) int array
        Labels of the validation split.
    probabilities : (N, K) array
        Their probabilities.
    rule : callable
        `at_sensitivity`, `at_specificity`, `youden`, `at_cost`, or one's own function of
        (truth, scores).
    positive : int, optional
        Class to find, against the rest; class 1 in binary tasks. With more classes it must be
        named; with several labels a case, every label gets its threshold where it is omitted.
    **options
        Handed to the rule, such as ``target=0.95``.

    Returns
    -------
    (C,) array
        One threshold, or one a label.

    Raises
    ------
    MedlibError
        Where a label is the same for all cases: there is nothing to choose by.
    """
    columns = _columns(labels, probabilities, positive)
    return np.array([rule(truth, scores, **options) for truth, scores in columns])


def operating_points(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: float | np.ndarray,
    *,
    positive: int | None = None,
    level: float = 0.95,
) -> list[OperatingPoint]:
    """Apply thresholds to cases: one operating point for each label.

    Parameters
    ----------
    labels, probabilities : arrays
        Shapes and `positive` as in `choose`; of the test split, say ``scores.labels`` and
        ``scores.probabilities``.
    thresholds : float or (C,) array
        As `choose` returns them.
    positive : int, optional
        As in `choose`.
    level : float
        Confidence level.
    """
    columns = _columns(labels, probabilities, positive)
    cuts = _one_each(thresholds, len(columns))
    return [_point(*column, cut, level) for column, cut in zip(columns, cuts, strict=True)]


def operating_characteristic(
    scores: "Scores | Sequence[Scores]",
    thresholds: float | np.ndarray | Sequence[float],
    quantity: str = "sensitivity",
    *,
    positive: int | None = None,
    resamples: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of what fixed thresholds do to the cases of the test split.

    Cases are resampled, whole patients where the scores name them; several seeds are averaged, and
    their spread is added (`medlib.intervals.bootstrap`). The thresholds stay: the interval says how
    this decision rule does on other cases, not how another validation split would have cut.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One a seed.
    thresholds : float, (C,) array or sequence
        For one Scores as in `operating_points`. For a sequence of them one number for all, or a
        sequence with the thresholds of each seed.
    quantity : str
        ``"sensitivity"``, ``"specificity"``, ``"ppv"``, ``"npv"``, ``"balanced_accuracy"``,
        ``"accuracy"`` or ``"f1"``; the mean over labels where a case may carry several.
    positive : int, optional
        As in `choose`.
    resamples, level, seed
        As in `medlib.intervals.bootstrap`.
    """
    many = list(scores) if isinstance(scores, Sequence) else [scores]
    each = list(thresholds) if isinstance(scores, Sequence) and np.ndim(thresholds) else None
    cuts = [thresholds] * len(many) if each is None else each
    if len(cuts) != len(many):
        raise MedlibError(f"need thresholds for each of {len(many)} seeds, got {len(cuts)}")
    acted = [decided(s, cut, positive=positive) for s, cut in zip(many, cuts, strict=True)]
    if quantity not in ("ppv", "npv"):
        return bootstrap(acted, quantity, resamples, level, seed)
    return _predictive(acted, quantity, resamples, level, seed)


def decided(
    scores: "Scores", thresholds: float | np.ndarray, *, positive: int | None = None
) -> "Scores":
    """Return scores whose probabilities are decisions, 0 or 1, so that every metric fits them.

    One class against the rest becomes a binary task of two columns.
    """
    columns = _columns(scores.labels, scores.probabilities, positive)
    cuts = _one_each(thresholds, len(columns))
    called = np.stack([s >= cut for (_, s), cut in zip(columns, cuts, strict=True)], axis=1)
    if scores.labels.ndim == 2 and positive is None:
        return replace(scores, probabilities=called.astype(np.float64))
    both = np.hstack([~called, called]).astype(np.float64)
    return replace(scores, labels=columns[0][0], probabilities=both)


def net_benefit(
    truth: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    prevalence: float | None = None,
) -> np.ndarray:
    """Net benefit of acting on cases at or above each threshold (Vickers and Elkin, 2006).

    True positives a case, less the false positives weighted by the odds of the threshold: who acts
    from probability 0.2 on takes four false alarms for one case found.

    Parameters
    ----------
    truth : (N,) array
        1 for positive cases.
    scores : (N,) array
        Calibrated probabilities of being positive.
    thresholds : (T,) array
        Within [0, 1).
    prevalence : float, optional
        Share of positive cases it is to hold for; that of `truth` where omitted.

    Returns
    -------
    (T,) array
    """
    truth, scores = _binary(truth, scores)
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if not ((cuts >= 0) & (cuts < 1)).all():
        raise MedlibError("thresholds of a decision curve are probabilities within [0, 1)")
    share = truth.mean() if prevalence is None else _share_of(prevalence, "prevalence")
    found, alarms = (_at_or_above(scores[truth == k], cuts) for k in (1, 0))
    return share * found - (1 - share) * alarms * cuts / (1 - cuts)


def decision_curve(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: np.ndarray | None = None,
    *,
    positive: int = 1,
    prevalence: float | None = None,
) -> DecisionCurve:
    """Decision curve of one class against the rest (Vickers and Elkin, 2006).

    Parameters
    ----------
    labels, probabilities : arrays
        Shapes as in `choose`.
    thresholds : (T,) array, optional
        0.01, 0.02 ... 0.99 where omitted.
    positive : int
        Class, or label, to act on.
    prevalence : float, optional
        As in `net_benefit`.
    """
    cuts = np.arange(1, 100) / 100 if thresholds is None else np.asarray(thresholds, dtype=float)
    [(truth, scores)] = _columns(labels, probabilities, positive)
    share = float(truth.mean() if prevalence is None else prevalence)
    model = net_benefit(truth, scores, cuts, share)
    everyone = net_benefit(truth, np.ones(len(truth)), cuts, share)
    return DecisionCurve(cuts, model, everyone, share)


def _cuts(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every threshold that decides differently, rising, with both shares: (T,) each.

    They lie midway between neighbouring scores, where rounding cannot move a case across.
    """
    truth, scores = _binary(truth, scores)
    seen = np.unique(scores)
    above = np.nextafter(seen[-1], np.inf)
    cuts = np.concatenate([seen[:1], (seen[:-1] + seen[1:]) / 2, [above]])
    sensitivity, alarms = (_at_or_above(scores[truth == k], cuts) for k in (1, 0))
    return cuts, sensitivity, 1 - alarms


def _at_or_above(scores: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the share of the scores at or above each cut."""
    return 1 - np.searchsorted(np.sort(scores), cuts, side="left") / len(scores)


def _first_best(values: np.ndarray) -> int:
    return int(np.flatnonzero(values >= values.max() - 1e-12)[0])


def _binary(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise MedlibError(
            f"need truth and scores of one shape (N,), got {truth.shape} and {scores.shape}; "
            f"`choose` takes tables of probabilities"
        )
    if set(np.unique(truth).tolist()) != {0, 1}:
        raise MedlibError(
            f"need positive (1) and negative (0) cases, got {np.unique(truth).tolist()}: "
            f"a threshold cannot be judged on one class"
        )
    if not np.isfinite(scores).all():
        raise MedlibError("scores hold NaN or infinity: the model diverged or was not fitted")
    return truth.astype(np.int64), scores


def _columns(
    labels: np.ndarray, probabilities: np.ndarray, positive: int | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split scores into the binary tasks that get a threshold: pairs of (N,) truth and scores."""
    labels, probabilities = check_scores(labels, probabilities)
    classes = probabilities.shape[1]
    if positive is None and labels.ndim == 1:
        if classes > 2:
            raise MedlibError(f"name the class to find: positive=0 ... {classes - 1}")
        positive = 1
    if positive is not None and not 0 <= positive < classes:
        raise MedlibError(f"positive must be a class from 0 to {classes - 1}, got {positive}")
    chosen = range(classes) if positive is None else [positive]
    truth = labels if labels.ndim == 2 else (labels[:, None] == np.arange(classes)).astype(np.int64)
    return [(truth[:, k], probabilities[:, k]) for k in chosen]


def _one_each(thresholds: float | np.ndarray, columns: int) -> np.ndarray:
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if cuts.shape not in {(1,), (columns,)} or np.isnan(cuts).any():
        raise MedlibError(f"need one threshold, or {columns}, got {thresholds}")
    return np.broadcast_to(cuts, (columns,))


def _point(truth: np.ndarray, scores: np.ndarray, cut: float, level: float) -> OperatingPoint:
    called = scores >= cut
    counts = [int((called[truth == k] == right).sum()) for k, right in
              ((1, True), (1, False), (0, True), (0, False))]  # fmt: skip
    return OperatingPoint(float(cut), *counts, level=level)


def _predictive(
    acted: "list[Scores]", quantity: str, resamples: int, level: float, seed: int
) -> Interval:
    """Bootstrap a predictive value, with its ends on the logit scale as those of other shares."""
    called = int(quantity == "ppv")

    def right(labels: np.ndarray, decisions: np.ndarray) -> float:
        chosen = _table(labels, decisions, called)
        truth = labels.reshape(len(labels), -1) == called
        if not chosen.any(axis=0).all():
            return math.nan
        return float(np.mean((chosen & truth).sum(axis=0) / chosen.sum(axis=0)))

    units = min(int(_table(s.labels, s.probabilities, called).sum(axis=0).min()) for s in acted)
    if units == 0:
        word = "positive" if called else "negative"
        raise MedlibError(f"no case is called {word} at this threshold: there is no {quantity}")
    return between_zero_and_one(bootstrap(acted, right, resamples, level, seed), units)


def _table(labels: np.ndarray, decisions: np.ndarray, called: int) -> np.ndarray:
    """Return which cases were called positive (1) or negative (0): (N, labels) bool."""
    return (decisions if labels.ndim == 2 else decisions[:, 1:]) == called


def _bayes(found: float, alarms: float, share: float) -> float:
    if not 0 < share < 1:
        raise MedlibError(f"a prevalence lies within (0, 1), got {share}")
    called = found * share + alarms * (1 - share)
    return found * share / called if called > 0 else math.nan


def _share_of(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise MedlibError(f"a {name} lies within [0, 1], got {value}")
    return value


def _need_costs(miss: float, alarm: float) -> None:
    if not (miss > 0 and alarm > 0):
        raise MedlibError(f"costs must be positive, got miss={miss}, alarm={alarm}")
