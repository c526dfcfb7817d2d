"""The lock: test labels and masks leave through one module only."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from data_helpers import medmnist_arrays

from medlib import data
from medlib.data import loading, locked, phantoms
from medlib.data.dataset import Split
from medlib.errors import MedlibError


def reachable_arrays(thing: object, seen: set[int] | None = None) -> list[np.ndarray]:
    """Every array that can be reached from an object through its fields, items and attributes."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return [thing] + ([] if thing.base is None else reachable_arrays(thing.base, seen))
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, (list, tuple)):
        parts = list(thing)
    else:
        parts = list(getattr(thing, "__dict__", {}).values())
    return [array for part in parts for array in reachable_arrays(part, seen)]


@pytest.fixture
def breast(cache, tiny, cards_are) -> data.Dataset:
    card, content = tiny
    cards_are(card)
    (cache / "breastmnist.npz").write_bytes(content)
    return data.load("breastmnist")


def test_the_lock_opens_on_the_right_labels(breast):
    expected = medmnist_arrays({"train": 6, "val": 2, "test": 4})["test_labels"][:, 0]
    assert locked.read_test_labels(breast).tolist() == expected.tolist()
    assert locked.read_test_labels(breast).dtype == np.int64


def test_a_loaded_set_holds_no_test_label_anywhere(mirror):
    for name in ("breastmnist", "nih1000", "busi128"):
        found = data.load(name)
        answers = locked.read_test_labels(found)
        everything = reachable_arrays(found)
        assert len(everything) >= 9
        for array in everything:
            assert (
                array.shape[:1] != answers.shape[:1]
                or array.ndim != answers.ndim
                or not (np.array_equal(array, answers))
            )
        whole = sum(found.card.counts.values())
        labels = [a for a in everything if a.dtype == np.int64 and len(a) == whole]
        assert labels == []  # no view into the labels of all rows


def test_a_pickled_set_takes_no_test_label_along(mirror):
    found = data.load("busi128")
    again = pickle.loads(pickle.dumps(found))
    assert again.test.labels is None
    assert again.test.masks is None
    assert np.array_equal(locked.read_test_labels(again), locked.read_test_labels(found))


def test_labels_follow_a_subset_and_any_order(breast):
    whole = locked.read_test_labels(breast)
    turned = replace(breast, test=breast.test.take(np.array([3, 0])))
    assert locked.read_test_labels(turned).tolist() == whole[[3, 0]].tolist()


def test_masks_leave_through_the_lock_only(mirror):
    busi = data.load("busi128")
    masks = locked.read_test_masks(busi)
    assert masks.shape == (156, 128, 128)
    assert masks.dtype == bool
    normal = locked.read_test_labels(busi) == 0
    assert not masks[normal].any()
    assert masks[~normal].any(axis=(1, 2)).all()


def test_a_set_without_masks_says_so(breast):
    with pytest.raises(MedlibError, match="'breastmnist' has no masks"):
        locked.read_test_masks(breast)


def test_wisconsin_is_locked_as_well(cache):
    found = data.load("wisconsin")
    answers = locked.read_test_labels(found)
    assert len(answers) == 114
    table = loading.wisconsin_table(found.card)
    assert np.array_equal(table[0][found.test.index], found.test.images)
    assert np.array_equal(table[1][found.test.index], answers)


def test_phantoms_are_locked_as_well(cache):
    found = phantoms.phantom_like(data.card("breastmnist"), seed=3)
    assert found.test.labels is None
    answers = locked.read_test_labels(found)
    assert 0 < answers.mean() < 1
    part = found.subset(40)
    assert np.array_equal(locked.read_test_labels(part), answers[part.test.index])


def test_own_images_can_be_sealed():
    test = Split(np.zeros((3, 1, 8, 8), np.uint8), np.array([1, 0, 1]), np.array([7, 2, 9]))
    sealed, source = locked.seal(test)
    assert sealed.labels is None
    card = data.card("breastmnist")
    own = data.Dataset(card, test, test, sealed, source=source)
    assert locked.read_test_labels(own).tolist() == [1, 0, 1]
    turned = replace(own, test=sealed.take(np.array([2, 1])))
    assert locked.read_test_labels(turned).tolist() == [1, 0]


def test_sealing_needs_labels_and_a_set_needs_a_source():
    empty = Split(np.zeros((1, 1, 8, 8), np.uint8), None, np.arange(1))
    with pytest.raises(MedlibError, match="nothing to seal"):
        locked.seal(empty)
    nowhere = data.Dataset(data.card("breastmnist"), empty, empty, empty)
    with pytest.raises(MedlibError, match="seal"):
        locked.read_test_labels(nowhere)


def test_only_two_modules_of_the_data_package_touch_test_labels():
    """`load` reads train and val labels by name; whoever else reads labels is listed here."""
    from medlib import paths

    folder = paths.PACKAGE / "data"
    touching = {
        path.name
        for path in folder.glob("*.py")
        if "test_labels" in path.read_text(encoding="utf-8").replace("read_test_labels", "")
    }
    assert touching == {"locked.py"}
    assert {field.name for field in fields(Split)} >= {"labels", "masks"}
