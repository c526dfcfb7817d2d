"""The audit of chapter 4.8 judges every epoch after one look; the nine large sets have jobs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from book.workflow import long
from book.workflow.long_audit import REASON, Audited, Enlarged, audit_jobs, gains, halvings
from book.workflow.long_jobs import PUBLISHED, RECIPES
from book.workflow.long_models import new_network
from book.workflow.long_twelve import NINE, twelve_jobs
from medlib import results
from medlib import run as run_module
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.evaluate import read_scores
from medlib.recipe import Recipe
from tests.stops import stopped_at_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = replace(Recipe.medmnist(), epochs=4, batch_size=16)
TINY = {"width": 4, "blocks": (1,)}
TOY = Audited(
    "audit-toy", "breastmnist", 0, 0.1, "04-08-benchmark", SHORT, "resnet_small", TINY, factor=2
)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Let the long runs write below a temporary folder."""
    monkeypatch.setenv("MEDLIB_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(run_module, "_active", None)
    return tmp_path / "build" / "long"


def toy_set(name="breastmnist", count=48):
    """Return a small phantom."""
    return phantom_like(card(name)).subset(count)


def test_audit_judges_every_epoch_after_one_look(build):
    record = long.work(TOY, toy_set(), None)
    found = record["audit"]
    scores = read_scores(build / "scores" / TOY.chapter / record["scores"])
    chosen = record["history"]["best_epoch"]
    for name in ("auc", "accuracy"):
        assert len(found["epochs"][name]) == 4
        assert found["epochs"][name][chosen] == scores.value(name)
        assert found["halves"][name]["same_half"] >= 0
    log = results.read_json(build / "results" / f"{TOY.chapter}.json")["accesses"]
    assert [(look["door"], look["reason"]) for look in log] == [("audit", REASON)]


def test_audit_goes_on_where_it_was_stopped(build, tmp_path, monkeypatch):
    data = toy_set()
    whole = TOY.predictor(data, tmp_path / "whole")[0]
    with stopped_at_checkpoint(monkeypatch):
        TOY.predictor(data, tmp_path / "stopped")
    resumed = TOY.predictor(data, tmp_path / "stopped")[0]
    np.testing.assert_array_equal(whole.epochs, resumed.epochs)
    assert whole.epochs.shape == (4, len(data.test), 2)


def test_audit_halves_are_stratified_and_apart():
    labels = np.repeat([0, 1, 2], [10, 5, 4])
    first, other = halvings(labels, 20, seed=0)
    np.testing.assert_array_equal(first + other, 1)
    counts = [first[:, labels == value].sum(1) for value in range(3)]
    assert [set(each) for each in counts] == [{5}, {2}, {2}]
    assert len(np.unique(first, axis=0)) > 15


def test_audit_gain_of_pure_noise_stays_on_the_half_that_chose():
    random = np.random.default_rng(0)
    here, there = random.normal(size=(2, 100, 2000))
    found = gains(here, there, here[0], there[0])
    assert found["same_half"] > 2
    assert abs(found["other_half"]) < 0.1


def test_audit_enlarged_network_sees_more_pixels():
    data = toy_set()
    network = new_network("resnet_small", TINY, data, 0)
    images = torch.rand(2, 1, 28, 28)
    seen = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    assert Enlarged(network, 2)(images).shape == (2, 2)
    assert seen == [(2, 1, 56, 56)]


def test_audit_jobs_fit_the_budget():
    jobs = list(audit_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 5 + 5 + 3 + 3 + 3
    assert sum(job.minutes for job in jobs) <= 45
    assert all(replace(job.recipe, epochs=100) == Recipe.medmnist() for job in jobs)


def test_nine_sets_stand_beside_the_three():
    jobs = list(twelve_jobs())
    assert not {*NINE} & {*RECIPES}
    assert len(NINE) + len(RECIPES) == 12
    assert len(jobs) == 9 * (5 + 3 + 2)
    networks = [job for job in jobs if job.device == "cuda"]
    assert {job.model_id for job in networks} == {"resnet-small", "resnet18"}
    assert all(
        job.recipe == (Recipe.medmnist() if job.network == "resnet18" else Recipe.small())
        for job in networks
    )
    assert {*PUBLISHED} == {*RECIPES}


@pytest.mark.parametrize("name", ["chestmnist", "dermamnist", "organamnist"])
def test_nine_sets_go_through_the_runner_on_phantoms(name, build, monkeypatch):
    monkeypatch.setattr("book.workflow.long_twelve.OnGpu.device", "cpu")
    data = toy_set(name)
    jobs = [job for job in twelve_jobs() if job.data == name and job.seed == 0]
    for job in jobs:
        if job.model_id != "constant":
            short = {"recipe": job.recipe.capped(2)} if hasattr(job, "recipe") else {}
            options = {"options": {"width": 4}} if short else {}
            job = replace(job, **short, **options)
        record = long.work(job, data, None)
        assert 0 <= record["validation"]["auc"] <= 1
        assert record["synthetic"]
