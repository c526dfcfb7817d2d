"""The long runs of the chapter on self-supervision, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from book.workflow import long_selfsup
from book.workflow.long_selfsup import (
    ABLATION,
    LEAST,
    PATIENTS,
    PRETRAINING,
    PRIMARY,
    SIZE,
    FewBaseline,
    Frozen,
    SelfSupervised,
    Tuning,
    neighbours,
    patients_of,
    selfsup_jobs,
    small,
)
from medlib.data import Split, card
from medlib.data.phantoms import phantom_like
from medlib.selfsup import SimCLRRecipe

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = SimCLRRecipe(steps=3, batch_size=8)


@pytest.fixture(scope="module")
def toy():
    """Return a small phantom of malaria50 with 40 patients of three cells and more."""
    data = phantom_like(card("malaria50")).subset(240)
    train = replace(data.train, groups=np.array([f"p{i % 8}" for i in range(len(data.train))]))
    return replace(data, train=train)


def member(**options):
    return SelfSupervised("toy", "malaria50", 0, 0.1, pretraining=SHORT, **options)


def test_ssl_patients_are_nested_whole_and_of_both_classes():
    groups = np.repeat([f"p{i:02d}" for i in range(40)], 50)
    labels = (np.random.default_rng(0).random(2000) < np.repeat(np.arange(40) % 4 * 0.2, 50)) * 1
    split = Split(np.zeros((2000, 1, 4, 4), np.uint8), labels, np.arange(2000), groups)
    for seed in range(5):
        rows = [patients_of(split, count, seed) for count in PATIENTS]
        assert [len(np.unique(groups[r])) for r in rows] == list(PATIENTS)
        assert all(len(r) == 50 * count for r, count in zip(rows, PATIENTS, strict=True))
        assert set(rows[0]) < set(rows[1]) < set(rows[2])
        assert np.bincount(labels[rows[0]]).min() >= LEAST
    assert set(patients_of(split, 8, 0)) != set(patients_of(split, 8, 1))


def test_ssl_small_images_are_means_of_areas():
    flat = np.full((2, 1, 50, 50), 37, np.uint8)
    assert (small(flat) == 37).all()
    assert small(flat).shape == (2, 1, SIZE, SIZE)


def test_ssl_neighbours_know_patient_and_class():
    features = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, -0.1]])
    split = Split(
        np.zeros((4, 1, 4, 4), np.uint8), np.array([0, 1, 1, 1]), np.arange(4),
        np.array(["a", "a", "b", "b"]),
    )  # fmt: skip
    found = neighbours(features, split)
    assert found == {"same_patient": 1.0, "same_class": 0.5, "chance": pytest.approx(4 / 12)}


def test_ssl_pretraining_is_done_once_and_recorded(toy, tmp_path):
    predictor, details = member().predictor(toy, tmp_path)
    assert predictor.predict_proba(toy.val.images).shape == (len(toy.val), 2)
    assert details["few"].keys() == {str(count) for count in PATIENTS}
    assert len(details["history"]["loss"]) == 3
    again, history = member().trained(toy, tmp_path)
    assert history["loss"] == details["history"]["loss"]
    assert not torch.equal(again.conv1.weight, member().untrained(toy).conv1.weight)


def test_ssl_pretraining_never_sees_labels(toy, tmp_path):
    blind = replace(toy, train=replace(toy.train, labels=np.zeros_like(toy.train.labels)))
    first = member().trained(toy, tmp_path / "a")[0].state_dict()
    second = member().trained(blind, tmp_path / "b")[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ssl_every_way_predicts_and_says_what_it_used(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(long_selfsup, "TUNING", long_selfsup.TUNING.capped(2))
    common = {"patients": 2}
    ways = [
        Tuning("a", "malaria50", 0, 0.1, **common),
        Tuning("b", "malaria50", 0, 0.1, member=member(), **common),
        Frozen("c", "malaria50", 0, 0.1, member=member(), **common),
        Frozen("d", "malaria50", 0, 0.1, features="untrained", **common),
        FewBaseline("e", "malaria50", 0, 0.1, **common),
    ]
    labels, answers = set(), []
    for way in ways:
        predictor, details = way.predictor(toy, tmp_path)
        answers.append(predictor.predict_proba(toy.val.images))
        labels.add(details["labels"])
        assert details["members"] == [each.id for each in way.needs]
    assert len(labels) == 1
    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[2], answers[3])


def test_ssl_imagenet_reads_the_same_cells(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLIB_CACHE", str(tmp_path))
    way = Frozen("c", "malaria50", 0, 0.1, features="imagenet", patients=2)
    predictor, details = way.predictor(toy, tmp_path)
    assert details["labels"] == len(patients_of(toy.train, 2, 0))
    assert predictor.predict_proba(toy.val.images).shape == (len(toy.val), 2)


def test_ssl_jobs_have_one_name_each_and_fit_the_budget():
    jobs = list(selfsup_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 5 + 9 + 6 * 15
    assert sum(job.minutes for job in jobs) <= 31
    names = {job.model_id for job in jobs}
    assert {f"ssl-{way}-8" for pair in PRIMARY for way in pair} < names
    assert ABLATION["ssl-short"] == PRETRAINING.augment
    known = {job.id for job in jobs}
    assert {need.id for job in jobs for need in job.needs} < known
