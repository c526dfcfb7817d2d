"""The long runs of chapter 4.10: what their records keep, and what each scores."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow import long_trust
from book.workflow.long_models import Network
from book.workflow.long_table import JOBS
from book.workflow.long_trust import (
    DETECTORS,
    KINDS,
    Averaged,
    Corrupted,
    OnDamaged,
    Trusted,
    WithTemperature,
    kept,
    spread,
    strangeness,
    trust_jobs,
)
from medlib import trust
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.recipe import Recipe


@pytest.fixture(scope="module")
def breast():
    return phantom_like(card("breastmnist")).subset(40)


@pytest.fixture(scope="module")
def others():
    return {"other": phantom_like(card("pneumoniamnist")).subset(20), "retina": fundus()}


def fundus():
    return phantom_like(card("retinamnist")).subset(20)


@pytest.fixture
def member(monkeypatch, others):
    """Return the first training, cut short; the other sets are phantoms."""
    by_name = {each.name: each for each in others.values()}
    monkeypatch.setattr(long_trust, "load", by_name.__getitem__)
    first = next(trust_jobs())
    return replace(first, recipe=first.recipe.capped(4), options={"width": 4})


def unpacked(text):
    return np.array(text.split(), dtype=float)


def test_trust_jobs_fit_the_budget_and_are_named_apart():
    jobs = list(trust_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 9 * 3 + 6 * 5 * 3 * 2 + 6
    assert sum(job.minutes for job in jobs) < 21
    assert len({job.id for job in JOBS}) == len(JOBS)
    assert all(job.recipe == Recipe.small() for job in jobs if isinstance(job, Trusted))
    assert Recipe.small().select == "last"  # validation has chosen nothing: it is left for trust
    assert sum(isinstance(job, Corrupted) for job in jobs) == 180
    assert set(KINDS) <= set(trust.CORRUPTIONS)
    named = {job.id for job in jobs}
    assert "trust-small__breastmnist__seed0__jpeg-5" in named
    assert "trust-small__retinamnist__seed0__jpeg-5" not in named


def test_trust_record_keeps_validation_and_strangeness(member, breast, tmp_path):
    predictor, details = member.predictor(breast, tmp_path)
    assert unpacked(details["kept"]["labels"]) == pytest.approx(breast.val.labels)
    found = predictor.predict_proba(breast.val.images)
    assert unpacked(details["kept"]["p1"]) == pytest.approx(found[:, 1], rel=1e-5)
    assert tuple(details["strangeness"]) == DETECTORS
    groups = details["strangeness"]["softmax"]
    assert set(groups) == {"val", "test", "negative", "noise", "blur", "other", "retina"}
    softmax = trust.max_softmax(predictor.predict_proba(breast.test.images))
    assert unpacked(groups["test"]) == pytest.approx(softmax, rel=1e-4, abs=1e-6)
    for each in details["strangeness"].values():
        assert len(unpacked(each["retina"])) == 20


def test_trust_strangeness_knows_the_training_images(member, breast, others, tmp_path):
    model = member.trained(breast, tmp_path)[0]
    white = replace(others["other"].test, images=np.full((20, 1, 28, 28), 255, np.uint8))
    found = strangeness(model, breast, {"other": replace(others["other"], test=white)})
    assert "retina" not in found["intensity"]
    usual = unpacked(found["intensity"]["test"])
    assert unpacked(found["intensity"]["other"]).min() > usual.max()
    assert unpacked(found["mahalanobis"]["other"]).min() > np.median(
        unpacked(found["mahalanobis"]["test"])
    )


def test_trust_members_are_read_not_trained(member, breast, tmp_path):
    model = Network(member.trained(breast, tmp_path)[0], breast.task)
    (tmp_path / member.id / "weights.pt").chmod(0o444)
    images = breast.test.images

    job = Corrupted("trust-small", "breastmnist", 0, 0.1, member=member, kind="jpeg", strength=5)
    predictor, details = job.predictor(breast, tmp_path)
    assert (job.variant, job.id) == ("jpeg-5", "trust-small__breastmnist__seed0__jpeg-5")
    assert details == {"members": [member.id]}
    expected = model.predict_proba(trust.corrupt(images, "jpeg", 5))
    assert predictor.predict_proba(images) == pytest.approx(expected)
    assert OnDamaged(model, "jpeg", 0).predict_proba(images) == pytest.approx(
        model.predict_proba(images)
    )

    warm = WithTemperature("trust-temperature", "breastmnist", 0, 0.1, member=member)
    predictor, details = warm.predictor(breast, tmp_path)
    calibrator = trust.Temperature().fit(breast.val.labels, model.predict_proba(breast.val.images))
    assert details["temperature"] == pytest.approx(calibrator.temperature)
    expected = calibrator.apply(model.predict_proba(images))
    assert predictor.predict_proba(images) == pytest.approx(expected)

    views = Averaged("trust-views", "breastmnist", 0, 0.1, members=(member,), over_views=True)
    predictor, details = views.predictor(breast, tmp_path)
    assert details["kept"] == kept(predictor, breast.val)
    assert len(predictor.views) == 10


def test_trust_groups_are_spread_over_their_split():
    images = np.arange(1000)
    assert len(spread(images)) == long_trust.GROUP
    assert spread(images)[[0, -1]].tolist() == [0, 993]
    assert spread(images[:20]).tolist() == list(range(20))
