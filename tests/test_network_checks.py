"""Every planted bug is found by its check, and a sound network passes them all."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medlib import create
from medlib.errors import MedlibError
from medlib.network_checks import CHECKS, check_network, shuffled_labels


class Sound(nn.Module):
    """The smallest network that passes."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8 * 16, outputs)

    def features(self, x):
        return functional.relu(self.norm(self.conv(x))).flatten(1)

    def forward(self, x):
        return self.last(self.features(x))


class Detached(Sound):
    def forward(self, x):
        return self.last(self.features(x).detach())


class Mixed(Sound):
    def forward(self, x):
        found = self.features(x)
        return self.last(found - found.mean(0))


class NeverStill(Sound):
    def forward(self, x):
        return self.last(functional.dropout(self.features(x), 0.2))


class Softmaxed(Sound):
    def forward(self, x):
        return super().forward(x).softmax(1)


class Loud(Sound):
    def __init__(self) -> None:
        super().__init__()
        nn.init.normal_(self.last.weight, std=5.0)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(16) % 2
    return torch.randn(16, 1, 8, 8, generator=generator), labels


def failed(build, images, labels):
    torch.manual_seed(0)
    return {c.name for c in check_network(build, images, labels, 2) if not c.passed}


def test_a_sound_network_passes(batch):
    assert failed(Sound, *batch) == set()


def test_the_books_network_passes(batch):
    def build():
        return create("resnet_small", in_channels=1, num_classes=2, image_size=8, width=8)

    assert failed(build, *batch) == set()


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (Detached, "gradients arrive"),
        (Mixed, "images apart"),
        (NeverStill, "repeats itself"),
        (Softmaxed, "learns one batch"),
        (Loud, "first loss"),
        (lambda: Sound(outputs=1), "output shape"),
    ],
)
def test_a_planted_bug_is_found_by_its_check(bug, check, batch):
    assert check in failed(bug, *batch)


def test_inputs_that_were_scaled_twice_are_found(batch):
    images, labels = batch
    assert "inputs scaled" in failed(Sound, images / 255, labels)


def test_a_check_that_breaks_down_counts_as_failed(batch):
    found = {c.name: c for c in check_network(lambda: Sound(outputs=1), *batch, 2)}
    assert list(found) == list(CHECKS)
    assert "IndexError" in found["first loss"].found


def test_shuffled_labels_finds_a_leak():
    labels = np.arange(400) % 2
    honest = shuffled_labels(lambda train, val: 0.53, labels, labels)
    leaking = shuffled_labels(lambda train, val: float((val == val).mean()), labels, labels)
    assert honest.passed
    assert not leaking.passed
    assert "AUC 1.00, expected 0.50 ± 0.12" in leaking.found


def test_shuffled_labels_are_shuffled_and_the_same_for_a_seed():
    seen = []

    def keep(train, val):
        seen.append((train, val))
        return 0.5

    labels = np.arange(100) % 2
    for seed in (0, 0, 1):
        shuffled_labels(keep, labels, labels, seed=seed)
    assert (seen[0][0] == seen[1][0]).all()
    assert (seen[0][0] != seen[2][0]).any()
    assert seen[0][1].sum() == labels.sum()
    assert (seen[0][1] != labels).any()


@pytest.mark.parametrize("labels", [np.zeros(5, int), np.arange(6) % 3])
def test_shuffled_labels_needs_two_classes(labels):
    with pytest.raises(MedlibError, match="0 and 1"):
        shuffled_labels(lambda train, val: 0.5, labels, labels)
