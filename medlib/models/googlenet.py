"""GoogLeNet: modules that look at several scales at once, at little cost (2014)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medlib.models.checks import check_sizes, resolve_stem
from medlib.models.layers import ConvNormReLU, initialise, scaled

SMALLEST = {"small": 8, "half": 14, "standard": 28}
# Channels of each module (the paper's table 1): 1 x 1; 3 x 3 and the 1 x 1 that reduces its
# input (first); 5 x 5 and the 1 x 1 that reduces its input (first); 1 x 1 after the pooling.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class Inception(nn.Module):
    """The paper's figure 2b: four branches over the same maps, concatenated.

    Parameters
    ----------
    in_channels : int
        Channels that come in.
    channels : sequence of int
        The six numbers of a row of `TABLE`.
    paper : bool
        As in `GoogLeNet`.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], *, paper: bool) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pool = channels
        norm = not paper
        self.branch1 = ConvNormReLU(in_channels, one, norm=norm)
        self.branch2 = nn.Sequential(
            ConvNormReLU(in_channels, reduce3, norm=norm),
            ConvNormReLU(reduce3, three, 3, norm=norm),
        )
        self.branch3 = nn.Sequential(
            ConvNormReLU(in_channels, reduce5, norm=norm),
            ConvNormReLU(reduce5, five, 5 if paper else 3, norm=norm),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, pool, norm=norm)
        )
        self.out_channels = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)


class AuxiliaryHead(nn.Module):
    """A small classifier on the maps in the middle, which brings gradients there."""

    def __init__(self, in_channels: int, num_classes: int, *, width: int, paper: bool) -> None:
        super().__init__()
        channels, hidden = scaled(128, width, 64), scaled(1024, width, 64)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormReLU(in_channels, channels, norm=not paper)
        self.fc1 = nn.Linear(channels * 4 * 4, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes)``."""
        x = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """GoogLeNet (Szegedy et al., "Going deeper with convolutions", CVPR 2015).

    Layers carry torchvision's names, so that its weights load (with ``aux=True``).

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the images and number of logits.
    image_size : int
        Height and width in pixels: at least 28, 14 with the half and 8 with the small stem.
    stem : {"auto", "standard", "half", "small"}
        The standard stem turns 224 pixels into the 28 x 28 maps of the first module. The small
        stem (3 x 3 at stride 1, no pooling) keeps 28 pixels at 28 x 28, so that all modules see
        maps of the size they see in the paper; the half stem (stride 2) costs a quarter of it.
        ``"auto"`` takes the small one up to 64 pixels.
    width : int
        Channels of the first convolution; the others keep the paper's proportions.
    aux : bool
        Whether to build the two auxiliary heads. In training mode the network then returns the
        logits and those of both heads, which `medlib.models.auxiliary.total_loss` adds up.
    dropout : float
        Share of the features that dropout sets to zero before the last layer; the paper has 0.4,
        torchvision 0.2.
    paper : bool
        Whether to build the paper's own layers: 5 x 5 convolutions in the third branch, local
        response normalisation in the stem, and biases instead of batch normalisation. The default
        is torchvision's network, which has 3 x 3 convolutions there.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 1000,
        image_size: int = 224,
        stem: str = "auto",
        width: int = 64,
        aux: bool = False,
        dropout: float = 0.2,
        paper: bool = False,
    ) -> None:
        super().__init__()
        stem = resolve_stem(stem, image_size, tuple(SMALLEST))
        check_sizes(
            f"googlenet with the {stem} stem",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=SMALLEST[stem],
        )
        self._build_stem(stem, in_channels, width, paper)
        channels = 3 * width
        for name, numbers in TABLE.items():
            module = Inception(channels, [scaled(n, width, 64) for n in numbers], paper=paper)
            self.add_module(f"inception{name}", module)
            channels = module.out_channels
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(3 if paper else 2, stride=2, ceil_mode=True)
        head = {"num_classes": num_classes, "width": width, "paper": paper}
        middle, late = self.inception4a.out_channels, self.inception4d.out_channels
        self.aux1 = AuxiliaryHead(middle, **head) if aux else None
        self.aux2 = AuxiliaryHead(late, **head) if aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        initialise(self)

    def _build_stem(self, stem: str, in_channels: int, width: int, paper: bool) -> None:
        """Add the layers before the first module; sizes are those of the standard stem."""
        size, stride = {"standard": (7, 2), "half": (3, 2), "small": (3, 1)}[stem]
        pool = stem == "standard"
        norm = not paper
        self.conv1 = ConvNormReLU(in_channels, width, size, stride=stride, norm=norm)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True) if pool else nn.Identity()
        self.lrn1 = nn.LocalResponseNorm(5) if paper else nn.Identity()
        self.conv2 = ConvNormReLU(width, width, norm=norm)
        self.conv3 = ConvNormReLU(width, 3 * width, 3, norm=norm)
        self.lrn2 = nn.LocalResponseNorm(5) if paper else nn.Identity()
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True) if pool else nn.Identity()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``.

        With ``aux=True``, in training mode, the logits of the two heads follow in a tuple.
        """
        x = self.lrn1(self.maxpool1(self.conv1(images)))  # (N, 64, 56, 56) at 224 pixels
        x = self.maxpool2(self.lrn2(self.conv3(self.conv2(x))))  # (N, 192, 28, 28)
        x = self.inception3b(self.inception3a(x))  # (N, 480, 28, 28)
        x = middle = self.inception4a(self.maxpool3(x))  # (N, 512, 14, 14)
        x = late = self.inception4d(self.inception4c(self.inception4b(x)))  # (N, 528, 14, 14)
        x = self.maxpool4(self.inception4e(x))  # (N, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # (N, 1024, 7, 7)
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if self.aux1 is None or not self.training:
            return logits
        return logits, self.aux1(middle), self.aux2(late)
