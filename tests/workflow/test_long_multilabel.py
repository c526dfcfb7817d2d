"""What chapter 3.16 compares: methods that all learn, and jobs that go through the door."""

import numpy as np
import pytest

from book.workflow import long_folds
from book.workflow.long_multilabel import CHAPTER, COMPARISONS, FINDINGS, METHODS, multilabel_jobs
from medlib import results
from medlib import run as run_module
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.multilabel import macro_auc
from medlib.profiles import PROFILES


def test_multilabel_methods_all_learn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(160, 8))
    labels = (features[:, :3] + rng.normal(size=(160, 3)) > 0.8).astype(int)
    for name, build in METHODS.items():
        method = build().fit(features, labels, np.repeat(np.arange(40), 4), seed=0)
        found = method.predict_proba(features)
        assert found.shape == labels.shape, name
        assert (macro_auc(labels, found).value > 0.7) == (name != "prevalence"), name


def test_multilabel_comparisons_name_methods():
    assert {name for pair in COMPARISONS for name in pair} <= set(METHODS)
    assert len(set(COMPARISONS)) == len(COMPARISONS)
    assert card("nih1000").supported == FINDINGS


@pytest.mark.parametrize("name", ["prevalence", "binary-relevance", "message-head"])
def test_multilabel_job_goes_through_the_door(name, tmp_path, monkeypatch):
    run = run_module.Run(CHAPTER, PROFILES["cpu"], (0,), "cpu", tmp_path)
    monkeypatch.setattr(run_module, "_active", run)
    results.open_results(run)
    films = phantom_like(card("nih1000"))
    noise = np.random.default_rng(0).normal(size=(1000, 5))
    monkeypatch.setattr("book.workflow.long_folds.frozen_features", lambda data: noise)
    job = next(each for each in multilabel_jobs() if each.model_id == name)
    method, details = job.predictor(films, tmp_path)
    scores = job.look(method, films)
    assert details["features"]["network"] == long_folds.FEATURES[0]
    assert scores.probabilities.shape == (1000, len(FINDINGS))
    assert (scores.variant, scores.synthetic) == ("folds", True)
