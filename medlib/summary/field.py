"""The receptive field, carried from operation to operation.

A unit at position ``i`` of a feature map sees the input pixels from ``low + i * jump`` to
``high + i * jump`` along each axis. A convolution widens that range by ``(kernel - 1) * jump``
and multiplies the jump by its stride (Araujo, Norris and Sim, "Computing receptive fields of
convolutional neural networks", Distill 2019). Where branches meet, the range is their union.
"""

from dataclasses import dataclass, replace
from math import ceil, inf

Pair = tuple[float, float]


@dataclass(frozen=True)
class Field:
    """The input pixels that a unit depends on, by axis (vertical, horizontal).

    Attributes
    ----------
    low, high : (float, float)
        First and last pixel that unit 0 sees; negative in the padding.
    jump : (float, float)
        Distance, in input pixels, of what two neighbouring units see.
    channels : int
        Channels of the map; a product over more features than these mixes positions.
    whole : bool
        Whether every unit sees the whole image, as after global pooling or attention.
    """

    low: Pair = (0.0, 0.0)
    high: Pair = (0.0, 0.0)
    jump: Pair = (1.0, 1.0)
    channels: int = 1
    whole: bool = False

    @property
    def size(self) -> float:
        """Edge length in pixels, the longer one; infinite where the whole image is seen."""
        if self.whole:
            return inf
        return float(max(ceil(h - lo) + 1 for lo, h in zip(self.low, self.high, strict=True)))

    def slide(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> "Field":
        """Return the field after a sliding window: a convolution or a pooling."""
        axes = range(2)
        low = [self.low[a] - padding[a] * self.jump[a] for a in axes]
        reach = [(kernel[a] - 1) * dilation[a] * self.jump[a] for a in axes]
        high = [self.high[a] - padding[a] * self.jump[a] + reach[a] for a in axes]
        jump = [self.jump[a] * stride[a] for a in axes]
        return replace(self, low=tuple(low), high=tuple(high), jump=tuple(jump))

    def spread(self, kernel: Pair, stride: Pair) -> "Field":
        """Return the field after a transposed convolution or an interpolation.

        A unit then depends on at most ``ceil(kernel / stride)`` units of the smaller map.
        """
        axes = range(2)
        reach = [(ceil(kernel[a] / stride[a]) - 1) * self.jump[a] for a in axes]
        low = [self.low[a] - reach[a] for a in axes]
        jump = [self.jump[a] / stride[a] for a in axes]
        return replace(self, low=tuple(low), jump=tuple(jump))

    def join(self, other: "Field") -> "Field":
        """Return the field of a unit that depends on a unit of each of two maps."""
        return Field(
            low=tuple(map(min, self.low, other.low)),
            high=tuple(map(max, self.high, other.high)),
            jump=tuple(map(min, self.jump, other.jump)),
            channels=max(self.channels, other.channels),
            whole=self.whole or other.whole,
        )
