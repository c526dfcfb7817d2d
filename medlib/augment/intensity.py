"""What pixels show: hue, contrast, brightness, blur, noise, erased rectangles, one draw a sample.

The functions change float images ``(N, C, H, W)`` in place: each pass over the pixels that is
saved counts, since augmentation competes with small networks for the processor.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from medlib.augment.geometry import column, inside
from medlib.errors import MedlibError

REACH = 3.0  # standard deviations at which a Gaussian blur is cut off


def to_unit(images: Tensor) -> Tensor:
    """Return images as float32 with intensities in [0, 1]; uint8 is divided by 255."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def change_contrast(images: Tensor, contrast: Tensor, brightness: Tensor) -> None:
    """Stretch intensities about each image's mean by a factor, then add a number, both ``(N,)``."""
    mean = images.mean((1, 2, 3), keepdim=True)
    images.sub_(mean).mul_(column(contrast)).add_(mean).add_(column(brightness))


def turn_hue(images: Tensor, turn: Tensor) -> None:
    """Turn the hue of colour images by a share of the colour circle, ``(N,)``.

    Hue, saturation and value as in the hexcone model (Smith, "Color gamut transform pairs",
    SIGGRAPH 1978); saturation and value stay as they are, and so does a pixel without colour.

    Raises
    ------
    MedlibError
        For images that do not have the three channels red, green and blue.
    """
    if images.shape[1] != 3:
        raise MedlibError(
            f"Augment: hue is a property of red, green and blue; these images have "
            f"{images.shape[1]} channel(s): leave hue at 0"
        )
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    unit = torch.where(chroma == 0, 1, chroma)
    hue = torch.where(  # in sixths of the circle, from red
        value == red,
        (green - blue) / unit,
        torch.where(value == green, 2 + (blue - red) / unit, 4 + (red - green) / unit),
    )
    hue = hue + 6 * turn[:, None, None]
    for channel, offset in zip((red, green, blue), (5, 3, 1), strict=True):
        place = torch.remainder(hue + offset, 6)
        channel.copy_(value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1))


def blur(images: Tensor, sigma: Tensor, radius: int) -> None:
    """Blur each image with a Gaussian of its own standard deviation, ``(N,)`` in pixels.

    The Gaussian is cut off at `radius` pixels; images go on by reflection at their border, the
    outermost pixel not repeated. A standard deviation of 0 changes nothing.
    """
    if radius >= min(images.shape[-2:]):
        raise MedlibError(
            f"Augment: blur reaches {radius} pixels, which images of {tuple(images.shape[-2:])} "
            "cannot be reflected for: choose a smaller blur"
        )
    steps = torch.arange(radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (steps / sigma[:, None].clamp(min=1e-3)) ** 2)  # (N, radius + 1)
    weights = weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])
    for dim in (2, 3):
        images.copy_(_smooth(images, weights, dim))


def blur_radius(sigma: float) -> int:
    """Return the pixels that a Gaussian blur reaches to either side."""
    return math.ceil(REACH * sigma)


def add_noise(images: Tensor, deviation: float, generator: torch.Generator) -> None:
    """Add Gaussian noise of one standard deviation."""
    noise = torch.randn(images.shape, device=images.device, generator=generator)
    images.add_(noise.mul_(deviation))


def erase(images: Tensor, box: Tensor) -> None:
    """Replace what lies in each sample's rectangle, ``(N, 4)``, by that sample's mean."""
    mask = inside(box, images.shape[-2:])
    # A weight of 0 keeps the pixel and a weight of 1 takes the mean, both to the last bit.
    images.lerp_(images.mean((1, 2, 3), keepdim=True), mask)


def erased_boxes(u: Tensor, probability: float) -> Tensor:
    """Turn five rows of even numbers into rectangles ``(N, 4)``, empty where nothing is erased."""
    area = 0.02 + 0.18 * u[0]
    aspect = torch.exp((2 * u[1] - 1) * math.log(3.0))
    height, width = (area * aspect).sqrt(), (area / aspect).sqrt()
    hit = (u[2] < probability).float()
    top, left = u[3] * (1 - height), u[4] * (1 - width)
    return torch.stack([top, left, top + hit * height, left + width], dim=1)


def _smooth(images: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Weigh each pixel and its neighbours along one axis; weights of distances 0, 1, ..."""
    radius, length = weights.shape[1] - 1, images.shape[dim]
    margins = (radius, radius, 0, 0) if dim == 3 else (0, 0, radius, radius)
    padded = functional.pad(images, margins, mode="reflect")
    result = images * column(weights[:, 0])
    for distance in range(1, radius + 1):
        before = padded.narrow(dim, radius - distance, length)
        after = padded.narrow(dim, radius + distance, length)
        result.addcmul_(before + after, column(weights[:, distance]))
    return result
