"""What several networks share: one kind of layer, one way to draw first weights."""

import torch
from torch import Tensor, nn


class ConvNormReLU(nn.Module):
    """A convolution, batch normalisation and ReLU: what the Inception networks are made of.

    Layers carry torchvision's names, so that its weights load.

    Parameters
    ----------
    in_channels, channels : int
        Channels that come in and go out.
    size : int or (int, int)
        Height and width of the kernel.
    stride : int
        Step of the kernel; 2 halves height and width.
    padded : bool
        Whether zeros around the maps keep their size (at stride 1).
    norm : bool
        Whether there is batch normalisation; without it the convolution has a bias.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        size: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padded: bool = True,
        norm: bool = True,
    ) -> None:
        super().__init__()
        kernel = (size, size) if isinstance(size, int) else size
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
        self.conv = nn.Conv2d(
            in_channels, channels, kernel, stride=stride, padding=padding, bias=not norm
        )
        self.bn = nn.BatchNorm2d(channels, eps=0.001) if norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H', W')``."""
        return self.relu(self.bn(self.conv(x)))


class StochasticDepth(nn.Module):
    """Leave out what a block adds, for some training images at random.

    Huang et al., "Deep networks with stochastic depth", ECCV 2016. The paper drops a block for a
    whole batch and scales it at test time; here each image draws for itself, and what stays is
    divided by the chance to stay, so that nothing is left to do when predicting.

    Parameters
    ----------
    drop : float
        Chance that an image goes past the block, within [0, 1).
    """

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, residual: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        if not self.training or self.drop == 0:
            return residual
        stay = 1 - self.drop
        kept = torch.rand(len(residual), 1, 1, 1, device=residual.device) < stay
        return residual * (kept.to(residual.dtype) / stay)

    def extra_repr(self) -> str:
        """Return what stands in the printed form."""
        return f"drop={self.drop:.3g}"


def initialise(model: nn.Module) -> None:
    """Draw convolutions after He et al. (ICCV 2015), so that signals keep their variance."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def scaled(channels: int, width: int, full: int) -> int:
    """Return the channels of a layer in a network of another width, at least one.

    Parameters
    ----------
    channels : int
        Channels of the layer in the paper.
    width, full : int
        Channels of the first layer here, and in the paper.
    """
    return max(1, channels * width // full)
