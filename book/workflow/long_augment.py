"""What the long runs of chapter 3.13 train: one change of the images at a time, against none.

One network (`resnet_small`, 16 channels), `Recipe.small`, the three small sets, three seeds; the
arms differ in ``recipe.augment`` alone. The arm ``none`` draws the same random numbers as the
others and uses none of them, so that seed s begins at the same weights in every arm, and the arms
that move or shade single images see them in the same order.

Endpoint: the difference in test AUC to ``none``, mean over three seeds, with the 95 % interval of
`medlib.intervals.compare`, over seeds and test images. The 27 differences of all sets are one
family for Holm's correction; the six of views against one look are another. A difference of 0.02
matters; a smaller one does not. Six arms are on all sets; the mean of their three differences is
the second endpoint. Network, recipe, arms and strengths were chosen without any score of these
arms; that the arm ``recipe`` helps in cross-validation on BreastMNIST and PneumoniaMNIST was known
(`search_small`).

Expectations, written before the runs; "told" means told from ``none`` after Holm's correction:

1. *Most stay open*: fewer than half of all differences are told.
2. *A film has an up*: on PneumoniaMNIST ``flip-tb`` lies below ``none``; the loss is smaller than
   0.02 and not told. A film upside down is never tested, so the network only loses some of its
   capacity and the information in "below" and "above".
3. *A heart has a side, pneumonia has none*: ``flip-lr`` costs nothing on PneumoniaMNIST; its
   difference is not below -0.01. It breaks the anatomy and not the label.
4. *Sound runs downwards*: on BreastMNIST ``flip-tb`` lies below ``flip-lr``, since the shadow
   behind a lesion lies below it.
5. *An eye has no up*: on RetinaMNIST neither flip is told below ``none``.
6. *Any hue costs most*: on RetinaMNIST ``any-hue`` has the lowest mean of all arms, and ``hue``
   is not told.
7. *A patch is no lesion*: on BreastMNIST ``cutmix`` lies below ``mixup``: a patch without the
   lesion takes its share of the label.
8. *Together*: ``recipe`` lies above ``none`` on every set and is told on at least one.
9. *Nothing to tune, nothing to win*: ``trivial`` is not told above ``none`` on any set.
10. *What is trained is what is learned*: on every set, validation predictions move less under a
    flip, a rotation, or a change of contrast in the arm trained with it than in ``none``.
11. *At test time*: ten views (flips and shifts) raise the mean AUC of ``recipe`` on every set, by
    less than 0.01; of ``none`` they raise it on fewer sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from book.workflow.long_jobs import Job, OnMember, Training
from book.workflow.long_models import Network, OverViews, Predictor, views
from medlib import metrics
from medlib.augment import Augment
from medlib.data import Dataset, Split
from medlib.recipe import Recipe

CHAPTER = "03-13-augmentation"
SEEDS = range(3)
OPTIONS = {"width": 16}

CHANGES = {
    "flip-lr": Augment(flip_horizontal=True),
    "flip-tb": Augment(flip_vertical=True),
    "rotate": Augment(rotation=10),
    "shift": Augment(shift=0.08),
    "zoom": Augment(scale=0.15),
    "contrast": Augment(contrast=0.3, brightness=0.1),
    "noise": Augment(noise=0.05),
    "erase": Augment(erase=0.5),
    "hue": Augment(hue=0.1),
    "any-hue": Augment(hue=0.5),
    "trivial": Augment(trivial=1.0),
    "mixup": Augment(mixup=0.2),
    "cutmix": Augment(cutmix=1.0),
}
ARMS = {"none": Augment(), **CHANGES, "recipe": Recipe.small().augment}
EVERYWHERE = ("none", "flip-lr", "flip-tb", "rotate", "contrast", "trivial", "recipe")
ON = {
    "breastmnist": tuple(name for name in ARMS if "hue" not in name),
    "pneumoniamnist": EVERYWHERE,
    "retinamnist": (*EVERYWHERE, "hue", "any-hue", "mixup"),
}
VIEWED = ("none", "recipe")  # arms whose networks also see each test image from several views
VIEWS = Augment(flip_horizontal=True, shift=0.08)
LOOKS = 4  # draws of a change, where predictions before and after it are compared


@dataclass(frozen=True)
class Ablation(Training):
    """A network trained with one arm; the record says how its predictions move."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network; see `Job.predictor`."""
        network, details = super().predictor(dataset, folder)
        return network, details | {"changed": under_changes(network, dataset.val)}


@dataclass(frozen=True)
class FromViews(OnMember):
    """The average of a network's predictions over views of each image."""

    augment: Augment = field(default_factory=Augment)

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the network's weights; see `Job.predictor`."""
        (member,) = self.needs
        network, seen = member.predictor(dataset, folder)[0], views(self.augment)
        return OverViews(network, seen), {"members": [member.id], "views": len(seen)}


def under_changes(network: Network, split: Split) -> dict[str, dict[str, float]]:
    """Return, for each change that needs one image alone, what it does to the predictions.

    ``moved`` is the mean distance of the probabilities before and after (half the sum of absolute
    differences, from 0 to 1), ``auc`` the area on the changed images. Flips flip every image.
    """
    before, found = network.predict_proba(split.images), {}
    for name, augment in CHANGES.items():
        if augment.mixes or (augment.hue and split.images.shape[1] != 3):
            continue
        looks = 1 if name.startswith("flip") else LOOKS
        after = [network.predict_proba(changed(split.images, augment, s)) for s in range(looks)]
        moved = [np.abs(each - before).sum(axis=1).mean() / 2 for each in after]
        areas = [metrics.auc(split.labels, each) for each in after]
        found[name] = {"moved": float(np.mean(moved)), "auc": float(np.mean(areas))}
    return found


def changed(images: np.ndarray, augment: Augment, seed: int) -> np.ndarray:
    """Return changed images, uint8 again; what may be flipped is flipped."""
    draw = augment.draw(len(images), generator=torch.Generator().manual_seed(seed))
    flips = torch.ones(len(images), dtype=torch.bool)
    draw = replace(
        draw, mirrored=flips & augment.flip_horizontal, upended=flips & augment.flip_vertical
    )
    return augment.apply(torch.from_numpy(images), draw).mul(255).round().byte().numpy()


def augment_jobs() -> Iterator[Job]:
    """Yield the arms of each set, and the two whose test images are seen from several views."""
    for name, seed in product(ON, SEEDS):
        for arm in ON[name]:
            recipe = replace(Recipe.small(), augment=ARMS[arm])
            job = Ablation(
                f"augment-{arm}", name, seed, 0.25, CHAPTER, recipe, "resnet_small", OPTIONS
            )
            yield job
            if arm in VIEWED:
                yield FromViews(f"augment-{arm}-views", name, seed, 0.05, CHAPTER, job, VIEWS)
