"""The files of the page "Try a model": the project's networks, pictures and validation, as scripts.

A script element also works where the page was opened from a disk; a request for data does not. The
networks are always those of the published edition, so that the page is the same in every profile.
Everything is computed in float64 and rounded, so that the same sources give the same bytes.
"""

import base64
import copy
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from book._ext.explorer_pictures import at_hand
from medlib import artefacts, data
from medlib.data.dataset import Split
from medlib.data.phantoms import Phantom, generate
from medlib.errors import MedlibError
from medlib.models.resnet import BasicBlock, ResNet
from medlib.plots.images import check_publishable
from medlib.predict import predict_logits
from medlib.saved import SavedModel, load_model
from medlib.trust.calibration import Temperature

FROZEN = ("04-05-evaluating", "frozen.json")
PREPARED = ("04-02-preparing-data", "prepared.json")
NETWORKS = "04-04-training"
RECEIVER = "receiveTryModel"  # the function of medlib-try.js that a file calls with its content
BINS = 10  # of the calibrated probability, (low, high] as in medlib
PLACES = (0.0, 0.25, 0.5, 1.0)  # of the films shown, among those of their class by probability
PHANTOMS = Phantom(count=3, prior=(0.5, 0.5), empty_class=0)
SIZE = 28
DIGITS = 6  # of what is only compared or shown


class NotPublished(MedlibError):
    """The published edition holds no frozen networks."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network of the project with what was frozen of it.

    Attributes
    ----------
    seed : str
        Seed of its training.
    saved : SavedModel
        The network.
    threshold, sensitivity, specificity : float
        Its threshold, and what validation said about it there.
    """

    seed: str
    saved: SavedModel
    threshold: float
    sensitivity: float
    specificity: float

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return PyTorch's logits ``(N, 2)`` in float64 of images ``(N, 1, 28, 28)`` uint8."""
        return predict_logits(copy.deepcopy(self.saved.module).double(), images)


@dataclass(frozen=True)
class Picture:
    """One picture that comes with the page.

    Attributes
    ----------
    name, truth : str
        What the reader chooses, and what is known about it.
    kind : {"film", "phantom", "noise"}
        Where it comes from.
    image : ndarray
        ``(1, 28, 28)`` uint8.
    """

    name: str
    truth: str
    kind: str
    image: np.ndarray


def artefact(published: Path, chapter: str, name: str) -> Path:
    """Return where the published edition keeps what a chapter left."""
    return published / artefacts.EDITION / artefacts.FOLDER / chapter / name


def read(published: Path) -> tuple[dict[str, Any], list[Frozen]]:
    """Read what was frozen, and the networks, the first one first.

    Raises
    ------
    NotPublished
        Where the edition lacks a file.
    MedlibError
        Where a network is not the one that was frozen.
    """
    path = artefact(published, *FROZEN)
    if not path.exists():
        raise NotPublished(f"{path} is not there: publish chapter {FROZEN[0]}")
    frozen = json.loads(path.read_text("utf-8"))
    return frozen, [_network(published, *each) for each in sorted(frozen["networks"].items())]


def _network(published: Path, seed: str, entry: Mapping[str, Any]) -> Frozen:
    path = artefact(published, NETWORKS, entry["file"])
    if not path.exists():
        raise NotPublished(f"{path} is not there: publish chapter {NETWORKS}")
    saved = load_model(path)
    if saved.digest != entry["digest"]:
        raise MedlibError(f"{path} is not the network that was frozen: publish both chapters again")
    promised = entry["validation"]
    shares = (promised["sensitivity"], promised["specificity"])
    return Frozen(seed, saved, entry["threshold"], *shares)


def folded(network: nn.Module) -> ResNet:
    """Return a copy in float64 with each batch normalisation folded into its convolution.

    Raises
    ------
    MedlibError
        For a network that the page's script cannot compute.
    """
    plain = copy.deepcopy(network).double().eval()
    blocks = [m for m in plain.modules() if isinstance(m, BasicBlock)]
    fits = isinstance(plain, ResNet) and isinstance(plain.maxpool, nn.Identity)
    if not fits or not blocks or plain.conv1.out_channels % 4:
        raise MedlibError(
            "the page computes residual networks of basic blocks with a small or half stem, of a "
            "width that is a multiple of four, got "
            f"{type(network).__name__}: teach medlib-try-network.js the new layers"
        )
    plain.conv1, plain.bn1 = fuse_conv_bn_eval(plain.conv1, plain.bn1), nn.Identity()
    for block in blocks:
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
        if block.downsample is not None:
            block.downsample = fuse_conv_bn_eval(*block.downsample)
    return plain


def described(network: nn.Module) -> dict[str, Any]:
    """Return a network as the script reads it: its layers, and their weights in that order.

    Each layer's weights come before its biases, float32, low byte first, in base64.
    """
    plain = folded(network)
    parts: list[Tensor] = []

    def convolution(layer: nn.Conv2d) -> dict[str, int]:
        parts.extend((layer.weight, layer.bias))
        return {
            "inputs": layer.in_channels, "outputs": layer.out_channels,
            "size": layer.kernel_size[0], "stride": layer.stride[0], "padding": layer.padding[0],
        }  # fmt: skip

    stem = convolution(plain.conv1)
    blocks = [
        [convolution(c) for c in (block.conv1, block.conv2, block.downsample) if c is not None]
        for block in plain.modules()
        if isinstance(block, BasicBlock)
    ]
    parts += [plain.fc.weight, plain.fc.bias]
    weights = torch.cat([part.detach().flatten() for part in parts]).numpy().astype("<f4")
    return {
        "stem": stem,
        "blocks": blocks,
        "linear": {"inputs": plain.fc.in_features, "outputs": plain.fc.out_features},
        "weights": base64.b64encode(weights.tobytes()).decode(),
    }


def validation_films(published: Path, name: str) -> Split | None:
    """Return the validation films that preparation kept; None where the data are not at hand."""
    if not at_hand(name):
        return None
    films = data.load(name)
    check_publishable(films)
    return films.keeping(json.loads(artefact(published, *PREPARED).read_text("utf-8"))).val


def calibration(labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """Return the temperature of a network, and how often what it then says was true.

    Parameters
    ----------
    labels : ndarray
        ``(N,)``, 1 for pneumonia.
    logits : ndarray
        ``(N, 2)``.

    Returns
    -------
    dict
        ``temperature``, and ``bins``: for each tenth of the calibrated probability the number of
        films and how many of them showed pneumonia.
    """
    scaling = Temperature().fit(labels, logits, logits=True)
    scaling.temperature = round(scaling.temperature, DIGITS)
    stated = scaling.apply(logits, logits=True)[:, 1]
    place = np.clip(np.ceil(stated * BINS).astype(int) - 1, 0, BINS - 1)
    counts = (np.bincount(place, weights, BINS).astype(int) for weights in (None, labels))
    return {
        "temperature": scaling.temperature,
        "bins": np.stack(list(counts), axis=1).tolist(),
    }


def pictures(films: Split | None, scores: np.ndarray | None) -> list[Picture]:
    """Return the pictures of the page: films chosen by a rule, phantoms, noise.

    Parameters
    ----------
    films : Split or None
        The validation films.
    scores : ndarray or None
        ``(N,)``, the first network's log-odds of pneumonia.
    """
    drawn = generate(PHANTOMS, seed=0)
    known = ("a phantom without a lesion", "a phantom with a lesion")
    noise = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE)).astype(np.uint8)
    return [
        *(_films(films, scores) if films is not None else ()),
        *(
            Picture(f"Phantom {i}", known[label], "phantom", image)
            for i, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True), 1)
        ),
        Picture("Noise", "random numbers", "noise", noise),
    ]


def _films(films: Split, scores: np.ndarray) -> list[Picture]:
    """Return for each class the films at `PLACES` of their order by the first network's score."""
    found = []
    for label, truth in enumerate(("normal", "pneumonia")):
        rows = np.flatnonzero(films.labels == label)
        rows = rows[np.argsort(scores[rows], kind="stable")]
        for row in rows[[round(place * (len(rows) - 1)) for place in PLACES]]:
            name = f"Film {films.index[row]}"
            found.append(Picture(name, f"labelled {truth}", "film", films.images[row]))
    return found


@functools.lru_cache(maxsize=2)
def files(published: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return two scripts by name: the first network with the pictures, and the other networks.

    Parameters
    ----------
    published : Path
        The folder ``results``.

    Returns
    -------
    tuple of dict
        Each of one file; a name holds the digest of the content, so that no old copy is taken
        for it.

    Raises
    ------
    MedlibError
        As `read` and `folded`.
    """
    frozen, networks = read(published)
    films = validation_films(published, frozen["data"])
    logits = None if films is None else [each.logits(films.images) for each in networks]
    scores = None if logits is None else logits[0][:, 1] - logits[0][:, 0]
    shown = pictures(films, scores)
    entries = []
    for i, network in enumerate(networks):
        fitted = None if films is None else calibration(films.labels, logits[i])
        entries.append(_entry(network, fitted, shown))
    first = {
        "films": None if films is None else len(films),
        "together": frozen["together"]["threshold"],
        "pictures": [_shown(each) for each in shown],
        "networks": entries[:1],
    }
    return _script("try-model", first), _script("try-others", {"networks": entries[1:]})


def _entry(network: Frozen, fitted: dict[str, Any] | None, shown: list[Picture]) -> dict[str, Any]:
    """Return what the page needs of one network, with the answers that it must find again."""
    expected = network.logits(np.stack([each.image for each in shown]))
    return {
        "seed": network.seed,
        "threshold": network.threshold,
        "sensitivity": network.sensitivity,
        "specificity": network.specificity,
        "calibration": fitted,
        "expected": expected.round(DIGITS).tolist(),
        "layers": described(network.saved.module),
    }


def _shown(picture: Picture) -> dict[str, str]:
    pixels = base64.b64encode(picture.image.tobytes()).decode()
    return {
        "name": picture.name, "truth": picture.truth, "kind": picture.kind, "pixels": pixels,
    }  # fmt: skip


def _script(stem: str, content: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a file that hands its content to the page's script."""
    text = json.dumps(content, separators=(",", ":"))
    script = f"{RECEIVER}({text});\n".encode()
    return {f"{stem}-{hashlib.sha256(script).hexdigest()[:8]}.js": script}
