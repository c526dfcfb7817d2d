"""The long runs of chapter 4.7: what they differ in, and the operating points they keep."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow.long_cases import BASELINES, by_patient, case_jobs, operating_point
from book.workflow.long_jobs import small_jobs
from medlib.data import Split, card
from medlib.data.phantoms import phantom_like


def test_case_ordinal_differs_from_its_twin_by_the_loss():
    ours = [job for job in case_jobs() if job.model_id == "case-ordinal"]
    twins = [job for job in small_jobs() if job.data == "retinamnist"]
    for job, twin in zip(ours, twins, strict=True):
        assert replace(job.recipe, loss=None) == twin.recipe
        assert (job.network, job.options, job.seed) == (twin.network, twin.options, twin.seed)


def test_case_jobs_fit_the_budget():
    jobs = list(case_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 5 + 3 + len(BASELINES) + 3
    assert {job.chapter for job in jobs} == {"04-07-case-studies"}
    assert sum(job.minutes for job in jobs) <= 25


def test_case_operating_point_is_of_the_first_class_that_counts():
    labels = np.array([0, 1, 2, 3, 4, 0, 1, 2])
    scores = np.array([0.1, 0.8, 0.7, 0.9, 0.6, 0.2, 0.3, 0.65])
    split = Split(np.zeros((8, 3, 4, 4), np.uint8), labels, np.arange(8))
    point = operating_point(split, scores, first=2)
    assert point == pytest.approx({"threshold": 0.45, "sensitivity": 1, "specificity": 0.75})


def test_case_patients_are_cut_above_every_healthy_one():
    patients = np.array(["a", "a", "b", "b", "c", "c"])
    truth, called = np.array([0, 0, 0, 1, 0, 1]), np.array([0, 1, 1, 1, 0, 1])
    found = by_patient(truth, called, patients)
    assert found == {"patients": 3.0, "patient_cut": 0.5, "patients_found": 0.5}


@pytest.mark.parametrize("data", ["retinamnist", "malaria50"])
def test_case_record_holds_the_point(data, tmp_path):
    toys = phantom_like(card(data)).subset(40)
    for job in case_jobs():
        if job.data != data or job.seed:
            continue
        if hasattr(job, "recipe"):
            job = replace(job, recipe=job.recipe.capped(2), options={"width": 4})
        predictor, _ = job.predictor(toys, tmp_path)
        record = job.validate(predictor, toys)
        assert record["sensitivity"] >= 0.95
        assert ("patient_cut" in record) == (toys.val.groups is not None)
