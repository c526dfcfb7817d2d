"""Random changes of images that keep their label: batched, one draw a sample, replayable."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from medlib.errors import MedlibError

FILLS = ("zeros", "border", "reflection")


@dataclass(frozen=True)
class Draw:
    """The random numbers of one augmented batch: with them, `Augment.apply` repeats it exactly.

    Attributes
    ----------
    mirrored, upended : Tensor
        Whether to flip left-right and top-bottom, ``(N,)`` bool.
    angle : Tensor
        Rotation in degrees, counter-clockwise as seen on the screen, ``(N,)``.
    shear : Tensor
        Shear along the rows in degrees, ``(N,)``.
    zoom : Tensor
        Factor by which the content grows, ``(N,)``.
    right, down : Tensor
        Shift of the content as a share of width and height, ``(N,)``.
    contrast, brightness : Tensor
        Factor about the image's mean, and what is added, on intensities in [0, 1], ``(N,)``.
    noise_seed : int
        Seed of the Gaussian noise.
    box : Tensor
        Erased rectangle as top, left, bottom, right in shares of the image, ``(N, 4)``; empty
        where top equals bottom.
    """

    mirrored: Tensor
    upended: Tensor
    angle: Tensor
    shear: Tensor
    zoom: Tensor
    right: Tensor
    down: Tensor
    contrast: Tensor
    brightness: Tensor
    noise_seed: int
    box: Tensor


@dataclass(frozen=True)
class Augment:
    """How far images may be changed; every sample draws its own numbers.

    Attributes
    ----------
    flip_horizontal, flip_vertical : bool
        Whether half of the images are flipped left-right, top-bottom.
    rotation, shear : float
        Largest angle in degrees, to either side.
    scale : float
        Largest change of size: 0.1 draws factors from 1 / 1.1 to 1.1, evenly in the logarithm.
    shift : float
        Largest shift along each axis, as a share of the image.
    contrast, brightness : float
        Largest change of the contrast factor (drawn from 1 - c to 1 + c) and of the intensity
        (on a scale from 0 to 1).
    noise : float
        Standard deviation of Gaussian noise, on a scale from 0 to 1.
    erase : float
        Probability that a rectangle of 2 to 20 % of the image becomes its mean
        (Zhong et al., "Random erasing data augmentation", AAAI 2020).
    fill : {"zeros", "border", "reflection"}
        What is seen beyond the image's border.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    fill: str = "border"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "fill" and value < 0:
                raise MedlibError(f"Augment: {field.name} must be 0 or more, got {value}")
        if self.fill not in FILLS:
            raise MedlibError(f"Augment: fill must be one of {FILLS}, got {self.fill!r}")
        if self.erase > 1:
            raise MedlibError(f"Augment: erase is a probability, got {self.erase}")

    def draw(
        self, count: int, *, device: str = "cpu", generator: torch.Generator | None = None
    ) -> Draw:
        """Draw the numbers for a batch of `count` images (from torch's own state by default)."""
        u = torch.rand(14, count, device=device, generator=generator)
        even = 2 * u - 1  # between -1 and 1
        return Draw(
            mirrored=(u[0] < 0.5) & self.flip_horizontal,
            upended=(u[1] < 0.5) & self.flip_vertical,
            angle=even[2] * self.rotation,
            shear=even[3] * self.shear,
            zoom=torch.exp(even[4] * math.log1p(self.scale)),
            right=even[5] * self.shift,
            down=even[6] * self.shift,
            contrast=1 + even[7] * self.contrast,
            brightness=even[8] * self.brightness,
            noise_seed=self._noise_seed(generator) if self.noise else 0,
            box=_boxes(u[9:], self.erase),
        )

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Change a batch as drawn.

        Parameters
        ----------
        images : Tensor
            ``(N, C, H, W)``, uint8, or float with intensities in [0, 1].
        draw : Draw
            One number of each kind a sample.

        Returns
        -------
        Tensor
            ``(N, C, H, W)`` float32 with intensities in [0, 1].
        """
        x = to_unit(images)
        if self._moves:
            grid = _grid(_matrices(draw, x), *x.shape[-2:])
            x = functional.grid_sample(x, grid, padding_mode=self.fill, align_corners=False)
        if self.contrast or self.brightness:
            mean = x.mean((1, 2, 3), keepdim=True)
            x = (x - mean) * _column(draw.contrast) + mean + _column(draw.brightness)
        if self.noise:
            generator = torch.Generator(x.device).manual_seed(draw.noise_seed)
            x = x + self.noise * torch.randn(x.shape, device=x.device, generator=generator)
        if self.erase:
            x = _erase(x, draw.box)
        return x.clamp(0, 1)

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw and apply in one step; see `apply`."""
        draw = self.draw(len(images), device=str(images.device), generator=generator)
        return self.apply(images, draw)

    @property
    def _moves(self) -> bool:
        """Whether any pixel may change its place."""
        flips = self.flip_horizontal or self.flip_vertical
        return bool(flips or self.rotation or self.shear or self.scale or self.shift)

    @staticmethod
    def _noise_seed(generator: torch.Generator | None) -> int:
        """Draw the seed of the noise, on the CPU where the batch's own generator is there."""
        device = "cpu" if generator is None else generator.device
        return int(torch.randint(2**31, (1,), device=device, generator=generator))


def to_unit(images: Tensor) -> Tensor:
    """Return images as float32 with intensities in [0, 1]; uint8 is divided by 255."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def _column(values: Tensor) -> Tensor:
    """Shape ``(N,)`` to ``(N, 1, 1, 1)``."""
    return values[:, None, None, None]


def _matrices(draw: Draw, images: Tensor) -> Tensor:
    """Return the affine maps ``(N, 2, 3)`` from places in the result to places in the image.

    The content is flipped, sheared, zoomed, turned and shifted, in this order; the map that
    `affine_grid` needs is the inverse, in coordinates from -1 to 1 along each axis.
    """
    height, width = images.shape[-2:]
    angle, shear = torch.deg2rad(draw.angle), torch.tan(torch.deg2rad(draw.shear))
    cos, sin = torch.cos(angle) / draw.zoom, torch.sin(angle) / draw.zoom
    flip_x = 1.0 - 2.0 * draw.mirrored.float()
    flip_y = 1.0 - 2.0 * draw.upended.float()
    # Inverse of (turn . zoom . shear . flip): flip . unshear . turn back / zoom, in pixels.
    xx, xy = flip_x * (cos - shear * sin), flip_x * (-sin - shear * cos)
    yx, yy = flip_y * sin, flip_y * cos
    xy, yx = xy * (height / width), yx * (width / height)  # pixels to shares
    right, down = 2 * draw.right, 2 * draw.down
    rows = [xx, xy, -(xx * right + xy * down), yx, yy, -(yx * right + yy * down)]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Return `affine_grid`'s ``(N, H, W, 2)``, by one matrix product: several times as fast."""
    x = (torch.arange(width, device=matrices.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=matrices.device) * 2 + 1) / height - 1
    places = torch.stack(
        [x.repeat(height), y.repeat_interleave(width), torch.ones_like(x[0]).expand(height * width)]
    )
    grid = matrices.view(-1, 3) @ places  # (2 N, H W)
    return grid.view(-1, 2, height, width).permute(0, 2, 3, 1)


def _boxes(u: Tensor, probability: float) -> Tensor:
    """Turn five rows of even numbers into rectangles ``(N, 4)``, empty where nothing is erased."""
    area = 0.02 + 0.18 * u[0]
    aspect = torch.exp((2 * u[1] - 1) * math.log(3.0))
    height, width = (area * aspect).sqrt(), (area / aspect).sqrt()
    hit = (u[2] < probability).float()
    top, left = u[3] * (1 - height), u[4] * (1 - width)
    return torch.stack([top, left, top + hit * height, left + width], dim=1)


def _erase(images: Tensor, box: Tensor) -> Tensor:
    """Replace what lies in each sample's rectangle by that sample's mean."""
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device=images.device) + 0.5) / height
    columns = (torch.arange(width, device=images.device) + 0.5) / width
    top, left, bottom, right = (box[:, i, None] for i in range(4))
    down = (rows >= top) & (rows < bottom)  # (N, H)
    across = (columns >= left) & (columns < right)  # (N, W)
    inside = down[:, None, :, None] & across[:, None, None, :]
    return torch.where(inside, images.mean((1, 2, 3), keepdim=True), images)
