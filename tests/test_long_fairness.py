"""The long runs of chapter 5.4: groups, planted letters, collapsed grades, and their doors."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow import long_fairness
from book.workflow.long_fairness import (
    AllLettered,
    AnyGrade,
    AsGrades,
    Planted,
    clinical,
    collapsed,
    drawn_equally,
    fairness_jobs,
    lettered,
    planted,
    with_letter,
)
from book.workflow.long_models import Network
from book.workflow.long_table import JOBS
from medlib import results
from medlib import run as run_module
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.profiles import PROFILES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def films():
    """Return phantoms in place of nih1000, with an age, a sex and a view each."""
    made = phantom_like(card("nih1000"))
    rng = np.random.default_rng(0)

    def described(part):
        count = len(part.images)
        extras = {
            "age": rng.integers(20, 90, count).astype(np.int16),
            "sex": rng.choice(["F", "M"], count),
            "view": rng.choice(["AP", "PA"], count, p=[0.4, 0.6]),
        }
        return replace(part, extras=extras)

    parts = {name: described(getattr(made, name)) for name in ("train", "val", "test")}
    return replace(made, **parts)


@pytest.fixture
def opened(tmp_path, monkeypatch, films):
    """Return a run, with noise in place of the frozen features."""
    run = run_module.Run(long_fairness.CHAPTER, PROFILES["cpu"], (0,), "cpu", tmp_path)
    monkeypatch.setattr(run_module, "_active", run)
    results.open_results(run)
    noise = np.random.default_rng(0).normal(size=(1000, 5))
    noise[:, 0] += 3 * clinical(films)[:, 3]
    monkeypatch.setattr(long_fairness, "frozen_features", lambda data: noise)
    return run


def unpacked(text):
    return np.array(text.split(), dtype=float)


def test_fairness_jobs_fit_the_budget_and_are_named_apart():
    jobs = list(fairness_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 11 + 30 + 6
    assert sum(job.minutes for job in jobs) < 15
    assert len({job.id for job in JOBS}) == len(JOBS)
    assert {job.chapter for job in jobs} == {long_fairness.CHAPTER}
    assert "planted-95__pneumoniamnist__seed2__letter" in {job.id for job in jobs}


def test_fairness_clinical_job_keeps_groups_and_probes(films, opened, tmp_path):
    job = next(job for job in fairness_jobs() if job.model_id == "fair-clinical")
    method, details = job.predictor(films, tmp_path)
    kept = details["films"]
    assert len(kept) == 4 + 6
    assert unpacked(kept["ap"]).sum() == clinical(films)[:, 3].sum()
    assert unpacked(kept["decade"]).max() == 8
    view, told = unpacked(kept["ap"]) == 1, unpacked(kept["ap from features"])
    beats = (told[view][:, None] > told[~view]).mean()
    assert beats > 0.85  # the noise knows the view
    male = unpacked(kept["male"]) == 1
    assert abs(unpacked(kept["male from grey"])[male].mean() - 0.5) < 0.1
    scores = job.look(method, films)
    assert (scores.variant, scores.probabilities.shape) == ("folds", (1000, 6))


@pytest.mark.parametrize("name", ["fair-view", "fair-pa-only", "fair-fewer"])
def test_fairness_fold_jobs_go_through_the_door(name, films, opened, tmp_path):
    job = next(job for job in fairness_jobs() if job.model_id == name)
    method, _ = job.predictor(films, tmp_path)
    assert job.look(method, films).probabilities.shape == (1000, 6)


def test_letters_follow_the_dose():
    labels = np.repeat([0, 1], 2000)
    for dose in (0.5, 0.95, 1.0):
        marked = lettered(labels, dose, seed=0)
        assert marked[labels == 1].mean() == pytest.approx(dose, abs=0.02)
        assert marked[labels == 0].mean() == pytest.approx(1 - dose, abs=0.02)


def test_planted_images_are_marked_and_balanced():
    train = phantom_like(card("pneumoniamnist")).subset(400).train
    marked = lettered(train.labels, 0.9, seed=1)
    found = planted(train, 0.9, seed=1)
    changed = (found.images != train.images).any(axis=(1, 2, 3))
    assert (changed == marked).all()
    assert (found.images[marked] == with_letter(train.images[marked])).all()
    drawn = planted(train, 0.9, seed=1, balanced=True)
    rows = {number: row for row, number in enumerate(train.index)}
    carried = marked[[rows[number] for number in drawn.index]]
    counts = np.bincount(2 * drawn.labels + carried, minlength=4)
    assert (counts == 100).all()


def test_drawing_equally_repeats_only_where_needed():
    strata = np.repeat([1, 2, 3], [100, 30, 10])
    rows = drawn_equally(strata, 90, seed=0)
    assert np.bincount(strata[rows]).tolist() == [0, 30, 30, 30]
    assert len(np.unique(rows[strata[rows] < 3])) == 60
    assert np.bincount(rows[strata[rows] == 3]).max() == 3


def test_a_planted_network_is_scored_with_and_without_letters(tmp_path):
    chest = phantom_like(card("pneumoniamnist")).subset(60)
    jobs = [job for job in fairness_jobs() if job.model_id == "planted-balanced"]
    member = next(job for job in jobs if isinstance(job, Planted))
    member = replace(member, recipe=member.recipe.capped(4), options={"width": 4})
    model, details = member.predictor(chest, tmp_path)
    assert (details["dose"], details["balanced"]) == (0.95, True)
    job = AllLettered(member.model_id, member.data, 0, 0.1, member=member)
    seen, named = job.predictor(chest, tmp_path)
    assert named == {"members": [member.id]}
    images = chest.test.images
    expected = model.predict_proba(with_letter(images))
    assert seen.predict_proba(images) == pytest.approx(expected)
    assert job.id.endswith("__seed0__letter")


def test_collapsed_grades_keep_healthy_and_balance_the_sick():
    retina = phantom_like(card("retinamnist")).subset(300)
    plain = collapsed(retina, 0)
    assert (plain.task, plain.num_classes) == ("binary", 2)
    assert ((retina.train.labels > 0) == plain.train.labels).all()
    drawn = collapsed(retina, 0, balanced=True)
    grade = dict(zip(retina.train.index, retina.train.labels, strict=True))
    counts = np.bincount([grade[number] for number in drawn.train.index], minlength=5)
    assert counts[0] == (retina.train.labels == 0).sum()
    assert np.ptp(counts[1:]) == 0
    assert (drawn.val.labels == plain.val.labels).all()


def test_any_retinopathy_is_written_as_grades(tmp_path):
    retina = phantom_like(card("retinamnist")).subset(60)
    member = next(job for job in fairness_jobs() if isinstance(job, AnyGrade))
    member = replace(member, recipe=member.recipe.capped(4), options={"width": 4})
    predictor, details = member.predictor(retina, tmp_path)
    assert isinstance(predictor, AsGrades)
    assert isinstance(predictor.network, Network)
    found = predictor.predict_proba(retina.test.images)
    assert found.shape == (len(retina.test.images), 5)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert (found[:, 2:] == 0).all()
    assert set(details["kept"]) == {"labels", "p0", "p1", "p2", "p3", "p4"}
    assert 0 <= member.validate(predictor, retina)["auc"] <= 1
