"""From cases to arrays: each file is read once, and what cannot be used is listed, with why."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medlib.own.burned import looks_burned_in
from medlib.own.cases import Case, Found, OwnDataError, Skipped
from medlib.own.volumes import read_plane
from medlib.pictures import PictureError, Pixels, bring_to, fit_square, read_pixels

__all__ = ["Facts", "Pictures", "read_case", "read_cases", "usual_sizes"]

SCRATCH, FEATURES = 64, 128  # largest side of the pictures of the two candidates, pixels
SMALLEST = 28
SAMPLE = 25  # pictures that are looked at to settle the sizes
NEAR = 16  # side of the grid whose steps tell near copies


@dataclass(frozen=True)
class Facts:
    """What is known of a picture as its file holds it.

    Attributes
    ----------
    width, height : int
        Pixels.
    mean, spread : float
        Of the intensities, 0 to 255.
    digest : str
        The same for pictures with the same pixels.
    near : bytes
        The same for pictures that differ little: which neighbouring cells grow brighter.
    burned_in : bool
        Whether text seems to be burned into the pixels, or the file says so.
    changes : tuple of str
        What was done to its intensities.
    """

    width: int
    height: int
    mean: float
    spread: float
    digest: str
    near: bytes
    burned_in: bool
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """All usable pictures, aligned.

    Attributes
    ----------
    cases : tuple of Case
    images : dict of int to ndarray
        By side length ``(N, C, S, S)`` uint8.
    facts : tuple of Facts
    skipped : tuple of Skipped
        Files that could not be used, with those of the search.
    """

    cases: tuple[Case, ...]
    images: dict[int, np.ndarray]
    facts: tuple[Facts, ...]
    skipped: tuple[Skipped, ...]

    @property
    def channels(self) -> int:
        """1 for grey pictures, 3 where any has colours."""
        return next(iter(self.images.values())).shape[1]

    def take(self, rows: Sequence[int], skipped: Sequence[Skipped] = ()) -> "Pictures":
        """Return the pictures at `rows`; `skipped` says why others are left out."""
        return Pictures(
            tuple(self.cases[i] for i in rows),
            {size: images[list(rows)] for size, images in self.images.items()},
            tuple(self.facts[i] for i in rows),
            (*self.skipped, *skipped),
        )


def read_case(case: Case) -> Pixels:
    """Read the picture of a case in its own size.

    Raises
    ------
    PictureError
        Where the file cannot be used.
    """
    return read_pixels(case.path) if case.plane is None else read_plane(case.path, case.plane)


def usual_sizes(found: Found, size: int | None = None) -> tuple[int, int]:
    """Return the side lengths for the training from scratch and for the pretrained network.

    They follow the shorter sides of a sample of the pictures, so that small ones are not blown up.
    """
    if size is not None:
        return size, size
    step = max(1, len(found.cases) // SAMPLE)
    sides = []
    for case in found.cases[::step][:SAMPLE]:
        try:
            sides.append(min(read_case(case).values.shape[:2]))
        except PictureError:
            continue
    side = max(SMALLEST, int(np.median(sides))) if sides else SCRATCH
    return min(side, SCRATCH), min(side, FEATURES)


def read_cases(
    found: Found,
    sizes: Sequence[int],
    *,
    fit: str = "squeeze",
    progress: Callable[[int], None] | None = None,
) -> Pictures:
    """Read all cases.

    Parameters
    ----------
    found : Found
        From `medlib.own.finding.find_cases`.
    sizes : sequence of int
        Side lengths that the pictures are brought to, each from the file's own size.
    fit : {"squeeze", "crop", "pad"}
        What becomes of a picture that is not square.
    progress : callable, optional
        Called with the number of files read so far.

    Raises
    ------
    OwnDataError
        Where no file can be used.
    """
    cases, facts, squares, skipped = [], [], [], list(found.skipped)
    for number, case in enumerate(found.cases, start=1):
        try:
            pixels = read_case(case)
        except PictureError as why:
            skipped.append(Skipped(case.shown, str(why)))
            continue
        finally:
            if progress is not None:
                progress(number)
        values = _plain(pixels.values)
        cases.append(case)
        facts.append(_facts(case, values, pixels.changes))
        squares.append([fit_square(values, size, fit)[0] for size in sizes])
    if not cases:
        raise OwnDataError(f"none of the {len(found.cases)} pictures can be used; the first one, "
                           f"{skipped[0].shown}: {skipped[0].why}")  # fmt: skip
    channels = 3 if any(one[0].ndim == 3 for one in squares) else 1
    images = {size: _stacked(squares, k, channels, size) for k, size in enumerate(sizes)}
    return Pictures(tuple(cases), images, tuple(facts), tuple(skipped))


def _stacked(squares: list[list[np.ndarray]], k: int, channels: int, size: int) -> np.ndarray:
    return np.stack([bring_to(one[k], channels=channels, size=size)[0] for one in squares])


def _plain(values: np.ndarray) -> np.ndarray:
    """Return grey where a colour picture holds nothing but grey."""
    if values.ndim == 3 and (values == values[..., :1]).all():
        return np.ascontiguousarray(values[..., 0])
    return values


def _facts(case: Case, values: np.ndarray, changes: tuple[str, ...]) -> Facts:
    height, width = values.shape[:2]
    grey = values if values.ndim == 2 else values.mean(axis=2).astype(np.uint8)
    digest = hashlib.sha256(f"{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return Facts(
        width,
        height,
        float(values.mean()),
        float(values.std()),
        digest.hexdigest(),
        _near(grey),
        case.burned_in or looks_burned_in(grey),
        changes,
    )


def _near(grey: np.ndarray) -> bytes:
    """Return which of 16 x 17 cells are brighter than their left neighbours (difference hash)."""
    from PIL import Image

    small = Image.fromarray(grey).resize((NEAR + 1, NEAR), Image.Resampling.BOX)
    cells = np.asarray(small).astype(int)
    return np.packbits(np.diff(cells, axis=1) > 0).tobytes()
