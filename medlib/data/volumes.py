"""Volumes of a reader's own in ``.npz`` files: one unlabelled array of numbers each."""

from pathlib import Path

import numpy as np

from medlib.data import archive
from medlib.errors import MedlibError

__all__ = ["read_npz_volume"]

MOST_BYTES = 900 << 20  # finding black and white takes as much again
LABEL_WORDS = ("label", "target", "mask", "class")


def read_npz_volume(path: Path) -> np.ndarray:
    """Read the only array of a ``.npz`` file as a volume.

    Parameters
    ----------
    path : Path
        The file; its array is ``(D, H, W)``, or ``(H, W)`` for a single slice.

    Returns
    -------
    ndarray
        ``(D, H, W)`` of numbers.

    Raises
    ------
    MedlibError
        Where it is damaged, holds several arrays or labels, or is no volume. The message does not
        name the file.
    """
    try:
        names = sorted(archive.array_names(path))
        if any(word in name.lower() for name in names for word in LABEL_WORDS):
            raise MedlibError("it holds labels beside its pictures: give one file a volume")
        if len(names) != 1:
            raise MedlibError(f"it holds {len(names)} arrays ({', '.join(names[:4])}): give one")
        values = archive.read_arrays(path, names, MOST_BYTES)[names[0]]
    except MedlibError as error:
        if str(path) not in str(error):
            raise
        raise MedlibError("it is damaged, or no .npz file: write it again") from error
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or values.dtype.kind not in "uif" or 0 in values.shape:
        raise MedlibError(
            f"its array is {values.dtype} of shape {values.shape}: expected numbers (D, H, W)"
        )
    return values
