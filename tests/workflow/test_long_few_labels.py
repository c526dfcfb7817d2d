"""What chapter 3.17 compares: methods that all learn, and jobs that go through the door."""

import numpy as np
import pytest

from book.workflow.long_few_labels import CELLS, METHODS, PRIMARY, SCORED, build, few_label_jobs
from medlib import results
from medlib import run as run_module
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.multilabel import PatientPhantom, hide, patient_cases
from medlib.profiles import PROFILES


def test_few_label_methods_all_learn_in_every_cell():
    cases = patient_cases(PatientPhantom(patients=40, features=8, rank=6, strength=2.0), seed=0)
    for cell, names in SCORED.items():
        labels = hide(cases.labels, **CELLS[cell], seed=0, features=cases.features)
        for name in names:
            method = build(name, 0.02).fit(cases.features, labels, cases.groups, seed=0)
            found = method.predict_proba(cases.features)
            assert found.shape == labels.shape, (cell, name)
            assert np.isfinite(found).all(), (cell, name)


def test_few_label_jobs_fit_the_budget():
    jobs = list(few_label_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 151
    assert sum(job.minutes for job in jobs) <= 30
    assert {name for pair in PRIMARY for name in pair} <= set(METHODS)


@pytest.mark.parametrize("model_id", ["all-known", "relatives-single", "ignore-image10"])
def test_few_label_job_goes_through_the_door(model_id, tmp_path, monkeypatch):
    job = next(each for each in few_label_jobs() if each.model_id == model_id)
    run = run_module.Run(job.chapter, PROFILES["cpu"], (0,), "cpu", tmp_path)
    monkeypatch.setattr(run_module, "_active", run)
    results.open_results(run)
    films = phantom_like(card("nih1000"))
    noise = np.random.default_rng(0).normal(size=(1000, 5))
    monkeypatch.setattr("book.workflow.long_folds.frozen_features", lambda data: noise)
    method, details = job.predictor(films, tmp_path)
    scores = job.look(method, films)
    assert details["hidden"] == job.hide
    assert scores.probabilities.shape == (1000, 6)
    assert (scores.variant, scores.synthetic) == ("folds", True)
