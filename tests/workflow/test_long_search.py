"""The searches of chapter 3.15: apart from the test split, resumable, the same trials for all."""

from dataclasses import replace

import pytest

from book.workflow import long_search
from book.workflow.long_search import DEFAULT, FIRST, SPACE, TRIALS, found_by, recipe_of
from book.workflow.long_table import JOBS
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.recipe import Recipe
from medlib.search import Interval


@pytest.fixture
def toy(monkeypatch):
    """Return a small data set; trials take two steps, and a search has twelve."""
    monkeypatch.setattr(long_search, "TRIALS", 12)
    monkeypatch.setattr(long_search, "STEPS", 2)
    monkeypatch.setattr(long_search, "OPTIONS", {"width": 4, "blocks": (1,)})
    return phantom_like(card("breastmnist")).subset(60)


def test_search_jobs_are_in_the_table():
    mine = [job for job in JOBS if job.chapter == long_search.CHAPTER]
    assert len(mine) == 30
    assert sum(job.minutes for job in mine) <= 15


def test_search_default_is_the_small_recipe():
    same = replace(Recipe.small(), max_steps=130, validate_every=1000)
    assert recipe_of(DEFAULT, long_search.STEPS) == same
    assert recipe_of(DEFAULT, None) == Recipe.small()
    assert recipe_of(DEFAULT | {"augmentation": 0.0}, None).augment is None


def test_search_arms_have_the_same_budget_and_space():
    assert len(FIRST["grid"]) == len(FIRST["default"]) == TRIALS
    for parameters in FIRST["grid"]:
        assert list(parameters) == list(SPACE)
        for name, each in SPACE.items():
            if isinstance(each, Interval):
                assert each.low <= parameters[name] <= each.high * (1 + 1e-9)
            else:
                assert parameters[name] in each.options


def test_search_resumes_and_its_winner_is_trained(toy, tmp_path):
    jobs = {arm: found_by(arm, 1) for arm in ("random", "tpe")}
    trials = {arm: job.trials(toy, tmp_path) for arm, job in jobs.items()}
    known = [[trial.parameters for trial in each][:10] for each in trials.values()]
    assert known[0] == known[1]
    assert [t.value for t in trials["tpe"]][:10] == [t.value for t in trials["random"]][:10]
    predictor, details = jobs["tpe"].predictor(toy, tmp_path)
    assert [row["value"] for row in details["trials"]] == [t.value for t in trials["tpe"]]
    assert predictor.predict_proba(toy.val.images).shape == (len(toy.val.images), 2)
    longer = long_search.Longer("search-tpe-longer", "breastmnist", 1, 0.2, arm="tpe")
    assert longer.needs == (jobs["tpe"],)
    assert longer.chosen(toy, tmp_path)[0] == details["parameters"]


def test_search_never_sees_a_test_image(toy):
    dataset, fresh = long_search.Tried(toy, 0).parts
    official = {image.tobytes() for image in [*toy.train.images, *toy.val.images]}
    parts = [dataset.train.images, dataset.val.images, fresh.images]
    assert sum(map(len, parts)) == len(official)
    assert {image.tobytes() for part in parts for image in part} == official
