"""What the long runs of chapter 3.12 train: four ways to use 10, 25, 50 and 100 % of the labels.

All settings, hypotheses and comparisons stand here, and were committed, before any of these scores.

**Ways.** *From scratch*: the small ResNet at 28 pixels under `Recipe.small`, 1,003 to 1,029 steps;
with all labels this is the run ``resnet-small`` of chapter 4.8 (its first three seeds), which is
not repeated. *Frozen*: logistic regression on the pooled features of EfficientNet-Lite0, ImageNet's
weights, images enlarged to 64 pixels; its penalty is chosen by three folds inside the labels used.
*Partial tuning*: the same network, stages 6 and 7 and the head trained on. *Full tuning*: all of it
trained on. Both tunings start from the frozen way's own answer (its regression is their last layer,
the head first), keep ImageNet's statistics in all batch normalisations, and go on for `STEPS` steps
under `TUNING`, which has the augmentation, batch size, smoothing and schedule of `Recipe.small`.
*Random start*, a control on BreastMNIST with all labels: the tuned network from random weights (and
with the batches' statistics), twice as many steps, the learning rate of `Recipe.small`.

**Labels.** A share is stratified; the shares of one seed are nested; all ways of one seed see the
same images. No way looks at the validation split: every training keeps its last weights. A share is
repeated to the length of the whole split, so that all shares take the same number of steps.

**How the tuning recipe was chosen.** By seven trials of 100 steps inside the training images of
RetinaMNIST alone (270 train, 540 others are held out, one split, one seed). Held-out AUC, 0.725 for
the frozen way: full tuning with the head first and ImageNet's statistics kept 0.750, 0.763 and
0.727 at learning rates of 1e-4, 3e-4 and 1e-3; with the batches' statistics 0.649 at 3e-4; with
these and a new random head 0.727 at 1e-3; partial tuning, head first, statistics kept, 0.762 and
0.753 at 3e-4 and 1e-3. Hence head first, statistics kept, 3e-4, for both tunings, every set, share.

**What was known.** The test scores of ``resnet-small`` (chapter 4.8) and of a probe at 112 pixels
as part of an average on RetinaMNIST; the folds' AUC inside the training images of one probe on each
set with 10 and 100 % of the labels (0.56 and 0.76, 0.96 and 0.98, 0.70 and 0.76 on BreastMNIST,
PneumoniaMNIST and RetinaMNIST); the trials above. No test score of any other job here.

**Endpoint.** Test AUC, mean over three seeds (on RetinaMNIST the mean over the grades, one against
the rest). The smallest difference that would matter: 0.02.

**Nine primary comparisons**, one bootstrap a set (`medlib.intervals.compare`), corrected together
after Holm: on each set frozen minus scratch with 10 % of the labels; full tuning minus frozen with
10 %; full tuning minus scratch with 100 %. All other pairs are exploratory.

**How many labels ImageNet is worth.** The least share of the labels with which training from
scratch reaches the AUC that the frozen way has with 10 %; between two shares the curve is a line in
the logarithm of the share. Its interval: all shares at which the 95 % interval of scratch minus
frozen at 10 % holds zero. At 10 % already: ImageNet is worth nothing; not even at 100 %: never.

**Hypotheses.**

1. With 10 % frozen is at least as good as scratch on every set (by mean), and better on RetinaMNIST
   by 0.02 or more.
2. With 10 % full tuning cannot be told from frozen on any set.
3. With 100 % full tuning is better than scratch on RetinaMNIST; on the other two they cannot be
   told apart.
4. From 10 to 100 % of the labels frozen gains less AUC than scratch on every set.
5. From scratch, BreastMNIST and PneumoniaMNIST need at most half of the labels to reach frozen at
   10 %; RetinaMNIST needs more than half.
6. Negative transfer: on at least one set and share a way that starts from ImageNet has a lower mean
   AUC than scratch, but in no primary comparison is it told from zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from book.workflow.long_jobs import Job, Training
from book.workflow.long_models import Predictor, Probe
from medlib.data import Dataset, Split
from medlib.models.efficientnet_lite import EfficientNetLite
from medlib.pretrained import TransferClassifier, classifier, pretrained
from medlib.recipe import Recipe
from medlib.train import seed_everything

CHAPTER = "03-12-transfer"
SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
SEEDS = range(3)
SHARES = (10, 25, 50, 100)  # per cent of the training labels
IMAGE_SIZE = 64  # to which the pretrained network's images are enlarged
STEPS = 100
TUNING = replace(Recipe.small(), learning_rate=3e-4, ema=0.0, min_steps=STEPS, max_steps=STEPS)
RANDOM = replace(TUNING, learning_rate=1e-3, min_steps=2 * STEPS, max_steps=2 * STEPS)


def share_rows(labels: np.ndarray, share: int, seed: int) -> np.ndarray:
    """Return the rows whose labels a share may use: stratified, and nested over the shares.

    Each class gives the first images of one random order, which the seed decides.

    Parameters
    ----------
    labels : ndarray
        ``(N,)`` of the training split.
    share : int
        Per cent of each class, rounded.
    seed : int
        The same rows for all ways with this seed.

    Returns
    -------
    ndarray
        Ascending.
    """
    order = np.random.default_rng([312, seed]).permutation(len(labels))
    by_class = [order[labels[order] == label] for label in np.unique(labels)]
    kept = [rows[: max(1, round(share * len(rows) / 100))] for rows in by_class]
    return np.sort(np.concatenate(kept))


def share_of(split: Split, share: int, seed: int) -> Split:
    """Return the part of a training split whose labels may be used; see `share_rows`."""
    return split.take(share_rows(split.labels, share, seed))


def repeated(part: Split, length: int) -> Split:
    """Return a split repeated to a length, so that epochs are as long for every share."""
    return part.take(np.resize(np.arange(len(part)), length))


@dataclass(frozen=True)
class OnShare(Training):
    """A network that learns from a share of the labels.

    Attributes
    ----------
    share : int
        Per cent of the training labels.
    """

    share: int = 100

    def part(self, dataset: Dataset) -> Split:
        """Return the training images whose labels are used."""
        return share_of(dataset.train, self.share, self.seed)

    def trained(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Train on the share, repeated to the length of the whole; see `Training.trained`."""
        train = repeated(self.part(dataset), len(dataset.train))
        return super().trained(replace(dataset, train=train), folder)

    def details(self, history: dict[str, Any]) -> dict[str, Any]:
        """Return what the record says of the training."""
        return super().details(history) | {"share": self.share}


@dataclass(frozen=True)
class FineTuning(OnShare):
    """A pretrained network with a new last layer, trained from there on.

    The last layer starts as the probe of the frozen features, fitted on the same share: before the
    first step the network answers as the frozen way does.

    Attributes
    ----------
    freeze : str
        What is not trained; see `medlib.pretrained.TransferClassifier`.
    start : {"imagenet", "random"}
        Where the weights come from; random ones have a random last layer, too.
    """

    network: str = "efficientnet_lite0"
    freeze: str = "none"
    start: str = "imagenet"

    def untrained(self, dataset: Dataset) -> nn.Module:
        """Return the network before its first step; see `Training.untrained`."""
        seed_everything(self.seed)
        source = pretrained(self.network)
        if self.start == "random":
            source = replace(source, model=EfficientNetLite(stem="standard").eval())
        model = classifier(
            source,
            dataset.num_classes,
            in_channels=dataset.in_channels,
            freeze=self.freeze,
            image_size=IMAGE_SIZE,
        )
        if self.start == "imagenet":
            _, first = np.unique(dataset.train.index, return_index=True)
            start_from(model, Probe(IMAGE_SIZE, self.network).fit(dataset.train.take(first)))
            keep_statistics(model)
        return model

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network, or go on with it; see `Job.predictor`."""
        found, details = super().predictor(dataset, folder)
        details |= {"freeze": self.freeze, "start": self.start, "image_size": IMAGE_SIZE}
        if self.start == "imagenet":
            details["drift"] = drift(found.model, pretrained(self.network).model)
        return found, details


@dataclass(frozen=True)
class Frozen(Job):
    """Logistic regression on the features of the pretrained network, which learns nothing itself.

    Attributes
    ----------
    share : int
        Per cent of the training labels; the penalty is chosen by folds inside them.
    """

    share: int = 100

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Fit the probe; see `Job.predictor`."""
        part = share_of(dataset.train, self.share, self.seed)
        probe = Probe(IMAGE_SIZE).fit(part)
        details = {"network": probe.name, "image_size": IMAGE_SIZE, "share": self.share}
        return probe, details | {"labels": len(part), **probe.estimator.best_params_}


def start_from(model: TransferClassifier, probe: Probe) -> None:
    """Give the last layer the weights with which it answers as a fitted probe does."""
    scaler, regression = (step for _, step in probe.estimator.best_estimator_.steps)
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:  # of two classes scikit-learn keeps the difference of the logits
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    last = model.head[-1]
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(weight))
        last.bias.copy_(torch.from_numpy(bias))


def keep_statistics(model: TransferClassifier) -> None:
    """Let all batch normalisations keep the means and variances that ImageNet gave them.

    Their scales and shifts learn on where the network does. In training mode they would take the
    batch's own, and the last layer would read other features than those it was fitted to.
    """
    modules = model.backbone.named_modules()
    model.frozen += [name for name, module in modules if isinstance(module, nn.BatchNorm2d)]
    model.train()


def drift(model: TransferClassifier, start: nn.Module) -> dict[str, float]:
    """Return how far each part's weights have moved, relative to the norm that they had."""
    moved = {}
    for name, part in model.backbone.named_children():
        if any(True for _ in part.parameters()):
            new, old = _weights(part), _weights(start.get_submodule(name))
            moved[name] = float((new - old).norm() / old.norm())
    return moved


def _weights(part: nn.Module) -> torch.Tensor:
    """Return all weights of a part as one vector."""
    return torch.cat([p.detach().cpu().flatten() for p in part.parameters()])


MINUTES = {"scratch": 0.4, "frozen": 0.1, "partial-tuning": 0.3, "full-tuning": 0.55}
FREEZE = {"partial-tuning": "stage5", "full-tuning": "none"}


def transfer_jobs() -> Iterator[Job]:
    """Yield every way on every set and share, three seeds, and the control."""
    for name, share, seed in product(SETS, SHARES, SEEDS):
        yield Frozen(f"frozen-{share}", name, seed, MINUTES["frozen"], CHAPTER, share)
        if share < 100:  # with all labels it is resnet-small of the benchmark, chapter 4.8
            yield OnShare(
                f"scratch-{share}", name, seed, MINUTES["scratch"], CHAPTER, Recipe.small(),
                share=share,
            )  # fmt: skip
        for way, freeze in FREEZE.items():
            yield FineTuning(
                f"{way}-{share}", name, seed, MINUTES[way], CHAPTER, TUNING,
                share=share, freeze=freeze,
            )  # fmt: skip
    for seed in SEEDS:
        yield FineTuning(
            "random-start-100", "breastmnist", seed, 1.0, CHAPTER, RANDOM, start="random"
        )
