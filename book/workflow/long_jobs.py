"""The jobs of the long runs: what each trains or combines, and what it takes.

A job writes one file of scores. `long_table.JOBS` lists them all; `book.workflow.long` runs them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from book.workflow.long_models import (
    Network,
    OverViews,
    Predictor,
    Probe,
    SameMask,
    average,
    new_network,
    views,
)
from medlib import metrics, segmentation
from medlib.baselines import ConstantPredictor, HistogramRegression, PixelNeighbours
from medlib.cases import VARIANT, Cases
from medlib.checkpoint import read_checkpoint, write_checkpoint
from medlib.data import Dataset
from medlib.evaluate import Scores, evaluate_masks_once, evaluate_once
from medlib.explain.scores import pointing_game
from medlib.models import MaskFromMaps
from medlib.paths import score_file
from medlib.predict import as_input
from medlib.recipe import Recipe
from medlib.targets import lesion_classes
from medlib.train import fit, predict_masks

BENCHMARK = "04-08-benchmark"


@dataclass(frozen=True)
class Job:
    """One model that is scored once on one test split.

    Attributes
    ----------
    model_id, data, seed
        The key under which the test split is used.
    minutes : float
        Processor minutes it takes, estimated; the cheapest job runs first.
    chapter : str
        The chapter that its scores belong to.
    """

    model_id: str
    data: str
    seed: int
    minutes: float
    chapter: str = BENCHMARK

    device: ClassVar[str] = "cpu"  # "cuda" for a job that waits for a GPU
    image_size: ClassVar[int | None] = None  # None for the size of the card
    variant: ClassVar[str] = ""  # "masks" for a job whose masks are judged

    @property
    def id(self) -> str:
        """Name of the job and of its files."""
        named = score_file(self.model_id, self.data, self.seed, self.variant)
        return named.removesuffix(".csv")

    @property
    def needs(self) -> tuple["Training", ...]:
        """Jobs whose networks this one uses; they run before it."""
        return ()

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Return what is scored, and what the record says about how it was made.

        Parameters
        ----------
        dataset : Dataset
            Its train and val splits are used.
        folder : Path
            Where the folders of all jobs lie.
        """
        raise NotImplementedError

    def validate(self, predictor: Predictor, dataset: Dataset) -> dict[str, float]:
        """Return what the record says of the validation split."""
        labels, found = dataset.val.labels, predictor.predict_proba(dataset.val.images)
        return {"auc": metrics.auc(labels, found), "accuracy": metrics.accuracy(labels, found)}

    def look(self, predictor: Predictor, dataset: Dataset) -> Scores | Cases:
        """Score the test split, once."""
        return evaluate_once(
            predictor, dataset, model_id=self.model_id, seed=self.seed, variant=self.variant
        )

    def audit(self, predictor: Predictor, scored: Path) -> dict[str, Any]:
        """Return what the record says of the test split, whose scores lie in a file.

        Nothing, except in an audit.
        """
        return {}


class JudgesMasks:
    """What a job does whose predictor, a network, is judged by its masks."""

    variant: ClassVar[str] = VARIANT

    def validate(self, predictor: nn.Module, dataset: Dataset) -> dict[str, float]:
        """Return the overlap of found and true masks of the validation split."""
        masks = dataset.val.masks
        found = segmentation.dice(masks > 0, predict_masks(predictor, dataset.val.images) > 0)
        lesions = (masks > 0).any((1, 2))
        return {"dice": float(found.mean()), "lesion_dice": float(found[lesions].mean())}

    def look(self, predictor: nn.Module, dataset: Dataset) -> Cases:
        """Judge the masks of the test split, once."""
        return evaluate_masks_once(predictor, dataset, model_id=self.model_id, seed=self.seed)


@dataclass(frozen=True)
class Training(Job):
    """A network, trained; it goes on at its last checkpoint.

    Attributes
    ----------
    recipe, network, options
        How and what; see `medlib.models.create`.
    around : tuple of str
        What the network is wrapped into, from the inside; see `long_models.WRAPPERS`.
    target : str
        What is learned; see `medlib.train.fit`.
    """

    recipe: Recipe = field(default_factory=Recipe)
    network: str = "resnet_small"
    options: dict[str, object] = field(default_factory=dict)
    around: tuple[str, ...] = ()
    target: str = "label"

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network, or go on with it; see `Job.predictor`."""
        model, history = self.trained(dataset, folder)
        return Network(model, dataset.task, self.device), self.details(history)

    def details(self, history: dict[str, Any]) -> dict[str, Any]:
        """Return what the record says of the training."""
        found = {"network": self.network, "options": self.options, "around": list(self.around)}
        return found | {"recipe": self.recipe.as_dict(), "history": history}

    def untrained(self, dataset: Dataset) -> nn.Module:
        """Return the network as it is before the first step."""
        return new_network(self.network, self.options, dataset, self.seed, self.around)

    def relabel(self, dataset: Dataset, folder: Path) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return what turns labels into what is learned in their place; None to learn them."""
        return None

    def trained(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Return the trained network and its history; a finished one is only read."""
        model = self.untrained(dataset)
        weights = folder / self.id / "weights.pt"
        if weights.exists():
            content = read_checkpoint(weights)
            model.load_state_dict(content["model"])
            return model.eval(), content["history"]
        checkpoint = folder / self.id / "checkpoint.pt"
        found = fit(
            model, dataset, self.recipe, target=self.target, seed=self.seed, device=self.device,
            checkpoint=checkpoint, progress=False, relabel=self.relabel(dataset, folder),
        )  # fmt: skip
        write_checkpoint(weights, {"model": model.state_dict(), "history": found.to_dict()})
        checkpoint.unlink(missing_ok=True)
        return model, found.to_dict()


@dataclass(frozen=True)
class AtFullSize(Training):
    """A stock network on images of 224 pixels, for a machine with a GPU."""

    device: ClassVar[str] = "cuda"
    image_size: ClassVar[int | None] = 224


@dataclass(frozen=True)
class Segmentation(JudgesMasks, Training):
    """A network that finds the lesion."""

    target: str = "mask"

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Train the network; see `Job.predictor`."""
        model, history = self.trained(dataset, folder)
        return model, self.details(history)


@dataclass(frozen=True)
class OnMember(Job):
    """A job that reads the weights of one network, and trains none.

    Attributes
    ----------
    member : Training
        The job that trains it.
    """

    member: Training | None = None

    @property
    def needs(self) -> tuple[Training, ...]:
        """The member."""
        return (self.member,) if self.member else ()

    def read(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Return the member's network, and the part of the record that names the member."""
        (member,) = self.needs
        return member.trained(dataset, folder)[0], {"members": [member.id]}


@dataclass(frozen=True)
class MaskOfTwoHeads(JudgesMasks, OnMember):
    """The masks of a network whose labels another job has scored."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Read the network's weights; see `Job.predictor`."""
        return self.read(dataset, folder)


@dataclass(frozen=True)
class MaskOfMaps(JudgesMasks, OnMember):
    """The masks of a classifier of maps: its class maps, cut where validation masks say."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Read the classifier's weights and choose the threshold; see `Job.predictor`."""
        network, details = self.read(dataset, folder)
        lesions = tuple(lesion_classes(dataset).tolist())
        model = MaskFromMaps(network, lesions=lesions).eval()
        images, masks = dataset.val.images, dataset.val.masks > 0
        with torch.inference_mode():
            heat = model.heat(as_input(torch.from_numpy(images), model)).numpy()
        model.threshold = segmentation.choose_threshold(masks, heat)
        details |= {"threshold": model.threshold}
        return model, details | {"pointing": pointing(heat, dataset)}


def pointing(heat: np.ndarray, dataset: Dataset) -> dict[str, float]:
    """Return the share of validation lesions that are hit by the highest place.

    Of the maps, and of the mean training mask, which points to one place whatever the image.
    """
    masks = dataset.val.masks > 0
    lesions = masks.any((1, 2))
    usual = np.broadcast_to((dataset.train.masks > 0).mean(0), heat.shape)
    maps = {"maps": heat, "mean_mask": usual}
    return {
        name: float(pointing_game(each[lesions], masks[lesions]).mean())
        for name, each in maps.items()
    }


@dataclass(frozen=True)
class TrivialMask(JudgesMasks, Job):
    """A mask that no image changes: `model_id` is ``empty-mask`` or ``mean-mask``."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Take no pixel, or those that are often lesion in training; see `Job.predictor`.

        How often is chosen on the validation masks.
        """
        if self.model_id == "empty-mask":
            return SameMask(np.zeros(dataset.train.masks.shape[1:], dtype=bool)), {}
        usual, masks = (dataset.train.masks > 0).mean(0), dataset.val.masks > 0
        threshold = segmentation.choose_threshold(masks, np.broadcast_to(usual, masks.shape))
        return SameMask(usual > threshold), {"threshold": threshold}


@dataclass(frozen=True)
class MaskThenClassify(OnMember):
    """A classifier of the signs of the lesions that a segmenter finds; see `long_shapes`."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the segmenter's weights, measure, fit; see `Job.predictor`."""
        from book.workflow.long_shapes import fitted

        network, named = self.read(dataset, folder)
        model, details = fitted(network, dataset, self.seed)
        return model, named | details


@dataclass(frozen=True)
class Classical(Job):
    """A classifier of hand-made features; `model_id` names its family."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Choose by cross-validation and fit; see `Job.predictor`."""
        from book.workflow.long_classical import fitted

        train = dataset.train
        model, chosen = fitted(self.model_id, train.images, train.labels, self.seed)
        return model, {"chosen": asdict(chosen)}


BASELINES = {
    "constant": ConstantPredictor,
    "histogram": HistogramRegression,
    "pixel-neighbours": PixelNeighbours,
}


@dataclass(frozen=True)
class Baseline(Job):
    """An answer that needs no learning of shapes; `model_id` is a key of `made_by`."""

    made_by: ClassVar[Mapping[str, Callable[[], Predictor]]] = BASELINES

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Fit it; see `Job.predictor`."""
        model = self.made_by[self.model_id]()
        return model.fit(dataset.train.images, dataset.train.labels), {}


@dataclass(frozen=True)
class Combination(Job):
    """The average of trained networks, over seeds and, where asked for, over views and a probe.

    Attributes
    ----------
    members : tuple of Training
        The networks, all with the same weight; empty for the probe alone.
    over_views : bool
        Whether each network sees each image in all views of its augmentation.
    probe_size : int or None
        Image size of a `Probe`, which counts as much as all networks together.
    """

    members: tuple[Training, ...] = ()
    over_views: bool = False
    probe_size: int | None = None

    @property
    def needs(self) -> tuple[Training, ...]:
        """The members."""
        return self.members

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the members' weights; see `Job.predictor`."""
        networks = [self._member(member, dataset, folder) for member in self.members]
        halves = [average(networks)] if networks else []
        details = {"members": [member.id for member in self.members], "views": self.over_views}
        details["probe"] = None
        if self.probe_size is not None:
            probe = Probe(self.probe_size).fit(dataset.train)
            halves.append(probe)
            chosen = probe.estimator.best_params_
            details["probe"] = {"network": probe.name, "image_size": self.probe_size, **chosen}
        return average(halves), details

    def _member(self, member: Training, dataset: Dataset, folder: Path) -> Predictor:
        network = Network(member.trained(dataset, folder)[0], dataset.task)
        augment = member.recipe.augment
        if not self.over_views or augment is None:
            return network
        return OverViews(network, views(augment))


# One recipe for all sets. A fundus photograph has no up, so rotations by any angle and both flips
# were tried on RetinaMNIST: validation is against them (results/long/validation-beyond.json).
RECIPES = {
    "breastmnist": Recipe.small(),
    "pneumoniamnist": Recipe.small(),
    "retinamnist": Recipe.small(),
}
# the largest mean AUC on held-out images, of networks averaged over seeds and over views, and of
# features of a pretrained network (the same record)
CHOSEN = {
    "breastmnist": "seeds-views",
    "pneumoniamnist": "seeds-views",
    "retinamnist": "seeds-views-probe112",
}
PUBLISHED = {"breastmnist": (3, 13.0), "retinamnist": (3, 26.0), "pneumoniamnist": (1, 110.0)}


def small_jobs() -> Iterator[Training]:
    """Yield our recipe on each set, five seeds."""
    for name, recipe in RECIPES.items():
        for seed in range(5):
            yield Training("resnet-small", name, seed, 0.5, recipe=recipe)


def published_jobs() -> Iterator[Training]:
    """Yield the published protocol (RULINGS 19): ResNet-18, but in mixed precision.

    The authors train in single precision. bfloat16 is all that differs here: it halves the hours on
    a processor, to 3.3 for the seven jobs, and was decided before the first of them began.
    """
    recipe = replace(Recipe.medmnist(), amp=True)
    for name, (seeds, minutes) in PUBLISHED.items():
        for seed in range(seeds):
            yield Training("resnet18", name, seed, minutes, recipe=recipe, network="resnet18")


def combined_jobs() -> Iterator[Combination]:
    """Yield what goes beyond one network: on each set what validation chose (`CHOSEN`)."""
    for name, choice in CHOSEN.items():
        members = tuple(job for job in small_jobs() if job.data == name)
        size = int(choice.partition("probe")[2] or 0) or None
        yield Combination(
            f"resnet-small-{choice}",
            name,
            0,
            0.5,
            members=members,
            over_views=True,
            probe_size=size,
        )
