"""`Augment`: how far images may be changed, and the batch that is drawn and changed at once."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from medlib.augment import geometry, intensity, mixing, trivial
from medlib.errors import MedlibError

CHUNK = 2**17  # numbers changed at once: 512 KB, so that all steps on them stay in a core's cache
SHARES = ("erase", "trivial", "mixed")


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
    sigma : Tensor or None
        Standard deviation of the blur in pixels, ``(N,)``; like all below, None where not asked
        for.
    operation, strength : Tensor or None
        Position in `OPERATIONS` and strength from -1 to 1, ``(N,)``.
    partner, share : Tensor or None
        Row of the image that is mixed in, and the share of the image itself, ``(N,)``.
    patch : Tensor or None
        Rectangle taken over from the partner, as `box`, ``(N, 4)``.
    turn : Tensor or None
        Turn of the hue as a share of the colour circle, ``(N,)``.
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
    sigma: Tensor | None = None
    operation: Tensor | None = None
    strength: Tensor | None = None
    partner: Tensor | None = None
    share: Tensor | None = None
    patch: Tensor | None = None
    turn: Tensor | None = None

    def rows(self, chosen: slice) -> "Draw":
        """Return the numbers of some of the samples."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        cut = {k: v[chosen] if isinstance(v, Tensor) else v for k, v in values.items()}
        return Draw(**cut)


@dataclass(frozen=True)
class Augment:
    """How far images may be changed; every sample draws its own numbers.

    Images are changed in this order: the one operation of `trivial`, flips and the affine map,
    hue, contrast and brightness, blur, noise, erasing, and last the mixing of two images.

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
    blur : float
        Largest standard deviation of a Gaussian blur, in pixels; each sample draws its own.
    trivial : float
        Largest strength of one random operation a sample (`OPERATIONS`; after Müller and Hutter,
        "TrivialAugment", ICCV 2021), as a share of the paper's wide search space; 0 for none.
    mixup, cutmix : float
        Parameter of the Beta distribution of the shares in which two images are blended (Zhang et
        al., ICLR 2018) or a patch is pasted (Yun et al., ICCV 2019); 0 for none. With both, a coin
        decides for each sample. They change the labels: see `with_labels`.
    mixed : float
        Share of the samples that `mixup` and `cutmix` mix.
    fill : {"zeros", "border", "reflection"}
        What is seen beyond the image's border.
    hue : float
        Largest turn of the hue to either side, as a share of the colour circle; 0.5 makes every
        hue as likely. For colour images alone.
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
    blur: float = 0.0
    trivial: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed: float = 1.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "fill" and value < 0:
                raise MedlibError(f"Augment: {field.name} must be 0 or more, got {value}")
        if self.fill not in geometry.FILLS:
            raise MedlibError(f"Augment: fill must be one of {geometry.FILLS}, got {self.fill!r}")
        for name in SHARES:
            if getattr(self, name) > 1:
                what = "a probability" if name == "erase" else "a share, at most 1"
                raise MedlibError(f"Augment: {name} is {what}, got {getattr(self, name)}")
        if self.hue > 0.5:
            raise MedlibError(
                f"Augment: hue is a share of the colour circle, at most 0.5 to either side, got "
                f"{self.hue}"
            )

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
            noise_seed=mixing.draw_seed(generator) if self.noise else 0,
            box=intensity.erased_boxes(u[9:], self.erase),
            **self._draw_more(count, device, generator),
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
        if self.trivial:
            unit = intensity.to_unit(images)
            images = trivial.change(unit, draw.operation, draw.strength, self.fill)
        result = torch.empty(images.shape, dtype=torch.float32, device=images.device)
        maps = self._maps(draw, images.shape[-2:])
        noise = torch.Generator(images.device).manual_seed(draw.noise_seed)
        for rows in _chunks(images):
            part = images[rows]
            if maps is not None:
                part = geometry.move(intensity.to_unit(part), maps[rows], self.fill)
            result[rows] = part
            if part.dtype == torch.uint8:
                result[rows].div_(255)
            self._change(result[rows], draw, rows, noise)
        if not self.mixes:
            return result
        return mixing.mix_images(result, draw.partner, draw.share, draw.patch)

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw and apply in one step; see `apply`."""
        if self.mixes:
            raise MedlibError(
                "Augment: mixup and cutmix change the labels too: call "
                "with_labels(images, labels, num_classes) instead"
            )
        draw = self.draw(len(images), device=str(images.device), generator=generator)
        return self.apply(images, draw)

    def with_labels(
        self,
        images: Tensor,
        labels: Tensor,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw, and change images and labels; without mixing the labels are returned as they are.

        Parameters
        ----------
        images : Tensor
            As in `apply`.
        labels : Tensor
            ``(N,)`` classes or ``(N, K)`` findings, each 0 or 1.
        num_classes : int
            How many classes there are.

        Returns
        -------
        images, labels : Tensor
            The labels as probabilities ``(N, K)`` float32 where the recipe mixes images.
        """
        draw = self.draw(len(images), device=str(images.device), generator=generator)
        if self.mixes:
            labels = self.mix_labels(labels, draw, num_classes, images.shape[-2:])
        return self.apply(images, draw), labels

    def mix_labels(
        self, labels: Tensor, draw: Draw, num_classes: int, size: tuple[int, int]
    ) -> Tensor:
        """Return the labels of mixed images of `size` (height, width); see `mixing.mix_labels`."""
        return mixing.mix_labels(
            labels, draw.partner, draw.share, draw.patch, num_classes=num_classes, size=size
        )

    def apply_to_masks(self, masks: Tensor, draw: Draw) -> Tensor:
        """Move masks ``(N, H, W)`` of class numbers as `apply` moves the images of the same draw.

        Each pixel takes the class of the nearest one. What changes intensities only leaves the
        masks alone: a lesion that an erased rectangle hides is still there.

        Raises
        ------
        MedlibError
            For mixup and cutmix, which this library mixes labels for, not masks.
        """
        if self.mixes:
            raise MedlibError(
                "Augment: mixup and cutmix mix labels, not masks: train masks without them"
            )
        size, moved = masks.shape[-2:], masks[:, None].float()
        first = trivial.maps(draw.operation, draw.strength, size) if self.trivial else None
        for maps in (first, self._maps(draw, size)):
            if maps is not None:
                moved = geometry.move(moved, maps, self.fill, mode="nearest")
        return moved[:, 0].to(masks.dtype)

    @property
    def mixes(self) -> bool:
        """Whether two images may become one, and their labels with them."""
        return bool(self.mixup or self.cutmix)

    @property
    def _moves(self) -> bool:
        """Whether any pixel may change its place."""
        flips = self.flip_horizontal or self.flip_vertical
        return bool(flips or self.rotation or self.shear or self.scale or self.shift)

    def _draw_more(
        self, count: int, device: str, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Draw what came later, after all else, so that older recipes keep their numbers."""
        where, more = {"device": device, "generator": generator}, {}
        if self.blur:
            more["sigma"] = torch.rand(count, **where) * self.blur
        if self.trivial:
            more["operation"] = torch.randint(len(trivial.OPERATIONS), (count,), **where)
            more["strength"] = (2 * torch.rand(count, **where) - 1) * self.trivial
        if self.mixes:
            mix = mixing.draw_mix(count, self.mixup, self.cutmix, self.mixed, **where)
            more |= dict(zip(("partner", "share", "patch"), mix, strict=True))
        if self.hue:
            more["turn"] = (2 * torch.rand(count, **where) - 1) * self.hue
        return more

    def _maps(self, draw: Draw, size: tuple[int, int]) -> Tensor | None:
        """Return the affine maps ``(N, 2, 3)``, or None where no pixel changes its place."""
        if not self._moves:
            return None
        names = ("mirrored", "upended", "angle", "shear", "zoom", "right", "down")
        return geometry.inverse_maps(*(getattr(draw, n) for n in names), size)

    def _change(self, images: Tensor, draw: Draw, rows: slice, noise: torch.Generator) -> None:
        """Change intensities of float images in place; they are these rows of the draw."""
        if self.hue:
            intensity.turn_hue(images, draw.turn[rows])
        if self.contrast or self.brightness:
            intensity.change_contrast(images, draw.contrast[rows], draw.brightness[rows])
        if self.blur:
            intensity.blur(images, draw.sigma[rows], intensity.blur_radius(self.blur))
        if self.noise:
            intensity.add_noise(images, self.noise, noise)
        if self.erase:
            intensity.erase(images, draw.box[rows])
        images.clamp_(0, 1)


def _chunks(images: Tensor) -> list[slice]:
    """Return the rows that are changed together: all on a GPU, as many as a cache holds on a CPU.

    The result is that of the whole batch at once, to the last bit: chunks are multiples of 16
    images, since torch draws Gaussian numbers 16 at a time, and none holds a single image, for
    which the matrix product of its grid would be rounded differently.
    """
    count = len(images)
    if images.device.type != "cpu":
        return [slice(0, count)]
    size = max(16, CHUNK // max(1, images[:1].numel()) // 16 * 16)
    starts = list(range(0, max(1, count - 1), size))
    return [slice(*ends) for ends in zip(starts, [*starts[1:], count], strict=True)]
