"""Metrics against scikit-learn, medmnist's own evaluator, and resampling by hand."""

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from medmnist.evaluator import getACC, getAUC

from medlib.errors import MedlibError
from medlib.metrics import METRICS, accuracy, auc, brier, expected_calibration_error

TASKS = {"binary": 2, "multi-class": 4, "multi-label": 3}
MEDMNIST_TASKS = {
    "binary": "binary-class",
    "multi-class": "multi-class",
    "multi-label": "multi-label, binary-class",
}


def example(task, seed, cases=80, decimals=2):
    """Draw labels and probabilities with ties, every class present."""
    rng = np.random.default_rng(seed)
    columns = TASKS[task]
    if task == "multi-label":
        labels = rng.integers(0, 2, size=(cases, columns))
        labels[:2] = [[0] * columns, [1] * columns]
        return labels, np.clip(0.3 * labels + 0.7 * rng.random(labels.shape), 0, 1).round(decimals)
    labels = np.r_[np.arange(columns), rng.integers(0, columns, cases - columns)]
    raw = 0.02 + np.eye(columns)[labels] * 0.5 + rng.random((cases, columns)).round(decimals)
    return labels, raw / raw.sum(axis=1, keepdims=True)


def binary_pairs(labels, probabilities):
    """Return (truth, score, decision) for each class or label."""
    if labels.ndim == 2:
        return [(t, p, p > 0.5) for t, p in zip(labels.T, probabilities.T, strict=True)]
    guess = probabilities.argmax(axis=1)
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return [(labels == k, probabilities[:, k], guess == k) for k in classes]


def sklearn_value(name, labels, probabilities):
    """Compute a metric with scikit-learn's functions alone."""
    pairs = binary_pairs(labels, probabilities)
    several, many = labels.ndim == 2, probabilities.shape[1] > 2
    guess = (probabilities > 0.5) if several else probabilities.argmax(axis=1)
    average = {"average": "macro"} if several or many else {}
    means = {
        "auc": lambda t, p, g: reference.roc_auc_score(t, p),
        "average_precision": lambda t, p, g: reference.average_precision_score(t, p),
        "specificity": lambda t, p, g: reference.recall_score(~np.asarray(t, bool), ~g),
    }
    if name in means:
        return np.mean([means[name](*pair) for pair in pairs])
    if name == "sensitivity":
        return reference.recall_score(labels, guess, **average)
    if name == "f1":
        return reference.f1_score(labels, guess, **average)
    if name == "accuracy":
        return np.mean(labels == guess)
    if name == "balanced_accuracy":
        several_values = [reference.balanced_accuracy_score(t, g) for t, _, g in pairs]
        return (
            np.mean(several_values) if several else reference.balanced_accuracy_score(labels, guess)
        )
    if name == "quadratic_kappa":
        return reference.cohen_kappa_score(labels, guess, weights="quadratic")
    assert name == "brier"
    losses = [reference.brier_score_loss(t, p) for t, p, _ in pairs]
    return np.mean(losses) if several else np.sum(losses)


PAIRS = [
    (task, name)
    for task in TASKS
    for name in sorted(METRICS)
    if (task, name) != ("multi-label", "quadratic_kappa")  # not defined: see the test of its error
]


@pytest.mark.parametrize(
    ("task", "name"), [pair for pair in PAIRS if pair[1] != "expected_calibration_error"]
)
def test_equals_scikit_learn(task, name):
    for seed in range(20):
        labels, probabilities = example(task, seed)
        ours = METRICS[name](labels, probabilities)
        assert ours == pytest.approx(sklearn_value(name, labels, probabilities), abs=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_equals_the_evaluator_of_medmnist(task):
    for seed in range(20):
        labels, probabilities = example(task, seed, cases=120, decimals=6)
        theirs = MEDMNIST_TASKS[task]
        assert auc(labels, probabilities) == pytest.approx(
            getAUC(labels, probabilities, theirs), abs=1e-9
        )
        assert accuracy(labels, probabilities) == pytest.approx(
            getACC(labels, probabilities, theirs), abs=1e-9
        )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 40).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 1), min_size=n, max_size=n),
            st.lists(st.integers(0, 4), min_size=n, max_size=n),
        )
    )
)
def test_auc_and_precision_with_many_ties(drawn):
    labels, score = np.array([0, 1] + drawn[0]), np.array([2, 2] + drawn[1]) / 4
    probabilities = np.c_[1 - score, score]
    for name in ("auc", "average_precision"):
        expected = sklearn_value(name, labels, probabilities)
        assert METRICS[name](labels, probabilities) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_weights_are_repetitions(task, name):
    """A row of weights gives what the metric gives on the resample spelled out."""
    labels, probabilities = example(task, 3, cases=60)
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=15)
    values = METRICS[name](labels, probabilities, counts)
    for row, value in zip(counts, values, strict=True):
        taken = np.repeat(np.arange(60), row)
        assert value == pytest.approx(METRICS[name](labels[taken], probabilities[taken]), abs=1e-12)


def test_calibration_error_by_hand():
    """Two bins: 0.9 said and half right; 0.6 said and all right."""
    probabilities = np.array([[0.1, 0.9], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([1, 0, 0, 0])
    expected = 0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.6)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected, abs=1e-12)
    several = np.array([[1], [0], [0], [0]])
    by_label = 0.5 * abs(0.5 - 0.9) + 0.5 * abs(0.0 - 0.4)
    assert expected_calibration_error(several, probabilities[:, 1:]) == pytest.approx(by_label)


def test_calibration_error_bins_are_half_open():
    """A confidence on an edge, such as 0.6 = 9 / 15, belongs to the lower bin, as in Guo et al."""
    probabilities = np.array([[0.4, 0.6], [0.4, 0.6], [0.35, 0.65]])
    labels = np.array([1, 0, 1])
    expected = 2 / 3 * abs(0.5 - 0.6) + 1 / 3 * abs(1 - 0.65)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected)


def test_a_constant_predictor():
    labels = np.array([0, 0, 1])
    constant = np.tile([0.7, 0.3], (3, 1))
    assert auc(labels, constant) == 0.5
    assert accuracy(labels, constant) == pytest.approx(2 / 3)
    assert METRICS["sensitivity"](labels, constant) == 0
    assert METRICS["f1"](labels, constant) == 0
    assert METRICS["quadratic_kappa"](labels, constant) == 0
    assert brier(labels, constant) == pytest.approx((2 * 0.09 + 0.49) / 3)


@pytest.mark.parametrize("name", ["auc", "average_precision", "sensitivity", "f1"])
def test_an_absent_class_is_an_error_not_a_nan(name):
    half = np.full((4, 2), 0.5)
    with pytest.raises(MedlibError, match=r"no case of class \[1\]"):
        METRICS[name](np.zeros(4, int), half)
    third = np.full((4, 3), 1 / 3)
    with pytest.raises(MedlibError, match=r"no case of class \[2\]"):
        METRICS[name](np.array([0, 1, 0, 1]), third)


def test_a_label_that_nobody_carries_is_an_error():
    labels = np.array([[0, 1], [0, 0]])
    with pytest.raises(MedlibError, match=r"labels \[0\] are the same for all cases"):
        auc(labels, np.full((2, 2), 0.5))


def test_undefined_resamples_are_nan_without_a_warning(recwarn):
    labels, probabilities = np.array([0, 1]), np.array([[0.8, 0.2], [0.3, 0.7]])
    values = auc(labels, probabilities, np.array([[2, 0], [1, 1]]))
    assert np.isnan(values[0])
    assert values[1] == 1
    assert not recwarn.list


def test_kappa_refuses_several_labels():
    labels, probabilities = example("multi-label", 0)
    with pytest.raises(MedlibError, match="one class a case"):
        METRICS["quadratic_kappa"](labels, probabilities)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "NaN"),
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "softmax"),
        ([0, 1], [[0.9, 0.9], [0.5, 0.5]], "sum to 1"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "from 0 to 1"),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]], "from 0 to 1"),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]], "whole numbers"),
        ([0, 1, 1], [[0.5, 0.5], [0.5, 0.5]], "one row"),
        ([0, 1], [0.5, 0.5], "shape"),
        ([0, 1], [[0.5], [0.5]], "two for a binary task"),
        ([[0, 1]], [[0.5, 0.5, 0.5]], "shape"),
        ([], np.zeros((0, 2)), "one row"),
    ],
)
def test_bad_input_is_named(labels, probabilities, message):
    with pytest.raises(MedlibError, match=message):
        accuracy(np.array(labels), np.array(probabilities))


def test_weights_of_the_wrong_shape():
    labels, probabilities = example("binary", 0)
    with pytest.raises(MedlibError, match="weights"):
        auc(labels, probabilities, np.ones(80))
