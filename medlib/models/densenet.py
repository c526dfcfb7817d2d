"""DenseNet: every layer reads what all layers before it wrote (2016)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medlib.models.checks import ModelError, check_sizes, resolve_stem
from medlib.models.layers import initialise

SMALLEST = {"small": 8, "half": 15, "standard": 29}
BOTTLENECK = 4  # the 1 x 1 convolution leaves 4 k channels, as in the paper


class DenseLayer(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution that append `growth` channels to their input.

    Norm and ReLU come before each convolution.

    Parameters
    ----------
    in_channels : int
        Channels that come in: those of the block's input and of all layers before.
    growth : int
        Channels that the layer adds, the paper's k.
    dropout : float
        Share of the new values that dropout sets to zero.
    """

    def __init__(self, in_channels: int, growth: int, *, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C + growth, H, W)``, of which the first C are `x`."""
        new = self.conv1(self.relu1(self.norm1(x)))
        new = self.conv2(self.relu2(self.norm2(new)))
        return torch.cat([x, self.dropout(new)], dim=1)


class DenseNet(nn.Module):
    """DenseNet-BC (Huang et al., "Densely connected convolutional networks", CVPR 2017).

    Layers carry torchvision's names, so that its weights load.

    Parameters
    ----------
    depths : sequence of int
        Layers in each dense block.
    in_channels, num_classes : int
        Channels of the images and number of logits.
    image_size : int
        Height and width in pixels: at least 29, 15 with the half and 8 with the small stem.
    stem : {"auto", "standard", "half", "small"}
        The standard stem (7 x 7 convolution, stride 2, then pooling) quarters the image. The
        small stem (3 x 3, stride 1, no pooling) keeps its size, as the paper does on CIFAR-10;
        the half stem (3 x 3, stride 2) costs a quarter of it. ``"auto"`` takes the small one up
        to 64 pixels.
    growth : int
        Channels that each layer adds; the stem has twice as many.
    dropout : float
        Share of each layer's new values that dropout sets to zero.
    """

    def __init__(
        self,
        depths: Sequence[int],
        *,
        in_channels: int = 3,
        num_classes: int = 1000,
        image_size: int = 224,
        stem: str = "auto",
        growth: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        stem = resolve_stem(stem, image_size, tuple(SMALLEST))
        check_sizes(
            f"densenet with the {stem} stem",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=SMALLEST[stem],
        )
        channels = 2 * growth
        self.features = nn.Sequential(_stem(stem, in_channels, channels))
        for i, depth in enumerate(depths, start=1):
            block = _block(channels, growth, depth, dropout)
            self.features.add_module(f"denseblock{i}", block)
            channels += depth * growth
            if i < len(depths):
                self.features.add_module(f"transition{i}", _transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        x = self.relu(self.features(images))  # (N, 1024, 7, 7) in DenseNet-121 at 224 pixels
        return self.classifier(self.avgpool(x).flatten(1))


def densenet121(**options: object) -> DenseNet:
    """Build DenseNet-121: dense blocks of 6, 12, 24, 16; `options` are those of `DenseNet`."""
    return DenseNet((6, 12, 24, 16), **options)


def densenet169(**options: object) -> DenseNet:
    """Build DenseNet-169: dense blocks of 6, 12, 32, 32; `options` are those of `DenseNet`."""
    return DenseNet((6, 12, 32, 32), **options)


def densenet201(**options: object) -> DenseNet:
    """Build DenseNet-201: dense blocks of 6, 12, 48, 32; `options` are those of `DenseNet`."""
    return DenseNet((6, 12, 48, 32), **options)


def densenet_small(
    *, growth: int = 12, layers: int | Sequence[int] = 4, **options: object
) -> DenseNet:
    """Build a DenseNet for small images, after the paper's CIFAR-10 networks.

    Three dense blocks. The paper's DenseNet-BC of depth 100 is ``layers=16, stem="small"``.

    Parameters
    ----------
    growth : int
        Channels that each layer adds.
    layers : int or sequence of int
        Layers of each block: one number for three equal blocks, or one number a block.
    **options
        Those of `DenseNet`; the stem is ``"half"`` unless named.
    """
    depths = (layers,) * 3 if isinstance(layers, int) else tuple(layers)
    if not depths or min(depths) < 1 or growth < 1:
        raise ModelError(f"growth and layers must be at least 1, got {growth} and {layers}")
    return DenseNet(depths, growth=growth, **{"stem": "half", **options})


def _stem(stem: str, in_channels: int, channels: int) -> OrderedDict[str, nn.Module]:
    """Return the first layers; only the standard stem pools."""
    size, stride = {"standard": (7, 2), "half": (3, 2), "small": (3, 1)}[stem]
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv0=nn.Conv2d(in_channels, channels, size, stride=stride, padding=size // 2, bias=False),
        norm0=nn.BatchNorm2d(channels),
        relu0=nn.ReLU(inplace=True),
    )
    if stem == "standard":
        layers["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
    return layers


def _block(in_channels: int, growth: int, depth: int, dropout: float) -> nn.Sequential:
    """Return `depth` layers, each of which appends `growth` channels."""
    layers = [DenseLayer(in_channels + i * growth, growth, dropout=dropout) for i in range(depth)]
    return nn.Sequential(OrderedDict((f"denselayer{i + 1}", x) for i, x in enumerate(layers)))


def _transition(channels: int) -> nn.Sequential:
    """Return the layers between two blocks: they halve the channels, height and width."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )
