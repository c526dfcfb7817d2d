"""Long runs of 4.9: folds without leaks, arms that differ as they should, complete records."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow import long_explain
from book.workflow.long_explain import ARMS, METHODS, Explained, explain_jobs, folds, lesions
from medlib.data import card
from medlib.data.phantoms import phantom_like

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def toy():
    """Return a small phantom of busi128."""
    return phantom_like(card("busi128")).subset(40)


def test_explain_folds_hold_every_known_image_out_once(toy):
    parts = list(folds(toy))
    held = np.concatenate([part.val.images for part in parts])
    known = len(toy.train) + len(toy.val)
    assert len(held) == known
    assert all(len(part.train) + len(part.val) == known for part in parts)
    for part in parts:
        own = {image.tobytes() for image in part.train.images}
        assert not own & {image.tobytes() for image in part.val.images}
        assert all((each > 0).any() for each in lesions(part).masks)


def test_an_explain_job_scores_every_map_of_every_lesion(toy, tmp_path, monkeypatch):
    few = {"saliency": {}, "guided_backprop": {}, "grad_cam": {}}
    monkeypatch.setattr(long_explain, "METHODS", few)
    monkeypatch.setattr(long_explain, "FOLDS", 2)
    short = {arm: recipe and replace(recipe.capped(3)) for arm, recipe in ARMS.items()}
    monkeypatch.setattr(long_explain, "ARMS", short)
    job = Explained("explained-folds", "busi128", 0, 1.0)
    predictor, details = job.predictor(toy, tmp_path)
    count = len(details["images"]["label"])
    assert count == sum(len(lesions(part)) for part in folds(toy))
    assert set(details["arms"]) == {"trained", "shuffled", "untrained"}
    for arm in details["arms"].values():
        assert set(arm["maps"]) == set(few)
        assert all(len(m["pointing"]) == len(m["energy"]) == count for m in arm["maps"].values())
    assert details["baselines"]["uniform"]["energy"] == details["images"]["area"]
    assert len(details["cascade"]["saliency"]["layers"]) > 5
    assert set(details["labels"]["grad_cam"]) == {"shuffled", "untrained", "edges"}
    assert set(job.validate(predictor, toy)) == {"auc", "accuracy"}
    assert predictor.predict_proba(toy.test.images).shape == (len(toy.test.images), 3)


def test_explain_jobs_are_three_seeds_of_one_model():
    jobs = list(explain_jobs())
    assert [job.seed for job in jobs] == [0, 1, 2]
    assert len({job.id for job in jobs}) == 3
    assert "guided_backprop" in METHODS
