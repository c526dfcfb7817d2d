"""How a classifier does in subgroups: scores, gaps, the worst group, and what a sample can show.

A mean over all patients can hide a group in which a model fails. A table of many groups can show a
failure that is chance. The functions here do both sides: every group gets its score with an
interval that resamples whole patients, gaps between groups are paired over seeds and resamples, the
worst of many groups is judged knowing that it was looked for, and the power says which gaps the
sample could have found at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from medlib.errors import MedlibError
from medlib.intervals import Comparison, Interval, case_weights
from medlib.metrics import RANGES
from medlib.multilabel.base import Method

if TYPE_CHECKING:
    from medlib.evaluate import Scores


@dataclass(frozen=True)
class Worst:
    """The group that falls behind the other cases the most.

    Attributes
    ----------
    name : str
        The group.
    gap : Interval
        Its metric minus that of all other cases; the interval holds for all groups at once.
    p : float
        Chance of a group as far behind, in units of its standard error, if no group differed from
        the rest: the p value that knows how many groups were looked at.
    """

    name: str
    gap: Interval
    p: float


@dataclass(frozen=True)
class Subgroups(Comparison):
    """A metric in several groups of cases, all on the same resampled patients.

    `values` and `draws` are by group. `interval(name)` is a group's interval, `paired(a, b)` the
    gap between two groups: a training seed counts in both, and so does a patient with cases in
    both.

    Attributes
    ----------
    rest : Comparison
        The same metric, by group, of the cases outside the group.
    """

    rest: Comparison

    def behind(self, name: str, level: float = 0.95) -> tuple[Interval, float]:
        """Return a group's metric minus that of the other cases, and the p value of zero."""
        values = {"group": self.values[name], "rest": self.rest.values[name]}
        draws = {"group": self.draws[name], "rest": self.rest.draws[name]}
        return Comparison(values, draws, self.limits, self.units).paired("group", "rest", level)

    def worst(self, level: float = 0.95) -> Worst:
        """Return the group that is furthest behind the rest, with a correction for the search.

        The correction is the single-step maximum of Westfall and Young (1993): how far behind,
        counted in standard errors, the worst of all groups falls in each resample around the
        values that were found. It takes into account that groups overlap. The moves are mirrored,
        because a low score comes with a large estimated error: unmirrored they ask too much (the
        tests simulate both the level and the search). With a handful of positive patients a group
        no resampling knows its own error, and the p value is too small.
        """
        found = {name: self.behind(name, level)[0] for name in self.values}
        name = min(found, key=lambda each: found[each].value)
        moves = np.array([self._moves(each) for each in found])
        lowest, furthest = -np.nanmax(moves, axis=0), np.nanmax(np.abs(moves), axis=0)
        value, error = found[name].value, self.standard_error(name)
        p = (1 + (lowest <= value / error).sum()) / (1 + len(lowest))
        half = float(np.quantile(furthest, level)) * error
        return Worst(name, replace(found[name], low=value - half, high=value + half), float(p))

    def standard_error(self, name: str, other: str | None = None) -> float:
        """Return the standard error of a gap: group minus other group, or minus the rest."""
        gaps, draws = self._gap(name, other)
        over_seeds = gaps.var(ddof=1) / len(gaps) if len(gaps) > 1 else 0.0
        return math.sqrt(np.nanvar(draws, ddof=1) + over_seeds)

    def smallest_gap(self, name: str, other: str, power: float = 0.8, level: float = 0.95) -> float:
        """Return the smallest true gap that a sample like this one would have shown.

        Parameters
        ----------
        name, other : str
            Two groups.
        power : float
            Chance that an interval of such a gap lies on one side of zero.
        level : float
            Confidence level of that interval.
        """
        return smallest_gap(self.standard_error(name, other), power, level)

    def _moves(self, name: str) -> np.ndarray:
        """Return how each resample moves the gap to the rest, in standard deviations: (B,)."""
        _, draws = self._gap(name)
        return (draws - np.nanmean(draws)) / np.nanstd(draws, ddof=1)

    def _gap(self, name: str, other: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the gap of each seed (S,), and its mean over seeds in each resample (B,)."""
        against, key = (self.rest, name) if other is None else (self, other)
        draws = self.draws[name] - against.draws[key]
        return self.values[name] - against.values[key], draws.mean(axis=0)


def by_subgroup(
    scores: "Scores | Sequence[Scores]",
    groups: Mapping[str, np.ndarray],
    metric: str = "auc",
    resamples: int = 1_000,
    seed: int = 0,
) -> Subgroups:
    """Compute a metric in each group, on resampled patients.

    Parameters
    ----------
    scores : Scores or sequence of them
        One a seed, on the same cases.
    groups : mapping of str to ndarray
        ``(N,)`` bool: which cases belong to the group. Groups may overlap; neither a group nor its
        complement may be empty, or lack a class that the metric needs.
    metric : str
        Name in `medlib.metrics.METRICS`. For decisions at thresholds of one's own, hand over scores
        whose probabilities are the decisions, as `medlib.multilabel.decide` makes them.
    resamples : int
        Number of resamples of the patients; of the cases where the scores name no patients.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Subgroups

    Raises
    ------
    MedlibError
        For masks of another shape, an empty group, or a metric that a group does not define.
    """
    several = list(scores) if isinstance(scores, Sequence) else [scores]
    masks = {name: _mask(name, mask, len(several[0].labels)) for name, mask in groups.items()}
    outside = {name: ~mask for name, mask in masks.items()}
    inside, rest = (_compared(several, each, metric, resamples, seed) for each in (masks, outside))
    return Subgroups(inside.values, inside.draws, inside.limits, inside.units, rest)


def within(scores: "Scores", mask: np.ndarray, findings: Sequence[int] | None = None) -> "Scores":
    """Return the scores of some cases, as if there were no others.

    Parameters
    ----------
    scores : Scores
    mask : ndarray
        ``(N,)`` bool, or the rows to take.
    findings : sequence of int, optional
        The labels to keep, where a case may carry several.

    Returns
    -------
    Scores
        Without a file: it is a part of what was scored.
    """
    labels, probabilities = scores.labels[mask], scores.probabilities[mask]
    if findings is not None:
        labels, probabilities = labels[:, list(findings)], probabilities[:, list(findings)]
    groups = None if scores.groups is None else scores.groups[mask]
    index = scores.index[mask]
    return replace(
        scores, labels=labels, probabilities=probabilities, index=index, groups=groups, path=None
    )


def smallest_gap(standard_error: float, power: float = 0.8, level: float = 0.95) -> float:
    """Return the smallest true gap that is told from zero with a given power.

    Its estimate is taken as normal: the gap is ``(z(level) + z(power))`` standard errors, 2.8 of
    them for a power of 0.8 and a level of 0.95.

    Parameters
    ----------
    standard_error : float
        Of the gap's estimate, such as a bootstrap gives it.
    power, level : float
        Within (0, 1).
    """
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)) * standard_error


def patients_needed(
    gap: float, standard_error: float, patients: int, power: float = 0.8, level: float = 0.95
) -> int:
    """Return how many patients like those of a sample would show a gap.

    A standard error falls with the square root of the patients, the mix of groups staying as it is.

    Parameters
    ----------
    gap : float
        The true gap that is to be found.
    standard_error : float
        Of the gap's estimate in the sample.
    patients : int
        Patients in the sample.
    power, level : float
        As in `smallest_gap`.
    """
    if gap == 0:
        raise MedlibError("no number of patients shows a gap of zero: give the gap that matters")
    shown = smallest_gap(standard_error, power, level)
    return math.ceil(patients * (shown / gap) ** 2)


def auc_standard_error(auc: float, positives: float, negatives: float) -> float:
    """Return the standard error of an AUC of independent cases (Hanley and McNeil, 1982).

    Parameters
    ----------
    auc : float
        The true AUC.
    positives, negatives : float
        Cases of each class.
    """
    both_positive, both_negative = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (
        auc * (1 - auc)
        + (positives - 1) * (both_positive - auc**2)
        + (negatives - 1) * (both_negative - auc**2)
    )
    return math.sqrt(spread / (positives * negatives))


def patients_a_group(
    gap: float, auc: float, prevalence: float, power: float = 0.8, level: float = 0.95
) -> int:
    """Return how many patients each of two groups needs to show a gap in AUC; one case a patient.

    Parameters
    ----------
    gap : float
        The AUC of the better group minus that of the worse.
    auc : float
        Of the better group.
    prevalence : float
        Share of positive cases, in both groups.
    power, level : float
        As in `smallest_gap`.
    """
    if not 0 < gap < auc or not 0 < prevalence < 1:
        raise MedlibError("need 0 < gap < auc and a prevalence between 0 and 1")

    def shown(patients: float) -> float:
        counts = patients * prevalence, patients * (1 - prevalence)
        errors = [auc_standard_error(each, *counts) for each in (auc, auc - gap)]
        return smallest_gap(math.hypot(*errors), power, level)

    low, high = 0.0, 2 / min(prevalence, 1 - prevalence)
    while shown(high) > gap:
        low, high = high, 2 * high
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if shown(middle) > gap else (low, middle)
    return math.ceil(high)


class OneGroup(Method):
    """A method that learns from the cases of one group, or from as many cases of all groups.

    The group is the first column of the features, whole numbers; the method inside never sees it.

    Parameters
    ----------
    method : Method
        What learns; of `medlib.multilabel`.
    group : int
        The group that is learned from.
    mixed : bool
        Learn from as many cases as the group has, drawn from all groups: the control that tells the
        effect of the group from that of fewer cases.
    """

    def __init__(self, method: Method, group: int, *, mixed: bool = False) -> None:
        self.method, self.group, self.mixed = method, group, mixed

    def _fit(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int
    ) -> None:
        rows = np.flatnonzero(features[:, 0] == self.group)
        if not len(rows):
            raise MedlibError(f"no training case is of group {self.group}: see the first column")
        if self.mixed:
            drawn = np.random.default_rng(seed).permutation(len(features))[: len(rows)]
            rows = np.sort(drawn)
        inside = None if groups is None else np.asarray(groups)[rows]
        self.method.fit(features[rows, 1:], labels[rows], inside, seed)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        return self.method.predict_proba(features[:, 1:])


def _mask(name: str, mask: np.ndarray, cases: int) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (cases,):
        raise MedlibError(
            f"group {name!r} needs a mask of {cases} bools, got {mask.dtype} {mask.shape}"
        )
    if not mask.any() or mask.all():
        raise MedlibError(f"group {name!r} must hold some of the cases, not none and not all")
    return mask


def _compared(
    several: Sequence["Scores"],
    masks: Mapping[str, np.ndarray],
    metric: str,
    resamples: int,
    seed: int,
) -> Comparison:
    """Evaluate the metric inside each mask, on the same resamples of all patients."""
    parts = {name: [within(each, mask) for each in several] for name, mask in masks.items()}
    values = {n: np.array([each.value(metric) for each in many]) for n, many in parts.items()}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in parts}
    first, generator = several[0], np.random.default_rng(seed)
    for weights in case_weights(len(first.labels), first.groups, resamples, generator):
        for name, many in parts.items():
            own = weights[:, masks[name]]
            draws[name].append(np.stack([each.value(metric, own) for each in many]))
    joined = {name: np.concatenate(found, axis=1) for name, found in draws.items()}
    units = min(_patients(many[0]) for many in parts.values())
    return Comparison(values, joined, RANGES[metric], units)


def _patients(scores: "Scores") -> int:
    return len(np.unique(scores.index if scores.groups is None else scores.groups))
