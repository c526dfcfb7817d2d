"""Novelty scores against hand computation, scipy and brute force."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.metrics import roc_auc_score

from medlib import trust
from medlib.errors import MedlibError


@pytest.fixture
def features() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 3
    mixing = generator.normal(size=(4, 4))
    known = generator.normal(size=(200, 4)) @ mixing + 3 * np.eye(3, 4)[labels]
    return known, labels, generator.normal(size=(30, 4)) + 8


def test_max_softmax_by_hand():
    assert trust.max_softmax(np.array([[0.7, 0.3], [0.5, 0.5]])) == pytest.approx([0.3, 0.5])


def test_energy_by_hand():
    logits = np.array([[0.0, 0.0], [np.log(3), 0.0]])
    assert trust.energy(logits) == pytest.approx([-np.log(2), -np.log(4)])
    assert trust.energy(logits, 2.0) == pytest.approx([-2 * np.log(2), -2 * np.log(np.sqrt(3) + 1)])
    assert trust.energy(np.array([[1_000.0, 0.0]])) == pytest.approx([-1_000])
    with pytest.raises(MedlibError, match="temperature"):
        trust.energy(logits, 0)


def test_energy_sees_what_softmax_takes_away():
    high, low = np.array([[9.0, 1.0]]), np.array([[4.0, -4.0]])
    assert trust.energy(low) > trust.energy(high)


class TestMahalanobis:
    def test_equals_scipy(self, features):
        known, labels, novel = features
        means = [known[labels == k].mean(axis=0) for k in range(3)]
        within = np.concatenate([known[labels == k] - means[k] for k in range(3)])
        precision = np.linalg.inv(within.T @ within / len(known))
        expected = [min(mahalanobis(x, m, precision) ** 2 for m in means) for x in novel]
        assert trust.Mahalanobis().fit(known, labels).score(novel) == pytest.approx(expected)

    def test_more_features_than_cases(self):
        generator = np.random.default_rng(0)
        known, labels = generator.normal(size=(20, 50)), np.arange(20) % 2
        found = trust.Mahalanobis(shrinkage=0.2).fit(known, labels)
        assert np.linalg.eigvalsh(found.precision).min() > 0
        near, far = found.score(known), found.score(known + 5)
        assert far.min() > near.max()

    def test_shrunk_fully_it_is_euclidean(self, features):
        known, labels, novel = features
        found = trust.Mahalanobis(shrinkage=1.0).fit(known, labels)
        means = np.stack([known[labels == k].mean(axis=0) for k in range(3)])
        ratio = found.score(novel) / cdist(novel, means, "sqeuclidean").min(axis=1)
        assert np.ptp(ratio) == pytest.approx(0, abs=1e-9)

    def test_errors(self, features):
        known, labels, novel = features
        with pytest.raises(MedlibError, match="call fit"):
            trust.Mahalanobis().score(novel)
        with pytest.raises(MedlibError, match="fitted on 4 columns"):
            trust.Mahalanobis().fit(known, labels).score(novel[:, :2])
        with pytest.raises(MedlibError, match="shrinkage"):
            trust.Mahalanobis(2)
        with pytest.raises(MedlibError, match="class for each"):
            trust.Mahalanobis().fit(known, labels[:5])


class TestNearestNeighbours:
    @pytest.mark.parametrize("k", [1, 7])
    def test_equals_sorted_distances(self, features, k):
        known, _, novel = features
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (known, novel)]
        found = trust.NearestNeighbours(k).fit(known).score(novel)
        assert found == pytest.approx(np.sort(cdist(unit[1], unit[0]))[:, k - 1])
        raw = trust.NearestNeighbours(k, normalise=False).fit(known).score(novel)
        assert raw == pytest.approx(np.sort(cdist(novel, known))[:, k - 1])

    def test_errors(self, features):
        with pytest.raises(MedlibError, match="k must"):
            trust.NearestNeighbours(1_000).fit(features[0])
        with pytest.raises(MedlibError, match="call fit"):
            trust.NearestNeighbours().score(features[0])


class TestDetection:
    def test_by_hand(self):
        known, novel = np.arange(100.0), np.array([50.0, 94.0, 94.5, 95.0, 200.0])
        found = trust.detection(known, novel)
        assert found.threshold == 94  # 95 of 100 known cases lie at or below it
        assert found.false_positive_rate.value == pytest.approx(2 / 5)

    def test_auroc_equals_scikit_learn_and_lies_in_its_interval(self):
        generator = np.random.default_rng(0)
        known, novel = generator.normal(size=80).round(1), generator.normal(1, size=50).round(1)
        found = trust.detection(known, novel)
        truth = np.repeat([0, 1], [80, 50])
        expected = roc_auc_score(truth, np.concatenate([known, novel]))
        assert found.auroc.value == pytest.approx(expected)
        assert found.auroc.low < expected < found.auroc.high

    def test_apart_and_alike(self):
        apart = trust.detection(np.arange(50.0), np.arange(50.0) + 100)
        assert (apart.auroc.value, apart.false_positive_rate.value) == (1, 0)
        alike = trust.detection(np.arange(50.0), np.arange(50.0))
        assert alike.auroc.value == pytest.approx(0.5)

    def test_errors(self):
        with pytest.raises(MedlibError, match="two novel"):
            trust.detection(np.arange(5), np.array([1.0]))
        with pytest.raises(MedlibError, match="share to keep"):
            trust.detection(np.arange(5), np.arange(5), keep=95)


def test_features_with_nan_are_refused():
    with pytest.raises(MedlibError, match="finite"):
        trust.max_softmax(np.array([[np.nan, 0.5]]))


def test_last_layer_gives_features_and_logits_that_belong_together():
    import torch

    from medlib.models import create
    from medlib.predict import predict_proba

    torch.manual_seed(0)
    model = create("resnet_small", in_channels=1, num_classes=3, image_size=28, width=4)
    images = np.random.default_rng(0).integers(0, 256, (530, 1, 28, 28), dtype=np.uint8)
    features, logits = trust.last_layer(model, images)  # in two batches
    weight, bias = (p.detach().double().numpy() for p in (model.fc.weight, model.fc.bias))
    assert features.shape == (530, model.fc.in_features)
    assert features @ weight.T + bias == pytest.approx(logits, abs=1e-5)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = odds / odds.sum(axis=1, keepdims=True)
    assert predict_proba(model, images, task="multi-class") == pytest.approx(expected, abs=1e-9)
    assert not model.fc._forward_pre_hooks
    with pytest.raises(MedlibError, match="no linear layer"):
        trust.last_layer(torch.nn.Flatten(), images)
