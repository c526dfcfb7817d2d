"""What the long runs of chapter 4.9 compute: explanations of held-out images against true lesions.

All of this was written before the first of these jobs ran. Known by then: the scores of 3.7 (class
activation maps of another network hit validation lesions about as often as the mean training mask
does), and the time that one network takes, with the finding that it learns shuffled labels of the
training split by heart.

**Design.** busi128, `resnet_small` with 16 channels at 64 pixels. The training and validation
images are dealt into five folds, the same for every seed; three seeds. In each fold three networks
explain the held-out lesions (513 of benign and malignant images in all): one *trained*, one that
learned *shuffled* labels of the same images by heart (no augmentation), one *untrained*. Explained
is the logit of the network's own answer, as a user would see it. No test image is explained; the
mean of the five trained networks is scored once on the test split.

**Scores.** Pointing game (does the highest pixel lie in the lesion) and energy inside (share of the
positive map in it), beside maps that look at no network: uniform, centre, edges, the mean mask of
the fold's training images, darkness (of the smoothed image), and darkness times mean mask.

**Sanity.** Cascading randomisation from the output to the input in the trained network of the first
fold, for its first lesions: is the map of the random network like that of the trained one? Are maps
of trained and shuffled networks alike? Measures: Spearman's correlation of the absolute values and
SSIM. Above 0.5 a map counts as unchanged.

**Endpoint.** Pointing game of Grad-CAM of trained networks less that of the mean mask, mean over
seeds, 95 % interval of a bootstrap over images. The smallest difference that matters: 0.05. The
other comparisons are secondary and stand beside each other uncorrected, as intervals.

**Hypotheses.**

1. No method beats the mean mask in the pointing game by 0.05 or more.
2. No method holds as much energy inside the lesion as darkness times mean mask.
3. Guided backpropagation stays as it was under the full cascade (absolute Spearman at least 0.5);
   saliency, SmoothGrad, integrated gradients, Grad-CAM and occlusion do not.
4. In a network that learned shuffled labels, saliency points into the lesion less than 0.05 more
   seldom than in the trained network: a hit does not tell that anything true was learned.
5. Grad-CAM of the trained network hits more often where its answer is right than where it is
   wrong; the interval of the difference holds zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.model_selection import StratifiedKFold
from torch import nn

from book.workflow.long_architectures import MASK_RECIPE
from book.workflow.long_jobs import Job, Training
from book.workflow.long_models import Average, Network
from medlib import metrics
from medlib.data import Dataset, Split
from medlib.explain import (
    BASELINES,
    Similarity,
    energy_inside,
    explain,
    pointing_game,
    randomisation,
    shuffled_labels,
    similarity,
)
from medlib.train import predict_proba

CHAPTER = "04-09-looking-inside"
FOLDS = 5
SEEDS = range(3)
SHARED = 24  # lesions of a fold whose maps are compared with each other
METHODS: dict[str, dict[str, object]] = {
    "saliency": {},
    "smooth_grad": {"samples": 12},
    "guided_backprop": {},
    "integrated_gradients": {"steps": 24},
    "grad_cam": {},
    "occlusion": {"window": 32, "stride": 16},
}
ARMS = {
    "trained": MASK_RECIPE,
    "shuffled": replace(MASK_RECIPE, augment=None),
    "untrained": None,
}


@dataclass(frozen=True)
class FoldNetworks(Average):
    """The mean of the folds' networks, with what each said of the images that it never saw."""

    labels: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Explained(Job):
    """Networks of five folds, explained on the images that they did not learn from."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[FoldNetworks, dict[str, Any]]:
        """Train and explain in every fold; see `Job.predictor`."""
        parts = list(folds(dataset))
        networks = {arm: self.networks(arm, parts, folder) for arm in ARMS}
        details: dict[str, Any] = {
            "folds": FOLDS,
            "methods": METHODS,
            "recipes": {arm: recipe and recipe.as_dict() for arm, recipe in ARMS.items()},
            "fit": {arm: self.fits(arm, networks[arm], parts) for arm in ARMS},
            "images": described([lesions(part) for part in parts]),
            "baselines": scored([unseeing(part) for part in parts], parts),
            "arms": {arm: explained(networks[arm], parts) for arm in ARMS},
            "cascade": cascade(networks["trained"][0], parts[0], self.seed),
            "labels": label_check(networks, parts),
        }
        pairs = list(zip(networks["trained"], parts, strict=True))
        said = [probabilities(network, part.val.images, part) for network, part in pairs]
        members = tuple(Network(network, dataset.task) for network in networks["trained"])
        labels = np.concatenate([part.val.labels for part in parts])
        return FoldNetworks(members, labels, np.concatenate(said)), details

    def validate(self, predictor: FoldNetworks, dataset: Dataset) -> dict[str, float]:
        """Return what the trained networks reach on the images of the other folds."""
        found = predictor.labels, predictor.held_out
        return {"auc": metrics.auc(*found), "accuracy": metrics.accuracy(*found)}

    def networks(self, arm: str, parts: list[Dataset], folder: Path) -> list[nn.Module]:
        """Return the network of each fold, trained as the arm says."""
        made = []
        for number, part in enumerate(parts):
            job = self.training(arm, number)
            if ARMS[arm] is None:
                made.append(job.untrained(part).eval())
            else:
                made.append(job.trained(self.learned(arm, part), folder)[0])
        return made

    def training(self, arm: str, number: int) -> Training:
        """Return the training of one fold, which is no job of its own: nothing scores it."""
        recipe = ARMS[arm] or MASK_RECIPE
        return Training(
            f"{self.model_id}-{arm}{number}", self.data, self.seed, 0.3, CHAPTER, recipe,
            "resnet_small", {"width": 16}, ("reduced",),
        )  # fmt: skip

    def learned(self, arm: str, part: Dataset) -> Dataset:
        """Return the images with the labels that the arm learns."""
        return shuffled_labels(part, seed=self.seed) if arm == "shuffled" else part

    def fits(self, arm: str, networks: list[nn.Module], parts: list[Dataset]) -> dict[str, float]:
        """Return the mean accuracy on what was learned, and on true labels of held-out images."""
        rows = []
        for network, part in zip(networks, parts, strict=True):
            own = self.learned(arm, part).train
            train = metrics.accuracy(own.labels, probabilities(network, own.images, part))
            said = probabilities(network, part.val.images, part)
            rows.append((train, metrics.accuracy(part.val.labels, said),
                         metrics.auc(part.val.labels, said)))  # fmt: skip
        names = ("train_accuracy", "accuracy", "auc")
        return dict(zip(names, np.mean(rows, axis=0).round(4).tolist(), strict=True))


def folds(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the set once a fold: its train and val images dealt anew, its test split as it is."""
    known = joined(dataset.train, dataset.val)
    deal = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for rest, held in deal.split(known.images, known.labels):
        yield replace(dataset, train=known.take(rest), val=known.take(held))


def joined(first: Split, second: Split) -> Split:
    """Return two splits as one."""
    parts = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("images", "labels", "index", "masks")
    }
    return Split(**parts)


def lesions(part: Dataset) -> Split:
    """Return the held-out images that show a lesion."""
    return part.val.take((part.val.masks > 0).any((1, 2)))


def probabilities(network: nn.Module, images: np.ndarray, part: Dataset) -> np.ndarray:
    """Return what a network says of images, ``(N, K)``."""
    return predict_proba(network, images, task=part.task)


def described(splits: list[Split]) -> dict[str, list[float]]:
    """Return label and share of lesion of each image, in the order of all lists of the record."""
    return {
        "label": np.concatenate([each.labels for each in splits]).tolist(),
        "area": rounded([(each.masks > 0).mean((1, 2)) for each in splits]),
    }


def unseeing(part: Dataset) -> dict[str, np.ndarray]:
    """Return maps that look at no network, by name."""
    images = lesions(part).images
    grey = images.mean(axis=1) / 255
    dark = 1 - gaussian_filter(grey, sigma=(0, *(side / 16 for side in grey.shape[1:])))
    usual = np.broadcast_to((part.train.masks > 0).mean(0), grey.shape)
    made = {name: make(images) for name, make in BASELINES.items()}
    return made | {"mean mask": usual, "darkness": dark, "dark mean mask": dark * usual}


def explained(networks: list[nn.Module], parts: list[Dataset]) -> dict[str, Any]:
    """Return each network's answers to its held-out lesions, and the scores of its maps."""
    answers, maps = [], []
    for network, part in zip(networks, parts, strict=True):
        images = lesions(part).images
        answers.append(probabilities(network, images, part).argmax(axis=1))
        maps.append({name: mapped(network, images, part, name) for name in METHODS})
    return {"answer": np.concatenate(answers).tolist(), "maps": scored(maps, parts)}


def mapped(network: nn.Module, images: np.ndarray, part: Dataset, method: str) -> np.ndarray:
    """Return the maps of the network's own answers."""
    return explain(network, images, method=method, task=part.task, **METHODS[method])


def scored(maps: list[dict[str, np.ndarray]], parts: list[Dataset]) -> dict[str, dict[str, Any]]:
    """Return pointing and energy of each map against the lesion, fold after fold."""
    masks = [lesions(part).masks > 0 for part in parts]
    rules = {"pointing": pointing_game, "energy": energy_inside}
    return {
        name: {
            rule: rounded([score(m[name], mask) for m, mask in zip(maps, masks, strict=True)])
            for rule, score in rules.items()
        }
        for name in maps[0]
    }


def cascade(network: nn.Module, part: Dataset, seed: int) -> dict[str, dict[str, Any]]:
    """Return how alike maps are to those of the trained network as layer after layer is redrawn."""
    images = lesions(part).images[:SHARED]
    found = {}
    for name, options in METHODS.items():
        check = randomisation(network, images, method=name, task=part.task, seed=seed, **options)
        steps = [alike(step) for step in check.steps]
        found[name] = {"layers": list(check.layers), "steps": steps}
    return found


def label_check(
    networks: dict[str, list[nn.Module]], parts: list[Dataset]
) -> dict[str, dict[str, Any]]:
    """Return how alike maps of trained networks are to those of others, and to the edges."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
    for number, part in enumerate(parts):
        images = lesions(part).images[:SHARED]
        outlines = BASELINES["edges"](images)
        for name in METHODS:
            trained, shuffled, untrained = (
                mapped(networks[arm][number], images, part, name) for arm in ARMS
            )
            others = {"shuffled": shuffled, "untrained": untrained, "edges": outlines}
            rows[name].append({k: alike(similarity(trained, m)) for k, m in others.items()})
    return {
        name: {other: averaged([row[other] for row in found]) for other in found[0]}
        for name, found in rows.items()
    }


def alike(found: Similarity) -> dict[str, float]:
    """Return the mean of each measure over the images."""
    names = ("spearman", "spearman_absolute", "ssim")
    return {name: round(float(np.mean(getattr(found, name))), 4) for name in names}


def averaged(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean over the folds."""
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def rounded(parts: list[np.ndarray]) -> list[float]:
    """Return the numbers of all folds in a row, short enough for a record."""
    return np.concatenate(parts).round(3).tolist()


def explain_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.9, three seeds."""
    for seed in SEEDS:
        yield Explained("explained-folds", "busi128", seed, 6.5, CHAPTER)
