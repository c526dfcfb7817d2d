"""FCN: a classifier made of convolutions alone, which names every pixel (2014)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.models.checks import ModelError, check_sizes, resolve_stem
from medlib.models.layers import initialise
from medlib.models.vgg import VGG, conv_stage, stage_channels

SMALLEST = {"small": 8, "standard": 32}
DEPTHS = (2, 2, 3, 3, 3)  # VGG-16


class FCN(nn.Module):
    """FCN on VGG-16 (Long, Shelhamer and Darrell, "Fully convolutional networks", CVPR 2015).

    VGG-16 with its linear layers turned into convolutions, so that each position of the last
    maps has its own scores. These are enlarged to the image: at once (FCN-32s), or in steps, with
    scores from earlier, finer maps added at each (FCN-16s, FCN-8s). The paper pads the image by
    100 pixels; here the maps keep their size by padding, which gives the same network inside.

    Parameters
    ----------
    stride : {32, 16, 8}
        How far the scores are enlarged in the last step.
    in_channels, num_classes : int
        Channels of the images and number of classes of the pixels.
    image_size : int
        Height and width in pixels: at least 32, or 8 with the small stem. The network takes
        other sizes too.
    stem : {"auto", "standard", "small"}
        The small stem leaves out the first two poolings, which makes all strides a quarter: 28
        pixels then have last maps of 4 x 4, not of one value. ``"auto"`` takes it up to 64 pixels.
    width : int
        Channels of the first stage; the others keep the paper's proportions.
    hidden : int
        Channels of the two layers that were linear in VGG-16.
    norm : bool
        Whether batch normalisation follows each convolution of the five stages. The paper has
        none: it starts from a trained VGG-16 (see `load_vgg`).
    dropout : float
        Share of the values that dropout sets to zero after each of the two.
    """

    def __init__(
        self,
        stride: int,
        *,
        in_channels: int = 3,
        num_classes: int = 21,
        image_size: int = 224,
        stem: str = "auto",
        width: int = 64,
        hidden: int = 4096,
        norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if stride not in (32, 16, 8):
            raise ModelError(f"fcn enlarges 32, 16 or 8 times, got stride={stride}")
        stem = resolve_stem(stem, image_size)
        check_sizes(
            f"fcn with the {stem} stem",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=SMALLEST[stem],
        )
        self.stride = stride if stem == "standard" else stride // 4
        channels = stage_channels(width)
        stages = _stages(in_channels, channels, norm, pools=stem == "standard")
        self.early = nn.Sequential(*stages[0], *stages[1], *stages[2])
        self.middle = nn.Sequential(*stages[3])
        self.late = nn.Sequential(*stages[4])
        self.classifier = nn.Sequential(
            nn.Conv2d(channels[4], hidden, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(hidden, num_classes, 1),
        )
        finer = {32: [], 16: [channels[3]], 8: [channels[3], channels[2]]}[stride]
        self.scores = nn.ModuleList(nn.Conv2d(n, num_classes, 1) for n in finer)
        self.enlarge = nn.ModuleList(doubling(num_classes) for _ in finer)
        initialise(self)
        for score in (self.classifier[-1], *self.scores):
            nn.init.zeros_(score.weight)  # as in the paper: all classes start alike

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes, H, W)``."""
        pool3 = self.early(images)  # (N, 256, H / 8, W / 8)
        pool4 = self.middle(pool3)  # (N, 512, H / 16, W / 16)
        x = self.classifier(self.late(pool4))  # (N, K, H / 32, W / 32)
        for score, enlarge, maps in zip(self.scores, self.enlarge, (pool4, pool3), strict=False):
            x = _cut(enlarge(x), maps) + score(maps)  # (N, K, H / 16, W / 16), then H / 8
        x = functional.interpolate(x, scale_factor=self.stride, mode="bilinear")
        return _cut(x, images)

    def load_vgg(self, vgg: VGG) -> None:
        """Take over the weights of a VGG-16 of the same width, all but its last layer.

        A linear layer over 7 x 7 maps is a 7 x 7 convolution at one position.

        Parameters
        ----------
        vgg : VGG
            With the standard stem, such as ``create("vgg16", ...)`` with torchvision's weights.
        """
        layers = (*self.early, *self.middle, *self.late)
        for ours, theirs in zip(layers, vgg.features, strict=True):
            ours.load_state_dict(theirs.state_dict())
        with torch.no_grad():
            for place in (0, 3):
                conv, linear = self.classifier[place], vgg.classifier[place]
                conv.weight.copy_(linear.weight.view_as(conv.weight))
                conv.bias.copy_(linear.bias)


def fcn32s(**options: object) -> FCN:
    """Build FCN-32s, which enlarges the last scores 32 times; `options` are those of `FCN`."""
    return FCN(32, **options)


def fcn16s(**options: object) -> FCN:
    """Build FCN-16s, which adds scores at stride 16; `options` are those of `FCN`."""
    return FCN(16, **options)


def fcn8s(**options: object) -> FCN:
    """Build FCN-8s, which adds scores at strides 16 and 8; `options` are those of `FCN`."""
    return FCN(8, **options)


def doubling(channels: int) -> nn.ConvTranspose2d:
    """Return a layer that doubles height and width, at first by bilinear interpolation.

    Parameters
    ----------
    channels : int
        Channels that come in and go out; at first each goes into itself alone.
    """
    layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    edge = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None] * torch.outer(edge, edge))
    return layer


def _stages(
    in_channels: int, channels: list[int], norm: bool, *, pools: bool
) -> list[list[nn.Module]]:
    """Return the stages of VGG-16, the first two with or without pooling; sizes round up."""
    before = [in_channels, *channels]
    stages = [conv_stage(before[i], channels[i], DEPTHS[i], norm=norm) for i in range(5)]
    for i, stage in enumerate(stages):
        if i > 1 or pools:
            stage.append(nn.MaxPool2d(2, ceil_mode=True))
    return stages


def _cut(x: Tensor, like: Tensor) -> Tensor:
    """Cut what rounding up added at the right and the bottom."""
    return x[..., : like.shape[-2], : like.shape[-1]]
