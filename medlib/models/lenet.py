"""LeNet-5: the first convolutional network to read documents for a living (1998)."""

import torch
from torch import Tensor, nn

from medlib.models.checks import check_sizes

# Table I of the paper: the maps of S2 that each of the 16 maps of C3 looks at.
C3_TABLE = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al., "Gradient-based learning applied to document recognition", 1998).

    Parameters
    ----------
    in_channels : int
        Channels of the images; the paper has 1.
    num_classes : int
        Number of logits; the paper has 10.
    image_size : int
        Height and width in pixels, at least 28. The paper's field has 32; images of 28 to 31
        are padded by 2, as the paper does with its digits of 28. Larger images are averaged
        down to the 5 x 5 maps that layer C5 expects.
    paper : bool
        Whether to build the paper's own sub-sampling (a trainable coefficient and bias a map),
        its sparse connections from S2 to C3 and its scaled tanh: 60,000 trainable numbers up
        to layer F6. The default is today's reading of it: average pooling, full connections,
        plain tanh. Either way a linear layer replaces the paper's radial-basis outputs.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: int = 32,
        paper: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(
            "lenet5",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=28,
        )
        squash = ScaledTanh if paper else nn.Tanh
        padding = 2 if image_size < 32 else 0
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=padding),  # C1: (N, 6, 28, 28)
            squash(),
            SubSampling(6) if paper else nn.AvgPool2d(2),  # S2: (N, 6, 14, 14)
            squash(),
            SparseConv(C3_TABLE) if paper else nn.Conv2d(6, 16, 5),  # C3: (N, 16, 10, 10)
            squash(),
            SubSampling(16) if paper else nn.AvgPool2d(2),  # S4: (N, 16, 5, 5)
            squash(),
            nn.AdaptiveAvgPool2d(5),  # does nothing at 28 and 32 pixels
            nn.Conv2d(16, 120, 5),  # C5: (N, 120, 1, 1)
            squash(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(120, 84),  # F6
            squash(),
            nn.Linear(84, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        return self.classifier(self.features(images))


class ScaledTanh(nn.Module):
    """The paper's squashing function ``1.7159 tanh(2 x / 3)`` (its appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        """Squash every element."""
        return 1.7159 * torch.tanh(2 / 3 * x)


class SubSampling(nn.Module):
    """Average of 2 x 2 neighbours, times a trainable coefficient, plus a bias, for each map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width of ``(N, C, H, W)``."""
        return self.coefficient * nn.functional.avg_pool2d(x, 2) + self.bias


class SparseConv(nn.Module):
    """A 5 x 5 convolution whose every output map sees only the input maps named in a table."""

    def __init__(self, table: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.table = table
        self.maps = nn.ModuleList(nn.Conv2d(len(inputs), 1, 5) for inputs in table)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, len(table), H - 4, W - 4)``."""
        pairs = zip(self.maps, self.table, strict=True)
        return torch.cat([conv(x[:, list(inputs)]) for conv, inputs in pairs], dim=1)
