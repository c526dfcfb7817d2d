"""What the long runs of chapter 5.2 compare: labels of few patients, with and without SimCLR.

All settings, hypotheses and comparisons stand here, and were committed, before any of these scores.

**Question.** malaria50 has 16,528 training cells of 120 patients. Somebody labels the cells of 2, 8
or 32 of them; the cells of all 120 lie there without labels. Is it worth while to pretrain on these
with SimCLR (`medlib.selfsup`)?

**Images.** All networks see cells reduced from 50 to 28 pixels (means of areas); for ImageNet's
they are enlarged from there to 64. The other networks are ``resnet_small`` with width 16.

**Ways.** *scratch*: random weights, `TUNING`. *tuned*: the same, but for the start, which is a
pretrained encoder; the last layer is random. *simclr*: logistic regression on the frozen encoder's
64 features (`long_models.fit_probe`; its penalty is chosen by folds inside the labels used).
*untrained*: the same on the encoder before its pretraining. *imagenet*: the same on the 1,280
features of EfficientNet-Lite0. *histogram*: logistic regression on the shares of the intensities.
All ways of a seed have the same labelled patients; patients of 2 are among those of 8, and these
among those of 32 (`patients_of`). A seed decides patients, random weights and pretraining. No way
looks at validation labels, and trainings keep their last weights.

**Pretraining.** `PRETRAINING`, 1,200 steps of 128 training cells, no label; `ssl-all` scores the
probe with all training labels. *Ablation*, read on validation cells only: 400 steps, three seeds,
all views; without zoom and shift; without contrast, brightness and blur.

**What was known.** On validation cells: one trial each of the temperatures 0.2 and 0.5, 500 steps,
seed 99 (AUC of the probe with all labels 0.886 and 0.861, before pretraining 0.683), and of the
histogram with all labels, 0.803. On test: the runs of chapter 4.7 with all labels (``case-resnet``
at 50 pixels, ``case-histogram``, ``case-dark-spot``). Nothing of scratch, tuned or imagenet here.

**Endpoint.** Test AUC of cells, mean over five seeds; intervals resample the 40 test patients and
pair the seeds (`medlib.intervals.Comparison.paired`). **Smallest difference that matters: 0.02.**

**Nine primary comparisons**, corrected together after Holm: for 2, 8 and 32 patients tuned minus
scratch, simclr minus imagenet, simclr minus untrained. *Verdict:* better or worse where Holm's p is
at most 0.05; alike where the 95 % interval lies within -0.02 and 0.02; otherwise 40 patients and
five seeds cannot tell. All else is exploratory and so called.

**Hypotheses.**

1. simclr is better than untrained, by more than 0.05, at every number of patients.
2. tuned is better than scratch by 0.02 or more with 2 patients; with 32 they differ by less than
   0.02 (in value).
3. ImageNet's features are better than those of SimCLR at every number of patients (in value).
4. No way with 8 patients reaches the dark spot, one number a cell that needs no learning.
5. scratch with 32 patients is better than tuned with 8 (in value): four times the labels buy more
   than pretraining.
6. Ablation: the probe with all labels loses more than 0.02 of validation AUC without the changes of
   intensity, and less than 0.02 without zoom and shift.
7. Pretraining raises the share of validation cells whose nearest other cell, by the angle of
   features, is of the same patient.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from book.workflow.long_jobs import Baseline, Job, Training
from book.workflow.long_models import Network, Predictor, fit_probe
from medlib import create, metrics
from medlib.augment import Augment
from medlib.baselines import HistogramRegression
from medlib.checkpoint import read_checkpoint, write_checkpoint
from medlib.data import Dataset, Split
from medlib.recipe import Recipe
from medlib.selfsup import SimCLRRecipe, adopt, encode, encoder_of, pretrain
from medlib.train import fit, seed_everything

CHAPTER = "05-02-self-supervision"
DATA = "malaria50"
SEEDS = range(5)
PATIENTS = (2, 8, 32)
SIZE = 28  # pixels that all networks see
ENLARGED = 64  # ImageNet's network
WIDTH = 16
LEAST = 10  # cells of each class among the first two patients
MATTERS = 0.02
PRIMARY = (("tuned", "scratch"), ("simclr", "imagenet"), ("simclr", "untrained"))

TURNS = Augment(flip_horizontal=True, flip_vertical=True, rotation=180)  # a cell has no up
VIEWS = replace(TURNS, scale=0.3, shift=0.1, contrast=0.4, brightness=0.1, blur=0.8)
PRETRAINING = SimCLRRecipe(steps=1200, augment=VIEWS)
ABLATION = {
    "ssl-short": VIEWS,
    "ssl-no-crop": replace(VIEWS, scale=0.0, shift=0.0),
    "ssl-no-intensity": replace(VIEWS, contrast=0.0, brightness=0.0, blur=0.0),
}
TUNING = replace(
    Recipe.small(),
    min_steps=400,
    max_steps=400,
    validate_every=10_000,
    augment=replace(TURNS, scale=0.15, shift=0.08),
)


def small(images: np.ndarray) -> np.ndarray:
    """Reduce images ``(N, C, H, W)`` uint8 to `SIZE` pixels, by means of areas."""
    parts = torch.from_numpy(np.ascontiguousarray(images)).split(1024)
    means = [functional.adaptive_avg_pool2d(part.float(), SIZE) for part in parts]
    return torch.cat(means).round().byte().numpy()


def shrunk(dataset: Dataset) -> Dataset:
    """Return the set with small training and validation images; test images stay away."""
    train, val = (replace(s, images=small(s.images)) for s in (dataset.train, dataset.val))
    return replace(dataset, train=train, val=val)


def patients_of(split: Split, count: int, seed: int) -> np.ndarray:
    """Return the rows of so many patients, drawn by the seed; fewer are among more.

    The order is drawn anew until the first two patients have at least `LEAST` cells of each class.

    Parameters
    ----------
    split : Split
        With labels and groups.
    count : int
        How many patients.
    seed : int
        The same patients for all ways with this seed.

    Returns
    -------
    ndarray
        Ascending.
    """
    draw, names = np.random.default_rng([502, seed]), np.unique(split.groups)
    while True:
        order = draw.permutation(names)
        first = split.labels[np.isin(split.groups, order[:2])]
        if np.bincount(first, minlength=2).min() >= LEAST:
            return np.flatnonzero(np.isin(split.groups, order[:count]))


def few(dataset: Dataset, count: int, seed: int) -> Split:
    """Return the small training cells whose labels may be used; 0 patients stand for all."""
    part = dataset.train
    if count:
        part = part.take(patients_of(part, count, seed))
    return replace(part, images=small(part.images))


def network(dataset: Dataset, seed: int) -> nn.Module:
    """Return the untrained network of a seed."""
    seed_everything(seed)
    shape = {"in_channels": dataset.in_channels, "num_classes": 2, "image_size": SIZE}
    return create("resnet_small", width=WIDTH, **shape)


@dataclass(frozen=True)
class Small:
    """A predictor of small images, given large ones."""

    member: Predictor

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, ``(N, K)``."""
        return self.member.predict_proba(small(images))


@dataclass
class FeatureProbe:
    """Logistic regression on features.

    Attributes
    ----------
    features : callable
        Turns images ``(N, C, H, W)`` into features ``(N, F)``.
    estimator : object
        The regression, once fitted.
    """

    features: Callable[[np.ndarray], np.ndarray]
    estimator: Any = field(default=None, repr=False)

    def fit(self, images: np.ndarray, labels: np.ndarray) -> "FeatureProbe":
        """Fit the regression; see `fit_probe`."""
        self.estimator = fit_probe(self.features(images), labels)
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, ``(N, K)``."""
        return self.estimator.predict_proba(self.features(images))


def probe_of(encoder: nn.Module) -> FeatureProbe:
    """Return a probe of an encoder's features, not fitted yet."""
    return FeatureProbe(lambda images: encode(encoder, images))


@dataclass(frozen=True)
class SelfSupervised(Training):
    """An encoder that SimCLR pretrains; scored is its probe with all training labels."""

    chapter: str = CHAPTER
    pretraining: SimCLRRecipe = PRETRAINING

    def untrained(self, dataset: Dataset) -> nn.Module:
        """Return the encoder as it is before the first step."""
        return encoder_of(network(dataset, self.seed))

    def trained(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Return the pretrained encoder and its history; a finished one is only read."""
        encoder = self.untrained(dataset)
        weights, checkpoint = (folder / self.id / f"{n}.pt" for n in ("weights", "checkpoint"))
        if weights.exists():
            content = read_checkpoint(weights)
            encoder.load_state_dict(content["model"])
            return encoder.eval(), content["history"]
        cells = small(dataset.train.images)
        found = pretrain(encoder, cells, self.pretraining, seed=self.seed, checkpoint=checkpoint)
        history = found.to_dict()
        write_checkpoint(weights, {"model": encoder.state_dict(), "history": history})
        checkpoint.unlink(missing_ok=True)
        return encoder, history

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Pretrain, or go on with it, and fit the probe; see `Job.predictor`."""
        encoder, history = self.trained(dataset, folder)
        every = slice(0, None, max(1, len(history["loss"]) // 60))
        both = {"before": self.untrained(dataset).eval(), "after": encoder}
        cells, part = small(dataset.val.images), few(dataset, 0, self.seed)
        details = {
            "pretraining": self.pretraining.as_dict(),
            "history": {name: values[every] for name, values in history.items()},
            "neighbours": {n: neighbours(encode(e, cells), dataset.val) for n, e in both.items()},
            "few": self.few_labels(encoder, dataset),
        }
        return Small(probe_of(encoder).fit(part.images, part.labels)), details

    def few_labels(self, encoder: nn.Module, dataset: Dataset) -> dict[str, float]:
        """Return the validation AUC of the probe with the labels of few patients."""
        cells, found = small(dataset.val.images), {}
        for count in PATIENTS:
            part = few(dataset, count, self.seed)
            probe = probe_of(encoder).fit(part.images, part.labels)
            found[str(count)] = metrics.auc(dataset.val.labels, probe.predict_proba(cells))
        return found


def neighbours(features: np.ndarray, split: Split) -> dict[str, float]:
    """Return how often the nearest other image, by angle, is of the same patient, and class.

    `chance` is the share of pairs of images that are of one patient.
    """
    points = functional.normalize(torch.from_numpy(features - features.mean(0)), dim=1)
    nearest = []
    for rows in torch.arange(len(points)).split(512):
        angles = points[rows] @ points.T
        angles[torch.arange(len(rows)), rows] = -torch.inf
        nearest.append(angles.argmax(1))
    other = torch.cat(nearest).numpy()
    sizes = np.unique(split.groups, return_counts=True)[1]
    pairs = len(points) * (len(points) - 1)
    return {
        "same_patient": float((split.groups[other] == split.groups).mean()),
        "same_class": float((split.labels[other] == split.labels).mean()),
        "chance": float((sizes * (sizes - 1)).sum() / pairs),
    }


@dataclass(frozen=True)
class OfPatients:
    """What the jobs with labels of few patients have in common.

    Attributes
    ----------
    patients : int
        How many are labelled.
    member : SelfSupervised or None
        The job whose encoder is used.
    """

    patients: int = 2
    member: SelfSupervised | None = None

    @property
    def needs(self) -> tuple[Training, ...]:
        """The pretraining, where there is one."""
        return (self.member,) if self.member else ()

    def labelled(self, dataset: Dataset) -> tuple[Split, dict[str, Any]]:
        """Return the labelled cells, and what the record says of them."""
        part = few(dataset, self.patients, self.seed)
        return part, {
            "patients": self.patients,
            "labels": len(part),
            "positive": float(part.labels.mean()),
            "members": [member.id for member in self.needs],
        }


@dataclass(frozen=True)
class Tuning(OfPatients, Job):
    """The network, trained on the labels: from random weights, or from the member's encoder."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network; see `Job.predictor`."""
        part, named = self.labelled(dataset)
        model = network(dataset, self.seed)
        if self.member is not None:
            adopt(model, self.member.trained(dataset, folder)[0])
        cells = replace(shrunk(dataset), train=part)
        history = fit(model, cells, TUNING, seed=self.seed, progress=False).to_dict()
        named |= {"recipe": TUNING.as_dict(), "history": history}
        return Small(Network(model, dataset.task)), named


@dataclass(frozen=True)
class Frozen(OfPatients, Job):
    """Logistic regression on features that learn nothing more.

    Attributes
    ----------
    features : {"simclr", "untrained", "imagenet"}
        Of the member, of the member before its pretraining, of EfficientNet-Lite0.
    """

    features: str = "simclr"

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Fit the probe; see `Job.predictor`."""
        part, named = self.labelled(dataset)
        if self.features == "imagenet":
            probe = imagenet_probe(dataset, part)
        elif self.features == "simclr":
            encoder = self.member.trained(dataset, folder)[0]
            probe = probe_of(encoder).fit(part.images, part.labels)
        else:
            encoder = encoder_of(network(dataset, self.seed)).eval()
            probe = probe_of(encoder).fit(part.images, part.labels)
        return Small(probe), named | {"features": self.features, **probe.estimator.best_params_}


def imagenet_probe(dataset: Dataset, part: Split) -> FeatureProbe:
    """Return ImageNet's probe, fitted; the features of whole splits are computed once for all."""
    from medlib.pretrained import extract, pretrained

    source = pretrained("efficientnet_lite0")

    def features(images: np.ndarray) -> np.ndarray:
        return extract(source, images, image_size=ENLARGED, cache=True)

    place = {int(index): row for row, index in enumerate(dataset.train.index)}
    rows = [place[int(index)] for index in part.index]
    estimator = fit_probe(features(small(dataset.train.images))[rows], part.labels)
    return FeatureProbe(features, estimator)


@dataclass(frozen=True)
class FewBaseline(OfPatients, Baseline):
    """A trivial answer, fitted to the labels of few patients."""

    made_by: ClassVar[Mapping[str, Callable[[], Predictor]]] = {"histogram": HistogramRegression}

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Fit it; see `Job.predictor`."""
        part, named = self.labelled(dataset)
        model = self.made_by["histogram"]()
        return Small(model.fit(part.images, part.labels)), named


def selfsup_jobs() -> Iterator[Job]:
    """Yield the pretrainings, each way with each number of patients, and the ablation."""
    for seed in SEEDS:
        yield SelfSupervised("ssl-all", DATA, seed, 1.8)
    for (name, views), seed in product(ABLATION.items(), range(3)):
        recipe = replace(PRETRAINING, steps=400, augment=views)
        yield SelfSupervised(name, DATA, seed, 0.7, pretraining=recipe)
    for count, seed in product(PATIENTS, SEEDS):
        member = SelfSupervised("ssl-all", DATA, seed, 1.8)
        common = {"chapter": CHAPTER, "patients": count}
        for way, start in (("scratch", None), ("tuned", member)):
            yield Tuning(f"ssl-{way}-{count}", DATA, seed, 0.2, member=start, **common)
        for way, start in (("simclr", member), ("untrained", None), ("imagenet", None)):
            yield Frozen(
                f"ssl-{way}-{count}", DATA, seed, 0.15, features=way, member=start, **common
            )
        yield FewBaseline(f"ssl-histogram-{count}", DATA, seed, 0.1, **common)
