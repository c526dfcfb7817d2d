"""The trivial baselines: what they promise, for one label and for several."""

import numpy as np
import pytest

from medlib import metrics
from medlib.baselines import (
    BASELINES,
    ConstantPredictor,
    DarkSpot,
    HistogramRegression,
    PixelNeighbours,
)
from medlib.errors import MedlibError


def brightness_task(count=90, num_classes=3, seed=0):
    """Images whose class is how bright they are."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    images = rng.integers(0, 60, (count, 1, 12, 12)) + 60 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


@pytest.mark.parametrize("name", BASELINES)
def test_probabilities_have_their_shape(name):
    images, labels = brightness_task()
    model = BASELINES[name]().fit(images, labels)
    probabilities = model.predict_proba(images[:7])
    assert probabilities.shape == (7, 3)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1)


@pytest.mark.parametrize("name", BASELINES)
def test_several_labels(name):
    images, classes = brightness_task()
    labels = np.stack([classes >= 1, classes == 2], axis=1).astype(int)
    probabilities = BASELINES[name]().fit(images, labels).predict_proba(images)
    assert probabilities.shape == (90, 2)
    assert (0.5 if name == "constant" else 0.99) <= metrics.auc(labels, probabilities)


def test_constant_is_the_prior():
    images, labels = brightness_task(num_classes=2)
    labels[:30] = 0
    model = ConstantPredictor().fit(images, labels)
    prior = np.bincount(labels) / 90
    np.testing.assert_allclose(model.predict_proba(images), np.tile(prior, (90, 1)))
    assert metrics.auc(labels, model.predict_proba(images)) == 0.5
    assert metrics.accuracy(labels, model.predict_proba(images)) == prior.max()


def test_histogram_and_neighbours_learn_brightness():
    images, labels = brightness_task()
    new_images, new_labels = brightness_task(seed=1)
    for model in (HistogramRegression(), PixelNeighbours(5)):
        found = model.fit(images, labels).predict_proba(new_images)
        assert metrics.accuracy(new_labels, found) > 0.95


def test_neighbours_equal_a_plain_search():
    images, labels = brightness_task()
    model = PixelNeighbours(4).fit(images[10:], labels[10:])
    flat = images.reshape(90, -1) / 255
    distance = ((flat[:10, None] - flat[None, 10:]) ** 2).sum(-1)
    nearest = np.argsort(distance, axis=1)[:, :4]
    expected = [np.bincount(labels[10:][rows], minlength=3) / 4 for rows in nearest]
    np.testing.assert_allclose(model.predict_proba(images[:10]), expected)


def test_a_class_without_training_images_gets_nothing():
    images, labels = brightness_task()
    kept = labels != 1
    found = HistogramRegression().fit(images[kept], labels[kept]).predict_proba(images)
    assert found.shape == (90, 3)
    assert (found[:, 1] == 0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_missing_labels_are_named(name):
    images, labels = brightness_task()
    with pytest.raises(MedlibError, match="90 images and no labels .*fit on train"):
        BASELINES[name]().fit(images, None)
    with pytest.raises(MedlibError, match="90 images and 5 labels"):
        BASELINES[name]().fit(images, labels[:5])


@pytest.mark.real_images("breastmnist")
def test_real_ultrasound_is_more_than_its_histogram():
    from medlib.data import load

    data = load("breastmnist")
    areas = {}
    for name, build in BASELINES.items():
        model = build().fit(data.train.images, data.train.labels)
        areas[name] = metrics.auc(data.val.labels, model.predict_proba(data.val.images))
    assert areas["constant"] == 0.5
    assert 0.5 < areas["histogram"] < 0.9
    assert areas["neighbours"] > 0.5


def test_dark_spot_measures_the_depth_below_the_median():
    images = np.zeros((3, 1, 20, 20), dtype=np.uint8)
    images[:2, :, 2:18, 2:18] = 150  # two cells and one black picture
    images[1, 0, 9, 9] = 40
    images[0, 0, 2, 2] = 40  # on the rim: taken off by the margin
    spot = DarkSpot()
    assert spot.depths(images).tolist() == [0, 110, 0]
    found = spot.fit(images, np.array([0, 1, 0])).predict_proba(images)
    assert found.sum(axis=1) == pytest.approx(1)
    assert found[1, 1] > 0.5 > found[0, 1] == found[2, 1]
