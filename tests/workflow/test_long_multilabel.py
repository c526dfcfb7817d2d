"""What chapter 3.16 compares: nothing is chosen outside the training cases it was given."""

import numpy as np
import pytest

from book.workflow.long_multilabel import COMPARISONS, METHODS, Chosen, Prevalence, moved
from medlib.errors import MedlibError
from medlib.multilabel import BinaryRelevance, Method, logistic, macro_auc


def films(count=160, seed=0):
    """Return features, labels and patients; features tell labels, patients have four films."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 8))
    labels = (features[:, :3] + rng.normal(size=(count, 3)) > 0.8).astype(int)
    return features, labels, np.repeat(np.arange(count // 4), 4)


class Useless(Method):
    """Knows nothing, and notes from which cases it learned."""

    def _fit(self, features, labels, groups, seed):
        self.width = labels.shape[1]

    def _predict(self, features):
        return np.random.default_rng(0).random((len(features), self.width))


def test_multilabel_methods_all_learn():
    features, labels, groups = films()
    for name, build in METHODS.items():
        found = build().fit(features, labels, groups, seed=0).predict_proba(features)
        assert found.shape == labels.shape, name
        assert (macro_auc(labels, found).value > 0.7) == (name != "prevalence"), name


def test_multilabel_comparisons_name_methods():
    assert {name for pair in COMPARISONS for name in pair} <= set(METHODS)
    assert len(set(COMPARISONS)) == len(COMPARISONS)


def test_multilabel_chosen_takes_the_better_candidate():
    features, labels, groups = films()
    chosen = Chosen([Useless(), BinaryRelevance(logistic(0.1))]).fit(features, labels, groups)
    assert chosen.chosen_ == 1
    with pytest.raises(MedlibError, match="no candidate"):
        Chosen([])


def test_multilabel_chosen_thresholds_lie_at_one_half():
    features, labels, groups = films(400)
    plain = Chosen([BinaryRelevance(logistic(0.1))]).fit(features, labels, groups)
    own = Chosen([BinaryRelevance(logistic(0.1))], thresholds="prevalence")
    own.fit(features, labels, groups)
    before, after = plain.predict_proba(features), own.predict_proba(features)
    assert (before.argsort(axis=0) == after.argsort(axis=0)).all()
    assert abs((after > 0.5).mean() - labels.mean()) < 0.06
    np.testing.assert_array_equal(after > 0.5, before > own.cuts_)


def test_multilabel_moved_survives_thresholds_at_the_ends():
    found = moved(np.array([[0.0, 0.3, 1.0]]), np.array([np.inf, 0.3, -np.inf]))
    assert found[0, 0] < 0.5 < found[0, 2]
    assert found[0, 1] == pytest.approx(0.5)


def test_multilabel_prevalence_is_that_of_the_training_cases():
    features, labels, _ = films()
    found = Prevalence().fit(features, labels).predict_proba(features[:5])
    np.testing.assert_allclose(found, np.tile(labels.mean(axis=0), (5, 1)))
