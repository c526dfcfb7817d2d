"""Intervals and tests: how far a score could lie from what more cases or more seeds would give.

The bootstrap resamples cases, whole patients where the scores name them, for the spread that
another test set would bring; all seeds, and both models of a difference, see the same resampled
cases. The spread over training seeds is added to it. The ends are set on the logit scale: near a
perfect score plain percentiles hold the truth too rarely (tests/test_intervals.py simulates it).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, expit, logit, stdtr, stdtrit
from scipy.stats import rankdata

from medlib.cases import CASE_RANGES, Cases
from medlib.errors import MedlibError
from medlib.metrics import METRICS, RANGES, predicted

if TYPE_CHECKING:
    from medlib.evaluate import Scores

_CHUNK = 250_000  # weights handled at a time: 2 MB, which fits a processor's cache


@dataclass(frozen=True)
class Interval:
    """A confidence interval around a value.

    Attributes
    ----------
    low, high : float
        The two ends.
    value : float
        The estimate itself.
    level : float
        Confidence level.
    undefined : int
        Resamples left out because a class was absent from them.
    """

    low: float
    high: float
    value: float
    level: float = 0.95
    undefined: int = 0

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def bootstrap(
    scores: "Scores | Cases | Sequence[Scores | Cases]",
    metric: str | Callable,
    resamples: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a metric, over cases and, for several scores, over seeds.

    It says where the mean score of this training, over all seeds and on all cases of the same kind,
    lies. One seed says nothing of the spread between seeds, so its interval leaves that out.

    Parameters
    ----------
    scores : Scores or Cases, or sequence of them
        One a seed, on the same cases. The value is the mean over the seeds.
    metric : str or callable
        Name in `medlib.metrics.METRICS`, or a function of (labels, probabilities); for `Cases` a
        name in `medlib.cases.CASE_METRICS`.
    resamples : int
        Number of resamples.
    level : float
        Confidence level.
    seed : int
        Seed of the resampling.

    Raises
    ------
    MedlibError
        For scores on different cases, an unknown metric, or too few cases of a class.
    """
    several = _as_list(scores)
    _same_cases(several)
    values = np.array([_value(s, metric) for s in several])
    draws = _draws(several, metric, resamples, seed)
    return _interval([(values, draws)], level, _range(metric), _units(several[0], metric))


def paired_difference(
    a: "Scores | Cases | Sequence[Scores | Cases]",
    b: "Scores | Cases | Sequence[Scores | Cases]",
    metric: str | Callable,
    resamples: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of metric(a) - metric(b), both on the same resampled cases.

    Parameters are those of `bootstrap`; the seeds of `a` and `b` are resampled apart.

    Raises
    ------
    MedlibError
        Where `a` and `b` were not scored on the same cases.
    """
    first, second = _as_list(a), _as_list(b)
    _same_cases(first + second)
    values = np.array([_value(s, metric) for s in first + second])
    draws = _draws(first + second, metric, resamples, seed)
    cut = len(first)
    parts = [(values[:cut], draws[:cut]), (-values[cut:], -draws[cut:])]
    return _interval(parts, level, (-np.inf, np.inf), _units(first[0], metric))


@dataclass(frozen=True)
class Comparison:
    """Several models on the same cases, resampled once, so that many questions cost one bootstrap.

    Attributes
    ----------
    values : dict of str to array of shape (S,)
        The metric of each seed, by model.
    draws : dict of str to array of shape (S, B)
        The metric of each seed in each resample; resample b is the same for all models.
    limits : tuple of float
        The metric's range.
    units : int
        Cases, or patients, of the rarest class.
    """

    values: dict[str, np.ndarray]
    draws: dict[str, np.ndarray] = field(repr=False)
    limits: tuple[float, float]
    units: int

    def interval(self, model: str, level: float = 0.95) -> Interval:
        """Return the interval of one model's mean over seeds, as `bootstrap` gives it."""
        part = (self.values[model], self.draws[model])
        return _interval([part], level, self.limits, self.units)

    def contrast(self, weights: Mapping[str, float], level: float = 0.95) -> tuple[Interval, float]:
        """Return a weighted sum of models' means with its interval, and the p value of zero.

        Weights of 1 and -1 give `paired_difference`; those of a factorial design its effects.

        Parameters
        ----------
        weights : mapping of str to float
            By model; a model that is left out has no weight.
        level : float
            Confidence level.

        Returns
        -------
        Interval
            Of the sum.
        float
            Two-sided p value, from the same t distribution as the interval.
        """
        parts = [(w * self.values[name], w * self.draws[name]) for name, w in weights.items()]
        return self._weighed(parts, level)

    def paired(self, a: str, b: str, level: float = 0.95) -> tuple[Interval, float]:
        """Return the difference of two models whose seeds belong together, and its p value.

        Where the same seed hides the same labels from both, or splits the same cases off, what the
        seed does to both leaves no trace in the difference; `contrast` takes seeds as unrelated.

        Parameters
        ----------
        a, b : str
            Models with the same seeds in the same order; the interval is of `a` minus `b`.
        level : float
            Confidence level.

        Raises
        ------
        MedlibError
            Where the numbers of seeds differ.
        """
        if len(self.values[a]) != len(self.values[b]):
            raise MedlibError(
                f"{a} and {b} have {len(self.values[a])} and {len(self.values[b])} seeds: paired "
                "needs the same seeds of both"
            )
        part = (self.values[a] - self.values[b], self.draws[a] - self.draws[b])
        return self._weighed([part], level)

    def _weighed(
        self, parts: Sequence[tuple[np.ndarray, np.ndarray]], level: float
    ) -> tuple[Interval, float]:
        interval = _interval(parts, level, (-math.inf, math.inf), self.units)
        return interval, _p_value(interval.value, *_spread(parts)[1:3])


def compare(
    models: "Mapping[str, Scores | Cases | Sequence[Scores | Cases]]",
    metric: str | Callable,
    resamples: int = 2_000,
    seed: int = 0,
) -> Comparison:
    """Resample the cases once for several models.

    Parameters
    ----------
    models : mapping of str to Scores or Cases, or sequence of them
        By name; one a seed, all on the same cases.
    metric, resamples, seed
        As in `bootstrap`.

    Raises
    ------
    MedlibError
        Where the models were not scored on the same cases, and as `bootstrap` does.
    """
    several = {name: _as_list(scores) for name, scores in models.items()}
    flat = [scores for many in several.values() for scores in many]
    _same_cases(flat)
    values = {n: np.array([_value(s, metric) for s in many]) for n, many in several.items()}
    draws = {n: _draws(many, metric, resamples, seed) for n, many in several.items()}
    return Comparison(values, draws, _range(metric), _units(flat[0], metric))


def between_zero_and_one(interval: Interval, units: int) -> Interval:
    """Move the ends of a symmetric interval of a share to the logit scale, as `bootstrap` does.

    For metrics of one's own whose values lie within [0, 1], which `bootstrap` cannot know.

    Parameters
    ----------
    interval : Interval
        With ends at value - half and value + half.
    units : int
        Cases behind the share; they set the interval where its value is exactly 0 or 1.
    """
    half = interval.high - interval.value
    low, high = _ends(interval.value, half, (0.0, 1.0), max(1, units), interval.level)
    return replace(interval, low=low, high=high)


def wilson(successes: int, cases: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share, such as an accuracy or a sensitivity (Wilson, 1927).

    It keeps its level for shares near 0 and 1 and for few cases, where the bootstrap does not.

    Raises
    ------
    MedlibError
        Without cases, or with more successes than cases.
    """
    if cases < 1 or not 0 <= successes <= cases:
        raise MedlibError(f"a share needs 0 <= successes <= cases, got {successes} of {cases}")
    z, share = _z(level), successes / cases
    scale = 1 + z**2 / cases
    centre = (share + z**2 / (2 * cases)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), share, level)


def delong(scores: "Scores", level: float = 0.95) -> Interval:
    """Interval of a binary AUC without resampling (DeLong, DeLong and Clarke-Pearson, 1988).

    On the logit scale, so that it keeps its level near 1 (see `_ends` for an AUC of exactly 1).

    Parameters
    ----------
    scores : Scores
        Of a binary task, one case a patient: the method takes the cases as independent.
    level : float
        Confidence level.
    """
    value, positive, negative = _placements(scores)
    half = _z(level) * math.sqrt(_placement_variance(positive, negative))
    units = min(len(positive), len(negative))
    return Interval(*_ends(value, half, (0.0, 1.0), units, level), value, level)


def delong_difference(a: "Scores", b: "Scores", level: float = 0.95) -> tuple[Interval, float]:
    """Interval of AUC(a) - AUC(b) on the same cases, and the two-sided p value of no difference.

    Returns
    -------
    Interval
        Of the difference.
    float
        The p value; 1 where the two never differ.
    """
    _same_cases([a, b])
    (first, *plus), (second, *minus) = _placements(a), _placements(b)
    value = first - second
    spread = math.sqrt(_placement_variance(plus[0] - minus[0], plus[1] - minus[1]))
    half = _z(level) * spread
    p = 2 * NormalDist().cdf(-abs(value) / spread) if spread > 0 else float(value == 0)
    return Interval(max(-1.0, value - half), min(1.0, value + half), value, level), p


def mcnemar(a: "Scores", b: "Scores") -> float:
    """Exact two-sided p value that two classifiers err equally often on the same cases.

    Only the cases that exactly one of them gets right count (McNemar, 1947); the p value is that of
    a fair coin. Cases are taken as independent.
    """
    _same_cases([a, b])
    right = [predicted(s.probabilities, 1) == _single(s, "mcnemar") for s in (a, b)]
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjust p values for having made several tests (Holm, 1979).

    Rejecting where the adjusted value is <= alpha keeps the chance of any false rejection <= alpha,
    whatever the dependence between the tests.

    Returns
    -------
    array of shape (tests,)
        In the order of `p_values`.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise MedlibError(f"p values must be a flat list within [0, 1], got {p_values}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _single(scores: "Scores", method: str) -> np.ndarray:
    """Return the labels of independent cases with one label each, or refuse."""
    if scores.labels.ndim != 1:
        raise MedlibError(f"{method} needs one label a case; look at the labels one by one")
    if scores.groups is not None and len(np.unique(scores.groups)) < len(scores.groups):
        raise MedlibError(
            f"{method} takes cases as independent, but here patients have several: "
            f"use bootstrap or paired_difference, which resample whole patients"
        )
    return scores.labels


def _placements(scores: "Scores") -> tuple[float, np.ndarray, np.ndarray]:
    """Return the AUC and, for each positive and negative case, the share of the others it beats.

    By ranks, as Sun and Xu (2014) compute it: O(N log N).
    """
    labels = _single(scores, "delong")
    if scores.probabilities.shape[1] != 2:
        raise MedlibError("delong is for binary tasks; use bootstrap for the mean over classes")
    score = scores.probabilities[:, 1]
    truth, positives = labels == 1, int(labels.sum())
    negatives = len(labels) - positives
    if min(positives, negatives) < 2:
        raise MedlibError(
            f"delong needs two cases of each class, got {positives} positive, {negatives} negative"
        )
    ranks = rankdata(score)
    above = (ranks[truth] - rankdata(score[truth])) / negatives
    below = 1 - (ranks[~truth] - rankdata(score[~truth])) / positives
    return float(above.mean()), above, below


def _placement_variance(positive: np.ndarray, negative: np.ndarray) -> float:
    return positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)


def _as_list(scores: "Scores | Sequence[Scores]") -> list["Scores"]:
    several = list(scores) if isinstance(scores, Sequence) else [scores]
    if not several:
        raise MedlibError("no scores given: expected one Scores a seed")
    return several


def _same_cases(scores: Sequence["Scores"]) -> None:
    first = scores[0]
    for other in scores[1:]:
        if not (
            np.array_equal(first.index, other.index) and np.array_equal(first.labels, other.labels)
        ):
            raise MedlibError(
                f"{first.model_id} (seed {first.seed}) and {other.model_id} (seed {other.seed}) "
                f"were not scored on the same cases in the same order: "
                f"{len(first.index)} and {len(other.index)} cases of {first.data} and {other.data}"
            )


def _value(scores: "Scores | Cases", metric: str | Callable) -> float:
    """Evaluate a metric by name, or a function of labels and probabilities."""
    if isinstance(metric, str):
        return scores.value(metric)
    if isinstance(scores, Cases):
        raise MedlibError("a metric of masks is named by a text, such as 'dice': give its name")
    return metric(scores.labels, scores.probabilities)


def _range(metric: str | Callable) -> tuple[float, float]:
    is_named = isinstance(metric, str) or _is_ours(metric)
    name = getattr(metric, "__name__", metric) if is_named else None
    return (RANGES | CASE_RANGES).get(name, (-math.inf, math.inf))


def _is_ours(function: Callable) -> bool:
    """Tell whether a metric takes weights, as those of `medlib.metrics` do."""
    return METRICS.get(getattr(function, "__name__", "")) is function


def case_weights(
    cases: int, groups: np.ndarray | None, resamples: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Draw how often each case counts in each resample, in chunks of shape (b, cases).

    Where groups (patients) are given, whole groups are drawn, with all their cases.
    """
    names, member = (None, None) if groups is None else np.unique(groups, return_inverse=True)
    units = cases if names is None else len(names)
    chunk = max(1, _CHUNK // cases)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(0, units, size=(size, units))
        drawn += np.arange(size)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        yield counts if member is None else counts[:, member]


def _draws(
    scores: Sequence["Scores"], metric: str | Callable, resamples: int, seed: int
) -> np.ndarray:
    """Evaluate the metric of every Scores on the same resampled cases: (scores, resamples)."""
    if resamples < 1:
        raise MedlibError(f"resamples must be at least 1, got {resamples}")
    first = scores[0]
    generator = np.random.default_rng(seed)
    chunks = case_weights(len(first.labels), first.groups, resamples, generator)
    return np.concatenate([_on_weights(scores, metric, weights) for weights in chunks], axis=1)


def _on_weights(
    scores: Sequence["Scores | Cases"], metric: str | Callable, weights: np.ndarray
) -> np.ndarray:
    """Evaluate the metric of every Scores under each row of weights: (scores, rows)."""
    if isinstance(metric, str):
        return np.stack([s.value(metric, weights) for s in scores])
    if _is_ours(metric):
        return np.stack([metric(s.labels, s.probabilities, weights) for s in scores])
    rows = [np.repeat(np.arange(len(counts)), counts) for counts in weights]
    return np.array([[_on_rows(s, metric, taken) for taken in rows] for s in scores])


def _on_rows(scores: "Scores", function: Callable, rows: np.ndarray) -> float:
    try:
        return float(function(scores.labels[rows], scores.probabilities[rows]))
    except MedlibError:  # a metric of ours inside it found a class absent from this resample
        return math.nan


def _interval(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    level: float,
    limits: tuple[float, float],
    units: int,
) -> Interval:
    """Combine the spread over cases and over seeds, of one or two sets of seeds, into an interval.

    Each part is the values (S,) and the resampled values (S, B) of S seeds. The variance over cases
    comes from the resamples, that over seeds from the values, as the variance of their mean; few
    seeds hardly know their own spread, hence a t quantile with Welch-Satterthwaite degrees of
    freedom.
    """
    value, variance, freedom, undefined = _spread(parts)
    half = _quantile(freedom, level) * math.sqrt(variance)
    low, high = _ends(value, half, limits, units, level)
    return Interval(low, high, value, level, undefined)


def _spread(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, float, int]:
    """Return value, variance, degrees of freedom and the number of undefined resamples."""
    value = float(sum(values.mean() for values, _ in parts))
    draws = sum(draws.mean(axis=0) for _, draws in parts)
    kept = draws[~np.isnan(draws)]
    if len(kept) < max(2, len(draws) / 2):
        raise MedlibError("more than half of the resamples lack a class: too few cases to resample")
    over_seeds = [_mean_variance(values) for values, _ in parts if len(values) > 1]
    variance = kept.var(ddof=1) + sum(found for found, _ in over_seeds)
    return value, variance, _freedom(variance, over_seeds), len(draws) - len(kept)


def _mean_variance(values: np.ndarray) -> tuple[float, int]:
    """Return the variance of the mean of some values, and its degrees of freedom."""
    return float(values.var(ddof=1) / len(values)), len(values) - 1


def _freedom(total: float, over_seeds: Sequence[tuple[float, int]]) -> float:
    """Return the Welch-Satterthwaite degrees of freedom of the seeds' share of a variance."""
    doubt = sum(variance**2 / freedom for variance, freedom in over_seeds)
    return math.inf if doubt <= 1e-9 * total**2 else total**2 / doubt


def _quantile(freedom: float, level: float) -> float:
    """Return the two-sided t quantile; the normal one where the freedom is infinite."""
    return _z(level) if math.isinf(freedom) else float(stdtrit(freedom, (1 + level) / 2))


def _p_value(value: float, variance: float, freedom: float) -> float:
    """Return the two-sided p value of zero; 1 for a difference that never varies from it."""
    if variance == 0:
        return float(value == 0)
    t = -abs(value) / math.sqrt(variance)
    return 2 * (NormalDist().cdf(t) if math.isinf(freedom) else float(stdtr(freedom, t)))


def _ends(
    value: float, half: float, limits: tuple[float, float], units: int, level: float
) -> tuple[float, float]:
    """Place an interval on the logit scale between finite limits, so that it stays within them.

    A score at a limit has no spread that resampling could see. Wilson's interval for as many
    successes as there are units of the rarest class takes its place; it is on the safe side.
    """
    floor, ceiling = limits
    if not math.isfinite(floor) or not math.isfinite(ceiling):
        return max(floor, value - half), min(ceiling, value + half)
    width = ceiling - floor
    share = (value - floor) / width
    if min(share, 1 - share) < 1e-12:
        safe = wilson(round(share) * units, units, level)
        return floor + width * safe.low, floor + width * safe.high
    centre, half = logit(share), half / width / (share * (1 - share))
    return tuple(floor + width * float(expit(end)) for end in (centre - half, centre + half))


def _units(scores: "Scores | Cases", metric: str | Callable) -> int:
    """Count the cases, or patients, that the interval of a metric at its limit rests on."""
    return scores.units(metric) if isinstance(scores, Cases) else _rarest_units(scores)


def _rarest_units(scores: "Scores") -> int:
    """Count the cases, or patients, of the rarest class or label."""
    labels, groups = scores.labels, scores.groups
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    columns = labels.T if labels.ndim == 2 else [labels == k for k in np.unique(labels)]
    return max(1, min(len(np.unique(groups[column.astype(bool)])) for column in columns))


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
