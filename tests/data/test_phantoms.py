"""Phantoms: known truth, the same bytes for the same seed, any size, any number."""

import hashlib
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from medlib import data
from medlib.data import locked, phantoms
from medlib.data.phantoms import (
    BLOCK,
    Phantom,
    as_dataset,
    generate,
    labels_of,
    phantom_like,
    stream,
)
from medlib.errors import MedlibError

SEVERAL = Phantom(3000, num_classes=5, task="multi-label", correlation=0.5, size=16)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    phantom = Phantom(300, size=20)
    first, again, other = generate(phantom, 4), generate(phantom, 4), generate(phantom, 5)
    assert first.images.tobytes() == again.images.tobytes()
    assert np.array_equal(first.masks, again.masks)
    assert first.images.tobytes() != other.images.tobytes()


def test_a_stream_and_an_array_agree_and_so_does_a_longer_one():
    phantom = Phantom(BLOCK + 100, size=12)
    whole = generate(phantom, 2)
    blocks = list(stream(phantom, 2))
    assert [len(block) for block in blocks] == [BLOCK, 100]
    assert np.array_equal(np.concatenate([b.images for b in blocks]), whole.images)
    longer = generate(replace(phantom, count=3 * BLOCK), 2)
    assert np.array_equal(longer.images[: len(whole)], whole.images)
    assert np.array_equal(labels_of(phantom, 2)[0], whole.labels)


def test_a_million_images_need_no_more_memory_than_a_block():
    phantom = Phantom(1_000_000, size=12)
    tracemalloc.start()
    blocks = stream(phantom)
    for _ in range(8):
        assert len(next(blocks)) == BLOCK
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * BLOCK * 12 * 12 * 4 + 2_000_000


@pytest.mark.parametrize("size", [8, 28, 64, 129])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(size, channels):
    batch = generate(Phantom(5, size=size, channels=channels))
    assert batch.images.shape == (5, channels, size, size)
    assert batch.images.dtype == np.uint8
    assert batch.masks.shape == (5, size, size)
    assert 5 < batch.images.std() < 120


def test_the_lesion_is_where_the_mask_says():
    batch = generate(Phantom(400, size=48, overlap=0.0, prior=(0.5, 0.5)))
    grey = batch.images[:, 0].astype(float)
    inside = (grey * batch.masks).sum(axis=(1, 2)) / batch.masks.sum(axis=(1, 2))
    outside = (grey * ~batch.masks).sum(axis=(1, 2)) / (~batch.masks).sum(axis=(1, 2))
    assert ((inside - outside) > 20).mean() > 0.97


def test_normal_cases_have_no_lesion():
    batch = generate(Phantom(200, num_classes=3, task="multi-class", empty_class=0, size=32))
    has_lesion = batch.masks.any(axis=(1, 2))
    assert np.array_equal(has_lesion, batch.labels != 0)


def test_class_priors_are_met():
    labels = labels_of(Phantom(20_000, num_classes=3, task="multi-class", prior=(0.5, 0.3, 0.2)))[0]
    assert np.abs(np.bincount(labels) / 20_000 - [0.5, 0.3, 0.2]).max() < 0.015


def test_findings_have_the_prevalence_and_correlation_asked_for():
    many = replace(SEVERAL, count=40_000)
    labels = labels_of(many)[0]
    assert np.abs(labels.mean(axis=0) - many.probabilities).max() < 0.015
    correlated = np.corrcoef(labels.T)[np.triu_indices(5, 1)]
    independent = np.corrcoef(labels_of(replace(many, correlation=0.0))[0].T)
    assert correlated.min() > 0.15
    assert np.abs(independent[np.triu_indices(5, 1)]).max() < 0.03


def test_unknown_and_wrong_labels_leave_the_truth_alone():
    damaged = replace(SEVERAL, count=20_000, missing=0.4, flipped=0.1)
    labels, observed = labels_of(damaged)
    assert np.array_equal(labels, labels_of(replace(SEVERAL, count=20_000))[0])
    unknown = observed == -1
    assert abs(unknown.mean() - 0.4) < 0.01
    assert abs((labels != observed)[~unknown].mean() - 0.1) < 0.01
    one_of_four = Phantom(8000, num_classes=4, task="multi-class", flipped=0.25)
    labels, observed = labels_of(one_of_four)
    assert abs((labels != observed).mean() - 0.25) < 0.02
    assert set(observed.tolist()) == {0, 1, 2, 3}


def test_a_shifted_domain_has_the_same_truth_and_other_pictures():
    plain, shifted = generate(Phantom(256, size=32)), generate(Phantom(256, size=32, shift=1.0))
    assert np.array_equal(plain.labels, shifted.labels)
    assert np.array_equal(plain.masks, shifted.masks)
    noise = [np.diff(b.images[:, 0].astype(float), axis=2)[:, :4].std() for b in (plain, shifted)]
    assert shifted.images.mean() > plain.images.mean() + 5
    assert noise[1] > noise[0]


def edge_feature(batch: phantoms.Batch) -> np.ndarray:
    """How ragged the lesion's outline is: its length against that of a disc of the same area."""
    masks = batch.masks.astype(int)
    length = np.abs(np.diff(masks, axis=1)).sum(axis=(1, 2))
    length = length + np.abs(np.diff(masks, axis=2)).sum(axis=(1, 2))
    return length / np.sqrt(np.maximum(masks.sum(axis=(1, 2)), 1))


def area_under_curve(labels: np.ndarray, score: np.ndarray) -> float:
    order = np.argsort(np.argsort(score, kind="stable"), kind="stable") + 1
    positive = labels == 1
    count = positive.sum()
    return (order[positive].sum() - count * (count + 1) / 2) / (count * (~positive).sum())


def test_classes_can_be_told_apart_but_not_at_a_glance():
    """The truth is in the outline: strong when measured on the mask, unseen in raw brightness."""
    batch = generate(Phantom(1500, size=64))
    assert area_under_curve(batch.labels, edge_feature(batch)) > 0.8
    brightness = area_under_curve(batch.labels, batch.images.mean(axis=(1, 2, 3)))
    assert 0.4 < brightness < 0.6
    easy = generate(Phantom(1500, size=64, overlap=0.0))
    hard = generate(Phantom(1500, size=64, overlap=3.0))
    by_overlap = [area_under_curve(b.labels, edge_feature(b)) for b in (easy, batch, hard)]
    assert by_overlap[0] > by_overlap[1] > by_overlap[2]


@pytest.mark.parametrize("name", ["breastmnist", "retinamnist", "nih1000", "busi128", "wisconsin"])
def test_a_stand_in_has_the_shape_of_the_real_set(name):
    card = data.card(name)
    found = phantom_like(card, seed=1)
    assert found.synthetic
    assert found.name == name
    for split in ("train", "val", "test"):
        assert len(getattr(found, split)) == card.counts[split]
    shape = (card.size,) if card.kind == "tabular" else (card.channels, card.size, card.size)
    assert found.train.images.shape[1:] == shape
    width = (card.num_classes,) if card.multi_label else ()
    assert found.train.labels.shape[1:] == width
    assert found.test.labels is None
    assert (found.train.masks is not None) == card.masks
    assert (found.train.groups is not None) == (card.groups is not None)
    answers = locked.read_test_labels(found)
    assert answers.shape == (card.counts["test"], *width)
    assert len(np.unique(answers)) >= 2
    if card.masks:
        assert locked.read_test_masks(found).shape == (card.counts["test"], card.size, card.size)


def test_every_card_can_be_stood_in_for():
    for card in data.cards().values():
        small = replace(card, counts={"train": 9, "val": 5, "test": 5})
        assert len(phantom_like(small).train) == 9


def test_splits_of_a_stand_in_are_different_pictures():
    found = phantom_like(data.card("breastmnist"))
    digests = [
        {hashlib.md5(image.tobytes()).digest() for image in split.images}
        for split in (found.train, found.val, found.test)
    ]
    assert sum(map(len, digests)) == len(set.union(*digests))


def test_a_data_set_of_one_s_own_design():
    found = as_dataset(replace(SEVERAL, count=50, missing=0.5), val=20, test=30, seed=2)
    assert found.name == "phantom"
    assert found.task == "multi-label"
    assert (found.train.labels == -1).any()
    assert not (found.val.labels == -1).any()
    assert found.test.labels is None
    assert locked.read_test_labels(found).shape == (30, 5)
    assert locked.read_test_masks(found).shape == (30, 16, 16)
    truth = as_dataset(replace(SEVERAL, count=50, missing=0.5), val=20, test=30, observed=False)
    assert not (truth.train.labels == -1).any()


@pytest.mark.parametrize(
    ("phantom", "said"),
    [
        (Phantom(0), "count >= 1"),
        (Phantom(5, size=4), "size >= 8"),
        (Phantom(5, channels=2), "1 or 3 channels"),
        (Phantom(5, prior=(0.5, 0.2)), r"prior must sum to 1, got 0\.700"),
        (Phantom(5, prior=(1.0,)), "prior needs 2 probabilities"),
        (replace(SEVERAL, correlation=1.0), r"correlation must lie in \[0, 1\)"),
    ],
)
def test_what_cannot_be_generated_is_refused(phantom, said):
    with pytest.raises(MedlibError, match=said):
        generate(phantom)
