"""The committed split files: readable, whole, made by the committed function, by patient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medlib import data, paths
from medlib.data import making, splits
from medlib.errors import MedlibError

NAMED = ("wisconsin", "nih1000", "malaria50", "busi128")


@given(st.lists(st.integers(0, 2), min_size=3, max_size=60).filter(lambda v: len(set(v)) == 3))
def test_what_is_written_is_read_back(sides):
    sides = np.array(sides)
    rows = {name: np.flatnonzero(sides == k) for k, name in enumerate(("train", "val", "test"))}
    again = splits.parse(splits.render(rows, "about"))
    assert all(np.array_equal(rows[name], again[name]) for name in rows)


def test_runs_are_short_and_readable():
    rows = {"train": np.array([0, 1, 2, 3, 9]), "val": np.array([4]), "test": np.array([5, 6])}
    assert splits.render(rows, "why") == "# why\ntrain: 0-3 9\nval: 4\ntest: 5-6\n"


@pytest.mark.parametrize("name", NAMED)
def test_a_split_covers_its_set_once(name):
    card = data.card(name)
    rows = splits.read_split(card)
    together = np.sort(np.concatenate(list(rows.values())))
    assert np.array_equal(together, np.arange(sum(card.counts.values())))
    assert {split: len(found) for split, found in rows.items()} == dict(card.counts)


def test_the_wisconsin_split_is_made_by_the_committed_function():
    assert making.make("wisconsin") == committed("wisconsin")


@pytest.mark.parametrize("name", ["nih1000", "malaria50", "busi128"])
def test_the_other_splits_are_made_by_the_committed_functions(name, mirror):
    assert making.make(name) == committed(name)


def committed(name: str) -> str:
    return paths.package_file(data.card(name).split["file"]).read_text("utf-8")


def test_nih_patients_are_on_one_side_and_supported_findings_on_all(mirror):
    found = data.load("nih1000")
    columns = [found.class_names.index(name) for name in found.card.supported]
    for split in (found.train, found.val):
        assert (split.labels[:, columns].sum(axis=0) >= 5).all()


def test_no_split_without_the_arrays_and_none_for_official_sets(cache):
    with pytest.raises(MedlibError, match="can only be made from its arrays"):
        making.make("nih1000")
    with pytest.raises(MedlibError, match="has no split of ours"):
        making.make("breastmnist")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: 0-340\nval: 341-454\n", "holds {'train': 341, 'val': 114, 'test': 0}"),
        ("train: 0-340\nval: 340-453\ntest: 455-568\n", "its card says"),
        ("train: a-b\n", "cannot be read"),
    ],
)
def test_a_damaged_split_file_is_named(tmp_path, monkeypatch, text, said):
    wisconsin = data.card("wisconsin")
    path = tmp_path / "wisconsin.txt"
    path.write_text(text, "utf-8")
    monkeypatch.setattr(splits.paths, "package_file", lambda relative: path)
    with pytest.raises(MedlibError, match=said):
        splits.read_split(wisconsin)


def test_the_folds_cover_the_set_and_keep_patients_whole(mirror):
    assert making.make_folds("nih1000") == paths.package_file(
        "data/splits/nih1000-folds.txt"
    ).read_text("utf-8")
    fold = splits.read_folds(data.card("nih1000"))
    found = data.load("nih1000")
    parts = (found.train, found.val, found.test)
    rows = np.concatenate([part.index for part in parts])
    groups = np.concatenate([part.groups for part in parts])
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    assert len(fold) == 1000
    for patient in np.unique(groups):
        assert len(set(fold[rows[groups == patient]])) == 1
    assert np.bincount(fold).min() > 150


def test_a_set_without_folds_has_none_and_damaged_folds_are_refused(monkeypatch, tmp_path):
    assert splits.read_folds(data.card("malaria50")) is None
    card, broken = data.card("nih1000"), tmp_path / "folds.txt"
    monkeypatch.setattr(splits.paths, "package_file", lambda name: broken)
    for text, said in (("fold0: 0-9\n", "names no fold for 990 rows"), ("foldx: 1\n", "cannot be")):
        broken.write_text(text)
        with pytest.raises(MedlibError, match=said):
            splits.read_folds(card)
