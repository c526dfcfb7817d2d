"""Subgroups: the same values as on the group alone, honest intervals, searches and power."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medlib.errors import MedlibError
from medlib.evaluate import Scores
from medlib.intervals import bootstrap
from medlib.multilabel import BinaryRelevance, decide
from medlib.subgroups import (
    OneGroup,
    auc_standard_error,
    by_subgroup,
    patients_a_group,
    patients_needed,
    smallest_gap,
    within,
)

SIX = [f"g{k}" for k in range(6)]


def made(rng, patients=120, films=2, shift=1.2, prevalence=0.35, seed=0):
    """Return scores of a binary task; a patient's films share label and a part of the noise."""
    label = np.repeat(rng.random(patients) < prevalence, films).astype(int)
    own = np.repeat(rng.normal(size=patients), films) + rng.normal(size=patients * films)
    p = 1 / (1 + np.exp(-(shift * label + own / np.sqrt(2))))
    names = np.repeat(np.arange(patients), films).astype(str)
    index = np.arange(patients * films)
    return Scores("toy", "toy", seed, "", label, np.column_stack([1 - p, p]), index, names)


def halves(scores):
    """Return one group of half of the patients."""
    return {"a": scores.groups.astype(int) % 2 == 0, "b": scores.groups.astype(int) % 2 == 1}


def sixths(scores):
    return {name: scores.groups.astype(int) % 6 == k for k, name in enumerate(SIX)}


def test_a_group_has_the_value_and_interval_of_its_cases_alone():
    scores = made(np.random.default_rng(0), patients=300)
    groups = halves(scores)
    found = by_subgroup(scores, groups, "auc", resamples=800)
    mask = groups["a"]
    alone = roc_auc_score(scores.labels[mask], scores.probabilities[mask, 1])
    assert found.values["a"] == pytest.approx([alone])
    assert found.rest.values["a"] == pytest.approx(found.values["b"])
    only = within(scores, mask)
    assert only.path is None
    expected, interval = bootstrap(only, "auc", 800), found.interval("a")
    assert interval.low == pytest.approx(expected.low, abs=0.015)
    assert interval.high == pytest.approx(expected.high, abs=0.015)


def test_several_labels_seeds_and_thresholds():
    rng = np.random.default_rng(1)
    labels = (rng.random((200, 3)) < 0.4).astype(int)
    many = []
    for seed in range(3):
        p = np.clip(0.5 * labels + rng.random((200, 3)) / 2, 0, 1)
        many.append(Scores("toy", "toy", seed, "", labels, p, np.arange(200)))
    group = {"a": np.arange(200) < 90}
    found = by_subgroup(many, group, "auc", 200)
    assert found.values["a"].shape == (3,)
    assert found.draws["a"].shape == (3, 200)
    two = within(many[0], group["a"], findings=[0, 2])
    assert (two.labels == labels[:90, [0, 2]]).all()
    assert two.probabilities.shape == (90, 2)
    called = [replace(s, probabilities=decide(s.probabilities, [0.5] * 3) * 1.0) for s in many]
    sensitivity = by_subgroup(called, group, "sensitivity", 50).values["a"][0]
    calls = decide(many[0].probabilities, [0.5] * 3)[:90]
    own = labels[:90]
    assert sensitivity == pytest.approx(np.mean((calls * own).sum(0) / own.sum(0)))


def test_intervals_of_gaps_cover_the_truth_although_patients_have_several_films():
    rng = np.random.default_rng(2)
    gaps = []
    for _ in range(150):
        scores = made(rng, patients=100)
        gaps.append(by_subgroup(scores, halves(scores), "auc", 150).paired("a", "b")[0])
    covered = np.mean([0 in gap for gap in gaps])
    assert 0.90 <= covered <= 0.99
    errors = np.mean([(gap.high - gap.low) / 3.92 for gap in gaps])
    assert errors == pytest.approx(np.std([gap.value for gap in gaps]), rel=0.2)


def test_the_worst_of_six_equal_groups_is_seldom_called_worse():
    rng = np.random.default_rng(3)
    corrected, naive = [], []
    for _ in range(120):
        scores = made(rng, patients=360, films=1)
        found = by_subgroup(scores, sixths(scores), "auc", 150)
        worst = found.worst()
        gaps = {name: found.behind(name) for name in SIX}
        assert worst.gap.value == min(gap.value for gap, _ in gaps.values())
        corrected.append(worst.p <= 0.05)
        naive.append(min(p for _, p in gaps.values()) <= 0.05)
    assert 0.01 <= np.mean(corrected) <= 0.10
    assert np.mean(naive) >= 0.15


def test_a_group_that_is_worse_is_named_and_told():
    scores = made(np.random.default_rng(4), patients=600, films=1, shift=2.5)
    groups, bad = sixths(scores), sixths(scores)["g4"]
    flipped = scores.probabilities.copy()
    flipped[bad] = flipped[bad][:, ::-1]
    worst = by_subgroup(replace(scores, probabilities=flipped), groups, "auc", 200).worst()
    assert worst.name == "g4"
    assert worst.p <= 0.01
    assert worst.gap.high < 0


def test_the_smallest_gap_is_found_four_times_in_five():
    rng = np.random.default_rng(5)
    plain = made(rng, patients=2000, films=1, shift=1.0)
    error = by_subgroup(plain, halves(plain), "auc", 300).standard_error("a", "b")
    assert error == pytest.approx(np.sqrt(2) * _hanley(plain, 1000), rel=0.15)
    gap = smallest_gap(error)
    told = np.mean([abs(rng.normal(gap, error)) > 1.96 * error for _ in range(20_000)])
    assert told == pytest.approx(0.8, abs=0.01)
    assert patients_needed(gap, error, 2000) == 2000
    assert patients_needed(gap / 2, error, 2000) == pytest.approx(8000, abs=1)
    with pytest.raises(MedlibError, match="gap of zero"):
        patients_needed(0, error, 2000)


def _hanley(scores, patients):
    """Return the formula's error of the AUC of half of the patients."""
    auc = roc_auc_score(scores.labels, scores.probabilities[:, 1])
    share = scores.labels.mean()
    return auc_standard_error(auc, share * patients, (1 - share) * patients)


def test_the_formula_agrees_with_the_paper_and_with_simulation():
    # Hanley and McNeil (1982), figure 2 and its example: AUC 0.893, 51 abnormal and 58 normal
    assert auc_standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.0015)
    rng = np.random.default_rng(6)
    drawn = []
    for _ in range(600):
        positive, negative = rng.normal(1, 1, 40), rng.normal(0, 1, 80)
        drawn.append((positive[:, None] > negative).mean())
    assert np.std(drawn) == pytest.approx(auc_standard_error(0.760, 40, 80), rel=0.12)


@pytest.mark.parametrize(("gap", "auc", "prevalence"), [(0.1, 0.8, 0.2), (0.05, 0.7, 0.5)])
def test_the_number_of_patients_is_the_smallest_that_has_the_power(gap, auc, prevalence):
    def shown(patients):
        counts = patients * prevalence, patients * (1 - prevalence)
        errors = [auc_standard_error(each, *counts) for each in (auc, auc - gap)]
        return smallest_gap(np.hypot(*errors))

    needed = patients_a_group(gap, auc, prevalence)
    assert shown(needed + 1) <= gap < shown(needed - 2)
    with pytest.raises(MedlibError):
        patients_a_group(0.9, auc, prevalence)


def test_masks_are_checked():
    scores = made(np.random.default_rng(7), patients=20)
    cases = len(scores.labels)
    for mask in (np.ones(cases, bool), np.zeros(cases, bool), np.ones(3, bool), np.ones(cases)):
        with pytest.raises(MedlibError, match="group 'x'"):
            by_subgroup(scores, {"x": mask}, "auc", 10)


def test_one_group_learns_from_its_cases_or_from_as_many():
    rng = np.random.default_rng(8)
    group = np.repeat([0, 1], [150, 50])
    x = rng.normal(size=(200, 1))
    labels = ((x[:, 0] > 0) ^ (group == 1)).astype(int)[:, None]  # the rule is turned in group 1
    table = np.column_stack([group, x])
    for chosen, sign in ((0, 1), (1, -1)):
        method = OneGroup(BinaryRelevance(), chosen).fit(table, labels)
        said = method.predict_proba(table)[:, 0]
        assert np.sign(np.corrcoef(said, x[:, 0])[0, 1]) == sign
    mixed = OneGroup(Counting(), 1, mixed=True).fit(table, labels, seed=3)
    assert mixed.method.rows == 50
    assert mixed.method.columns == 1
    with pytest.raises(MedlibError, match="group 7"):
        OneGroup(BinaryRelevance(), 7).fit(table, labels)


class Counting(BinaryRelevance):
    """A method that remembers how much it was given."""

    def _fit(self, features, labels, *rest):
        self.rows, self.columns = features.shape
        super()._fit(features, labels, *rest)
