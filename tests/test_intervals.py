"""Intervals: against slow references, and their coverage by simulation."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr
from scipy.stats import binomtest

from medlib import intervals
from medlib.errors import MedlibError
from medlib.evaluate import Scores
from medlib.intervals import bootstrap, delong, delong_difference, holm, mcnemar, wilson
from medlib.metrics import METRICS, auc


def binary_scores(labels, score, seed=0, groups=None):
    probabilities = np.c_[1 - score, score]
    return Scores("m", "d", seed, "", labels, probabilities, np.arange(len(labels)), groups=groups)


def drawn(rng, cases=156, distance=1.8, prevalence=0.73):
    """Binormal scores, whose AUC over all cases is known: ndtr(distance / sqrt 2)."""
    labels = (rng.random(cases) < prevalence).astype(int)
    labels[:4] = [0, 0, 1, 1]
    return binary_scores(labels, ndtr(labels * distance + rng.normal(size=cases) - distance / 2))


def coverage(intervals_and_truths):
    return np.mean([truth in interval for interval, truth in intervals_and_truths])


# ---------------------------------------------------------------- the bootstrap


def test_resamples_are_multinomial():
    weights = np.concatenate(
        list(intervals.case_weights(30, None, 20_000, np.random.default_rng(0)))
    )
    assert weights.shape == (20_000, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.var(axis=0) == pytest.approx(np.full(30, 29 / 30), rel=0.1)


def test_whole_patients_are_resampled():
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    weights = np.concatenate(list(intervals.case_weights(6, groups, 50, np.random.default_rng(0))))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    patients = weights[:, [0, 1, 3]]
    assert (patients.sum(axis=1) == 3).all()


def test_chunks_do_not_change_the_draws(monkeypatch):
    scores = drawn(np.random.default_rng(0))
    whole = bootstrap(scores, "auc", 200, seed=3)
    monkeypatch.setattr(intervals, "_CHUNK", 156 * 7)
    chunked = bootstrap(scores, "auc", 200, seed=3)
    assert (chunked.low, chunked.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_same_seed_same_interval_other_seed_other_interval():
    scores = drawn(np.random.default_rng(0))
    assert bootstrap(scores, "auc", 100, seed=1) == bootstrap(scores, "auc", 100, seed=1)
    assert bootstrap(scores, "auc", 100, seed=1) != bootstrap(scores, "auc", 100, seed=2)


def test_a_function_as_metric_gives_the_same_as_the_name():
    scores = drawn(np.random.default_rng(0))
    named = bootstrap(scores, "accuracy", 200)
    own = bootstrap(scores, lambda y, p: float(np.mean(p.argmax(axis=1) == y)), 200)
    # the range of a function is not known: its interval is symmetrical, not on the logit scale
    half = (own.high - own.low) / 2
    share = named.value
    ends = expit(logit(share) + np.array([-1, 1]) * half / (share * (1 - share)))
    assert (named.low, named.high) == pytest.approx(tuple(ends), abs=1e-9)


def test_speed_of_ten_thousand_resamples():
    scores = drawn(np.random.default_rng(0), cases=624)
    best = math.inf
    for _ in range(3):
        start = time.process_time()  # of one core; the wall clock counts neighbours
        bootstrap(scores, "auc", 10_000)
        best = min(best, time.process_time() - start)
    assert best < 2.0


def test_undefined_resamples_are_counted_and_too_many_refused():
    rng = np.random.default_rng(0)
    few = binary_scores(np.r_[1, 1, 1, np.zeros(60, int)], rng.random(63))
    assert 0.02 < bootstrap(few, "auc", 1_000).undefined / 1_000 < 0.09  # (1 - 3/63) ** 63 = 0.046
    lonely = Scores("m", "d", 0, "", np.arange(3), np.full((3, 3), 1 / 3), np.arange(3))
    with pytest.raises(MedlibError, match="too few cases"):
        bootstrap(lonely, "auc", 1_000)


def test_a_perfect_score_keeps_some_doubt():
    labels = np.r_[np.zeros(30, int), np.ones(100, int)]
    perfect = binary_scores(labels, 0.1 + 0.8 * labels)
    for interval in (bootstrap(perfect, "auc", 100), delong(perfect)):
        assert interval.high == pytest.approx(1)
        assert interval.low == pytest.approx(wilson(30, 30).low)


def test_scores_of_other_cases_are_refused():
    a, b = drawn(np.random.default_rng(0)), drawn(np.random.default_rng(1))
    with pytest.raises(MedlibError, match="same cases"):
        bootstrap([a, b], "auc", 10)
    with pytest.raises(MedlibError, match="same cases"):
        intervals.paired_difference(a, b, "auc", 10)
    with pytest.raises(MedlibError, match="unknown metric"):
        bootstrap(a, "auroc", 10)
    with pytest.raises(MedlibError, match="no scores"):
        bootstrap([], "auc", 10)
    with pytest.raises(MedlibError, match="resamples"):
        bootstrap(a, "auc", 0)


# ---------------------------------------------------------------- many questions, one bootstrap


def three_models():
    rng = np.random.default_rng(2)
    base = drawn(rng)
    noisy = lambda spread, s: binary_scores(  # noqa: E731
        base.labels, ndtr(logit(base.probabilities[:, 1]) + spread * rng.normal(size=156)), s
    )
    return {
        name: [noisy(spread, s) for s in range(seeds)]
        for name, spread, seeds in (("a", 0.5, 3), ("b", 1.0, 3), ("c", 3.0, 1))
    }


def test_a_comparison_gives_the_intervals_of_the_functions():
    models = three_models()
    compared = intervals.compare(models, "auc", 300, seed=4)
    for name, scores in models.items():
        assert compared.interval(name) == bootstrap(scores, "auc", 300, seed=4)
    for other in "bc":
        found, _ = compared.contrast({"a": 1, other: -1})
        expected = intervals.paired_difference(models["a"], models[other], "auc", 300, seed=4)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("pair", [("a", "b"), ("a", "c"), ("b", "c")])
def test_a_p_value_agrees_with_its_interval(pair):
    compared = intervals.compare(three_models(), "auc", 300)
    _, p = compared.contrast(dict(zip(pair, (1, -1), strict=True)))
    inner, _ = compared.contrast(dict(zip(pair, (1, -1), strict=True)), level=1 - p)
    assert min(abs(inner.low), abs(inner.high)) == pytest.approx(0, abs=1e-6)


def test_paired_seeds_leave_out_what_a_seed_does_to_both():
    values = np.array([0.6, 0.7, 0.9])
    draws = np.random.default_rng(0).normal(0.7, 0.01, size=(3, 500))
    both = intervals.Comparison(
        {"a": values + 0.05, "b": values, "short": values[:2]},
        {"a": draws + 0.05, "b": draws, "short": draws[:2]},
        (0.0, 1.0),
        50,
    )
    found, p = both.paired("a", "b")
    assert (found.low, found.value, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert p < 1e-6
    loose, p = both.contrast({"a": 1, "b": -1})
    assert loose.value == pytest.approx(0.05)
    assert loose.low < 0 < loose.high
    assert p > 0.5
    with pytest.raises(MedlibError, match="the same seeds"):
        both.paired("a", "short")


def test_a_contrast_of_a_model_with_itself_is_nothing():
    found, p = intervals.compare(three_models(), "auc", 100).contrast({"a": 0.0})
    assert (found.low, found.value, found.high, p) == (0, 0, 0, 1)


def test_an_interaction_is_a_difference_of_differences():
    models = three_models()
    compared = intervals.compare(models, "accuracy", 100)
    found, _ = compared.contrast({"a": 0.5, "b": -1.0, "c": 0.5})
    mean = {n: np.mean([s.value("accuracy") for s in many]) for n, many in models.items()}
    assert found.value == pytest.approx((mean["a"] + mean["c"]) / 2 - mean["b"])


# ---------------------------------------------------------------- coverage


@pytest.mark.parametrize("distance", [1.8, 3.0])  # AUC 0.898 and 0.983
@pytest.mark.parametrize("method", ["bootstrap", "delong"])
def test_coverage_of_an_auc(method, distance):
    rng = np.random.default_rng(5)
    truth = float(ndtr(distance / math.sqrt(2)))

    def one(number):
        scores = drawn(rng, distance=distance)
        return delong(scores) if method == "delong" else bootstrap(scores, "auc", 200, seed=number)

    assert 0.92 <= coverage((one(number), truth) for number in range(500)) <= 0.98


@pytest.mark.parametrize(("seeds", "seed_spread"), [(3, 0.0), (3, 0.3), (5, 0.3)])
def test_coverage_over_seeds_and_cases(seeds, seed_spread):
    """Seeds share the cases and most of their difficulty, and differ in quality."""
    rng = np.random.default_rng(6)
    truth = float(ndtr(1.8 / math.sqrt(2 + seed_spread**2)))

    def one(number):
        labels = (rng.random(156) < 0.73).astype(int)
        shared = math.sqrt(0.7) * rng.normal(size=156)
        runs = []
        for seed in range(seeds):
            quality = 1.8 + seed_spread * rng.normal()
            own = math.sqrt(0.3) * rng.normal(size=156)
            runs.append(binary_scores(labels, ndtr(labels * quality + shared + own - 0.9), seed))
        return bootstrap(runs, "auc", 200, seed=number)

    assert 0.92 <= coverage((one(number), truth) for number in range(300)) <= 0.99


def test_cases_alone_would_promise_too_much_over_seeds():
    """The spread between seeds widens the interval; leaving it out is the common mistake."""
    rng = np.random.default_rng(7)
    labels = (rng.random(300) < 0.5).astype(int)
    runs = [binary_scores(labels, ndtr(labels * q + rng.normal(size=300))) for q in (0.8, 1.4, 2.2)]
    together, alone = bootstrap(runs, "auc", 300), bootstrap(runs[1], "auc", 300)
    assert together.value == pytest.approx(np.mean([r.value("auc") for r in runs]))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_coverage_by_patient():
    """Ten cases a patient: resampling cases is far too sure of itself, patients are not."""
    rng = np.random.default_rng(8)
    hits = {"patients": 0, "cases": 0}
    for number in range(200):
        groups = np.repeat(np.arange(60), 10).astype(str)
        right = (rng.random(60) < rng.beta(4, 1, size=60)).repeat(10)
        flips = rng.random(600) < 0.1
        right = right ^ flips
        labels = rng.integers(0, 2, 600)
        score = np.where(right, labels, 1 - labels) * 0.8 + 0.1
        truth = 0.8 * 0.9 + 0.2 * 0.1
        for name, given in (("patients", groups), ("cases", None)):
            found = bootstrap(
                binary_scores(labels, score, groups=given), "accuracy", 200, seed=number
            )
            hits[name] += truth in found
    assert 0.91 <= hits["patients"] / 200 <= 0.985
    assert hits["cases"] / 200 < 0.7


@pytest.mark.parametrize("method", ["bootstrap", "delong"])
def test_coverage_of_a_paired_difference(method):
    rng = np.random.default_rng(9)
    truth = float(ndtr(2.0 / math.sqrt(2)) - ndtr(1.6 / math.sqrt(2)))

    def one(number):
        labels = (rng.random(156) < 0.73).astype(int)
        shared = math.sqrt(0.6) * rng.normal(size=156)
        a, b = (
            binary_scores(
                labels, ndtr(labels * d + shared + math.sqrt(0.4) * rng.normal(size=156) - 1)
            )
            for d in (2.0, 1.6)
        )
        if method == "delong":
            return delong_difference(a, b)[0]
        return intervals.paired_difference(a, b, "auc", 200, seed=number)

    assert 0.92 <= coverage((one(number), truth) for number in range(400)) <= 0.98


def test_pairing_narrows_a_difference():
    rng = np.random.default_rng(10)
    labels = (rng.random(200) < 0.5).astype(int)
    shared = labels * 1.5 + rng.normal(size=200)
    a, b = (binary_scores(labels, ndtr(shared + 0.3 * rng.normal(size=200))) for _ in range(2))
    paired = intervals.paired_difference(a, b, "auc", 500)
    alone = bootstrap(a, "auc", 500)
    assert paired.value == pytest.approx(a.value("auc") - b.value("auc"))
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)
    assert 0 in intervals.paired_difference(a, a, "auc", 50)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_coverage_of_wilson(share):
    found = [wilson(int(k), 156) for k in np.random.default_rng(0).binomial(156, share, 2_000)]
    assert 0.93 <= coverage((interval, share) for interval in found) <= 0.97


# ---------------------------------------------------------------- references


def test_wilson_against_scipy():
    for cases in (1, 7, 156):
        for successes in {0, 1, cases // 2, cases}:
            theirs = binomtest(successes, cases).proportion_ci(method="wilson")
            ours = wilson(successes, cases)
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    with pytest.raises(MedlibError, match="5 of 4"):
        wilson(5, 4)


def brute_delong(labels, *scores):
    """AUCs and their covariance from the definition: every positive against every negative."""
    beats = [
        np.array([[(p > q) + 0.5 * (p == q) for q in s[labels == 0]] for p in s[labels == 1]])
        for s in scores
    ]
    covariance = np.zeros((len(scores), len(scores)))
    for (i, a), (j, b) in itertools.product(enumerate(beats), repeat=2):
        rows = ((a.mean(1) - a.mean()) * (b.mean(1) - b.mean())).sum() / (len(a) - 1)
        columns = ((a.mean(0) - a.mean()) * (b.mean(0) - b.mean())).sum() / (a.shape[1] - 1)
        covariance[i, j] = rows / len(a) + columns / a.shape[1]
    return [b.mean() for b in beats], covariance


def test_delong_against_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = np.r_[0, 0, 1, 1, rng.integers(0, 2, 40)]
        scores = [(0.2 * labels + 0.7 * rng.random(44)).round(1) for _ in range(2)]
        values, covariance = brute_delong(labels, *scores)
        a, b = (binary_scores(labels, score) for score in scores)
        ours = delong(a)
        half = 1.959963984540054 * math.sqrt(covariance[0, 0]) / (values[0] * (1 - values[0]))
        assert ours.value == pytest.approx(values[0], abs=1e-12)
        assert (logit(ours.low), logit(ours.high)) == pytest.approx(
            (logit(values[0]) - half, logit(values[0]) + half), abs=1e-9
        )
        difference, p = delong_difference(a, b)
        spread = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        assert difference.value == pytest.approx(values[0] - values[1], abs=1e-12)
        assert difference.high - difference.value == pytest.approx(1.959963984540054 * spread)
        assert p == pytest.approx(2 * ndtr(-abs(difference.value) / spread), abs=1e-12)


def test_delong_agrees_with_the_bootstrap():
    scores = drawn(np.random.default_rng(3), cases=600)
    by_formula, by_resampling = delong(scores), bootstrap(scores, "auc", 5_000)
    assert by_formula.low == pytest.approx(by_resampling.low, abs=0.004)
    assert by_formula.high == pytest.approx(by_resampling.high, abs=0.004)


def test_delong_p_value_is_uniform_without_a_difference():
    rng = np.random.default_rng(11)
    found = []
    for _ in range(400):
        labels = (rng.random(150) < 0.5).astype(int)
        shared = labels * 1.5 + rng.normal(size=150)
        a, b = (binary_scores(labels, ndtr(shared + rng.normal(size=150))) for _ in range(2))
        found.append(delong_difference(a, b)[1])
    assert 0.025 <= np.mean(np.array(found) < 0.05) <= 0.085


def test_delong_of_a_model_with_itself():
    scores = drawn(np.random.default_rng(0))
    assert delong_difference(scores, scores)[1] == 1


def test_delong_refuses_what_it_is_not_made_for():
    labels, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.8])
    grouped = binary_scores(labels, score, groups=np.array(["a", "a", "b", "c"]))
    with pytest.raises(MedlibError, match="whole patients"):
        delong(grouped)
    with pytest.raises(MedlibError, match="two cases of each class"):
        delong(binary_scores(np.array([0, 0, 0, 1]), score))
    three = Scores("m", "d", 0, "", np.array([0, 1, 2]), np.eye(3), np.arange(3))
    with pytest.raises(MedlibError, match="binary"):
        delong(three)
    several = Scores("m", "d", 0, "", np.eye(2, dtype=int), np.eye(2), np.arange(2))
    with pytest.raises(MedlibError, match="one label a case"):
        mcnemar(several, several)


def test_mcnemar_against_scipy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(0, 2, 60)
        a, b = (binary_scores(labels, rng.random(60)) for _ in range(2))
        right = [s.probabilities.argmax(axis=1) == labels for s in (a, b)]
        only_a, only_b = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
        expected = binomtest(int(only_a), int(only_a + only_b)).pvalue
        assert mcnemar(a, b) == pytest.approx(expected, abs=1e-12)
    assert mcnemar(a, a) == 1


def test_holm_by_hand_and_by_definition():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert len(holm([])) == 0
    with pytest.raises(MedlibError, match="p values"):
        holm([0.2, 1.2])


def test_holm_keeps_the_chance_of_any_false_rejection():
    p = np.random.default_rng(0).random((4_000, 6))
    assert np.mean([holm(row).min() <= 0.05 for row in p]) == pytest.approx(0.05, abs=0.012)


def test_every_metric_has_an_interval_around_its_value():
    rng = np.random.default_rng(0)
    labels = np.r_[np.arange(4), rng.integers(0, 4, 200)]
    raw = 0.05 + np.eye(4)[labels] * 0.4 + rng.random((204, 4))
    scores = Scores("m", "d", 0, "", labels, raw / raw.sum(1, keepdims=True), np.arange(204))
    for name in METRICS:
        found = bootstrap(scores, name, 200)
        assert found.low < found.value < found.high
    assert found.value == pytest.approx(scores.value(name))
    assert auc(labels, scores.probabilities) in bootstrap(scores, "auc", 200)
