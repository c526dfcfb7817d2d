"""The long runs of the chapter on vision transformers, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow.long_jobs import Training
from book.workflow.long_models import Network, new_network
from book.workflow.long_table import JOBS
from book.workflow.long_vit import (
    ARMS,
    SHIFTS,
    VIT,
    OnLesions,
    Tokens,
    behaviour,
    movement,
    vit_jobs,
)
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.models import create
from medlib.recipe import Recipe
from medlib.summary import multiply_adds, parameters

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"width": 8, "heads": 2, "depth": 1}


@pytest.fixture(scope="module")
def breast():
    return phantom_like(card("breastmnist")).subset(24)


def short(job, **changes):
    return replace(job, recipe=job.recipe.capped(3), options=job.options | SMALL, **changes)


def test_vit_jobs_are_named_apart_and_share_one_recipe():
    jobs = list(vit_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 30 + 12 + 3 + 3
    assert sum(job.minutes for job in jobs) < 22
    assert len({job.id for job in JOBS}) == len(JOBS)
    assert all(job.recipe == Recipe.small() for job in jobs if job.data != "busi128")
    assert all(isinstance(job, Training) for job in jobs)


def test_vit_arms_cost_what_the_docstring_says():
    def cost(name, **options):
        model = create(name, in_channels=1, num_classes=2, image_size=28, **options)
        return round(multiply_adds(model, (1, 28, 28)) / 1e6, 1), round(parameters(model), -3)

    assert cost("resnet_small") == (5.7, 173_000)
    costs = {name: cost("vit_tiny", **options) for name, (options, _, _) in ARMS.items()}
    assert costs["vit-49"] == (6.5, 117_000)
    assert costs["vit-hybrid"] == (5.5, 101_000)
    assert costs["vit-16"][0] == 2.0


def test_vit_movement_is_between_zero_and_one():
    before = np.array([[1.0, 0.0], [0.6, 0.4]])
    assert movement(before, before) == {"moved": 0.0, "changed": 0.0}
    found = movement(before, before[:, ::-1])
    assert found == {"moved": pytest.approx(0.6), "changed": 1.0}


def test_vit_without_positions_takes_shuffled_patches_for_the_same_image(breast):
    found = {}
    for positions in (True, False):
        options = VIT | {"positions": positions}
        model = new_network("vit_tiny", options, breast, seed=0).eval()
        found[positions] = behaviour(Network(model, breast.task), breast.val)
    assert found[False]["shuffle"]["moved"] < 1e-6
    assert found[False]["shuffle"]["auc"] == pytest.approx(found[False]["auc"])
    assert found[True]["shuffle"]["moved"] > 1e-6
    assert list(found[True]["shift"]) == [str(far) for far in SHIFTS]


def test_vit_records_keep_the_behaviour_of_the_twin_too(breast, tmp_path):
    first = next(vit_jobs())
    twin = replace(first.twin, recipe=Recipe.small().capped(2), options={"width": 4})
    network, details = short(first, twin=twin).predictor(breast, tmp_path)
    assert network.predict_proba(breast.val.images).shape == (len(breast.val), 2)
    assert details["twin"]["id"] == "resnet-small__breastmnist__seed0"
    assert details["twin"]["behaviour"] != details["behaviour"]
    assert details["share"] == 100


def test_vit_on_a_share_learns_from_it_alone(breast, tmp_path):
    job = next(job for job in vit_jobs() if isinstance(job, Tokens) and job.share == 10)
    _, details = short(job, data="breastmnist").predictor(breast, tmp_path)
    assert details["share"] == 10
    assert "behaviour" not in details


def test_vit_rollout_is_compared_with_maps_that_look_at_no_network(tmp_path):
    lesions = phantom_like(card("busi128")).subset(12)
    job = next(job for job in vit_jobs() if isinstance(job, OnLesions))
    _, details = short(job).predictor(lesions, tmp_path)
    found = details["rollout"]
    assert found["lesions"] > 0
    assert set(found["scores"]) >= {"trained", "untrained", "centre", "mean mask"}
    for each in found["scores"].values():
        assert 0 <= each["pointing"] <= 1
        assert 0 <= each["energy"] <= 1
    assert -1 <= found["alike"]["untrained"] <= 1
