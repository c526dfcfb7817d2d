"""Choosing inside the training cases: the better candidate, and thresholds at one half."""

import numpy as np
import pytest

from medlib.errors import MedlibError
from medlib.multilabel import BinaryRelevance, Chosen, Method, Prevalence, logistic, moved


def films(count=160, seed=0):
    """Return features that tell labels, labels, and patients of four films each."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 8))
    labels = (features[:, :3] + rng.normal(size=(count, 3)) > 0.8).astype(int)
    return features, labels, np.repeat(np.arange(count // 4), 4)


class Useless(Method):
    """Knows nothing."""

    def _fit(self, features, labels, groups, seed):
        self.width = labels.shape[1]

    def _predict(self, features):
        return np.random.default_rng(0).random((len(features), self.width))


def test_chosen_takes_the_better_candidate():
    features, labels, groups = films()
    chosen = Chosen([Useless(), BinaryRelevance(logistic(0.1))]).fit(features, labels, groups)
    assert chosen.chosen_ == 1
    with pytest.raises(MedlibError, match="no candidate"):
        Chosen([])


def test_chosen_hands_its_choice_on():
    features, labels, groups = films()
    best = BinaryRelevance(logistic(0.5))
    chosen = Chosen([Useless(), best], last=lambda place: [None, Prevalence()][place])
    found = chosen.fit(features, labels, groups).predict_proba(features)
    np.testing.assert_allclose(found, np.tile(labels.mean(axis=0), (len(labels), 1)))


def test_chosen_thresholds_lie_at_one_half():
    features, labels, groups = films(400)
    plain = Chosen([BinaryRelevance(logistic(0.1))]).fit(features, labels, groups)
    own = Chosen([BinaryRelevance(logistic(0.1))], thresholds="prevalence")
    own.fit(features, labels, groups)
    before, after = plain.predict_proba(features), own.predict_proba(features)
    assert (before.argsort(axis=0) == after.argsort(axis=0)).all()
    assert abs((after > 0.5).mean() - labels.mean()) < 0.06
    np.testing.assert_array_equal(after > 0.5, before > own.cuts_)


def test_moved_survives_thresholds_at_the_ends():
    found = moved(np.array([[0.0, 0.3, 1.0]]), np.array([np.inf, 0.3, -np.inf]))
    assert found[0, 0] < 0.5 < found[0, 2]
    assert found[0, 1] == pytest.approx(0.5)


def test_prevalence_counts_known_labels_only():
    features = np.ones((4, 2))
    labels = np.array([[1, -1], [1, 0], [0, 1], [-1, -1]])
    found = Prevalence().fit(features, labels).predict_proba(features)
    np.testing.assert_allclose(found[0], [2 / 3, 1 / 2])
