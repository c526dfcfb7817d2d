"""Methods for few labels, on cases with a known answer: borrowing, consistency, phantoms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit

from medlib.errors import MedlibError
from medlib.multilabel import (
    AlikeHead,
    ConsistencyHead,
    HeadRecipe,
    LinearHead,
    PatientPhantom,
    Relatives,
    assume_negative,
    hide,
    macro_auc,
    patient_cases,
)
from medlib.multilabel.consistency import agreement
from medlib.multilabel.relatives import (
    PulledHead,
    calibrated,
    couplings,
    log_loss,
    others_of_patient,
    share_of_positives,
)

SHORT = HeadRecipe(epochs=60)


@pytest.fixture(scope="module")
def cases():
    return patient_cases(PatientPhantom(patients=60, features=12, rank=8, strength=2.0), seed=1)


def few_case_odds(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 2))


# ---------------------------------------------------------------- relatives


def test_few_nothing_to_borrow_is_ignoring_the_unknown(cases):
    labels = hide(cases.labels, rate=0.5, seed=0)
    plain = LinearHead(recipe=SHORT).fit(cases.features, labels).predict_proba(cases.features)
    alone = Relatives(SHORT, alike=(0.0,), findings=False)
    for method in (AlikeHead(0.0, recipe=SHORT), PulledHead(0 * cases.labels, recipe=SHORT), alone):
        method.fit(cases.features, labels, cases.groups)
        found = method.predict_proba(cases.features)
        np.testing.assert_allclose(found, plain, atol=2e-4)


def test_few_a_finding_with_three_labels_learns_from_its_twin():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 30))
    truth = (features[:, :5].sum(axis=1) + rng.normal(size=800) > 0).astype(int)
    labels = np.column_stack([truth, np.full(800, -1)])[:400]
    labels[np.flatnonzero(truth[:400] == 1)[:2], 1] = 1
    labels[np.flatnonzero(truth[:400] == 0)[:2], 1] = 0
    auc = {}
    for alike in (0.0, 0.9):
        head = AlikeHead(alike, recipe=SHORT).fit(features[:400], labels)
        auc[alike] = macro_auc(truth[400:, None], head.predict_proba(features[400:])[:, 1:]).value
    assert auc[0.9] > 0.85
    assert auc[0.9] > auc[0.0] + 0.1


def test_few_labels_decide_how_much_findings_share():
    for alike, chosen in ((0.0, 0.0), (0.95, 0.7)):
        world = PatientPhantom(patients=250, features=24, rank=16, strength=2.5, alike=alike)
        cases = patient_cases(world, seed=3, world=5)
        labels = hide(cases.labels, rate=0.7, seed=0)
        method = Relatives(SHORT).fit(cases.features, labels, cases.groups)
        assert method.alike_ == chosen


def test_few_couplings_find_the_truth_and_nothing_where_there_is_none():
    rng = np.random.default_rng(1)
    odds = few_case_odds(20_000, 2)
    first = rng.random(20_000) < expit(odds[:, 0])
    for weight in (0.0, 1.5):
        # the second follows the first's surprise
        chance = expit(odds[:, 1] + weight * (first - expit(odds[:, 0])))
        labels = np.column_stack([first, rng.random(20_000) < chance]).astype(int)
        surprise = labels - expit(odds)
        # one-way: the pair's weight is a compromise of both directions, close to the truth
        between, within = couplings(odds, labels, surprise, np.zeros_like(odds), patients=False)
        assert between[0, 1] == between[1, 0] == pytest.approx(weight, abs=0.15)
        assert within == 0


def test_few_couplings_hold_still_where_told():
    labels = np.array([[1, 1], [0, 0], [1, -1]] * 50)
    odds = np.zeros(labels.shape)
    surprise = np.where(labels == -1, 0, labels - 0.5)
    between, within = couplings(odds, labels, surprise, surprise, findings=False, patients=False)
    assert (between == 0).all()
    assert within == 0
    between, within = couplings(odds, labels, surprise, surprise, patients=False)
    assert between[0, 1] > 0.5


def test_few_the_patients_other_images_by_hand():
    groups = np.array(["a", "a", "a", "b"])
    known = np.array([[True], [True], [False], [True]])
    surprise = np.array([[0.5], [-0.2], [0.0], [0.9]])
    found = others_of_patient(surprise, known, groups)
    np.testing.assert_allclose(found[:, 0], [-0.2 / 2, 0.5 / 2, 0.3 / 3, 0])


def test_few_calibration_undoes_stretch_and_shift():
    rng = np.random.default_rng(3)
    true = rng.normal(size=(20_000, 2)) * 1.5
    labels = (rng.random(true.shape) < expit(true)).astype(int)
    labels[rng.random(true.shape) < 0.5] = -1
    found = calibrated(true * 2 - [1.0, 0.5], labels)
    assert np.abs(found - true).mean() < 0.1


def test_few_share_of_positives_is_found():
    # separable: the teacher's probability is the share itself where the finding is present
    rng = np.random.default_rng(4)
    truth = rng.random((5000, 1)) < 0.3
    labels = np.where(truth & (rng.random(truth.shape) < 0.25), 1, -1)
    assert share_of_positives(0.25 * truth, labels) == pytest.approx(0.25)


def test_few_positives_alone_rank_as_assumed_negatives_and_give_probabilities():
    rng = np.random.default_rng(5)
    truth = (rng.random((3000, 2)) < 0.3).astype(int)
    features = 4.0 * truth + rng.normal(size=truth.shape)
    labels = np.where((truth == 1) & (rng.random(truth.shape) < 0.4), 1, -1)
    recipe = HeadRecipe(penalty=1e-4)
    method = Relatives(recipe, alike=(0.0,)).fit(features, labels)
    found = method.predict_proba(features)
    plain = LinearHead(assume_negative, recipe).fit(features, labels).predict_proba(features)
    assert macro_auc(truth, found).value == pytest.approx(macro_auc(truth, plain).value, abs=1e-3)
    assert found.mean() == pytest.approx(0.3, abs=0.03)
    assert plain.mean() == pytest.approx(0.12, abs=0.03)


def test_few_log_loss_by_hand_and_refusals(cases):
    value = log_loss(np.array([[0.8, 0.3], [0.5, 0.1]]), np.array([[1, -1], [-1, 0]]))
    assert value == pytest.approx(-(math.log(0.8) + math.log(0.9)))
    with pytest.raises(MedlibError, match="2 parts"):
        Relatives(parts=1)
    with pytest.raises(MedlibError, match="alike"):
        AlikeHead(1.0)
    with pytest.raises(MedlibError, match="a move for each case"):
        PulledHead(np.zeros((3, 6)), recipe=SHORT).fit(cases.features, cases.labels)


def test_few_variants_all_learn(cases):
    labels = hide(cases.labels, rate=0.5, seed=0)
    for options in ({}, {"patients": True}, {"echo": True}, {"calibrate": False}):
        method = Relatives(SHORT, alike=(0.5,), **options)
        found = method.fit(cases.features, labels, cases.groups, 0).predict_proba(cases.features)
        assert macro_auc(cases.labels, found).value > 0.6, options


# ---------------------------------------------------------------- consistency


def test_few_agreement_by_hand():
    weak = torch.tensor([[3.0, -3.0, 0.5, 3.0]])
    strong = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    labels = torch.tensor([[-1, -1, -1, 1]])
    p = 1 / (1 + math.exp(-1))
    expected = (-math.log(p) - math.log(1 - p)) / 3
    assert agreement(weak, strong, labels, 0.9).item() == pytest.approx(expected)
    assert agreement(weak, strong, labels, 0.999).item() == 0


def test_few_consistency_without_strength_is_ignoring_the_unknown(cases):
    labels = hide(cases.labels, rate=0.5, seed=0)
    plain = LinearHead(recipe=SHORT).fit(cases.features, labels).predict_proba(cases.features)
    still = ConsistencyHead(SHORT, strength=0, noise=0).fit(cases.features, labels)
    np.testing.assert_allclose(still.predict_proba(cases.features), plain, atol=1e-6)
    moved = ConsistencyHead(SHORT).fit(cases.features, labels).predict_proba(cases.features)
    assert np.abs(moved - plain).max() > 0.01
    with pytest.raises(MedlibError, match="confidence"):
        ConsistencyHead(confidence=0.5)


# ---------------------------------------------------------------- phantoms


def test_few_phantom_has_the_asked_shares_and_kinship():
    phantom = PatientPhantom(patients=20_000, prevalence=(0.3, 0.1), features=4, rank=3)
    cases = patient_cases(phantom, seed=0)
    np.testing.assert_allclose(cases.labels.mean(axis=0), (0.3, 0.1), atol=0.01)
    assert len(cases.labels) / 20_000 == pytest.approx(3.6, abs=0.4)
    first = np.unique(cases.groups, return_index=True)[1]
    several = first[np.bincount(cases.groups) > 1]
    pair = np.corrcoef(cases.labels[several, 0], cases.labels[several + 1, 0])[0, 1]
    assert 0.12 < pair < 0.25  # a correlation of 0.3 of the Gaussians, cut at a share of 0.3
    again = patient_cases(phantom, seed=0)
    assert (again.features == cases.features).all()
    with pytest.raises(MedlibError, match="below 1"):
        PatientPhantom(findings=0.6, kin=0.5)
