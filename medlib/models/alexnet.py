"""AlexNet: the network that won ImageNet in 2012 and began the field's present."""

from torch import Tensor, nn

from medlib.models.checks import check_sizes, resolve_stem

SMALLEST = {"small": 28, "standard": 63}


class AlexNet(nn.Module):
    """AlexNet (Krizhevsky, Sutskever, Hinton, NeurIPS 2012) in its one-column form.

    The layers are those of Krizhevsky, "One weird trick" (arXiv:1404.5997, 2014), and carry
    torchvision's names, so that its weights load.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the images and number of logits.
    image_size : int
        Height and width in pixels: at least 63, or 28 with the small stem.
    stem : {"auto", "standard", "small"}
        The standard stem (11 x 11 convolution, stride 4, then pooling) turns 224 pixels into
        27 x 27 maps. The small stem (5 x 5, stride 1, no pooling) leaves 28 pixels at 28 x 28,
        so that all later layers see maps of the size they see in the paper. ``"auto"`` takes
        the small one up to 64 pixels.
    width : int
        Channels of the first convolution; the others keep the paper's proportions.
    hidden : int
        Units of the two fully connected layers.
    dropout : float
        Share of the units that dropout sets to zero before each of the two.
    """

    def __init__(
        self,
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
            f"alexnet with the {stem} stem",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=SMALLEST[stem],
        )
        # Shapes at 224 pixels; those from the second convolution on hold at 28 with the small stem.
        self.features = nn.Sequential(
            *_stem(stem, in_channels, width),  # (N, 64, 27, 27)
            nn.Conv2d(width, 3 * width, kernel_size=5, padding=2),  # (N, 192, 27, 27)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(3 * width, 6 * width, kernel_size=3, padding=1),  # (N, 384, 13, 13)
            nn.ReLU(inplace=True),
            nn.Conv2d(6 * width, 4 * width, kernel_size=3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * width, 4 * width, kernel_size=3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)  # (N, 256, 6, 6) for any image size
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(4 * width * 6 * 6, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        x = self.avgpool(self.features(images))
        return self.classifier(x.flatten(1))


def _stem(stem: str, in_channels: int, width: int) -> list[nn.Module]:
    """Return the first layers, up to where image sizes no longer matter."""
    if stem == "small":
        return [nn.Conv2d(in_channels, width, kernel_size=5, padding=2), nn.ReLU(inplace=True)]
    return [
        nn.Conv2d(in_channels, width, kernel_size=11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
    ]
