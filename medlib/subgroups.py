"""How a classifier does in subgroups: scores, gaps, the worst group, and what a sample can show.

A mean over all patients can hide a group in which a model fails. A table of many groups can show a
failure that is chance. The functions here do both sides: every group gets its score with an
interval that resamples whole patients, gaps between groups are paired over seeds and resamples, the
worst of many groups is judged knowing that it was looked for, and the power says which gaps the
sample could have found at all.
"""

import numpy as np

from medlib.errors import MedlibError
from medlib.multilabel.base import Method


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
