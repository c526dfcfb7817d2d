"""What the long runs of chapter 4.10 compute: when to trust a network.

`resnet_small` with `Recipe.small()`, unchanged, on three sets, three seeds. The weights are those
after the last step, so that no validation case has chosen them: validation is left for what is
fitted here. The scored models, each by its id:

- ``trust-small``: the network. With a variant such as ``jpeg-5`` its test images are damaged by
  one of six corruptions at one of five strengths (Breast and Pneumonia only).
- ``trust-temperature``: the same network, its logits divided by a temperature that has the lowest
  log loss on the validation split.
- ``trust-views``: one network, its probabilities averaged over the views of its augmentation.
- ``trust-seeds``, ``trust-seeds-views``: the average of the three networks, without and with views.

Every record keeps the validation labels and probabilities (`kept`), from which the chapter fits
temperatures, thresholds of sets and the cut for deferral. The record of ``trust-small`` on the two
grey sets keeps how strange five detectors find seven groups of images (`strangeness`): no label is
used there. Test images are looked at through `evaluate_once` alone where labels matter.

Written down before any of these scores was seen. Known were AUC and accuracy of the same recipe in
the benchmark (``resnet-small``), also that the accuracy on PneumoniaMNIST falls from validation to
test, and ECE and Brier score of a thinner network (chapter 3.14).

The smallest differences that matter: 0.02 in AUC, 0.03 in ECE, 0.01 in the Brier score and in the
area under the risk-coverage curve, 0.05 in coverage. Paired tests: `medlib.intervals.compare`,
three seeds; for each endpoint (ECE, Brier score, area) the six differences *temperature minus
small* and *views minus small* on three sets are corrected after Holm, level 5 %. Between two
classes a temperature leaves the order of the cases as it is: the area is compared for the views
alone, three tests. The average over seeds has one value a set: it is compared with the mean of its
members and described, not tested.

Expectations:

1. Temperature lowers ECE by 0.03 or more on at least one set (mean of three seeds), and on
   PneumoniaMNIST it does not lower it at all: its validation split is too easy.
2. Sets promised to hold the truth in 90 % ("lac", fitted on validation): mean coverage over seeds
   is 0.85 or more on the test splits of BreastMNIST and RetinaMNIST, below 0.85 on PneumoniaMNIST.
3. On every set one class has a mean coverage below 0.80. Calibrated by class, the worst class of
   BreastMNIST and of RetinaMNIST rises to 0.80 or more and sets become larger; the worst class of
   PneumoniaMNIST stays below 0.85.
4. A cut that sends the least sure 20 % of validation cases to a person lowers the error of what is
   kept on all three test splits; on PneumoniaMNIST it sends away a share that is more than 0.05
   from 0.20.
5. Novelty, BreastMNIST network: Mahalanobis distance tells chest films and retinas from ultrasound
   with an AUROC of 0.90 or more; the largest softmax probability stays below 0.90 for at least one
   of the two; mean intensity alone beats the softmax for at least one of the two.
6. No detector tells test from validation images of PneumoniaMNIST with an AUROC above 0.75: what
   breaks the promise of 2 is not seen by novelty scores.
7. Corruptions: at strength 5 noise and blur cost 0.05 AUC or more on both sets; JPEG at strengths 1
   to 3 changes the AUC by less than 0.02 on both.
8. Where a corruption costs 0.05 accuracy or more, mean confidence falls by less than accuracy does
   in most of these cases; ECE at strength 5 is above that of clean images for at least four of six
   corruptions on both sets.
9. The average over seeds has a smaller area under the risk-coverage curve than the mean of its
   members on all three sets, and at strength 5 a lower ECE for most corruptions of both sets. (Its
   Brier score is never above the mean of theirs: that follows from convexity and is no finding.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from torch import nn

from book.workflow.long_jobs import Combination, Job, OnMember, Training
from book.workflow.long_models import Network, Predictor
from medlib import trust
from medlib.data import Dataset, Split, load
from medlib.evaluate import rounded
from medlib.recipe import Recipe

CHAPTER = "04-10-trust"
SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
DAMAGED = ("breastmnist", "pneumoniamnist")
SEEDS = range(3)
KINDS = ("gaussian_noise", "gaussian_blur", "contrast", "brightness", "jpeg", "marker")
GROUP = 156  # images of a group whose strangeness is kept: all test images of BreastMNIST
FOREIGN = {"breastmnist": "pneumoniamnist", "pneumoniamnist": "breastmnist"}
DETECTORS = ("softmax", "energy", "mahalanobis", "neighbours", "intensity")


def packed(values: np.ndarray) -> str:
    """Return numbers as one line of text; a list of JSON would take a line for each."""
    return " ".join(f"{value:.6g}" for value in np.asarray(values, dtype=np.float64))


def kept(predictor: Predictor, split: Split) -> dict[str, str]:
    """Return what a record keeps of a split: its labels, and the probabilities of each class."""
    columns = rounded(predictor.predict_proba(split.images)).T
    return {"labels": packed(split.labels)} | {f"p{k}": packed(p) for k, p in enumerate(columns)}


@dataclass(frozen=True)
class Trusted(Training):
    """The network; on grey sets with the strangeness of images of several kinds."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network, or go on with it; see `Job.predictor`."""
        model, history = self.trained(dataset, folder)
        network = Network(model, dataset.task, self.device)
        details = self.details(history) | {"kept": kept(network, dataset.val)}
        if self.data in FOREIGN:
            others = {"other": load(FOREIGN[self.data]), "retina": load("retinamnist")}
            details["strangeness"] = strangeness(model, dataset, others)
        return network, details


@dataclass(frozen=True)
class Tempered:
    """A network whose probabilities are calibrated by a temperature."""

    network: Network
    calibrator: trust.Temperature

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, ``(N, K)``."""
        return self.calibrator.apply(self.network.predict_proba(images))


@dataclass(frozen=True)
class WithTemperature(OnMember):
    """A trained network with the temperature that suits its validation split."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the network's weights, find the temperature; see `Job.predictor`."""
        model, details = self.read(dataset, folder)
        network = Network(model, dataset.task)
        found = network.predict_proba(dataset.val.images)
        calibrator = trust.Temperature().fit(dataset.val.labels, found)
        tempered = Tempered(network, calibrator)
        details |= {"temperature": calibrator.temperature, "kept": kept(tempered, dataset.val)}
        return tempered, details


@dataclass(frozen=True)
class OnDamaged:
    """A network that sees every image damaged."""

    network: Network
    kind: str
    strength: int

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Damage the images, then predict: ``(N, K)``."""
        return self.network.predict_proba(trust.corrupt(images, self.kind, self.strength))


@dataclass(frozen=True)
class Corrupted(OnMember):
    """A trained network on damaged images; its record says how it does on damaged validation.

    Attributes
    ----------
    kind, strength
        See `medlib.trust.corrupt`.
    """

    kind: str = ""
    strength: int = 0

    @property
    def variant(self) -> str:  # type: ignore[override]
        """Name of the damage, such as ``jpeg-5``."""
        return f"{self.kind}-{self.strength}"

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the network's weights; see `Job.predictor`."""
        model, details = self.read(dataset, folder)
        return OnDamaged(Network(model, dataset.task), self.kind, self.strength), details


@dataclass(frozen=True)
class Averaged(Combination):
    """An average over seeds or views whose record keeps the validation split."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the members' weights; see `Job.predictor`."""
        model, details = super().predictor(dataset, folder)
        return model, details | {"kept": kept(model, dataset.val)}


def strangeness(
    model: nn.Module, dataset: Dataset, others: Mapping[str, Dataset]
) -> dict[str, dict[str, str]]:
    """Return how strange each detector finds the images of each group; higher is stranger.

    Parameters
    ----------
    model : nn.Module
        A network that learned from the training split.
    dataset : Dataset
        Grey images. Its training split teaches the detectors what is known.
    others : mapping of str to Dataset
        Other modalities, by group; colours are averaged to grey.

    Returns
    -------
    dict of str to dict
        By detector and group, packed: validation and test images, the test images as negatives and
        with the strongest noise and blur, and test images of the other sets; at most `GROUP` each.
    """
    features, _ = trust.last_layer(model, dataset.train.images)
    distances = trust.Mahalanobis(shrinkage=0.01).fit(features, dataset.train.labels)
    neighbours = trust.NearestNeighbours(k=10).fit(features)
    usual = dataset.train.images.mean()
    found: dict[str, dict[str, str]] = {name: {} for name in DETECTORS}
    for group, images in pictures(dataset, others).items():
        features, logits = trust.last_layer(model, images)
        values = (
            trust.max_softmax(softmax(logits, axis=1)),
            trust.energy(logits),
            distances.score(features),
            neighbours.score(features),
            np.abs(images.mean(axis=(1, 2, 3)) - usual),
        )
        for name, strange in zip(DETECTORS, values, strict=True):
            found[name][group] = packed(strange)
    return found


def pictures(dataset: Dataset, others: Mapping[str, Dataset]) -> dict[str, np.ndarray]:
    """Return the images of each group of `strangeness`, spread evenly over their splits."""
    test = spread(dataset.test.images)
    groups = {"val": spread(dataset.val.images), "test": test, "negative": 255 - test}
    groups["noise"] = trust.corrupt(test, "gaussian_noise", 5)
    groups["blur"] = trust.corrupt(test, "gaussian_blur", 5)
    for name, other in others.items():
        grey = spread(other.test.images).mean(axis=1, keepdims=True)
        groups[name] = np.rint(grey).astype(np.uint8)
    return groups


def spread(images: np.ndarray) -> np.ndarray:
    """Return at most `GROUP` images, at even distances."""
    count = min(GROUP, len(images))
    return images[np.arange(count) * len(images) // count]


def trained_jobs() -> Iterator[Trusted]:
    """Yield the trainings."""
    for data, seed in product(SETS, SEEDS):
        yield Trusted("trust-small", data, seed, 0.6, CHAPTER, recipe=Recipe.small())


def trust_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.10."""
    for member in trained_jobs():
        data, seed = member.data, member.seed
        yield member
        yield WithTemperature("trust-temperature", data, seed, 0.07, CHAPTER, member)
        yield Averaged("trust-views", data, seed, 0.08, CHAPTER, (member,), over_views=True)
        for kind, strength in product(KINDS, trust.STRENGTHS):
            if data in DAMAGED:
                yield Corrupted("trust-small", data, seed, 0.07, CHAPTER, member, kind, strength)
    for data in SETS:
        members = tuple(job for job in trained_jobs() if job.data == data)
        yield Averaged("trust-seeds", data, 0, 0.08, CHAPTER, members)
        yield Averaged("trust-seeds-views", data, 0, 0.1, CHAPTER, members, over_views=True)
