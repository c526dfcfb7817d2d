"""Long runs of 3.11: all layers in one pass, and a choice inside the training images."""

from collections import Counter

import numpy as np
import pytest

from book.workflow import long_features
from book.workflow.long_features import (
    LAYERS,
    Description,
    OnFrozen,
    Place,
    Untrained,
    feature_jobs,
    searched,
)
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.pretrained import extract, pretrained

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def toy():
    """Return a small phantom of BreastMNIST."""
    return phantom_like(card("breastmnist")).subset(60)


@pytest.fixture
def small(monkeypatch):
    """Search few places, on small images."""
    monkeypatch.setattr(long_features, "LAYERS", ("stage3", "head"))
    monkeypatch.setitem(long_features.SIZES, "breastmnist", (32,))
    monkeypatch.setitem(long_features.SETTINGS, "nearest-neighbours", (5, 15))


def test_one_pass_gives_the_features_of_extract(toy, tmp_path):
    network, images = pretrained(), toy.val.images[:10]
    description = Description(network, tmp_path)
    for layer, pool, same in (("stage5", "max", "stage5"), ("head", "avg", "pooled")):
        found = description.table(images, Place(layer, pool, 64))
        expected = extract(network, images, same, image_size=64, pool=pool)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(list(tmp_path.glob("*.pt"))) == 1


def test_an_untrained_network_is_decided_by_its_seed_and_keeps_signals(toy, tmp_path):
    images, place = toy.train.images, Place("head", "avg", 32)
    first, again, other = (
        Untrained(pretrained(), tmp_path / str(number), seed, images).table(images, place)
        for number, seed in enumerate((0, 0, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert 0.1 < first.std() < 10


@pytest.mark.parametrize("family", ["logistic-regression", "nearest-neighbours", "svm"])
def test_a_features_job_chooses_by_folds_and_predicts(family, toy, tmp_path, small):
    job = OnFrozen("lite0-toy", "breastmnist", 0, 0.1, family=family)
    model, details = job.predictor(toy, tmp_path / "jobs")
    best = max(details["sweep"], key=lambda row: np.mean(row["folds"]))
    assert {key: details["chosen"][key] for key in ("layer", "pool", "image_size")} == {
        key: best[key] for key in ("layer", "pool", "image_size")
    }
    assert len(details["sweep"]) == 4
    assert details["searched"] == len(toy.train)
    found = model.predict_proba(toy.val.images)
    assert found.shape == (len(toy.val), 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_large_feature_sets_are_searched_on_a_share_of_each_class():
    labels = np.repeat([0, 1], [1000, 4000])
    images, kept = searched(np.arange(5000).reshape(-1, 1, 1, 1), labels)
    assert Counter(kept.tolist()) == {0: 140, 1: 560}
    np.testing.assert_array_equal(labels[images.ravel()], kept)


def test_feature_jobs_have_names_of_their_own():
    jobs = list(feature_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 33
    assert all(job.chapter == "03-11-features" for job in jobs)
    assert LAYERS[-1] == "head"
