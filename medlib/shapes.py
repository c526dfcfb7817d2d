"""A lesion in numbers: the signs that a radiologist names, measured on a mask and its image.

The lexicon of BI-RADS describes a mass on ultrasound by its shape, its orientation to the skin, its
margin, its echo and what lies behind it (Hong et al., AJR 2005, found the share of cancers behind
each word; the words go back to Stavros et al., Radiology 1995). Each function here measures one
such sign on one image ``(H, W)`` and one mask ``(H, W)``; `describe` measures all of them on many.
Row 0 is the skin. Only the largest connected part of a mask counts. An empty mask has no shape: its
area is 0, and every other sign is NaN, which `shape_classifier` replaces by the mean.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import measure

from medlib.features import FeatureTable
from medlib.segmentation import check_masks

RING, STRIP = 16, 64  # the ring is 1 / 16 of the image's side wide, each strip of a margin 1 / 64


def largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask ``(H, W)``; an empty one stays empty."""
    parts = measure.label(mask)
    sizes = np.bincount(parts.ravel())[1:]
    return parts == 1 + sizes.argmax() if len(sizes) else np.zeros(mask.shape, bool)


# ---------------------------------------------------------------- shape and orientation


def area_share(mask: np.ndarray) -> float:
    """Return the share of the image that the lesion covers."""
    return float(np.mean(mask))


def depth_to_width(mask: np.ndarray) -> float:
    """Return height over width of the bounding box: above 1 a lesion is taller than wide."""
    top, left, bottom, right = _region(mask).bbox
    return (bottom - top) / (right - left)


def steepness(mask: np.ndarray) -> float:
    """Return the angle between the skin and the long axis in degrees: 0 parallel, 90 upright.

    The axis is that of the ellipse with the same second moments; 45 where it has none.
    """
    return 90 - abs(math.degrees(_region(mask).orientation))


def circularity(mask: np.ndarray) -> float:
    """Return 4 pi area over perimeter squared: 1 for a disc, less for all other shapes.

    A perimeter counted on pixels is a little short, so a lesion of few pixels can exceed 1.
    """
    region = _region(mask)
    return 4 * math.pi * region.area / max(region.perimeter, 1) ** 2


def solidity(mask: np.ndarray) -> float:
    """Return the area over that of the convex hull: low where there are bays."""
    return float(_region(mask).solidity)


def extent(mask: np.ndarray) -> float:
    """Return the area over that of the bounding box: a rectangle 1, an upright ellipse pi / 4."""
    return float(_region(mask).extent)


def roughness(mask: np.ndarray) -> float:
    """Return how much longer the outline is than that of the convex hull: 0 for a convex shape."""
    hull = measure.perimeter(np.pad(_region(mask).image_convex, 1))
    return measure.perimeter(np.pad(mask, 1)) / max(hull, 1) - 1


# ---------------------------------------------------------------- echo, margin, what lies behind


def echo(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean inside less the mean of a ring around it: negative is hypoechoic."""
    return _mean(image, mask) - _mean(image, _around(mask, _width(mask, RING)))


def unevenness(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the standard deviation of the intensities inside: high is heterogeneous."""
    return float(image[mask].std())


def margin_contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the step across the outline: a strip outside less a strip inside, in absolute value.

    It is low where the margin is indistinct, or drawn in the wrong place.
    """
    width = _width(mask, STRIP)
    inside = mask & _around(~mask, width)
    return abs(_mean(image, _around(mask, width)) - _mean(image, inside))


def posterior(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean below the lesion less the mean beside that: a shadow below 0, else enhanced.

    Below is as deep as the lesion and as wide, where the image goes on; beside is half as wide on
    each side. NaN where the image ends with the lesion.
    """
    top, left, bottom, right = _region(mask).bbox
    rows = slice(bottom, 2 * bottom - top)
    half = -(-(right - left) // 2)
    below, beside = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    below[rows, left:right] = True
    beside[rows, max(left - half, 0) : right + half] = True
    return _mean(image, below) - _mean(image, beside & ~below)


# ---------------------------------------------------------------- all signs of many lesions

SHAPE: dict[str, Callable[[np.ndarray], float]] = {
    "area": area_share,
    "depth to width": depth_to_width,
    "steepness": steepness,
    "circularity": circularity,
    "solidity": solidity,
    "extent": extent,
    "roughness": roughness,
}
ECHO: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "echo": echo,
    "unevenness": unevenness,
    "margin contrast": margin_contrast,
    "posterior": posterior,
}
SIGNS = ("found", *SHAPE, *ECHO)
LEXICON = {  # what the lexicon of BI-RADS calls that which the signs measure
    "shape": ("circularity", "solidity", "extent"),
    "orientation": ("depth to width", "steepness"),
    "margin": ("roughness", "margin contrast"),
    "echo pattern": ("echo", "unevenness"),
    "posterior features": ("posterior",),
}


def describe(images: np.ndarray, masks: np.ndarray) -> FeatureTable:
    """Measure all signs on many images.

    Parameters
    ----------
    images : ndarray
        ``(N, C, H, W)`` uint8; channels are averaged, intensities run from 0 to 1.
    masks : ndarray
        ``(N, H, W)`` bool, true inside.

    Returns
    -------
    FeatureTable
        ``values`` (N, 12) and ``names``, the `SIGNS`: whether there is a lesion at all, and its
        signs. For an empty mask both "found" and "area" are 0, and the rest is NaN.

    Raises
    ------
    MedlibError
        For masks that are none, or not those of the images.
    """
    grey = np.asarray(images).mean(axis=1) / 255
    masks, _ = check_masks(masks, grey > 0)
    rows = [_described(image, mask) for image, mask in zip(grey, masks, strict=True)]
    return FeatureTable(np.array(rows).reshape(len(rows), len(SIGNS)), list(SIGNS))


def _described(image: np.ndarray, mask: np.ndarray) -> list[float]:
    """Measure the signs of one image, in the order of `SIGNS`."""
    if not mask.any():
        return [0.0, 0.0] + [math.nan] * (len(SIGNS) - 2)
    lesion = largest(mask)
    shape = [measured(lesion) for measured in SHAPE.values()]
    return [1.0, *shape, *(measured(image, lesion) for measured in ECHO.values())]


def shape_classifier(seed: int = 0) -> Any:
    """Return a logistic regression on signs, not fitted: few numbers, whose weights can be read.

    A missing sign becomes the mean, so that it says nothing; signs are scaled to mean 0 and
    standard deviation 1; the strength ``1 / C`` of the penalty is chosen by five folds.

    Parameters
    ----------
    seed : int
        Deals the folds.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [
        ("fill", SimpleImputer(keep_empty_features=True)),
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(max_iter=5000)),
    ]
    return GridSearchCV(
        Pipeline(steps),
        {"classify__C": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
    )


# ---------------------------------------------------------------- helpers


def _region(mask: np.ndarray) -> Any:
    """Return the mask as one of scikit-image's regions."""
    return measure.regionprops(mask.astype(np.uint8))[0]


def _width(mask: np.ndarray, share: int) -> int:
    """Return a share of the image's side in pixels, at least 1."""
    return max(1, min(mask.shape) // share)


def _around(mask: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels outside of a mask that are at most so many steps away."""
    return ndimage.binary_dilation(mask, iterations=width) & ~mask


def _mean(image: np.ndarray, where: np.ndarray) -> float:
    """Return the mean intensity at some pixels; NaN where there are none."""
    return float(image[where].mean()) if where.any() else math.nan
