"""Inception v3: large convolutions taken apart into small and one-dimensional ones (2015)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.models.checks import check_sizes, resolve_stem
from medlib.models.layers import ConvNormReLU, initialise, scaled

SMALLEST = {"small": 7, "half": 13, "standard": 75}
Channels = Callable[[int], int]  # channels of the paper -> channels at this width


class InceptionV3(nn.Module):
    """Inception v3 (Szegedy et al., "Rethinking the Inception architecture", CVPR 2016).

    Layers carry torchvision's names, so that its weights load (with ``aux=True``).

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the images and number of logits.
    image_size : int
        Height and width in pixels: at least 75, 13 with the half and 7 with the small stem.
    stem : {"auto", "standard", "half", "small"}
        The standard stem turns the paper's 299 pixels into the 35 x 35 maps of the first module.
        The small stem (stride 1, zero padding, no pooling) keeps the size of the image, so that
        28 pixels give maps of 28, 13 and 6 where the paper has 35, 17 and 8; the half stem
        (stride 2) costs a quarter of it. ``"auto"`` takes the small one up to 64 pixels.
    width : int
        Channels of the first convolution; the others keep the paper's proportions.
    aux : bool
        Whether to build the auxiliary head. In training mode the network then returns the logits
        and those of the head, which `medlib.models.auxiliary.total_loss` adds up. The head
        normalises single values, so that a training batch needs two images.
    dropout : float
        Share of the features that dropout sets to zero before the last layer.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 1000,
        image_size: int = 299,
        stem: str = "auto",
        width: int = 32,
        aux: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        stem = resolve_stem(stem, image_size, tuple(SMALLEST))
        check_sizes(
            f"inception_v3 with the {stem} stem",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=SMALLEST[stem],
        )

        def of(channels: int) -> int:
            return scaled(channels, width, 32)

        self._build_stem(stem, in_channels, of)
        channels = of(192)
        for name, build, number in MODULES:
            module = build(channels, of(number), of)
            self.add_module(f"Mixed_{name}", module)
            channels = module.out_channels
        middle = self.Mixed_6e.out_channels
        self.AuxLogits = AuxiliaryHead(middle, num_classes, of) if aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        initialise(self)

    def _build_stem(self, stem: str, in_channels: int, of: Channels) -> None:
        """Add the layers before the first module."""
        standard = stem == "standard"
        stride = 1 if stem == "small" else 2
        plain = {"padded": not standard}
        self.Conv2d_1a_3x3 = ConvNormReLU(in_channels, of(32), 3, stride=stride, **plain)
        self.Conv2d_2a_3x3 = ConvNormReLU(of(32), of(32), 3, **plain)
        self.Conv2d_2b_3x3 = ConvNormReLU(of(32), of(64), 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2) if standard else nn.Identity()
        self.Conv2d_3b_1x1 = ConvNormReLU(of(64), of(80))
        self.Conv2d_4a_3x3 = ConvNormReLU(of(80), of(192), 3, **plain)
        self.maxpool2 = nn.MaxPool2d(3, stride=2) if standard else nn.Identity()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``.

        With ``aux=True``, in training mode, the logits of the head follow in a tuple.
        """
        x = self.Conv2d_1a_3x3(images)  # (N, 32, 149, 149) at 299 pixels
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(x))  # (N, 64, 147, 147)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))  # (N, 192, 71, 71)
        x = self.maxpool2(x)  # (N, 192, 35, 35)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (N, 288, 35, 35)
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))  # (N, 768, 17, 17)
        x = middle = self.Mixed_6e(self.Mixed_6d(x))  # (N, 768, 17, 17)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if self.AuxLogits is None or not self.training:
            return logits
        return logits, self.AuxLogits(middle)


class InceptionA(nn.Module):
    """After the paper's figure 5; as in its published code, a 5 x 5 stands beside two 3 x 3.

    Here and below `of` turns the paper's channels into those at another width.
    """

    def __init__(self, in_channels: int, pool_channels: int, of: Channels) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(in_channels, of(64))
        self.branch5x5_1 = ConvNormReLU(in_channels, of(48))
        self.branch5x5_2 = ConvNormReLU(of(48), of(64), 5)
        self.branch3x3dbl_1 = ConvNormReLU(in_channels, of(64))
        self.branch3x3dbl_2 = ConvNormReLU(of(64), of(96), 3)
        self.branch3x3dbl_3 = ConvNormReLU(of(96), of(96), 3)
        self.branch_pool = ConvNormReLU(in_channels, pool_channels)
        self.out_channels = of(64) + of(64) + of(96) + pool_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_smooth(x))], dim=1)


class InceptionB(nn.Module):
    """The paper's figure 10: halves the maps by convolution and by pooling side by side."""

    def __init__(self, in_channels: int, channels: int, of: Channels) -> None:
        super().__init__()
        self.branch3x3 = ConvNormReLU(in_channels, channels, 3, stride=2, padded=False)
        self.branch3x3dbl_1 = ConvNormReLU(in_channels, of(64))
        self.branch3x3dbl_2 = ConvNormReLU(of(64), of(96), 3)
        self.branch3x3dbl_3 = ConvNormReLU(of(96), of(96), 3, stride=2, padded=False)
        self.out_channels = channels + of(96) + in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H / 2, W / 2)``."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = functional.max_pool2d(x, 3, stride=2)
        return torch.cat([self.branch3x3(x), double, pooled], dim=1)


class InceptionC(nn.Module):
    """The paper's figure 6: 7 x 7 convolutions as a row and a column, once and twice."""

    def __init__(self, in_channels: int, channels: int, of: Channels) -> None:
        super().__init__()
        row, column, last = (1, 7), (7, 1), of(192)
        self.branch1x1 = ConvNormReLU(in_channels, last)
        self.branch7x7_1 = ConvNormReLU(in_channels, channels)
        self.branch7x7_2 = ConvNormReLU(channels, channels, row)
        self.branch7x7_3 = ConvNormReLU(channels, last, column)
        self.branch7x7dbl_1 = ConvNormReLU(in_channels, channels)
        self.branch7x7dbl_2 = ConvNormReLU(channels, channels, column)
        self.branch7x7dbl_3 = ConvNormReLU(channels, channels, row)
        self.branch7x7dbl_4 = ConvNormReLU(channels, channels, column)
        self.branch7x7dbl_5 = ConvNormReLU(channels, last, row)
        self.branch_pool = ConvNormReLU(in_channels, last)
        self.out_channels = 4 * last

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_smooth(x))], dim=1)


class InceptionD(nn.Module):
    """Halves the maps as `InceptionB` does, with a 7 x 7 in the second branch."""

    def __init__(self, in_channels: int, channels: int, of: Channels) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNormReLU(in_channels, of(192))
        self.branch3x3_2 = ConvNormReLU(of(192), channels, 3, stride=2, padded=False)
        self.branch7x7x3_1 = ConvNormReLU(in_channels, of(192))
        self.branch7x7x3_2 = ConvNormReLU(of(192), of(192), (1, 7))
        self.branch7x7x3_3 = ConvNormReLU(of(192), of(192), (7, 1))
        self.branch7x7x3_4 = ConvNormReLU(of(192), of(192), 3, stride=2, padded=False)
        self.out_channels = channels + of(192) + in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H / 2, W / 2)``."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_2(self.branch7x7x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([three, seven, functional.max_pool2d(x, 3, stride=2)], dim=1)


class InceptionE(nn.Module):
    """The paper's figure 7: branches that end in a row and a column side by side."""

    def __init__(self, in_channels: int, channels: int, of: Channels) -> None:
        super().__init__()
        wide = of(384)
        self.branch1x1 = ConvNormReLU(in_channels, channels)
        self.branch3x3_1 = ConvNormReLU(in_channels, wide)
        self.branch3x3_2a = ConvNormReLU(wide, wide, (1, 3))
        self.branch3x3_2b = ConvNormReLU(wide, wide, (3, 1))
        self.branch3x3dbl_1 = ConvNormReLU(in_channels, of(448))
        self.branch3x3dbl_2 = ConvNormReLU(of(448), wide, 3)
        self.branch3x3dbl_3a = ConvNormReLU(wide, wide, (1, 3))
        self.branch3x3dbl_3b = ConvNormReLU(wide, wide, (3, 1))
        self.branch_pool = ConvNormReLU(in_channels, of(192))
        self.out_channels = channels + 4 * wide + of(192)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_smooth(x)),
        ]
        return torch.cat(branches, dim=1)


class AuxiliaryHead(nn.Module):
    """The paper's figure 8: a small classifier on the last of the middle maps."""

    def __init__(self, in_channels: int, num_classes: int, of: Channels) -> None:
        super().__init__()
        self.conv0 = ConvNormReLU(in_channels, of(128))
        self.conv1 = ConvNormReLU(of(128), of(768), 5, padded=False)
        self.fc = nn.Linear(of(768), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes)``."""
        if min(x.shape[-2:]) >= 17:
            x = functional.avg_pool2d(x, 5, stride=3)  # (N, in_channels, 5, 5) from 17 x 17
        else:
            x = functional.adaptive_avg_pool2d(x, 5)  # for smaller images than the paper's
        x = functional.adaptive_avg_pool2d(self.conv1(self.conv0(x)), 1)
        return self.fc(x.flatten(1))


# Name, kind and the number in which modules of a kind differ (see their second parameter).
MODULES: tuple[tuple[str, Callable[..., nn.Module], int], ...] = (
    ("5b", InceptionA, 32),
    ("5c", InceptionA, 64),
    ("5d", InceptionA, 64),
    ("6a", InceptionB, 384),
    ("6b", InceptionC, 128),
    ("6c", InceptionC, 160),
    ("6d", InceptionC, 160),
    ("6e", InceptionC, 192),
    ("7a", InceptionD, 320),
    ("7b", InceptionE, 320),
    ("7c", InceptionE, 320),
)


def _smooth(x: Tensor) -> Tensor:
    """Average 3 x 3 neighbours; the maps keep their size."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1)
