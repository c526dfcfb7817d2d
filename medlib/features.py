"""Features made by hand: pixels, histograms, sharpness, gradients, local patterns, co-occurrence.

Each function turns images ``(N, C, H, W)`` uint8 into a `FeatureTable`: numbers ``(N, F)`` float64
and the name of each column. `ImageFeatures` is the same as a scikit-learn transformer, so that a
pipeline takes images.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.feature import hog as skimage_hog
from sklearn.base import BaseEstimator, TransformerMixin

from medlib.errors import MedlibError

ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
CHUNK = 128  # pictures whose co-occurrence matrices are held at once
COOCCURRENCE = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation")


class FeatureTable(NamedTuple):
    """Features of images: ``values`` (N, F) float64, ``names`` of the F columns."""

    values: np.ndarray
    names: list[str]


class FeatureError(MedlibError, ValueError):
    """Images or options from which no features can be made."""


def pixels(images: np.ndarray) -> FeatureTable:
    """Return the intensities themselves, from 0 to 1, row by row."""
    count, channels, height, width = _checked(images).shape
    places = np.ndindex(channels, height, width)
    names = [f"pixel channel {c} row {y} column {x}" for c, y, x in places]
    return FeatureTable(images.reshape(count, -1) / 255.0, names)


def intensity_histogram(images: np.ndarray, *, bins: int = 32) -> FeatureTable:
    """Return the share of the pixels in each of `bins` equal ranges of intensity, a channel.

    The place of a pixel has no part in it: shuffling an image changes nothing.
    """
    count, channels = _checked(images).shape[:2]
    if not 1 <= bins <= 256:
        raise FeatureError(f"bins must be from 1 to 256, got {bins}")
    levels = images.reshape(count * channels, -1).astype(np.int64) * bins // 256
    levels += bins * np.arange(count * channels)[:, None]  # a range of its own for each picture
    counts = np.bincount(levels.ravel(), minlength=count * channels * bins)
    values = counts.reshape(count, channels * bins) / images[0, 0].size
    edges = -(-256 * np.arange(bins + 1) // bins)
    ranges = [f"intensity {a} to {b - 1}" for a, b in zip(edges, edges[1:], strict=False)]
    return FeatureTable(values, _by_channel(ranges, channels))


def sharpness(images: np.ndarray) -> FeatureTable:
    """Return how sharp each channel is: one number, the standard deviation of its Laplacian.

    The Laplacian of a pixel is four times itself less its four neighbours. Fine detail and noise
    raise its spread, blur and haze lower it; where in the image they lie has no part in it. It is
    for audits (see `medlib.baselines.SharpnessRegression`) and not among `FEATURES`.
    """
    channels = _checked(images).shape[1]
    x = images.astype(np.float64)
    laplacian = 4 * x[:, :, 1:-1, 1:-1]
    laplacian -= x[:, :, :-2, 1:-1] + x[:, :, 2:, 1:-1] + x[:, :, 1:-1, :-2] + x[:, :, 1:-1, 2:]
    return FeatureTable(laplacian.std(axis=(2, 3)), _by_channel(["sharpness"], channels))


def hog(
    images: np.ndarray, *, orientations: int = 9, cells: int = 4, block: int = 2
) -> FeatureTable:
    """Return histograms of oriented gradients (Dalal and Triggs, CVPR 2005).

    Parameters
    ----------
    images : ndarray
        ``(N, C, H, W)`` uint8; of several channels the steepest counts at each pixel.
    orientations : int
        Bins of the gradient's angle, from 0 to 180 degrees.
    cells : int
        Cells along each side of the image, each with a histogram of its own.
    block : int
        Cells along each side of a block; the histograms of a block are normalised together.
    """
    height, width = _checked(images).shape[2:]
    if not 1 <= block <= cells <= min(height, width):
        raise FeatureError(
            f"hog needs block <= cells <= {min(height, width)} (the image's side), "
            f"got block={block} and cells={cells}"
        )
    options = {
        "orientations": orientations,
        "pixels_per_cell": (height // cells, width // cells),
        "cells_per_block": (block, block),
        "channel_axis": 0,
    }
    crop = images[:, :, : height // cells * cells, : width // cells * cells]
    values = np.stack([skimage_hog(image, **options) for image in crop])
    blocks = cells - block + 1
    places = np.ndindex(blocks, blocks, block, block, orientations)
    names = [
        f"gradient block {r},{c} cell {y},{x} at {o * 180 / orientations:g} degrees"
        for r, c, y, x, o in places
    ]
    return FeatureTable(values, names)


def local_binary_patterns(
    images: np.ndarray, *, points: int = 8, radii: Sequence[int] = (1, 2)
) -> FeatureTable:
    """Return histograms of rotation-invariant uniform patterns (Ojala et al., TPAMI 2002).

    Each pixel is compared with `points` neighbours on a circle. A pattern with at most two changes
    along the circle is named by its number of brighter neighbours; the rest share the last bin.
    Pixels whose circle leaves the image are left out.
    """
    count, channels, *side = _checked(images).shape
    if 2 * max(radii) >= min(side):
        raise FeatureError(f"radii must stay below half of {min(side)} pixels, got {tuple(radii)}")
    parts, names = [], []
    for radius in radii:
        inside = slice(radius, -radius)
        codes = [
            local_binary_pattern(picture, points, radius, method="uniform")[inside, inside]
            for picture in images.reshape(count * channels, *side)
        ]
        shares = [
            np.bincount(code.ravel().astype(np.int64), minlength=points + 2) / code.size
            for code in codes
        ]
        parts.append(np.stack(shares).reshape(count, -1))
        kinds = [f"pattern radius {radius} with {k} brighter" for k in range(points + 1)]
        names += _by_channel([*kinds, f"pattern radius {radius} not uniform"], channels)
    return FeatureTable(np.concatenate(parts, axis=1), names)


def cooccurrence(
    images: np.ndarray, *, distances: Sequence[int] = (1, 2), levels: int = 32
) -> FeatureTable:
    """Return texture features of grey-level co-occurrence (Haralick et al., 1973).

    Contrast, dissimilarity, homogeneity, angular second moment, correlation and entropy of the
    pairs of pixels at each distance, as mean and range over the four angles, as the paper advises.

    Parameters
    ----------
    images : ndarray
        ``(N, C, H, W)`` uint8.
    distances : sequence of int
        Distances of the pairs in pixels.
    levels : int
        Grey levels that intensities are reduced to.
    """
    count, channels, height, width = _checked(images).shape
    if not 2 <= levels <= 256 or max(distances) >= min(height, width):
        raise FeatureError(
            f"cooccurrence needs levels from 2 to 256 and distances below {min(height, width)}, "
            f"got {levels} and {tuple(distances)}"
        )
    grey = (images.reshape(-1, height, width).astype(np.int64) * levels // 256).astype(np.uint8)
    chunks = [
        _cooccurrence_of(grey[i : i + 128], distances, levels) for i in range(0, len(grey), 128)
    ]
    names = [
        f"{name.lower()} distance {d} {kind}"
        for kind in ("mean", "range")
        for name in (*COOCCURRENCE, "entropy")
        for d in distances
    ]
    values = np.concatenate(chunks).reshape(count, -1)
    return FeatureTable(values, _by_channel(names, channels))


FEATURES: dict[str, Callable[..., FeatureTable]] = {
    "pixels": pixels,
    "histogram": intensity_histogram,
    "hog": hog,
    "lbp": local_binary_patterns,
    "glcm": cooccurrence,
}


class ImageFeatures(TransformerMixin, BaseEstimator):
    """One of `FEATURES` as a scikit-learn transformer: images in, ``(N, F)`` out.

    Parameters
    ----------
    kind : str
        A key of `FEATURES`.
    options : dict, optional
        Keyword arguments of the function, such as ``{"bins": 16}``.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.svm import SVC
    >>> model = make_pipeline(ImageFeatures("hog"), StandardScaler(), SVC(probability=True))
    """

    def __init__(self, kind: str = "pixels", options: dict[str, object] | None = None) -> None:
        self.kind = kind
        self.options = options

    def fit(self, images: np.ndarray, labels: object = None) -> "ImageFeatures":
        """Learn nothing but the names of the columns."""
        self.names_ = self._table(images[:1]).names
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        """Return the features ``(N, F)`` of images ``(N, C, H, W)``."""
        return self._table(images).values

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns."""
        return np.asarray(self.names_, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "names_")

    def _table(self, images: np.ndarray) -> FeatureTable:
        if self.kind not in FEATURES:
            raise FeatureError(f"unknown features {self.kind!r}: choose one of {list(FEATURES)}")
        known = list(inspect.signature(FEATURES[self.kind]).parameters)[1:]
        foreign = sorted(set(self.options or {}) - set(known))
        if foreign:
            raise FeatureError(f"{self.kind} has no option {foreign}: it takes {known}")
        return FEATURES[self.kind](images, **(self.options or {}))


def _checked(images: np.ndarray) -> np.ndarray:
    """Refuse all but a filled ``(N, C, H, W)`` uint8 array."""
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.dtype != np.uint8:
        found = f"{getattr(images, 'dtype', type(images).__name__)} {np.shape(images)}"
        raise FeatureError(f"images must be uint8 of shape (N, C, H, W), got {found}")
    if len(images) == 0:
        raise FeatureError("there are no images to make features of")
    return images


def _by_channel(names: list[str], channels: int) -> list[str]:
    """Repeat names for each channel, and say which where there are several."""
    if channels == 1:
        return names
    return [f"{name}, channel {c}" for c in range(channels) for name in names]


def _cooccurrence_of(grey: np.ndarray, distances: Sequence[int], levels: int) -> np.ndarray:
    """Return ``(M, 2 * 6 * distances)`` of M pictures; one call a property serves them all."""
    matrices = np.stack(
        [
            graycomatrix(g, distances, ANGLES, levels=levels, symmetric=True, normed=True)
            for g in grey
        ],
        axis=2,
    )  # (levels, levels, M, distances, angles)
    flat = matrices.reshape(levels, levels, -1, len(ANGLES))
    properties = [graycoprops(flat, name) for name in COOCCURRENCE]
    logarithm = np.log2(flat, out=np.zeros_like(flat), where=flat > 0)
    properties.append(-(flat * logarithm).sum(axis=(0, 1)))
    table = np.stack(properties).reshape(len(properties), len(grey), len(distances), len(ANGLES))
    both = np.stack([table.mean(axis=-1), np.ptp(table, axis=-1)])  # (2, 6, M, distances)
    return both.transpose(2, 0, 1, 3).reshape(len(grey), -1)
