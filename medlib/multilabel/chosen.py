"""Choose inside the training cases: the best of several methods, and each label's threshold.

Everything happens in folds of patients of the cases that `fit` was given, so that a method of
which something is chosen can be judged like any other. `Prevalence` is what all must beat.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, logit

from medlib.errors import MedlibError
from medlib.multilabel.base import UNKNOWN, Method
from medlib.multilabel.folds import out_of_fold
from medlib.multilabel.measures import macro_auc
from medlib.multilabel.thresholds import choose_thresholds

FLOOR = 1e-6  # thresholds are held this far from 0 and 1, where the logit ends


class Prevalence(Method):
    """Give every case each label's share of the known labels: the answer that sees no image."""

    def _fit(self, features: np.ndarray, labels: np.ndarray, *_: object) -> None:
        known = (labels != UNKNOWN).sum(axis=0)
        self.shares_ = (labels == 1).sum(axis=0) / np.maximum(known, 1)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        return np.tile(self.shares_, (len(features), 1))


class Chosen(Method):
    """The one of several candidates that is best in folds of patients inside the training cases.

    Best is the largest macro AUC of the pooled predictions; of equals the first. It then learns
    from all training cases.

    Parameters
    ----------
    candidates : sequence of Method
        What to choose from, such as one method with several strengths of its penalty.
    folds : int
        How many folds inside.
    last : callable, optional
        Makes of the best candidate's place what learns from all training cases, such as a costlier
        relative with the same penalty; by default the candidate itself.
    thresholds : str, optional
        See `choose_thresholds`: each label's threshold is chosen from the same predictions, and
        its probabilities are moved, in their old order, until it lies at one half.
    """

    def __init__(
        self,
        candidates: Sequence[Method],
        folds: int = 2,
        last: Callable[[int], Method] | None = None,
        thresholds: str | None = None,
    ) -> None:
        if not candidates:
            raise MedlibError("there is no candidate to choose: give at least one method")
        self.candidates, self.folds = tuple(candidates), folds
        self.last, self.thresholds = last, thresholds

    def _fit(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int
    ) -> None:
        found = [
            out_of_fold(each, features, labels, groups, folds=self.folds, seed=seed).probabilities
            for each in self.candidates
        ]
        self.chosen_ = int(np.argmax([macro_auc(labels, each).value for each in found]))
        self.cuts_ = None
        if self.thresholds:
            self.cuts_ = choose_thresholds(labels, found[self.chosen_], by=self.thresholds)
        best = self.last(self.chosen_) if self.last else self.candidates[self.chosen_]
        self.fitted_ = best.fit(features, labels, groups, seed)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        found = self.fitted_.predict_proba(features)
        return found if self.cuts_ is None else moved(found, self.cuts_)


def moved(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Move probabilities on the logit scale so that each label's threshold lies at one half.

    Parameters
    ----------
    probabilities : ndarray
        ``(N, K)``.
    thresholds : ndarray
        ``(K,)``, as from `choose_thresholds`: infinity for a label that is never called.

    Returns
    -------
    ndarray
        ``(N, K)``, each label's cases in their old order.
    """
    cuts = np.clip(thresholds, FLOOR, 1 - FLOOR)
    return expit(logit(np.clip(probabilities, FLOOR**2, 1 - FLOOR**2)) - logit(cuts))
