"""VGG: depth from nothing but 3 x 3 convolutions (2014)."""

from collections.abc import Sequence

from torch import Tensor, nn

from medlib.models.checks import check_sizes, resolve_stem
from medlib.models.layers import initialise

SMALLEST = {"small": 16, "standard": 32}


class VGG(nn.Module):
    """VGG (Simonyan and Zisserman, "Very deep convolutional networks", ICLR 2015).

    Layers carry torchvision's names, so that its weights load.

    Parameters
    ----------
    depths : sequence of int
        Convolutions in each of the five stages; each stage ends with a pooling.
    norm : bool
        Whether batch normalisation follows each convolution; it is younger than the paper.
    in_channels, num_classes : int
        Channels of the images and number of logits.
    image_size : int
        Height and width in pixels: at least 32, or 16 with the small stem.
    stem : {"auto", "standard", "small"}
        The small stem leaves out the first pooling, so that 28 pixels still have 3 x 3 maps in
        the last stage, and averages the last maps to one value before the linear layers, where
        the paper has 7 x 7. ``"auto"`` takes it up to 64 pixels.
    width : int
        Channels of the first stage; the others have 2, 4, 8 and 8 times as many.
    hidden : int
        Units of the two fully connected layers.
    dropout : float
        Share of the units that dropout sets to zero after each of the two.
    """

    def __init__(
        self,
        depths: Sequence[int],
        norm: bool,
        *,
        in_channels: int = 3,
        num_classes: int = 1000,
        image_size: int = 224,
        stem: str = "auto",
        width: int = 64,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        stem = resolve_stem(stem, image_size)
        check_sizes(
            f"vgg with the {stem} stem",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=SMALLEST[stem],
        )
        layers: list[nn.Module] = []
        channels = stage_channels(width)  # 64, 128, 256, 512, 512 in the paper
        before = [in_channels, *channels]
        for i, depth in enumerate(depths):
            layers += conv_stage(before[i], channels[i], depth, norm=norm)
            if i > 0 or stem == "standard":
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)  # (N, 512, 7, 7) at 224 pixels
        grid = 7 if stem == "standard" else 1
        self.avgpool = nn.AdaptiveAvgPool2d(grid)  # for any other image size
        self.classifier = nn.Sequential(
            nn.Linear(channels[-1] * grid * grid, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        x = self.avgpool(self.features(images))
        return self.classifier(x.flatten(1))


def vgg11(**options: object) -> VGG:
    """Build VGG-11, the paper's A: 1, 1, 2, 2, 2 convolutions; `options` are those of `VGG`."""
    return VGG((1, 1, 2, 2, 2), False, **options)


def vgg13(**options: object) -> VGG:
    """Build VGG-13, the paper's B: 2, 2, 2, 2, 2 convolutions; `options` are those of `VGG`."""
    return VGG((2, 2, 2, 2, 2), False, **options)


def vgg16(**options: object) -> VGG:
    """Build VGG-16, the paper's D: 2, 2, 3, 3, 3 convolutions; `options` are those of `VGG`."""
    return VGG((2, 2, 3, 3, 3), False, **options)


def vgg19(**options: object) -> VGG:
    """Build VGG-19, the paper's E: 2, 2, 4, 4, 4 convolutions; `options` are those of `VGG`."""
    return VGG((2, 2, 4, 4, 4), False, **options)


def vgg11_bn(**options: object) -> VGG:
    """Build VGG-11 with batch normalisation; `options` are those of `VGG`."""
    return VGG((1, 1, 2, 2, 2), True, **options)


def vgg13_bn(**options: object) -> VGG:
    """Build VGG-13 with batch normalisation; `options` are those of `VGG`."""
    return VGG((2, 2, 2, 2, 2), True, **options)


def vgg16_bn(**options: object) -> VGG:
    """Build VGG-16 with batch normalisation; `options` are those of `VGG`."""
    return VGG((2, 2, 3, 3, 3), True, **options)


def vgg19_bn(**options: object) -> VGG:
    """Build VGG-19 with batch normalisation; `options` are those of `VGG`."""
    return VGG((2, 2, 4, 4, 4), True, **options)


def stage_channels(width: int) -> list[int]:
    """Return the channels of the five stages: they double up to eight times the first."""
    return [width, 2 * width, 4 * width, 8 * width, 8 * width]


def conv_stage(in_channels: int, channels: int, depth: int, *, norm: bool) -> list[nn.Module]:
    """Return `depth` 3 x 3 convolutions with norm and ReLU; they keep height and width.

    Parameters
    ----------
    in_channels, channels : int
        Channels that come in, and channels of each convolution.
    depth : int
        Number of convolutions.
    norm : bool
        Whether batch normalisation follows each.
    """
    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Conv2d(in_channels if i == 0 else channels, channels, 3, padding=1))
        layers += [nn.BatchNorm2d(channels)] if norm else []
        layers.append(nn.ReLU(inplace=True))
    return layers
