"""What the long runs of chapter 5.1 compute: vision transformers beside a convolutional network.

All settings, hypotheses and comparisons stand here, and were committed, before any of these scores.

**Networks** at 28 pixels, all from random weights under `Recipe.small`, unchanged, three seeds:

- ``vit-49``: a vision transformer, patches of 4 pixels (49 tokens), width 48, 3 heads, 4 blocks;
- ``vit-16``: the same with patches of 7 pixels (16 tokens);
- ``vit-hybrid``: 49 tokens from two 3 x 3 convolutions of stride 2 (Xiao et al., 2021), and one
  block less, as their paper has it, so that the multiply-adds stay comparable;
- ``vit-unplaced``: ``vit-49`` without position codes (BreastMNIST only);
- ``resnet-small`` of chapter 4.8 (its first three seeds), which is not repeated: the ResNet.

Compared at like multiply-adds, in millions an image: ResNet 5.7, ``vit-49`` 6.5, ``vit-hybrid``
5.5, ``vit-16`` 2.0. In parameters the ResNet is the larger: 173,000 against 117,000, 101,000 and
119,000. No setting of a transformer was tuned: width, heads and blocks were fixed by these costs
and the time of a step. The recipe was found for ``resnet_small``, on validation images of two of
these sets: that favours the ResNet, and the chapter says so.

**Labels.** ``-2`` and ``-10`` after a name: 2 and 10 % of the training labels of PneumoniaMNIST (94
and 470 images), stratified, nested, the same for all networks of a seed, repeated to the length of
the whole split, so that every training takes the same number of steps (`long_transfer.OnShare`).
The ResNet at 10 % is ``scratch-10`` of chapter 3.12; at 2 % it is ``vit-resnet-2`` here.

**Behaviour**, on validation images, kept in the records (no label of the test split is involved):
how far probabilities move when images are shifted by 1 to 4 pixels, and what becomes of the AUC
when the 49 patches of each image are shuffled. Of each transformer with all labels; records of
``vit-49`` hold the ResNet of the same seed as well.

**Lesions.** ``vit-lesions``: a transformer with patches of 8 pixels on busi128 at 64 pixels (64
tokens), under the recipe of ``plain``, the ResNet of chapter 3.8. On the lesions of the validation
split: does attention rollout point into the lesion (pointing game), and what share of it lies there
(energy), for the trained network, for the same network before training, and for the trained
network's map of *another* image, beside a uniform map, a centre prior and the mean training mask.

**What was known.** The test scores of ``resnet-small`` and of its trainings on 10 % of the labels,
and of the other networks of chapters 3.10 and 3.12. Of transformers on these sets: nothing; tens of
steps on random numbers, for their time.

**Endpoint.** Test AUC, mean over three seeds (RetinaMNIST: mean over the grades, one against the
rest). The smallest difference that would matter: 0.02.

**Six primary comparisons**, one bootstrap a set (`medlib.intervals.compare`), corrected together
after Holm: on each set ``vit-49`` minus ResNet, and ``vit-hybrid`` minus ``vit-49``, all labels.
**Secondary**, corrected among themselves: on PneumoniaMNIST ``vit-49`` minus ResNet at 2 and at
10 %, ``vit-hybrid`` minus ResNet at both, and the gap of ``vit-49`` at 2 % less the gap at 100 %.
All else is exploratory.

**Hypotheses.**

1. With all labels ``vit-49`` has a lower mean AUC than the ResNet on every set, by 0.02 or more on
   BreastMNIST.
2. ``vit-hybrid`` has a higher mean AUC than ``vit-49`` on every set.
3. On PneumoniaMNIST ``vit-hybrid`` is within 0.02 of the ResNet with all labels.
4. On PneumoniaMNIST the gap between ResNet and ``vit-49`` is wider at 2 % of the labels than at
   100 %.
5. ``vit-16``, with a third of the multiply-adds, is within 0.02 of ``vit-49`` on every set.
6. Without position codes ``vit-49`` loses less than 0.02 on BreastMNIST.
7. A shift by one pixel moves the probabilities of ``vit-49`` further than those of the ResNet, in
   the mean over seeds, on every validation split.
8. Shuffled patches cost the ResNet more validation AUC than ``vit-49`` on BreastMNIST and on
   PneumoniaMNIST; ``vit-unplaced`` loses nothing (to rounding).
9. Rollout of the trained network points into the lesion no more often than the centre prior plus
   0.05; and no more often than its map of another image plus 0.05.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from book.workflow.long_architectures import MASK_RECIPE
from book.workflow.long_jobs import Job, Training, small_jobs
from book.workflow.long_models import Network, Predictor, shifted
from book.workflow.long_transfer import OnShare
from medlib import metrics
from medlib.data import Dataset, Split
from medlib.explain import centre_prior, energy_inside, explain, pointing_game, similarity
from medlib.models import patches
from medlib.recipe import Recipe

CHAPTER = "05-01-vision-transformers"
SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
FRACTIONS = "pneumoniamnist"
SEEDS = range(3)
SHARES = (2, 10)  # per cent of the labels, besides all of them
PATCH = 4
SHIFTS = (1, 2, 3, 4)  # pixels
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
VIT: dict[str, object] = {"width": 48, "heads": 3, "depth": 4, "patch": PATCH}

# model id: options, sets, processor minutes
ARMS: dict[str, tuple[dict[str, object], tuple[str, ...], float]] = {
    "vit-49": (VIT, SETS, 0.55),
    "vit-16": (VIT | {"patch": 7}, SETS, 0.25),
    "vit-hybrid": (VIT | {"depth": 3, "hybrid": True}, SETS, 0.45),
    "vit-unplaced": (VIT | {"positions": False}, SETS[:1], 0.5),
}


def movement(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Return how far answers moved: the mean shift of probability, and the share that changed.

    Parameters
    ----------
    before, after : ndarray
        ``(N, K)`` probabilities of the same images, seen in two ways.
    """
    moved = np.abs(before - after).sum(axis=1) / 2
    changed = before.argmax(axis=1) != after.argmax(axis=1)
    return {"moved": float(moved.mean()), "changed": float(changed.mean())}


def behaviour(predictor: Predictor, split: Split) -> dict[str, Any]:
    """Return what shifts and shuffled patches do to the answers on a split.

    Parameters
    ----------
    predictor : Predictor
        The network.
    split : Split
        Its images and labels, for validation.

    Returns
    -------
    dict
        ``auc`` of the images as they are; under ``shift`` for each number of pixels, the mean over
        four directions of ``moved`` and ``changed`` (`movement`) and of ``auc``; the same under
        ``shuffle``.
    """

    def seen(images: np.ndarray) -> dict[str, float]:
        after = predictor.predict_proba(images)
        return movement(before, after) | {"auc": metrics.auc(split.labels, after)}

    before = predictor.predict_proba(split.images)
    found: dict[str, Any] = {"auc": metrics.auc(split.labels, before), "shift": {}}
    for far in SHIFTS:
        ways = [seen(shifted(split.images, far * a, far * b)) for a, b in DIRECTIONS]
        found["shift"][str(far)] = {key: float(np.mean([w[key] for w in ways])) for key in ways[0]}
    return found | {"shuffle": seen(patches.shuffled(split.images, PATCH))}


@dataclass(frozen=True)
class Tokens(OnShare):
    """A transformer on a share of the labels; with all of them, how it behaves on validation.

    Attributes
    ----------
    twin : Training or None
        A network whose behaviour stands in the same record.
    """

    twin: Training | None = None

    @property
    def needs(self) -> tuple[Training, ...]:
        """The twin."""
        return (self.twin,) if self.twin else ()

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network, watch it and its twin; see `Job.predictor`."""
        network, details = super().predictor(dataset, folder)
        if self.share == 100:
            details["behaviour"] = behaviour(network, dataset.val)
        if self.twin:
            other = Network(self.twin.trained(dataset, folder)[0], dataset.task, self.device)
            details["twin"] = {"id": self.twin.id, "behaviour": behaviour(other, dataset.val)}
        return network, details


@dataclass(frozen=True)
class OnLesions(Training):
    """A transformer whose attention is compared with the lesions of the validation split."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network, and compare; see `Job.predictor`."""
        network, details = super().predictor(dataset, folder)
        fresh = self.untrained(dataset).eval()
        return network, details | {"rollout": rollouts(network.model, fresh, dataset)}


def rollouts(model: nn.Module, fresh: nn.Module, dataset: Dataset) -> dict[str, Any]:
    """Return how well rollouts find the lesions, beside maps that look at no network.

    Parameters
    ----------
    model, fresh : nn.Module
        The transformer after training and before.
    dataset : Dataset
        With masks.
    """
    masks = dataset.val.masks > 0
    with_lesion = masks.any(axis=(1, 2))
    masks, images = masks[with_lesion], dataset.val.images[with_lesion]
    trained, untrained = (
        explain(each, images, method="attention_rollout", task=dataset.task)
        for each in (model, fresh)
    )
    usual = np.broadcast_to((dataset.train.masks > 0).mean(axis=0), masks.shape)
    maps = {
        "trained": trained,
        "untrained": untrained,
        "another image": np.roll(trained, 1, axis=0),
        "uniform": np.ones(masks.shape),
        "centre": centre_prior(images),
        "mean mask": usual,
    }
    scores = {
        name: {
            "pointing": float(pointing_game(each, masks).mean()),
            "energy": float(energy_inside(each, masks).mean()),
        }
        for name, each in maps.items()
    }
    alike = {
        name: float(similarity(trained, maps[name]).spearman.mean())
        for name in ("untrained", "another image")
    }
    return {"lesions": int(with_lesion.sum()), "scores": scores, "alike": alike}


def vit_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    twins = {(job.data, job.seed): job for job in small_jobs()}
    recipe = Recipe.small()
    for (model_id, (options, sets, minutes)), seed in product(ARMS.items(), SEEDS):
        for name in sets:
            twin = twins[name, seed] if model_id == "vit-49" else None
            yield Tokens(
                model_id, name, seed, minutes, CHAPTER, recipe, "vit_tiny", options, twin=twin
            )
    for share, seed in product(SHARES, SEEDS):
        for model_id in ("vit-49", "vit-hybrid"):
            options, _, minutes = ARMS[model_id]
            yield Tokens(
                f"{model_id}-{share}", FRACTIONS, seed, minutes, CHAPTER, recipe, "vit_tiny",
                options, share=share,
            )  # fmt: skip
    for seed in SEEDS:
        yield OnShare(
            "vit-resnet-2", FRACTIONS, seed, 0.4, CHAPTER, recipe, "resnet_small", share=2
        )
        yield OnLesions(
            "vit-lesions", "busi128", seed, 0.4, CHAPTER, MASK_RECIPE, "vit_tiny",
            VIT | {"patch": 8}, ("reduced",),
        )  # fmt: skip
