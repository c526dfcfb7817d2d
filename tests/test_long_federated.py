"""The long runs of the chapter on federated and private learning, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest

from book.workflow.long_federated import (
    ARMS,
    DELTA,
    NOISES,
    PLAN,
    PRIVATE,
    SITES,
    Federated,
    Private,
    federated_jobs,
)
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.private import noise_for

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = replace(PLAN, rounds=2, local_steps=1, batch_size=8)


@pytest.fixture
def toy():
    """Return a small phantom of PneumoniaMNIST."""
    return phantom_like(card("pneumoniamnist")).subset(60)


@pytest.mark.parametrize("name", ["pooled-group", "iid-batch", "scan-own", "scan-alone"])
def test_federated_arms_train_and_predict(toy, tmp_path, name):
    job = Federated("toy", "pneumoniamnist", 0, 0.1, **{**ARMS[name], "plan": SHORT})
    found, details = job.predictor(toy, tmp_path)
    said = found.predict_proba(toy.val.images)
    assert said.shape == (len(toy.val), 2)
    np.testing.assert_allclose(said.sum(1), 1)
    assert sum(site["images"] for site in details["sites"]) == len(toy.train)
    assert job.variant == ("scanners" if name.startswith("scan") else "")
    networks = len({id(each.model) for each in getattr(found, "networks", [found])})
    assert networks == (SITES if name in {"scan-own", "scan-alone"} else 1)


def test_federated_sites_that_keep_norms_differ_there_only(toy, tmp_path):
    job = Federated("toy", "pneumoniamnist", 0, 0.1, **{**ARMS["scan-own"], "plan": SHORT})
    first, second = (
        each.model.state_dict() for each in job.predictor(toy, tmp_path)[0].networks[:2]
    )
    differ = {name for name in first if not np.array_equal(first[name], second[name])}
    assert differ
    assert all("bn" in name or "downsample.1" in name for name in differ)


def test_federated_private_record_names_what_was_spent(toy, tmp_path):
    plan = replace(PRIVATE, steps=2, expected_batch=10)
    _, details = Private("toy", "pneumoniamnist", 0, 0.1, plan=plan).predictor(toy, tmp_path)
    assert 0 < details["epsilon"] < 100
    free = replace(plan, clip=None, noise=0.0)
    assert Private("toy", "x", 0, 0.1, plan=free).predictor(toy, tmp_path)[1]["epsilon"] is None


def test_federated_noises_cost_what_their_names_say():
    for name, noise in NOISES.items():
        assert noise_for(float(name), 128 / 4_708, PRIVATE.steps, DELTA) == noise


def test_federated_jobs_have_one_name_each_and_equal_steps():
    jobs = list(federated_jobs())
    assert len({job.id for job in jobs}) == len(jobs) == 3 * (len(ARMS) + 4 + 3 * SITES + 5)
    assert {job.chapter for job in jobs} == {"05-03-federated"}
    assert sum(job.minutes for job in jobs) <= 27
    steps = {j.plan.rounds * j.plan.local_steps for j in jobs if isinstance(j, Federated)}
    assert steps == {120, 240}  # the longer ones on malaria50
