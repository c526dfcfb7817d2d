"""The search of the small recipe: its folds are apart, and it never sees a test image."""

import numpy as np
import pytest

from book.workflow import search_small
from medlib.data import card
from medlib.data.phantoms import phantom_like


def test_folds_part_all_cases_and_keep_the_classes():
    labels = np.array([0] * 200 + [1] * 100)
    first, second = search_small.splits(labels, 0), search_small.splits(labels, 1)
    assert [len(part) for part in first] == [210, 30, 60]
    assert sorted(np.concatenate(first)) == list(range(300))
    assert all(labels[part].mean() == pytest.approx(1 / 3) for part in first)
    assert not np.array_equal(first[2], second[2])


class Stopped(Exception):
    """Ends a training before it begins."""


def test_training_sees_train_and_val_only(monkeypatch):
    data = phantom_like(card("breastmnist")).subset(60)
    seen = []
    monkeypatch.setattr(
        search_small, "fit", lambda model, fold, *a, **k: seen.append(fold) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        search_small.train_once(search_small.CANDIDATES[0], data, 0)
    official = {image.tobytes() for image in [*data.train.images, *data.val.images]}
    used = [image.tobytes() for image in [*seen[0].train.images, *seen[0].val.images]]
    assert set(used) <= official
    assert len(used) < len(data.train) + len(data.val)
    assert seen[0].test.labels is None
