"""The ablation of augmentation: its arms, how predictions move, and the views, on toy data."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow.long_augment import (
    ARMS,
    CHANGES,
    ON,
    Ablation,
    FromViews,
    augment_jobs,
    changed,
    under_changes,
)
from medlib.augment import Augment
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def augment_toy(name="breastmnist"):
    return phantom_like(card(name)).subset(48)


def toy_job(arm="flip-lr"):
    recipe = replace(Recipe.small(), augment=ARMS[arm]).capped(4)
    return Ablation(
        "toy", "breastmnist", 0, 0.1, "03-13-augmentation", recipe, "resnet_small", {"width": 4}
    )


def test_augment_jobs_are_distinct_and_differ_in_the_augmentation_alone():
    jobs = list(augment_jobs())
    trained = [job for job in jobs if isinstance(job, Ablation)]
    assert len({job.id for job in jobs}) == len(jobs)
    assert len(trained) == 3 * sum(len(arms) for arms in ON.values())
    assert {replace(job.recipe, augment=None) for job in trained} == {
        replace(Recipe.small(), augment=None)
    }
    assert sum(job.minutes for job in jobs) < 25
    assert all(job.needs[0] in trained for job in jobs if isinstance(job, FromViews))


def test_augment_record_says_how_predictions_move(tmp_path):
    dataset = augment_toy()
    predictor, details = toy_job().predictor(dataset, tmp_path)
    assert set(details["changed"]) == {
        name for name in CHANGES if name not in ("hue", "any-hue", "mixup", "cutmix")
    }
    mirrored = predictor.predict_proba(np.ascontiguousarray(dataset.val.images[..., ::-1]))
    before = predictor.predict_proba(dataset.val.images)
    expected = np.abs(mirrored - before)[:, 1].mean()
    assert details["changed"]["flip-lr"]["moved"] == pytest.approx(expected, abs=1e-6)
    assert 0 <= details["changed"]["flip-lr"]["auc"] <= 1


def test_augment_views_are_the_average_over_ten(tmp_path):
    dataset, member = augment_toy(), toy_job("none")
    views = Augment(flip_horizontal=True, shift=0.08)
    job = FromViews("toy-views", "breastmnist", 0, 0.1, "03-13-augmentation", member, views)
    predictor, details = job.predictor(dataset, tmp_path)
    assert details == {"members": [member.id], "views": 10}
    both = predictor.predict_proba(dataset.val.images)
    swapped = predictor.predict_proba(np.ascontiguousarray(dataset.val.images[..., ::-1]))
    np.testing.assert_allclose(both, swapped, atol=1e-6)


def test_augment_changes_of_colour_are_measured_in_colour_alone():
    class RedValue:
        def predict_proba(self, images):
            red = images[:, 0].mean((1, 2)) / 255
            return np.stack([1 - red, red], axis=1)

    dataset = augment_toy("retinamnist")
    rng = np.random.default_rng(0)
    coloured = rng.integers(0, 256, dataset.val.images.shape, dtype=np.uint8)
    coloured[:, 1:] //= 4  # reddish
    labels = np.arange(len(coloured)) % 2
    found = under_changes(RedValue(), replace(dataset.val, images=coloured, labels=labels))
    assert found["flip-lr"]["moved"] == pytest.approx(0, abs=1e-9)
    assert found["any-hue"]["moved"] > found["hue"]["moved"] > 0
    still = changed(dataset.val.images, Augment(), 0)
    assert np.array_equal(still, dataset.val.images)
