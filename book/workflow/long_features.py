"""What the long runs of chapter 3.11 score: simple classifiers on the layers of a frozen network.

All of this was written before the first of these jobs ran. Known by then: the published scores of
3.10 and 4.8, and a trial of the speed on training images (64 pixels, one dealing of the folds),
which showed stage 5 ahead of the head on BreastMNIST.

**Question.** Does a network that learned from ImageNet describe grey ultrasound images of 28
pixels better than features made by hand, and which of its layers does it best?

**Arms.** Logistic regression (the probe), nearest neighbours and an SVM on features of
EfficientNet-Lite0, ``lite0-...``, three sets, three seeds. A seed deals the folds. Layer, pooling
and image size are chosen by the mean AUC over five folds of the training images, with one setting
of the classifier; then that setting, for the chosen features. Partners: the same three families on
hand-made features (3.10), and ``resnet-small`` from scratch (4.8). Control: ``untrained-...``, the
probe on the same network with random weights, a network a seed. Its batch normalisations are set
on training images, without labels, so that signals keep their size. It is chosen in the same way.
To save time PneumoniaMNIST has no control, its choices are made on 700 of its training images
(the chosen features are fitted on all), and 224 pixels are tried on BreastMNIST alone.

**Endpoint.** Test AUC on BreastMNIST, pretrained minus hand-made, mean over the three families and
three seeds, 95 % interval of one paired bootstrap (`medlib.intervals.compare`). The smallest
difference that would matter: 0.03. An interval that holds zero means: these data cannot tell.
All other test comparisons (three families on two further sets; the control on two sets; the SVM
against the ResNet on three) are secondary, corrected together after Holm. Layers, pooling and
sizes are compared inside the training images alone, never on a test split: differences of fold
values with the corrected t test of Nadeau and Bengio (2003).

**Hypotheses.**

1. The endpoint is above zero, and its interval holds zero: 156 test images are few.
2. On BreastMNIST a layer from stage 4 to stage 6 has the largest mean AUC over folds in each
   family, and for the SVM the best head is at least 0.03 below it.
3. The control is below the pretrained probe on both sets; on RetinaMNIST the interval of the
   difference leaves out zero.
4. On PneumoniaMNIST all three families differ by less than 0.03 between the two descriptions.
5. Enlarging helps the head on all three sets: 112 pixels beat 32 in the folds (probe, average
   pooling), although enlarging adds no information.
6. On BreastMNIST the SVM on frozen features and the small ResNet cannot be told apart.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from book.workflow.long_classical import one_against_rest, with_probabilities
from book.workflow.long_jobs import Job
from book.workflow.long_models import Predictor
from medlib.augment import to_unit
from medlib.checkpoint import read_checkpoint, write_checkpoint
from medlib.data import Dataset
from medlib.models.efficientnet_lite import EfficientNetLite
from medlib.train import normalise, seed_everything

if TYPE_CHECKING:
    from medlib.pretrained import Pretrained

CHAPTER = "03-11-features"
LAYERS = (*(f"stage{number}" for number in range(1, 8)), "head")
POOLS = ("avg", "max")
SIZES = {
    "breastmnist": (32, 64, 112, 224),
    "pneumoniamnist": (32, 64, 112),
    "retinamnist": (32, 64, 112),
}
# The one number of each family. That of the regression is divided by the number of columns, so
# that it is as strict with a layer of 16 channels as with one of 1280.
SETTINGS = {
    "logistic-regression": (0.3, 3.0, 30.0),
    "nearest-neighbours": (5, 15, 45),
    "svm": (1.0, 3.0, 10.0),
}
USUAL = {"logistic-regression": 3.0, "nearest-neighbours": 15, "svm": 3.0}
# Of a set with more than LARGE training images, places are compared on SEARCHED of them; the chosen
# features are fitted on all.
LARGE, SEARCHED = 1200, 700
CALIBRATED = 128  # training images that set the batch normalisations of an untrained network
BATCH = 8


@dataclass(frozen=True)
class Place:
    """Where features are taken: a layer, how its maps are pooled, and the size of the images."""

    layer: str
    pool: str
    image_size: int

    @property
    def column(self) -> str:
        """Name of the table among those of one image size."""
        return f"{self.layer} {self.pool}"


class Description:
    """All layers of a frozen network as tables of features; what was computed is kept on disk.

    Parameters
    ----------
    source : Pretrained
        The network.
    folder : Path
        Where tables are kept.
    """

    def __init__(self, source: "Pretrained", folder: Path) -> None:
        self.source, self.folder = source, folder

    def table(self, images: np.ndarray, place: Place) -> np.ndarray:
        """Return the features ``(N, F)`` of images ``(N, C, H, W)`` uint8 at one place."""
        path = self._file(images, place.image_size)
        if not path.exists():
            found = all_layers(self.network(place.image_size), self._inputs(images, place))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_checkpoint(path, {name: torch.from_numpy(t) for name, t in found.items()})
        return read_checkpoint(path)[place.column].numpy()

    def network(self, image_size: int) -> nn.Module:
        """Return the network for images of a size; a pretrained one is the same for all."""
        return self.source.model

    def _inputs(self, images: np.ndarray, place: Place) -> Iterator[Tensor]:
        layer = self.source.input_layer(images.shape[1], place.image_size)
        for start in range(0, len(images), BATCH):
            yield layer(normalise(to_unit(torch.from_numpy(images[start : start + BATCH]))))

    def _file(self, images: np.ndarray, image_size: int) -> Path:
        digest = hashlib.sha256(f"{self.source.digest} {images.shape} {image_size}".encode())
        digest.update(np.ascontiguousarray(images).data)
        return self.folder / f"{digest.hexdigest()[:32]}.pt"


class Untrained(Description):
    """The layers of the same network with random weights.

    Parameters
    ----------
    source : Pretrained
        The network whose shape and input it takes; its weights are not used.
    folder : Path
        Where tables are kept.
    seed : int
        Decides the weights.
    images : ndarray
        Training images ``(N, C, H, W)`` that set the batch normalisations; no label is used.
    """

    def __init__(self, source: "Pretrained", folder: Path, seed: int, images: np.ndarray) -> None:
        super().__init__(replace(source, digest=f"untrained {seed}"), folder)
        self.seed, self.images = seed, images
        self._networks: dict[int, nn.Module] = {}

    def network(self, image_size: int) -> nn.Module:
        """Return the network, its batch normalisations set on images of this size."""
        if image_size not in self._networks:
            self._networks[image_size] = self._calibrated(image_size)
        return self._networks[image_size]

    @torch.no_grad()
    def _calibrated(self, image_size: int) -> nn.Module:
        seed_everything(self.seed)
        network = EfficientNetLite(stem="standard").train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean over all batches
        rows = np.random.default_rng(self.seed).permutation(len(self.images))[:CALIBRATED]
        place = Place("head", "avg", image_size)
        for inputs in self._inputs(self.images[rows], place):
            network(inputs)
        return network.eval()


@torch.inference_mode()
def all_layers(network: nn.Module, batches: Iterator[Tensor]) -> dict[str, np.ndarray]:
    """Return a table ``(N, F)`` for each layer and pooling, from one pass of the images."""
    kept: dict[str, list[Tensor]] = {f"{n} {pool}": [] for n in LAYERS for pool in POOLS}

    def keep(name: str, maps: Tensor) -> None:
        kept[f"{name} avg"].append(maps.mean(dim=(2, 3)))
        kept[f"{name} max"].append(maps.amax(dim=(2, 3)))

    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *call, n=name: keep(n, call[2]))
        for name in LAYERS
    ]
    network.to(memory_format=torch.channels_last)
    for batch in batches:
        network(batch.contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts).numpy() for name, parts in kept.items()}


def classifier(family: str, setting: float, columns: int) -> Pipeline:
    """Return scaler and classifier of a family, not fitted; see `SETTINGS`."""
    made: dict[str, ClassifierMixin] = {
        "logistic-regression": LogisticRegression(C=setting / columns, max_iter=1000),
        "nearest-neighbours": KNeighborsClassifier(int(setting)),
        "svm": SVC(C=setting),
    }
    return make_pipeline(StandardScaler(), made[family])


def fold_values(
    family: str, setting: float, table: np.ndarray, labels: np.ndarray, seed: int
) -> list[float]:
    """Return the AUC on each of five held-out folds; the seed deals them."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scoring = "roc_auc" if len(np.unique(labels)) == 2 else one_against_rest
    model = classifier(family, setting, table.shape[1])
    return cross_val_score(model, table, labels, cv=folds, scoring=scoring).tolist()


def searched(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the images that places are compared on: all, or a fixed share of each class."""
    if len(images) <= LARGE:
        return images, labels
    rows, _ = train_test_split(
        np.arange(len(images)), train_size=SEARCHED, stratify=labels, random_state=0
    )
    return images[np.sort(rows)], labels[np.sort(rows)]


def places(data: str) -> list[Place]:
    """Return all places that are compared on a data set, the cheapest first."""
    return [Place(layer, pool, size) for size in SIZES[data] for layer in LAYERS for pool in POOLS]


@dataclass(frozen=True)
class OnFeatures:
    """A fitted classifier of the features at one place, as a predictor from images."""

    description: Description
    place: Place
    model: Any

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, ``(N, K)``."""
        return self.model.predict_proba(self.description.table(images, self.place))


@dataclass(frozen=True)
class OnFrozen(Job):
    """A classifier on a frozen network, its place and setting chosen inside the training images.

    Attributes
    ----------
    family : str
        A key of `SETTINGS`.
    untrained : bool
        Whether the network has random weights.
    """

    family: str = "logistic-regression"
    untrained: bool = False

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Choose a place, then a setting, then fit on all training images; see `Job.predictor`."""
        train, description = dataset.train, self.description(dataset, folder)
        images, labels = searched(train.images, train.labels)

        def values(place: Place, setting: float) -> list[float]:
            table = description.table(images, place)
            return fold_values(self.family, setting, table, labels, self.seed)

        sweep = {place: values(place, USUAL[self.family]) for place in places(self.data)}
        place = largest(sweep)
        settings = {setting: values(place, setting) for setting in SETTINGS[self.family]}
        setting = largest(settings)
        table = description.table(train.images, place)
        model = fitted(self.family, setting, table, train.labels, self.seed)
        auc = float(np.mean(settings[setting]))
        details = {
            "network": "efficientnet_lite0, " + ("random" if self.untrained else "ImageNet"),
            "family": self.family,
            "searched": len(images),
            "chosen": {**asdict(place), "setting": setting, "auc": auc},
            "sweep": [{**asdict(each), "folds": found} for each, found in sweep.items()],
            "settings": [{"setting": each, "folds": found} for each, found in settings.items()],
        }
        return OnFeatures(description, place, model), details

    def description(self, dataset: Dataset, folder: Path) -> Description:
        """Return the frozen network of this job."""
        from medlib.pretrained import pretrained

        kept = folder.parent / "features"
        if self.untrained:
            return Untrained(pretrained(), kept, self.seed, dataset.train.images)
        return Description(pretrained(), kept)


def largest(tried: dict[Any, list[float]]) -> Any:
    """Return the first with the largest mean over the folds."""
    return max(tried, key=lambda each: float(np.mean(tried[each])))


def fitted(
    family: str, setting: float, table: np.ndarray, labels: np.ndarray, seed: int
) -> ClassifierMixin:
    """Fit on all training images; distances of the SVM become probabilities on held-out folds."""
    model: Any = classifier(family, setting, table.shape[1])
    if family == "svm":
        model = with_probabilities(model, seed)
    return model.fit(table, labels)


NAMES = {"logistic-regression": "probe", "nearest-neighbours": "neighbours", "svm": "svm"}
SEEDS = range(3)
# processor minutes a job, by family and set; the first job of a set also computes its tables
MINUTES = {"breastmnist": 0.2, "pneumoniamnist": 0.45, "retinamnist": 0.35}
UNTRAINED = {"breastmnist": 0.6, "retinamnist": 0.5}


def feature_jobs() -> Iterator[Job]:
    """Yield the pretrained arms of three sets, then the untrained control of two."""
    for data, minutes in MINUTES.items():
        for family, name in NAMES.items():
            for seed in SEEDS:
                yield OnFrozen(f"lite0-{name}", data, seed, minutes, CHAPTER, family)
    for data, minutes in UNTRAINED.items():
        for seed in SEEDS:
            yield OnFrozen("untrained-probe", data, seed, minutes, CHAPTER, untrained=True)
