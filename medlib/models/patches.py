"""Patches: the squares that a vision transformer cuts an image into, and puts back together."""

import numpy as np

from medlib.models.checks import ModelError


def cut(images: np.ndarray, patch: int) -> np.ndarray:
    """Cut images into squares, row by row: the order in which a transformer reads them.

    Parameters
    ----------
    images : ndarray
        ``(N, C, H, W)``, height and width multiples of the patch.
    patch : int
        Edge of a patch in pixels.

    Returns
    -------
    ndarray
        ``(N, T, C, patch, patch)``, T being the number of patches.

    Raises
    ------
    ModelError
        Where the patches do not fill the images.
    """
    number, channels, height, width = images.shape
    if patch < 1 or height % patch or width % patch:
        raise ModelError(
            f"patches of {patch} pixels do not fill images of {height} x {width}: choose a patch "
            "that divides both"
        )
    rows, columns = height // patch, width // patch
    cells = images.reshape(number, channels, rows, patch, columns, patch)
    ordered = cells.transpose(0, 2, 4, 1, 3, 5)
    return ordered.reshape(number, rows * columns, channels, patch, patch)


def join(patches: np.ndarray, columns: int) -> np.ndarray:
    """Put patches together again, row by row; undoes `cut`.

    Parameters
    ----------
    patches : ndarray
        ``(N, T, C, patch, patch)``.
    columns : int
        Patches in a row.

    Returns
    -------
    ndarray
        ``(N, C, H, W)``.
    """
    number, count, channels, patch, _ = patches.shape
    if columns < 1 or count % columns:
        raise ModelError(f"{count} patches do not fill rows of {columns}: choose another columns")
    rows = count // columns
    cells = patches.reshape(number, rows, columns, channels, patch, patch)
    ordered = cells.transpose(0, 3, 1, 4, 2, 5)
    return ordered.reshape(number, channels, rows * patch, columns * patch)


def shuffled(images: np.ndarray, patch: int, *, seed: int = 0) -> np.ndarray:
    """Return images whose patches were dealt out anew, each image in its own order.

    Every pixel value stays; only where the patches stand is lost.

    Parameters
    ----------
    images : ndarray
        ``(N, C, H, W)``.
    patch : int
        Edge of a patch in pixels.
    seed : int
        Decides the orders.
    """
    patches = cut(images, patch)
    orders = np.random.default_rng(seed).random(patches.shape[:2]).argsort(axis=1)
    dealt = np.take_along_axis(patches, orders[:, :, None, None, None], axis=1)
    return join(dealt, images.shape[-1] // patch)
