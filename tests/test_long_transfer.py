"""The long runs of the chapter on transfer learning, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from book.workflow.long_models import Network, Probe
from book.workflow.long_transfer import (
    IMAGE_SIZE,
    SHARES,
    TUNING,
    FineTuning,
    Frozen,
    drift,
    repeated,
    share_of,
    share_rows,
    transfer_jobs,
)
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.pretrained import pretrained
from tests.stops import stopped_at_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = replace(TUNING, batch_size=8, min_steps=6, max_steps=6)


@pytest.fixture
def toy():
    """Return a small phantom of BreastMNIST."""
    return phantom_like(card("breastmnist")).subset(24)


def job(**options):
    return FineTuning("toy", "breastmnist", 0, 0.1, recipe=SHORT, share=50, **options)


def test_transfer_shares_are_nested_stratified_and_the_same_for_all_ways():
    labels = np.random.default_rng(0).choice(5, 1000, p=(0.45, 0.12, 0.19, 0.18, 0.06))
    for seed in range(3):
        rows = [share_rows(labels, share, seed) for share in SHARES]
        assert all(set(a) < set(b) for a, b in zip(rows, rows[1:], strict=False))
        np.testing.assert_array_equal(rows[-1], np.arange(1000))
        for share, kept in zip(SHARES, rows, strict=True):
            wanted = np.bincount(labels) * share / 100
            assert np.abs(np.bincount(labels[kept]) - wanted).max() <= 0.5
    assert set(share_rows(labels, 10, 0)) != set(share_rows(labels, 10, 1))


def test_transfer_share_is_repeated_to_the_length_of_the_whole(toy):
    part = share_of(toy.train, 50, seed=0)
    whole = repeated(part, len(toy.train))
    assert len(whole) == len(toy.train) > len(part)
    counts = np.unique(whole.index, return_counts=True)[1]
    assert len(counts) == len(part)
    assert np.ptp(counts) <= 1


@pytest.mark.parametrize("name", ["breastmnist", "retinamnist"])
def test_transfer_tuning_starts_as_the_frozen_way_answers(name):
    data = phantom_like(card(name)).subset(40)
    part = share_of(data.train, 100, seed=0)
    probe = Probe(IMAGE_SIZE).fit(part)
    model = job(freeze="none").untrained(replace(data, train=repeated(part, 60)))
    found = Network(model, data.task).predict_proba(data.val.images)
    np.testing.assert_allclose(found, probe.predict_proba(data.val.images), atol=1e-4)


def test_transfer_partial_tuning_moves_only_what_it_trains(toy, tmp_path):
    predictor, details = job(freeze="stage6").predictor(toy, tmp_path)
    moved = details["drift"]
    assert moved["stem"] == moved["stage6"] == 0
    assert moved["stage7"] > 0
    assert moved["head"] > 0
    assert drift(predictor.model, pretrained().model) == moved
    assert details["share"] == 50
    assert details["freeze"] == "stage6"


def test_transfer_tuning_goes_on_where_it_was_stopped(toy, tmp_path, monkeypatch):
    whole, _ = job(freeze="stage6").trained(toy, tmp_path / "whole")
    with stopped_at_checkpoint(monkeypatch):
        job(freeze="stage6").trained(toy, tmp_path / "stopped")
    resumed, history = job(freeze="stage6").trained(toy, tmp_path / "stopped")
    assert history["steps"] == 6
    again, _ = job(freeze="stage6").trained(toy, tmp_path / "stopped")  # read, not trained
    for other in (resumed, again):
        for a, b in zip(whole.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_transfer_frozen_uses_its_share_alone(toy, tmp_path):
    found, details = Frozen("toy", "breastmnist", 0, 0.1, share=50).predictor(toy, tmp_path)
    assert details["labels"] == len(share_of(toy.train, 50, seed=0))
    assert found.predict_proba(toy.val.images).shape == (len(toy.val), 2)


def test_transfer_random_start_knows_no_imagenet(toy):
    model = job(start="random").untrained(toy)
    assert min(drift(model, pretrained().model).values()) > 0.5


def test_transfer_jobs_have_one_name_each():
    jobs = list(transfer_jobs())
    assert len({each.id for each in jobs}) == len(jobs) == 36 * 4 - 9 + 3
    assert sum(each.minutes for each in jobs) <= 50
