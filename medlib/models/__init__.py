"""The book's networks by name: one short file each, all built by `create`."""

import inspect
from collections.abc import Callable

from torch import nn

from medlib.models.alexnet import AlexNet
from medlib.models.checks import ModelError
from medlib.models.densenet import (
    DenseNet,
    densenet121,
    densenet169,
    densenet201,
    densenet_small,
)
from medlib.models.efficientnet_lite import EfficientNetLite
from medlib.models.fcn import FCN, fcn8s, fcn16s, fcn32s
from medlib.models.googlenet import GoogLeNet
from medlib.models.heads import Heads, MaskFromMaps, PooledMaps, Reduced, TwoHeads
from medlib.models.inception_v3 import InceptionV3
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
from medlib.models.segnet import SegNet
from medlib.models.unet import UNet
from medlib.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from medlib.models.vit import VisionTransformer, vit_base, vit_small, vit_tiny

__all__ = [
    "FCN",
    "MODELS",
    "SEGMENTERS",
    "VGG",
    "AlexNet",
    "DenseNet",
    "EfficientNetLite",
    "GoogLeNet",
    "Heads",
    "InceptionV3",
    "LeNet5",
    "MaskFromMaps",
    "ModelError",
    "PooledMaps",
    "Reduced",
    "ResNet",
    "SegNet",
    "TwoHeads",
    "UNet",
    "VisionTransformer",
    "count_parameters",
    "create",
    "options_of",
]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "alexnet": AlexNet,
    "vgg11": vgg11,
    "vgg11_bn": vgg11_bn,
    "vgg13": vgg13,
    "vgg13_bn": vgg13_bn,
    "vgg16": vgg16,
    "vgg16_bn": vgg16_bn,
    "vgg19": vgg19,
    "vgg19_bn": vgg19_bn,
    "googlenet": GoogLeNet,
    "inception_v3": InceptionV3,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "resnet_small": resnet_small,
    "densenet121": densenet121,
    "densenet169": densenet169,
    "densenet201": densenet201,
    "densenet_small": densenet_small,
    "efficientnet_lite0": EfficientNetLite,
    "vit_tiny": vit_tiny,
    "vit_small": vit_small,
    "vit_base": vit_base,
    "fcn32s": fcn32s,
    "fcn16s": fcn16s,
    "fcn8s": fcn8s,
    "unet": UNet,
    "segnet": SegNet,
}
# Those that name every pixel; all others name the whole image.
SEGMENTERS = frozenset({"fcn32s", "fcn16s", "fcn8s", "unet", "segnet"})


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
        What the network itself offers, such as ``width=`` of ``resnet_small``; `options_of`
        lists them.

    Returns
    -------
    nn.Module
        Maps images ``(N, C, H, W)`` to logits, randomly initialised: ``(N, num_classes)``, or
        ``(N, num_classes, H, W)`` where the name is one of `SEGMENTERS`.

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
    """List the options that `create` passes on to a network, such as ``width``.

    A function such as ``resnet18`` passes what it does not know on to the class that it returns.
    """
    build = MODELS[name]
    own = inspect.signature(build)
    named = dict(own.parameters)
    if any(p.kind is p.VAR_KEYWORD for p in named.values()):
        named |= inspect.signature(own.return_annotation).parameters
    shared = {"in_channels", "num_classes", "image_size"}
    return [key for key, p in named.items() if p.kind is p.KEYWORD_ONLY and key not in shared]


def _check_options(name: str, options: dict[str, object]) -> None:
    """Refuse an option that the network does not have, and list those it has."""
    known = options_of(name)
    foreign = sorted(set(options) - set(known))
    if foreign:
        raise ModelError(
            f"{name} has no option {', '.join(foreign)}: it takes {', '.join(known) or 'none'}"
        )
