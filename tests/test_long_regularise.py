"""The long runs of chapter 3.14: arms differ by one technique, records say what is seen."""

from dataclasses import replace

import pytest

from book.workflow.long_models import Network, new_network
from book.workflow.long_regularise import (
    ARMS,
    BARE,
    TECHNIQUES,
    judged,
    regularise_jobs,
    settings,
    weight_norm,
)
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.recipe import Recipe
from medlib.train import fit


def test_regularise_arms_differ_by_one_technique():
    assert len(ARMS) == 2 + 2 * len(TECHNIQUES)
    assert settings(frozenset()) == (BARE, {"width": 16, "blocks": 1})
    recipe, options = settings(ARMS["reg-all-but-early"])
    assert (recipe.select, recipe.label_smoothing, recipe.ema) == ("last", 0.1, 0.99)
    assert options == {"width": 16, "blocks": 1, "dropout": 0.5, "stochastic_depth": 0.5}
    assert all(settings(t)[0].augment is None for t in ARMS.values())
    same = ("epochs", "min_steps", "batch_size", "learning_rate", "schedule", "optimizer")
    assert all(getattr(BARE, name) == getattr(Recipe.small(), name) for name in same)


def test_regularise_jobs_fit_the_budget():
    jobs = list(regularise_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 15 * 9
    assert sum(job.minutes for job in jobs) <= 26


@pytest.mark.parametrize("model_id", ["reg-all", "reg-short"])
def test_regularise_record_holds_what_was_seen(model_id, tmp_path):
    data = phantom_like(card("breastmnist")).subset(32)
    job = next(j for j in regularise_jobs() if j.model_id == model_id)
    job = replace(job, recipe=job.recipe.capped(3), options=job.options | {"width": 4})
    predictor, details = job.predictor(data, tmp_path)
    assert set(details["seen"]) == {"train", "val"}
    assert details["seen"]["val"] == judged(predictor, data.val)
    assert details["weight_norm"] == pytest.approx(weight_norm(predictor.model))
    assert details["seen"]["train"]["log_loss"] > 0


def test_regularise_log_loss_is_that_of_the_history():
    data = phantom_like(card("breastmnist")).subset(32)
    job = next(j for j in regularise_jobs() if j.model_id == "reg-bare")
    model = new_network(job.network, {"width": 4, "blocks": 1}, data, 0)
    history = fit(model, data, job.recipe.capped(3), progress=False)
    found = judged(Network(model, data.task), data.val)
    assert found["log_loss"] == pytest.approx(history.epochs[-1]["val_loss"], rel=1e-4)
