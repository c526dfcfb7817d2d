"""Splits and data sets: everything that belongs to a case stays with it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib import data
from medlib.data import locked, phantoms
from medlib.data.dataset import Split
from medlib.data.phantoms import Phantom
from medlib.data.stratify import split_by_case, split_by_group, stratified_rows


def a_split(count: int = 10) -> Split:
    number = np.arange(count)
    return Split(
        images=np.repeat(number, 64).reshape(count, 1, 8, 8).astype(np.uint8),
        labels=number % 2,
        index=number + 100,
        groups=np.array([f"p{k}" for k in number]),
        masks=np.repeat(number % 3 == 0, 64).reshape(count, 8, 8),
        extras={"age": number * 2},
    )


@pytest.mark.parametrize("rows", [np.array([7, 2, 2]), np.arange(10) > 6, np.array([], int)])
def test_taking_rows_keeps_cases_whole(rows):
    part = a_split().take(rows)
    number = part.index - 100
    assert part.images[:, 0, 0, 0].tolist() == number.tolist()
    assert part.labels.tolist() == (number % 2).tolist()
    assert part.groups.tolist() == [f"p{k}" for k in number]
    assert part.masks[:, 0, 0].tolist() == (number % 3 == 0).tolist()
    assert part.extras["age"].tolist() == (2 * number).tolist()
    assert len(part) == len(number)


def test_a_split_without_labels_stays_without():
    part = replace(a_split(), labels=None, masks=None, groups=None).take(np.array([1]))
    assert part.labels is part.masks is part.groups is None


def test_a_subset_keeps_the_share_of_classes_and_the_way_to_the_test_labels():
    whole = phantoms.as_dataset(Phantom(400, prior=(0.7, 0.3)), val=100, test=150, seed=1)
    part = whole.subset(50, seed=3)
    assert [len(s) for s in (part.train, part.val, part.test)] == [50, 50, 50]
    answers, all_answers = locked.read_test_labels(part), locked.read_test_labels(whole)
    assert answers.tolist() == all_answers[part.test.index].tolist()
    assert abs(answers.mean() - all_answers.mean()) < 0.02
    assert abs(part.train.labels.mean() - whole.train.labels.mean()) < 0.02
    assert np.array_equal(part.train.images, whole.train.images[part.train.index])
    assert (np.diff(part.train.index) > 0).all()
    assert part.synthetic
    assert np.array_equal(part.train.index, whole.subset(50, seed=3).train.index)
    assert not np.array_equal(part.train.index, whole.subset(50, seed=4).train.index)


def test_what_a_preparation_kept_stays_and_the_test_split_is_whole():
    whole = phantoms.as_dataset(Phantom(60), val=20, test=30, seed=1).subset(15)
    kept = {"train": whole.train.index[[4, 1]].tolist(), "val": range(10**6), "test": []}
    part = whole.keeping(kept)
    assert part.train.index.tolist() == whole.train.index[[1, 4]].tolist()
    assert np.array_equal(part.train.images, whole.train.images[[1, 4]])
    assert np.array_equal(part.val.index, whole.val.index)
    assert part.test is whole.test
    assert locked.read_test_labels(part).tolist() == locked.read_test_labels(whole).tolist()


def test_a_subset_of_a_subset_and_a_cap_above_the_size():
    whole = phantoms.as_dataset(Phantom(60), val=20, test=30)
    same = whole.subset(1000)
    assert np.array_equal(same.test.index, whole.test.index)
    twice = whole.subset(25).subset(10)
    truth = locked.read_test_labels(whole)
    assert locked.read_test_labels(twice).tolist() == truth[twice.test.index].tolist()
    with pytest.raises(ValueError, match="max_images must be >= 1, got 0"):
        whole.subset(0)


@pytest.mark.parametrize("name", ["breastmnist", "retinamnist", "nih1000", "wisconsin"])
def test_the_fast_profile_s_cut_of_every_kind_of_set(name):
    whole = phantoms.phantom_like(data.card(name))
    part = whole.subset(96)
    truth = locked.read_test_labels(whole)
    assert np.array_equal(locked.read_test_labels(part), truth[part.test.index])
    seen = part.train.labels.any(axis=0) if part.task == "multi-label" else part.train.labels
    wanted = part.num_classes
    assert (seen.sum() if part.task == "multi-label" else len(set(seen.tolist()))) == wanted


# ---------------------------------------------------------------- stratification


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=120),
    st.integers(1, 130),
    st.integers(0, 5),
)
def test_stratified_rows_are_valid_and_proportional(labels, count, seed):
    labels = np.array(labels)
    rows = stratified_rows(labels, count, seed)
    assert len(rows) == min(count, len(labels))
    assert (np.diff(rows) > 0).all()
    sizes = np.bincount(labels, minlength=5)
    kept = np.bincount(labels[rows], minlength=5)
    classes = (sizes > 0).sum()
    if count >= classes:
        assert (kept[sizes > 0] >= 1).all()
    share = sizes * len(rows) / len(labels)
    assert (np.abs(kept - share) <= classes).all()


def test_rare_findings_survive_a_cut():
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 6)) < [0.4, 0.3, 0.2, 0.1, 0.02, 0.01]).astype(int)
    kept = labels[stratified_rows(labels, 60, 0)]
    assert (kept.sum(axis=0) >= 1).all()


def test_splitting_by_case_uses_every_case_once():
    labels = np.repeat([0, 1], [300, 100])
    rows = split_by_case(labels, {"train": 0.5, "val": 0.2, "test": 0.3}, seed=2)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(400))
    assert {name: len(r) for name, r in rows.items()} == {"train": 200, "val": 80, "test": 120}
    assert all(abs(labels[r].mean() - 0.25) < 0.01 for r in rows.values())


@pytest.mark.parametrize("seed", range(4))
def test_splitting_by_group_separates_groups_and_balances_labels(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(150), rng.integers(1, 9, 150))
    labels = (rng.random((len(groups), 3)) < [0.5, 0.2, 0.1]).astype(int)
    rows = split_by_group(labels, groups, seed=1)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(groups)))
    sides = [set(groups[r]) for r in rows.values()]
    assert sum(map(len, sides)) == 150
    shares = np.array([len(r) for r in rows.values()]) / len(groups)
    assert np.abs(shares - [0.6, 0.2, 0.2]).max() < 0.03
    by_label = np.array([labels[r].sum(axis=0) for r in rows.values()]) / labels.sum(axis=0)
    assert np.abs(by_label - [[0.6], [0.2], [0.2]]).max() < 0.08
    again = split_by_group(labels, groups, seed=1)
    assert all(np.array_equal(rows[name], again[name]) for name in rows)


def test_one_huge_group_goes_where_there_is_room():
    groups = np.array([0] * 66 + list(range(1, 135)))
    rows = split_by_group(np.zeros((200, 1), int), groups)
    assert 0 in groups[rows["train"]]
    assert [len(r) for r in rows.values()] == [120, 40, 40]


def test_groups_make_folds():
    groups = np.repeat(np.arange(50), 4)
    labels = (groups % 5 == 0).astype(int)[:, None]
    folds = split_by_group(labels, groups, {fold: 0.2 for fold in range(5)})
    assert [len(folds[fold]) for fold in range(5)] == [40] * 5
    assert [int(labels[folds[fold]].sum()) for fold in range(5)] == [8] * 5
