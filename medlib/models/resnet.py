"""ResNet: layers that learn what to add to their input, so that depth no longer hurts (2015)."""

from collections.abc import Sequence

from torch import Tensor, nn

from medlib.models.checks import ModelError, check_sizes, resolve_stem
from medlib.models.layers import StochasticDepth, initialise


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the shortcut around them (the paper's figure 5, left).

    Parameters
    ----------
    in_channels, channels : int
        Channels that come in, and channels of both convolutions.
    stride : int
        Stride of the first convolution; 2 halves height and width.
    skip : bool
        Whether to add the shortcut; without it the block is two plain layers.
    norm : bool
        Whether batch normalisation follows each convolution.
    drop : float
        Chance that a training image skips the two layers; see `StochasticDepth`.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        skip: bool,
        norm: bool,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 3, stride=stride, norm=norm)
        self.bn1 = _norm(channels, norm)
        self.conv2 = _conv(channels, channels, 3, stride=1, norm=norm)
        self.bn2 = _norm(channels, norm)
        self.relu = nn.ReLU(inplace=True)
        self.skip = skip
        self.downsample = _shortcut(in_channels, channels, stride, norm) if skip else None
        self.drop = StochasticDepth(drop) if drop else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return self.relu(_add_shortcut(self, residual, x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and the shortcut around them (figure 5, right).

    The stride sits at the 3 x 3 convolution, as in torchvision ("ResNet v1.5"). The parameters
    are those of `BasicBlock`; four times `channels` come out.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        skip: bool,
        norm: bool,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = _conv(in_channels, channels, 1, stride=1, norm=norm)
        self.bn1 = _norm(channels, norm)
        self.conv2 = _conv(channels, channels, 3, stride=stride, norm=norm)
        self.bn2 = _norm(channels, norm)
        self.conv3 = _conv(channels, out_channels, 1, stride=1, norm=norm)
        self.bn3 = _norm(out_channels, norm)
        self.relu = nn.ReLU(inplace=True)
        self.skip = skip
        self.downsample = _shortcut(in_channels, out_channels, stride, norm) if skip else None
        self.drop = StochasticDepth(drop) if drop else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 4 channels, H / stride, W / stride)``."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return self.relu(_add_shortcut(self, residual, x))


class ResNet(nn.Module):
    """A residual network (He et al., "Deep residual learning for image recognition", CVPR 2016).

    Layers carry torchvision's names, so that its weights load.

    Parameters
    ----------
    block : type
        `BasicBlock` or `Bottleneck`.
    depths : sequence of int
        Blocks in each stage; each stage after the first halves the maps and doubles the channels.
    in_channels, num_classes, image_size : int
        Channels and size of the images, and number of logits.
    stem : {"auto", "standard", "half", "small"}
        The standard stem (7 x 7 convolution, stride 2, then pooling) quarters the image. The
        small stem (3 x 3, stride 1, no pooling) keeps its size, as the paper does on CIFAR-10;
        the half stem (3 x 3, stride 2) halves it, at a quarter of the cost. ``"auto"`` takes
        the small one up to 64 pixels.
    width : int
        Channels of the first stage.
    skip, norm : bool
        Whether blocks have shortcuts, and whether they have batch normalisation.
    dropout : float
        Share of the pooled features that dropout sets to zero before the last layer.
    stochastic_depth : float
        Chance that a training image skips the last block; it rises evenly from the first block
        on, as in the paper (see `medlib.models.layers.StochasticDepth`). It needs shortcuts.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        *,
        in_channels: int = 3,
        num_classes: int = 1000,
        image_size: int = 224,
        stem: str = "auto",
        width: int = 64,
        skip: bool = True,
        norm: bool = True,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(
            "a residual network",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=8,
        )
        drops = _drops(depths, stochastic_depth, skip)
        stem = resolve_stem(stem, image_size, ("standard", "half", "small"))
        size, stride = {"standard": (7, 2), "half": (3, 2), "small": (3, 1)}[stem]
        self.conv1 = _conv(in_channels, width, size, stride=stride, norm=norm)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if stem == "standard" else nn.Identity()
        self.bn1 = _norm(width, norm)
        self.relu = nn.ReLU(inplace=True)
        self.stages = [f"layer{i + 1}" for i in range(len(depths))]
        channels = width
        for i, (name, drop) in enumerate(zip(self.stages, drops, strict=True)):
            stage = _stage(block, channels, width * 2**i, drop, 1 if i == 0 else 2, skip, norm)
            self.add_module(name, stage)
            channels = width * 2**i * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.fc = nn.Linear(channels, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for name in self.stages:
            x = getattr(self, name)(x)
        features = self.avgpool(x).flatten(1)
        return self.fc(features if self.dropout is None else self.dropout(features))


def resnet18(**options: object) -> ResNet:
    """Build ResNet-18: basic blocks 2, 2, 2, 2; `options` are those of `ResNet`."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **options)


def resnet34(**options: object) -> ResNet:
    """Build ResNet-34: basic blocks 3, 4, 6, 3; `options` are those of `ResNet`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), **options)


def resnet50(**options: object) -> ResNet:
    """Build ResNet-50: bottlenecks 3, 4, 6, 3; `options` are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **options)


def resnet101(**options: object) -> ResNet:
    """Build ResNet-101: bottlenecks 3, 4, 23, 3; `options` are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **options)


def resnet152(**options: object) -> ResNet:
    """Build ResNet-152: bottlenecks 3, 8, 36, 3; `options` are those of `ResNet`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), **options)


def resnet_small(*, width: int = 24, blocks: int | Sequence[int] = 1, **options: object) -> ResNet:
    """Build a residual network for small images, after the paper's CIFAR-10 networks.

    Three stages of basic blocks with `width`, 2 `width` and 4 `width` channels. The paper's
    ResNet-20 is ``width=16, blocks=3, stem="small"``, but for its shortcuts: where the maps
    shrink it pads with zeros, we project (its option B). The defaults did best among what
    trains on BreastMNIST within 20 seconds on one thread, by cross-validation without any test
    image (``results/long/search-small.json``).

    Parameters
    ----------
    width : int
        Channels of the first stage.
    blocks : int or sequence of int
        Blocks of each stage: one number for three equal stages, or one number a stage.
    **options
        Those of `ResNet`, such as ``skip=False``; the stem is ``"half"`` unless named.
    """
    depths = (blocks,) * 3 if isinstance(blocks, int) else tuple(blocks)
    if not depths or min(depths) < 1 or width < 1:
        raise ModelError(f"width and blocks must be at least 1, got {width} and {blocks}")
    return ResNet(BasicBlock, depths, width=width, **{"stem": "half", **options})


def _conv(in_channels: int, channels: int, size: int, *, stride: int, norm: bool) -> nn.Conv2d:
    """Return a convolution that keeps the size at stride 1; a norm after it makes bias idle."""
    return nn.Conv2d(in_channels, channels, size, stride=stride, padding=size // 2, bias=not norm)


def _norm(channels: int, norm: bool) -> nn.Module:
    """Return batch normalisation, or nothing."""
    return nn.BatchNorm2d(channels) if norm else nn.Identity()


def _shortcut(in_channels: int, channels: int, stride: int, norm: bool) -> nn.Module | None:
    """Return the projection that a shortcut needs where shapes change (option B), else None."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(
        _conv(in_channels, channels, 1, stride=stride, norm=norm), _norm(channels, norm)
    )


def _add_shortcut(block: BasicBlock | Bottleneck, residual: Tensor, x: Tensor) -> Tensor:
    """Return H(x) = F(x) + x, the paper's equation 1, or F(x) alone in a plain network."""
    if not block.skip:
        return residual
    if block.drop is not None:
        residual = block.drop(residual)
    return residual + (x if block.downsample is None else block.downsample(x))


def _drops(depths: Sequence[int], rate: float, skip: bool) -> list[list[float]]:
    """Return each block's chance of being skipped: evenly up to the rate, the linear rule."""
    if not 0 <= rate < 1 or (rate and not skip):
        raise ModelError(
            f"stochastic_depth must be in [0, 1), and 0 without shortcuts; got {rate} with "
            f"skip={skip}"
        )
    total, before = sum(depths), [sum(depths[:i]) for i in range(len(depths))]
    return [
        [rate * (start + k + 1) / total for k in range(depth)]
        for start, depth in zip(before, depths, strict=True)
    ]


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    drops: Sequence[float],
    stride: int,
    skip: bool,
    norm: bool,
) -> nn.Sequential:
    """Return a block for each chance of being skipped; the first changes the shape."""
    blocks = []
    for i, drop in enumerate(drops):
        width, step = (in_channels, stride) if i == 0 else (channels * block.expansion, 1)
        blocks.append(block(width, channels, stride=step, skip=skip, norm=norm, drop=drop))
    return nn.Sequential(*blocks)
