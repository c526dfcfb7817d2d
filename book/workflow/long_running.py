"""What the long runs of chapter 4.12 compute: one network made cheaper, by test scores.

The large network is ``resnet-small`` of the benchmark (chapter 4.8): `resnet_small` of width 24
with `Recipe.small`, seeds 0, 1 and 2; its test scores are known. Its weights are trained anew where
they are missing. The small one is `resnet_small` of width 8: a third of the channels, a ninth of
the weights. On three small sets, three seeds:

- ``run-bf16``: the large network, weights and arithmetic in bfloat16.
- ``run-int8``: the large network in ONNX Runtime, its convolutions in 8-bit whole numbers (static;
  one scale a filter; ranges from 200 training images). The record holds three validation scores
  besides: of the 32-bit file, of dynamic ranges, and with softmax quantised too.
- ``run-sparse90``: the large network, nine of ten weights zero (the smallest, over all layers),
  then 250 steps of the recipe with the zeros kept. The record holds validation AUCs without these
  steps at 50, 80, 90 and 95 % zeros.
- ``run-third-labels``: the small network, trained on the labels with the whole recipe.
- ``run-third-distilled``: the same, trained on 0.9 times what the teacher says of each augmented
  image and 0.1 times the label. No label smoothing, no temperature; nothing is tuned.
- ``run-third-pruned``: the same, started from the strongest third of the large network's channels,
  then 250 steps of the recipe.
- ``run-third-int8``: the distilled one as ``run-int8``.
- ``run-teacher``: the mean of the three large networks' probabilities; one model a set.

Written down before any of these scores was seen (those of ``resnet-small`` on the test splits were
known, and so were those of the same architecture at width 16, ``cnn8-skip-norm``):

Endpoint: test AUC, the difference of two arms over the same three seeds and images, from
`medlib.intervals.compare`. Beside it the expected calibration error (ECE) and the Brier score. The
smallest difference that matters is 0.02 in AUC, 0.03 in ECE. Verdicts: "told from nothing" where
Holm's p value is at most 0.05; "too small to matter" where the 95 % interval lies within plus or
minus that difference; else "open". Three families of tests, three sets each:

(a) ``run-bf16``, ``run-int8``, ``run-sparse90``, ``run-third-labels`` minus ``resnet-small`` (12);
(b) ``run-third-distilled``, ``run-third-pruned`` minus ``run-third-labels`` (6);
(c) ``run-third-int8`` minus ``run-third-distilled``, and ``run-third-distilled`` minus
    ``resnet-small`` (6).

Expectations:

1. bfloat16 and int8 are too small to matter on all three sets (six verdicts).
2. Nine tenths of zeros, tuned, cost less than 0.02 in mean AUC on all three sets.
3. The small network on labels is below the large one by mean AUC on all three sets.
4. Distilled is above labels by mean AUC on at least two sets, and told from nothing on none.
5. Pruned is told from labels on no set: a short training of inherited channels does what a whole
   one of random weights does.
6. Distilled has a lower ECE than labels on at least two sets.
7. int8 of the distilled network is too small to matter on all three sets.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from book.workflow.long_jobs import Combination, Job, OnMember, Training, small_jobs
from book.workflow.long_models import Network, Predictor, new_network
from medlib import metrics
from medlib.data import Dataset
from medlib.distil import Teacher
from medlib.prune import narrowed, share_of_zeros, sparse, with_zeros
from medlib.quantise import CONVOLUTIONS, OnnxModel, quantise
from medlib.recipe import Recipe
from medlib.saved import ModelSpec, SavedModel, export_onnx
from medlib.train import fit

CHAPTER = "04-12-running"
SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
SEEDS = range(3)
THIRD = {"width": 8}
ZEROS = 0.9
TRIED = (0.5, 0.8, 0.9, 0.95)  # shares of zeros that validation alone sees
CALIBRATION = 200  # training images that fix the ranges of int8
SHORT = Recipe.small().capped(250)
TAUGHT = replace(Recipe.small(), label_smoothing=0.0)


def auc_on_validation(predictor: Predictor, dataset: Dataset) -> float:
    """Return the AUC on the validation split."""
    return metrics.auc(dataset.val.labels, predictor.predict_proba(dataset.val.images))


@dataclass(frozen=True)
class HalfPrecision(OnMember):
    """A network whose weights and arithmetic are bfloat16."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Round the weights; see `Job.predictor`."""
        model, details = self.read(dataset, folder)
        return Network(copy.deepcopy(model).to(torch.bfloat16), dataset.task), details


@dataclass(frozen=True)
class EightBits(OnMember):
    """A network whose convolutions ONNX Runtime computes in 8-bit whole numbers."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Export and quantise; see `Job.predictor`."""
        (member,) = self.needs
        model, details = self.read(dataset, folder)
        exported = onnx_of(model, member, dataset, folder / self.id / "float32.onnx")
        images = dataset.train.images[:CALIBRATION]
        made = {
            "dynamic": quantise(exported.path, beside(exported, "dynamic"), None),
            "all kinds": quantise(exported.path, beside(exported, "all"), images, kinds=None),
        }
        chosen = quantise(exported.path, beside(exported, "int8"), images)
        models = {"float32": exported, "int8": chosen, **made}
        found = {name: auc_on_validation(each, dataset) for name, each in models.items()}
        sizes = {name: each.path.stat().st_size for name, each in models.items()}
        details |= {"val_auc": found, "bytes": sizes}
        return chosen, details | {"kinds": list(CONVOLUTIONS), "calibration": CALIBRATION}


def beside(model: OnnxModel, name: str) -> Path:
    """Return a file name in the folder of a model."""
    return model.path.with_name(f"{name}.onnx")


def onnx_of(model: nn.Module, member: Training, dataset: Dataset, path: Path) -> OnnxModel:
    """Export a network, scaling and softmax included."""
    classes = tuple(map(str, dataset.class_names))
    spec = ModelSpec(
        member.network, dataset.in_channels, dataset.num_classes, dataset.image_size,
        dataset.task, classes, member.options,
    )  # fmt: skip
    return OnnxModel(export_onnx(SavedModel(model.eval(), spec, {}), path))


@dataclass(frozen=True)
class Sparse(OnMember):
    """A network of which most weights are zero, trained on for a while."""

    share: float = ZEROS
    recipe: Recipe = SHORT

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Set weights to zero and tune the others; see `Job.predictor`."""
        model, details = self.read(dataset, folder)
        untuned = {
            str(share): auc_on_validation(Network(sparse(model, share), dataset.task), dataset)
            for share in (0.0, *TRIED)
        }
        tuned = sparse(model, self.share)
        history = fit(tuned, dataset, self.recipe, seed=self.seed, progress=False)
        plain = with_zeros(tuned)
        details |= {"zeros": share_of_zeros(plain), "untuned": untuned}
        details |= {"recipe": self.recipe.as_dict(), "history": history.to_dict()}
        return Network(plain, dataset.task), details


@dataclass(frozen=True)
class Narrowed(OnMember):
    """A small network that starts from the strongest channels of a large one."""

    options: dict[str, object] = field(default_factory=lambda: dict(THIRD))
    recipe: Recipe = SHORT

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Take the channels over and tune them; see `Job.predictor`."""
        (member,) = self.needs
        model, details = self.read(dataset, folder)
        small = new_network(member.network, self.options, dataset, self.seed)
        small = narrowed(model, small).eval()
        untuned = auc_on_validation(Network(small, dataset.task), dataset)
        history = fit(small, dataset, self.recipe, seed=self.seed, progress=False)
        details |= {"options": self.options, "untuned": untuned}
        details |= {"recipe": self.recipe.as_dict(), "history": history.to_dict()}
        return Network(small, dataset.task), details


@dataclass(frozen=True)
class Distilled(Training):
    """A network that learns what others say of each image.

    Attributes
    ----------
    teachers : tuple of Training
        The jobs that train them.
    """

    teachers: tuple[Training, ...] = ()

    @property
    def needs(self) -> tuple[Training, ...]:
        """The teachers."""
        return self.teachers

    def relabel(self, dataset: Dataset, folder: Path) -> Teacher:
        """Return the teachers, trained where they are not."""
        return Teacher([each.trained(dataset, folder)[0] for each in self.teachers])

    def details(self, history: dict[str, Any]) -> dict[str, Any]:
        """Return what the record says of the training."""
        return super().details(history) | {"members": [each.id for each in self.teachers]}


CHANGES: tuple[tuple[str, Callable[..., OnMember], float], ...] = (
    ("run-bf16", HalfPrecision, 0.1),
    ("run-int8", EightBits, 0.2),
    ("run-sparse90", Sparse, 0.2),
    ("run-third-pruned", Narrowed, 0.15),
)


def running_jobs() -> Iterator[Job]:
    """Yield every arm on every set, three seeds."""
    large = {(job.data, job.seed): job for job in small_jobs() if job.seed in SEEDS}
    for data in SETS:
        team = tuple(large[data, seed] for seed in SEEDS)
        yield Combination("run-teacher", data, 0, 0.1, CHAPTER, members=team)
    for data, seed in product(SETS, SEEDS):
        for model_id, kind, minutes in CHANGES:
            yield kind(model_id, data, seed, minutes, CHAPTER, member=large[data, seed])
        small = {"network": "resnet_small", "options": THIRD}
        yield Training("run-third-labels", data, seed, 0.2, CHAPTER, recipe=Recipe.small(), **small)
        taught = Distilled(
            "run-third-distilled", data, seed, 0.4, CHAPTER, recipe=TAUGHT, **small,
            teachers=tuple(large[data, each] for each in SEEDS),
        )  # fmt: skip
        yield taught
        yield EightBits("run-third-int8", data, seed, 0.2, CHAPTER, member=taught)
