"""How well masks agree: overlap and distance, one value a mask.

Masks are ``(N, H, W)``, true inside. Two empty masks agree wholly: overlap 1, distance 0. An empty
mask and one that is not share nothing: overlap 0, and the distance, which does not exist, is set to
the diagonal of the image, the largest that any two pixels have. A mean over images so stays
finite; what share of it the empty ones make is worth a look (`medlib.cases` has both means).
"""

import math

import numpy as np

from medlib.errors import MedlibError


def dice(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return twice the common area over the sum of both areas (Dice, 1945), ``(N,)`` float64."""
    common, areas = _areas(*check_masks(truth, found))
    return _share(2 * common, areas)


def iou(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the common area over the joint area (Jaccard, 1912), ``(N,)`` float64."""
    common, areas = _areas(*check_masks(truth, found))
    return _share(common, areas - common)


def class_dice(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the Dice coefficient of maps of classes, in which only the right class is common.

    Parameters
    ----------
    truth, found : ndarray
        ``(N, H, W)`` class numbers, 0 being the background. With one class it is `dice`.
    """
    check_masks(truth > 0, found > 0)
    common = ((truth == found) & (truth > 0)).sum((1, 2))
    return _share(2 * common, (truth > 0).sum((1, 2)) + (found > 0).sum((1, 2)))


def choose_threshold(truth: np.ndarray, heat: np.ndarray) -> float:
    """Return the threshold at which maps have the largest mean Dice coefficient.

    Parameters
    ----------
    truth : ndarray
        ``(N, H, W)`` bool: masks that may be looked at, those of a validation split.
    heat : ndarray
        ``(N, H, W)`` from 0 to 1; what lies above the threshold is the mask.

    Returns
    -------
    float
        One of 0.05, 0.1, ..., 0.95; of several equally good ones the smallest.
    """
    grid = [round(step / 20, 2) for step in range(1, 20)]
    return max(grid, key=lambda threshold: dice(truth, heat > threshold).mean())


def hausdorff(truth: np.ndarray, found: np.ndarray, percentile: float = 100) -> np.ndarray:
    """Return the Hausdorff distance of the outlines in pixels, ``(N,)`` float64.

    The outline is made of the pixels of a mask with a neighbour (left, right, above, below) outside
    of it or of the image. From each pixel of one outline the distance to the nearest of the other
    is taken, and of these the largest, or a percentile; the greater of both directions counts.

    Parameters
    ----------
    truth, found : ndarray
        ``(N, H, W)`` bool.
    percentile : float
        100 for the distance itself; 95 for the usual one that a few stray pixels do not decide.
    """
    truth, found = check_masks(truth, found)
    return np.array([_hausdorff(a, b, percentile) for a, b in zip(truth, found, strict=True)])


def check_masks(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of masks as bool, or say what is wrong with them.

    Raises
    ------
    MedlibError
        For shapes that differ or are not ``(N, H, W)``, and for values that are no masks.
    """
    truth, found = np.asarray(truth), np.asarray(found)
    if truth.ndim != 3 or truth.shape != found.shape:
        raise MedlibError(
            f"masks must have one shape (N, H, W), got {truth.shape} and {found.shape}"
        )
    for masks in (truth, found):
        if masks.dtype != bool and not np.isin(masks, (0, 1)).all():
            raise MedlibError(
                f"masks must be bool or 0 and 1, got {masks.dtype} from {masks.min()} to "
                f"{masks.max()}: compare first, as in probabilities > 0.5 or classes > 0"
            )
    return truth.astype(bool), found.astype(bool)


def _areas(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the common area of each pair, and the sum of both areas."""
    return (truth & found).sum((1, 2)), truth.sum((1, 2)) + found.sum((1, 2))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; nothing of nothing is everything."""
    return np.divide(part, whole, out=np.ones(len(whole)), where=whole > 0)


def _hausdorff(truth: np.ndarray, found: np.ndarray, percentile: float) -> float:
    from scipy.ndimage import binary_erosion  # slow to import, and `medlib.evaluate` imports this

    if not truth.any() or not found.any():
        sides = (side - 1 for side in truth.shape)
        return math.hypot(*sides) if truth.any() or found.any() else 0.0
    outlines = [mask & ~binary_erosion(mask) for mask in (truth, found)]
    return max(_directed(*outlines, percentile), _directed(*outlines[::-1], percentile))


def _directed(outline: np.ndarray, other: np.ndarray, percentile: float) -> float:
    from scipy.ndimage import distance_transform_edt

    distances = distance_transform_edt(~other)[outline]
    return float(np.percentile(distances, percentile))
