"""Around other networks: a class beside a mask, a class or a mask out of a map, smaller images."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.models.checks import ModelError


class Heads(NamedTuple):
    """The logits of a network with two heads.

    Attributes
    ----------
    label : Tensor
        ``(N, K)``: what the image shows.
    mask : Tensor
        ``(N, M, H, W)``: what each pixel shows.
    """

    label: Tensor
    mask: Tensor


class TwoHeads(nn.Module):
    """A segmenter that also names the image, from the maps at the bottom of its way down.

    Parameters
    ----------
    segmenter : nn.Module
        With ``encode(images)``, which returns maps whose last are the coarsest, ``decode(maps)``,
        which returns logits of pixels, and ``bottom``, the channels of the coarsest; a `UNet`.
    num_classes : int
        Classes, or labels, of the image.
    dropout : float
        Share of the averaged maps that dropout sets to zero.
    """

    def __init__(self, segmenter: nn.Module, *, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not all(hasattr(segmenter, name) for name in ("encode", "decode", "bottom")):
            raise ModelError(
                f"two heads need a network with encode, decode and bottom, such as a unet; "
                f"{type(segmenter).__name__} has not all of them"
            )
        self.segmenter = segmenter
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(segmenter.bottom, num_classes),
        )

    def forward(self, images: Tensor) -> Heads:
        """Map images ``(N, C, H, W)`` to logits ``(N, K)`` and ``(N, M, H, W)``."""
        maps = self.segmenter.encode(images)
        return Heads(self.classifier(maps[-1]), self.segmenter.decode(maps))


class PooledMaps(nn.Module):
    """A fully convolutional classifier: the class of the image is the mean of its pixels' logits.

    Trained on labels alone it leaves a map of where it saw each class (Zhou et al., "Learning deep
    features for discriminative localization", CVPR 2016, have the same in another order).

    Parameters
    ----------
    segmenter : nn.Module
        Maps images to ``(N, K, H, W)``, K being the classes of the image; such as an `FCN`.
    """

    def __init__(self, segmenter: nn.Module) -> None:
        super().__init__()
        self.segmenter = segmenter

    def maps(self, images: Tensor) -> Tensor:
        """Return the logits of each place, ``(N, K, H, W)``."""
        return self.segmenter(images)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, K)``."""
        return self.maps(images).mean((2, 3))


class MaskFromMaps(nn.Module):
    """Masks of a classifier trained on labels alone: where its map of the named class is high.

    In each image the map is scaled from 0, its lowest place, to 1, its highest, and cut at a
    threshold, as class activation maps are (Zhou et al., CVPR 2016). An image whose class has no
    lesion gets an empty mask.

    Parameters
    ----------
    network : nn.Module
        With ``maps(images)``: `PooledMaps`, or `Reduced` around one.
    lesions : tuple of int
        The classes that have a lesion.
    threshold : float
        From 0 to 1; what lies above it is lesion.
    """

    def __init__(
        self, network: nn.Module, *, lesions: tuple[int, ...], threshold: float = 0.5
    ) -> None:
        super().__init__()
        self.network, self.lesions, self.threshold = network, lesions, threshold

    def heat(self, images: Tensor) -> Tensor:
        """Return the scaled map of the class that each image is given, ``(N, H, W)``.

        It is 0 everywhere where that class has no lesion.
        """
        maps = self.network.maps(images)
        named = maps.mean((2, 3)).argmax(1)
        heat = maps[torch.arange(len(maps)), named]
        lowest, highest = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
        heat = (heat - lowest) / (highest - lowest).clamp(min=1e-12)
        shown = torch.isin(named, torch.tensor(self.lesions, device=named.device))
        return heat * shown[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, 2, H, W)`` of background and lesion."""
        heat = self.heat(images)
        return torch.stack([torch.full_like(heat, self.threshold), heat], dim=1)


class Reduced(nn.Module):
    """A network that sees images at a fraction of their size; its maps are enlarged again.

    A segmenter so learns at 64 pixels and still answers for each of 128: a quarter of the work.

    Parameters
    ----------
    network : nn.Module
        Gives logits ``(N, K)`` or ``(N, M, h, w)``, or `Heads`.
    factor : int
        How many pixels along each side become one, by their mean.
    """

    def __init__(self, network: nn.Module, *, factor: int = 2) -> None:
        super().__init__()
        if factor < 1:
            raise ModelError(f"factor must be at least 1, got {factor}")
        self.network, self.factor = network, factor

    def forward(self, images: Tensor) -> Tensor | Heads:
        """Map images ``(N, C, H, W)`` to logits ``(N, K)`` or ``(N, M, H, W)``, or to both."""
        outputs = self.network(functional.avg_pool2d(images, self.factor, ceil_mode=True))
        size = images.shape[-2:]
        if isinstance(outputs, Heads):
            return Heads(outputs.label, _enlarged(outputs.mask, size))
        return _enlarged(outputs, size) if outputs.ndim == 4 else outputs

    def maps(self, images: Tensor) -> Tensor:
        """Return the logits of each place of a network that pools them, ``(N, K, H, W)``."""
        maps = self.network.maps(functional.avg_pool2d(images, self.factor, ceil_mode=True))
        return _enlarged(maps, images.shape[-2:])


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
