"""Intervals and tests: how far a score could lie from what more cases or more seeds would give.

Bootstrap intervals resample cases (whole patients where the scores name them) and, for several
seeds, also the seeds. All seeds, and both models of a difference, see the same resampled cases.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from medlib.errors import MedlibError
from medlib.metrics import METRICS, RANGES

if TYPE_CHECKING:
    from medlib.evaluate import Scores

_CHUNK = 4_000_000  # weights held at a time; 32 MB


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
    scores: "Scores | Sequence[Scores]",
    metric: str | Callable,
    resamples: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a metric, over cases and, for several scores, over seeds.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One a seed, on the same cases. The value is the mean over the seeds.
    metric : str or callable
        Name in `medlib.metrics.METRICS`, or a function of (labels, probabilities).
    resamples : int
        Number of resamples.
    level : float
        Confidence level.
    seed : int
        Seed of the resampling.
    """
    several = _as_list(scores)
    _same_cases(several)
    draws = _draws(several, metric, resamples, seed)
    values = np.array([_function(metric)(s.labels, s.probabilities) for s in several])
    return _interval([(values, draws)], level, seed, _range(metric))


def paired_difference(
    a: "Scores | Sequence[Scores]",
    b: "Scores | Sequence[Scores]",
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
    draws = _draws(first + second, metric, resamples, seed)
    function = _function(metric)
    values = np.array([function(s.labels, s.probabilities) for s in first + second])
    cut = len(first)
    low, high = _range(metric)
    parts = [(values[:cut], draws[:cut]), (-values[cut:], -draws[cut:])]
    return _interval(parts, level, seed, (low - high, high - low))


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


def _function(metric: str | Callable) -> Callable:
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise MedlibError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
    return METRICS[metric]


def _range(metric: str | Callable) -> tuple[float, float]:
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", "")
    return RANGES.get(name, (-np.inf, np.inf)) if METRICS.get(name) else (-np.inf, np.inf)


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
    generator = np.random.default_rng([seed, 0])
    chunks = case_weights(len(first.labels), first.groups, resamples, generator)
    function = _function(metric)
    return np.concatenate([_on_weights(scores, function, weights) for weights in chunks], axis=1)


def _on_weights(scores: Sequence["Scores"], function: Callable, weights: np.ndarray) -> np.ndarray:
    if METRICS.get(getattr(function, "__name__", "")) is function:
        return np.stack([function(s.labels, s.probabilities, weights) for s in scores])
    rows = [np.repeat(np.arange(len(counts)), counts) for counts in weights]
    return np.array([[function(s.labels[r], s.probabilities[r]) for r in rows] for s in scores])


def _interval(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    level: float,
    seed: int,
    limits: tuple[float, float],
) -> Interval:
    """Combine case draws and seed draws of one or two sets of seeds into one interval.

    Resampling S seeds shows too little spread by (S - 1) / S, and a handful of seeds does not know
    its own spread: the seed part is scaled up by the first, and the whole interval is stretched by
    a t quantile with Welch-Satterthwaite degrees of freedom for the second.
    """
    value = float(sum(values.mean() for values, _ in parts))
    draws = sum(draws.mean(axis=0) for _, draws in parts)
    keep = ~np.isnan(draws)
    if keep.mean() < 0.5:
        raise MedlibError("more than half of the resamples lack a class: too few cases to resample")
    draws = draws[keep]
    generator = np.random.default_rng([seed, 1])
    cases_variance, seed_variances = draws.var(), []
    for values, _ in parts:
        if len(values) > 1:
            draws = draws + _seed_draws(values, len(draws), generator)
            seed_variances.append((values.var(ddof=1) / len(values), len(values) - 1))
    stretch = _stretch(cases_variance, seed_variances, level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    low, high = (float(np.clip(value + (end - value) * stretch, *limits)) for end in (low, high))
    return Interval(low, high, value, level, int((~keep).sum()))


def _seed_draws(values: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw how far the mean over a fresh set of as many seeds lies from this one's."""
    picks = generator.integers(0, len(values), size=(count, len(values)))
    inflate = np.sqrt(len(values) / (len(values) - 1))
    return (values[picks].mean(axis=1) - values.mean()) * inflate


def _stretch(cases: float, seeds: Sequence[tuple[float, int]], level: float) -> float:
    """Return t / z for the Welch-Satterthwaite degrees of freedom of the seeds' share."""
    total = cases + sum(variance for variance, _ in seeds)
    doubt = sum(variance**2 / freedom for variance, freedom in seeds)
    if doubt <= 1e-12 * total**2:
        return 1.0
    return _t(level, total**2 / doubt) / _z(level)


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _t(level: float, freedom: float) -> float:
    return float(stdtrit(freedom, (1 + level) / 2))
