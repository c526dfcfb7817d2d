"""Volumes as slices: NIfTI and ``.npz`` files, of which a few slices are learned each by itself.

This is no three-dimensional model. Of each volume some slices around its middle are taken, each a
picture with the volume's label; all slices of a volume stay on one side of a split.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from medlib.data.volumes import MOST_BYTES
from medlib.errors import MedlibError
from medlib.own.cases import Case, Found, Skipped
from medlib.pictures import Picture, PictureError, Pixels, as_pixels, bring_to, is_volume

__all__ = ["planes_of", "read_plane", "read_slices", "with_slices"]

MIDDLE = (0.3, 0.7)  # slices are taken from this part of the depth
SHOWN = (0.5, 99.5)  # percentiles of the volume's values that become black and white
PREPARED = 1 << 22  # values that are converted at a time


def with_slices(found: Found, slices: int) -> Found:
    """Replace each case that is a volume by some of its slices.

    Parameters
    ----------
    found : Found
        Cases and volumes.
    slices : int
        How many slices of each; fewer where a volume has fewer.
    """
    cases: list[Case] = []
    skipped: list[Skipped] = []
    for case in found.cases:
        if not is_volume(case.path):
            cases.append(case)
            continue
        try:
            cases += _slices_of(case, slices)
        except PictureError as why:
            skipped.append(Skipped(case.shown, str(why)))
    count = len(Counter(case.path for case in cases if case.plane is not None))
    notes = (*found.notes, _note(count, slices)) if count else found.notes
    return replace(found, cases=tuple(cases), skipped=(*found.skipped, *skipped), notes=notes)


def planes_of(depth: int, slices: int) -> list[int]:
    """Return which slices are taken of a volume: evenly over its middle part, ascending."""
    if depth <= slices:
        return list(range(depth))
    places = np.linspace(*MIDDLE, slices) if slices > 1 else np.array([0.5])
    return sorted({int(place) for place in np.round(places * (depth - 1))})


def read_plane(path: Path, plane: int) -> Pixels:
    """Read one slice of a volume as a grey picture.

    Raises
    ------
    PictureError
        Where the volume cannot be read, or the slice is blank.
    """
    values, low, high = _volume(path)
    return as_pixels(
        _grey(values[plane], low, high),
        [f"slice {plane + 1} of {len(values)}", f"intensities {low:g} to {high:g} mapped"],
    )


def read_slices(
    path: Path, *, channels: int, size: int, fit: str, slices: int
) -> tuple[list[Picture], list[tuple[Path, str]]]:
    """Read the slices of a volume as a model takes them, as the training did.

    Parameters
    ----------
    path : Path
        The volume.
    channels, size, fit
        As in `medlib.pictures.read_pictures`.
    slices : int
        How many.

    Returns
    -------
    list of Picture
        Each named after the file and its slice.
    list of (Path, str)
        What could not be used, with the reason.
    """
    try:
        planes = planes_of(len(_volume(path)[0]), slices)
    except PictureError as why:
        return [], [(path, str(why))]
    read, skipped = [], []
    for plane in planes:
        named = path.with_name(f"{path.name}, slice {plane + 1}")
        try:
            pixels = read_plane(path, plane)
        except PictureError as why:
            skipped.append((named, str(why)))
            continue
        image, changes = bring_to(pixels.values, channels=channels, size=size, fit=fit)
        read.append(Picture(named, image, (*pixels.changes, *changes)))
    return read, skipped


def _grey(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map intensities to 0-255, some rows at a time: as doubles they take eight times the room."""
    grey = np.empty(plane.shape, np.uint8)
    rows = max(1, PREPARED // max(1, plane.shape[1]))
    for start in range(0, len(plane), rows):
        part = plane[start : start + rows].astype(np.float64)
        grey[start : start + rows] = np.round(np.clip((part - low) / (high - low), 0, 1) * 255)
    return grey


def _slices_of(case: Case, slices: int) -> list[Case]:
    depth = len(_volume(case.path)[0])
    patient = case.patient or f"volume|{case.path}"
    return [
        replace(case, plane=plane, patient=patient, shown=f"{case.shown}, slice {plane + 1}")
        for plane in planes_of(depth, slices)
    ]


def _volume(path: Path) -> tuple[np.ndarray, float, float]:
    """Return the values ``(D, H, W)`` of a volume and the two that become black and white.

    The last one is kept for its other slices, for as long as its file does not change.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise PictureError(f"it cannot be read ({error.strerror})") from error
    return _kept_volume(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=1)
def _kept_volume(path: Path, *_state: int) -> tuple[np.ndarray, float, float]:
    is_npz = path.name.lower().endswith(".npz")
    values = _read_npz(path) if is_npz else _read_nifti(path)
    if not np.isfinite(values).all():
        raise PictureError("it holds values that are no numbers")
    low, high = (float(v) for v in np.percentile(values, SHOWN))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        raise PictureError("it is blank: every value is the same")
    return values, low, high


def _read_npz(path: Path) -> np.ndarray:
    from medlib.data.volumes import read_npz_volume

    try:
        return read_npz_volume(path)
    except MedlibError as error:
        raise PictureError(str(error)) from error


def _read_nifti(path: Path) -> np.ndarray:
    """Read a NIfTI file with SimpleITK: slices along its third axis, ``(D, H, W)``."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # they quote the file
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")  # whatever the file says it is: other kinds name more files
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_extent(reader.GetSize(), _bytes_of(reader.GetPixelID()))
        values = SimpleITK.GetArrayFromImage(reader.Execute())
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError("it is no NIfTI file, or is damaged: export it again") from error
    if values.ndim != 3 or values.dtype.kind not in "iuf":
        raise PictureError("its voxels hold several numbers each: export one of them")
    return values


def _bytes_of(pixel: int) -> int:
    """Return how many bytes a number of SimpleITK's type takes; the most where it is no number."""
    import SimpleITK as itk

    small = {itk.sitkUInt8: 1, itk.sitkInt8: 1, itk.sitkUInt16: 2, itk.sitkInt16: 2}
    return {**small, itk.sitkUInt32: 4, itk.sitkInt32: 4, itk.sitkFloat32: 4}.get(pixel, 8)


def _check_extent(size: Sequence[int], each: int) -> None:
    """Refuse a header that promises another number of axes than three, or too much to unpack."""
    if len(size) != 3:
        raise PictureError(
            f"it has {len(size)} axes, and only volumes of three are read: export one phase or echo"
        )
    if math.prod(size) * each > MOST_BYTES:
        raise PictureError(
            f"it claims {' x '.join(map(str, size))} voxels of {each} bytes, and at most "
            f"{MOST_BYTES >> 20} MiB are read: make a smaller copy of it"
        )


def _note(count: int, slices: int) -> str:
    return (
        f"{count} volumes are learned as slices, up to {slices} from the middle of each, every "
        "slice a picture of its own: this is no three-dimensional model, and a lesion outside "
        "these slices is not seen"
    )
