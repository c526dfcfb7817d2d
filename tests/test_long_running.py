"""The long runs of the chapter on running a model, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from book.workflow.long_jobs import Training
from book.workflow.long_running import (
    THIRD,
    Distilled,
    EightBits,
    HalfPrecision,
    Narrowed,
    Sparse,
    running_jobs,
)
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = replace(Recipe.small().capped(6), batch_size=8)
MEMBER = Training("toy-large", "breastmnist", 0, 0.1, recipe=SHORT, options={"width": 6})


@pytest.fixture
def toy():
    """Return a small phantom of BreastMNIST."""
    return phantom_like(card("breastmnist")).subset(24)


def test_running_half_precision_says_nearly_the_same(toy, tmp_path):
    job = HalfPrecision("toy", "breastmnist", 0, 0.1, member=MEMBER)
    found, details = job.predictor(toy, tmp_path)
    assert found.model.fc.weight.dtype == torch.bfloat16
    assert details["members"] == ["toy-large__breastmnist__seed0"]
    large = MEMBER.predictor(toy, tmp_path)[0].predict_proba(toy.val.images)
    np.testing.assert_allclose(found.predict_proba(toy.val.images), large, atol=0.02)


def test_running_eight_bits_are_scored_beside_the_others(toy, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    job = EightBits("toy", "breastmnist", 0, 0.1, member=MEMBER)
    found, details = job.predictor(toy, tmp_path)
    assert details["val_auc"].keys() == {"float32", "int8", "dynamic", "all kinds"}
    assert details["bytes"]["int8"] < details["bytes"]["float32"]
    large = MEMBER.predictor(toy, tmp_path)[0].predict_proba(toy.val.images)
    gap = np.abs(found.predict_proba(toy.val.images) - large).max()
    assert 0 < gap < 0.02


def test_running_sparse_keeps_its_zeros_through_the_tuning(toy, tmp_path):
    job = Sparse("toy", "breastmnist", 0, 0.1, member=MEMBER, recipe=SHORT)
    found, details = job.predictor(toy, tmp_path)
    assert details["zeros"] == pytest.approx(0.9, abs=0.01)
    assert details["untuned"].keys() == {"0.0", "0.5", "0.8", "0.9", "0.95"}
    again = job.predictor(toy, tmp_path)[0].model
    for a, b in zip(found.model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_running_pruned_and_distilled_are_the_same_small_network(toy, tmp_path):
    narrow = {"width": 3}
    pruned = Narrowed("a", "breastmnist", 0, 0.1, member=MEMBER, options=narrow, recipe=SHORT)
    taught = Distilled("b", "breastmnist", 0, 0.1, recipe=SHORT, options=narrow, teachers=(MEMBER,))
    models = [job.predictor(toy, tmp_path)[0].model for job in (pruned, taught)]
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in models]
    assert shapes[0] == shapes[1]
    read, _ = taught.trained(toy, tmp_path)
    for a, b in zip(models[1].parameters(), read.parameters(), strict=True):
        assert torch.equal(a, b)


def test_running_jobs_have_one_name_each():
    jobs = list(running_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 3 + 9 * 7
    assert sum(job.minutes for job in jobs) <= 15
    assert {job.chapter for job in jobs} == {"04-12-running"}
    assert THIRD == {"width": 8}
