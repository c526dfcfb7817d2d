"""The book's networks by name: one short file each, all built by `create`."""

import inspect
from collections.abc import Callable

from torch import nn

from medlib.models.alexnet import AlexNet
from medlib.models.checks import ModelError
from medlib.models.lenet import LeNet5
from medlib.models.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet_small,
)

__all__ = [
    "MODELS",
    "AlexNet",
    "LeNet5",
    "ModelError",
    "ResNet",
    "count_parameters",
    "create",
    "options_of",
]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "alexnet": AlexNet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "resnet_small": resnet_small,
}


def create(
    name: str, *, in_channels: int, num_classes: int, image_size: int, **options: object
) -> nn.Module:
    """Build a network for images and classes of a given number and size.

    Parameters
    ----------
    name : str
        A key of `MODELS`, such as ``"lenet5"`` or ``"resnet_small"``.
    in_channels : int
        Channels of the images: 1 for grey, 3 for colour.
    num_classes : int
        Number of outputs (logits): the classes, 2 for a binary task, K for K labels.
    image_size : int
        Height and width of the images in pixels.
    **options
        What the network itself offers, such as ``width=`` of ``resnet_small``.

    Returns
    -------
    nn.Module
        Maps images ``(N, C, H, W)`` to logits ``(N, num_classes)``, randomly initialised.

    Raises
    ------
    ModelError
        For an unknown name or option, and for images smaller than the network allows.
    """
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")
    _check_options(name, options)
    return MODELS[name](
        in_channels=in_channels, num_classes=num_classes, image_size=image_size, **options
    )


def count_parameters(model: nn.Module) -> int:
    """Count the trainable numbers of a network."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def options_of(name: str) -> list[str]:
    """List the options that `create` passes on to a network, such as ``width``."""
    build = MODELS[name]
    own = inspect.signature(build).parameters
    if any(p.kind is p.VAR_KEYWORD for p in own.values()):
        own = {**own, **inspect.signature(ResNet).parameters}
    shared = {"in_channels", "num_classes", "image_size", "block", "depths", "options"}
    return [key for key in own if key not in shared]


def _check_options(name: str, options: dict[str, object]) -> None:
    """Refuse an option that the network does not have, and list those it has."""
    known = options_of(name)
    foreign = sorted(set(options) - set(known))
    if foreign:
        raise ModelError(
            f"{name} has no option {', '.join(foreign)}: it takes {', '.join(known) or 'none'}"
        )
