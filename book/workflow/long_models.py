"""What the long runs score: networks, averages over seeds and views, and pretrained features.

Everything here predicts from images alone, so that validation and the one look at the test split
go through the same code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from medlib.augment import Augment
from medlib.data import Dataset, Split
from medlib.models import SEGMENTERS, PooledMaps, Reduced, TwoHeads, create
from medlib.recipe import Recipe
from medlib.train import predict_proba, seed_everything

View = Callable[[np.ndarray], np.ndarray]


class Predictor(Protocol):
    """Anything that turns images ``(N, C, H, W)`` uint8 into probabilities ``(N, K)``."""

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes."""
        ...


@dataclass(frozen=True)
class Network:
    """A trained network as a predictor."""

    model: nn.Module
    task: str
    device: str = "cpu"

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return softmax or sigmoid of the logits, ``(N, K)``."""
        return predict_proba(self.model, images, task=self.task, device=self.device)


@dataclass(frozen=True)
class Average:
    """The mean of the probabilities of several predictors, all with the same weight."""

    members: tuple[Predictor, ...]

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the mean over the members, ``(N, K)``."""
        return np.mean([member.predict_proba(images) for member in self.members], axis=0)


@dataclass(frozen=True)
class OverViews:
    """The mean of a predictor's probabilities over several views of each image."""

    member: Predictor
    views: tuple[View, ...]

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the mean over the views, ``(N, K)``."""
        seen = [self.member.predict_proba(view(images)) for view in self.views]
        return np.mean(seen, axis=0)


class SameMask(nn.Module):
    """One mask for all images, whatever they show.

    Parameters
    ----------
    mask : ndarray
        ``(H, W)`` bool.
    """

    def __init__(self, mask: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("logits", torch.from_numpy(np.stack([~mask, mask])).float())

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, 2, H, W)``."""
        return self.logits.expand(len(images), -1, -1, -1)


@dataclass
class Probe:
    """Logistic regression on the pooled features of a network that learned from ImageNet.

    Attributes
    ----------
    image_size : int
        Size to which images are enlarged.
    name : str
        A name of `medlib.pretrained.NAMES`.
    estimator : object
        The regression, once fitted.
    """

    image_size: int
    name: str = "efficientnet_lite0"
    estimator: Any = field(default=None, repr=False)

    def fit(self, split: Split) -> "Probe":
        """Fit the regression on the features of a split; see `fit_probe`."""
        self.estimator = fit_probe(self.features(split.images), split.labels)
        return self

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the pooled features ``(N, F)``."""
        from medlib.pretrained import extract, pretrained

        return extract(pretrained(self.name), images, image_size=self.image_size)

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, ``(N, K)``."""
        return self.estimator.predict_proba(self.features(images))


def fit_probe(features: np.ndarray, labels: np.ndarray) -> Any:
    """Fit scaler and regression; the strength of its penalty is chosen by folds inside."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1]},
        scoring="roc_auc_ovr" if len(np.unique(labels)) > 2 else "roc_auc",
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
    ).fit(features, labels)


def views(augment: Augment) -> tuple[View, ...]:
    """Return the views for test-time augmentation that a training's augmentation has prepared.

    Its flips, quarter turns where it turns all the way round, and shifts by its largest shift
    (whole pixels, the border repeated), each combined with each; the plain image is the first.
    """
    turns = range(4) if augment.rotation >= 180 else range(1)
    upended = (False, True) if augment.flip_vertical and len(turns) == 1 else (False,)
    mirrored = (False, True) if augment.flip_horizontal else (False,)
    steps = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)) if augment.shift else ((0, 0),)
    return tuple(
        _view(turn, mirror, upend, step, augment.shift)
        for step, turn, mirror, upend in product(steps, turns, mirrored, upended)
    )


def _view(turn: int, mirror: bool, upend: bool, step: tuple[int, int], shift: float) -> View:
    def view(images: np.ndarray) -> np.ndarray:
        images = np.rot90(images, turn, axes=(2, 3))
        images = images[..., ::-1] if mirror else images
        images = images[..., ::-1, :] if upend else images
        far = round(shift * images.shape[-1])
        return np.ascontiguousarray(shifted(images, step[0] * far, step[1] * far))

    return view


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shift images by whole pixels; the border is repeated."""
    height, width = images.shape[-2:]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[..., rows[:, None], columns]


# from the inside to the outside
WRAPPERS: dict[str, Callable[[nn.Module, Dataset], nn.Module]] = {
    "pooled": lambda network, data: PooledMaps(network),
    "two heads": lambda network, data: TwoHeads(network, num_classes=data.num_classes),
    "reduced": lambda network, data: Reduced(network),
}


def new_network(
    name: str,
    options: dict[str, object],
    data: Dataset,
    seed: int,
    around: Sequence[str] = (),
) -> nn.Module:
    """Return an untrained network for a data set; the seed decides its weights.

    Parameters
    ----------
    name, options
        See `medlib.models.create`.
    data : Dataset
        Decides channels, classes and size.
    seed : int
        Decides the weights.
    around : sequence of str
        Keys of `WRAPPERS`: ``"pooled"`` makes a segmenter a classifier, ``"two heads"`` lets it do
        both, ``"reduced"`` shows it half as many pixels along each side.
    """
    seed_everything(seed)
    finds_lesions = name in SEGMENTERS and "pooled" not in around
    network = create(
        name,
        in_channels=data.in_channels,
        num_classes=2 if finds_lesions else data.num_classes,
        image_size=data.image_size // 2 if "reduced" in around else data.image_size,
        **options,
    )
    for wrapper in around:
        network = WRAPPERS[wrapper](network, data)
    return network


def turned(recipe: Recipe) -> Recipe:
    """Return the recipe for pictures that have no up: any rotation, and flips along both axes."""
    assert recipe.augment is not None
    augment = replace(recipe.augment, rotation=180.0, flip_vertical=True)
    return replace(recipe, augment=augment)


def average(members: Sequence[Predictor]) -> Predictor:
    """Return the average of predictors; one alone stays itself."""
    return members[0] if len(members) == 1 else Average(tuple(members))
