"""Pictures from files: PNG, JPEG, TIFF, BMP and DICOM, made into what a model takes.

A file that cannot be read is never passed over in silence: it comes back with a sentence that says
why. Of a DICOM file only pixels and what describes them are read; no field that names a patient
enters a message.
"""

import contextlib
import logging
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medlib.errors import MedlibError

__all__ = [
    "Picture",
    "PictureError",
    "Pictures",
    "Pixels",
    "as_pixels",
    "bring_to",
    "find_files",
    "is_dicom",
    "is_volume",
    "looks_like_picture",
    "quiet_pydicom",
    "read_picture",
    "read_pictures",
    "read_pixels",
]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # Pillow knows more, some of which start other programs
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
VOLUMES = (".npz", ".nii", ".nii.gz")
MOST_PIXELS = 80_000_000  # of one picture: the largest mammograms have 30 million
FITS = ("squeeze", "crop", "pad")
DEFLATED = "1.2.840.10008.1.2.1.99"  # a transfer syntax that is a zipped file inside


class PictureError(MedlibError):
    """A file that cannot be used as a picture; the message is a sentence without the file name."""


@dataclass(frozen=True)
class Picture:
    """One picture as the model takes it.

    Attributes
    ----------
    path : Path
        The file.
    image : ndarray
        ``(C, H, W)`` uint8.
    changes : tuple of str
        What was done to it on the way, such as ``"colour to grey"``.
    """

    path: Path
    image: np.ndarray
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Pixels:
    """The picture of a file in its own size and colours.

    Attributes
    ----------
    values : ndarray
        ``(H, W)`` or ``(H, W, 3)`` uint8.
    changes : tuple of str
        What was done to it, such as ``"window centre 40, width 400"``.
    """

    values: np.ndarray
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """Pictures, and the files that could not be used.

    Attributes
    ----------
    read : tuple of Picture
        In the order of the files.
    skipped : tuple of (Path, str)
        Files that could not be used, each with the reason.
    channels, size : int
        What the pictures were brought to.
    """

    read: tuple[Picture, ...]
    skipped: tuple[tuple[Path, str], ...]
    channels: int
    size: int

    @property
    def images(self) -> np.ndarray:
        """All pictures as one array ``(N, C, H, W)`` uint8."""
        empty = np.empty((0, self.channels, self.size, self.size), np.uint8)
        return np.stack([one.image for one in self.read]) if self.read else empty


def find_files(paths: Iterable[Path | str]) -> tuple[list[Path], list[Path]]:
    """Replace folders by the pictures in them and below.

    Returns
    -------
    files : list of Path
        Named files as they are, and of each folder those that look like pictures, sorted.
    others : list of Path
        Files of the folders that do not look like pictures; hidden ones are left out.
    """
    files, others = [], []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        for one in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
            if one.is_file() and not hidden:
                (files if looks_like_picture(one) else others).append(one)
    return files, others


def read_pictures(
    paths: Iterable[Path | str], *, channels: int, size: int, fit: str = "squeeze"
) -> Pictures:
    """Read files and bring each to the channels and the size of a model.

    Parameters
    ----------
    paths : iterable of Path or str
        Files; `find_files` looks into folders.
    channels : {1, 3}
        Grey or colour.
    size : int
        Side length in pixels.
    fit : {"squeeze", "crop", "pad"}
        What becomes of a picture that is not square; see `fit_square`.
    """
    read, skipped = [], []
    for path in map(Path, paths):
        try:
            read.append(read_picture(path, channels=channels, size=size, fit=fit))
        except PictureError as error:
            skipped.append((path, str(error)))
    return Pictures(tuple(read), tuple(skipped), channels, size)


def read_picture(path: Path | str, *, channels: int, size: int, fit: str = "squeeze") -> Picture:
    """Read one file; parameters are those of `read_pictures`.

    Raises
    ------
    PictureError
        Where the file is missing, empty, truncated, no picture, blank, or too large.
    """
    pixels = read_pixels(path)
    image, changes = bring_to(pixels.values, channels=channels, size=size, fit=fit)
    return Picture(Path(path), image, (*pixels.changes, *changes))


def read_pixels(path: Path | str) -> Pixels:
    """Read one file in its own size and colours.

    Raises
    ------
    PictureError
        As `read_picture`.
    """
    path = Path(path)
    pixels, changes = _read_dicom(path) if is_dicom(path) else _read_with_pillow(path)
    return as_pixels(pixels, changes)


def as_pixels(values: np.ndarray, changes: Iterable[str] = ()) -> Pixels:
    """Map intensities of any number type, ``(H, W)`` or ``(H, W, 3)``, to uint8.

    Raises
    ------
    PictureError
        Where every pixel has the same value, or some value is no number.
    """
    if values.min() == values.max():
        raise PictureError(f"it is blank: every pixel has the value {values.flat[0]}")
    values, more = _to_bytes(values)
    return Pixels(values, (*changes, *more))


def bring_to(
    pixels: np.ndarray, *, channels: int, size: int, fit: str = "squeeze"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring uint8 pixels to the channels and the size of a model, as `read_picture` does.

    Parameters
    ----------
    pixels : ndarray
        ``(H, W)`` or ``(H, W, 3)`` uint8.
    channels, size, fit
        As in `read_pictures`.

    Returns
    -------
    image : ndarray
        ``(C, size, size)`` uint8.
    changes : tuple of str
        What was done.
    """
    pixels, how = _to_channels(pixels, channels)
    pixels, resized = fit_square(pixels, size, fit)
    image = np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))
    return image, (*how, *resized)


def fit_square(pixels: np.ndarray, size: int, fit: str) -> tuple[np.ndarray, list[str]]:
    """Bring a picture to a square of `size` pixels, with bicubic interpolation.

    Parameters
    ----------
    pixels : ndarray
        ``(H, W)`` or ``(H, W, 3)`` uint8.
    size : int
        Side length of the square.
    fit : {"squeeze", "crop", "pad"}
        ``squeeze`` changes the proportions, ``crop`` cuts the longer side at both ends, ``pad``
        adds black beside the shorter one.

    Returns
    -------
    pixels : ndarray
        ``(size, size)`` or ``(size, size, 3)`` uint8.
    changes : list of str
        What was done.
    """
    from PIL import Image

    if fit not in FITS:
        raise MedlibError(f"unknown fit {fit!r}: choose one of {', '.join(FITS)}")
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels, []
    changes = [f"{width} x {height} to {size} x {size} pixels"]
    if height != width:
        changes.append({"squeeze": "squeezed", "crop": "cropped", "pad": "padded"}[fit])
        pixels = _squared(pixels, fit)
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized), changes


def _squared(pixels: np.ndarray, fit: str) -> np.ndarray:
    """Crop or pad to a square; leave it to be squeezed otherwise."""
    height, width = pixels.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return np.ascontiguousarray(pixels[top : top + side, left : left + side])
    if fit == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        canvas = np.zeros((side, side, *pixels.shape[2:]), pixels.dtype)
        canvas[top : top + height, left : left + width] = pixels
        return canvas
    return pixels


def looks_like_picture(path: Path) -> bool:
    """Tell by its name, or without one by its first bytes, whether a file is a picture."""
    return path.suffix.lower() in SUFFIXES or (not path.suffix and is_dicom(path))


def is_volume(path: Path) -> bool:
    """Tell by its name whether a file is a volume: NIfTI, or an ``.npz`` of NumPy."""
    return path.name.lower().endswith(VOLUMES)


def is_dicom(path: Path) -> bool:
    """Tell whether the file says that it is DICOM, or only its name does."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except FileNotFoundError as error:
        raise PictureError("there is no such file") from error
    except OSError as error:
        raise PictureError(f"it cannot be opened: {error.strerror or error}") from error
    if not head:
        raise PictureError("the file is empty: copy it again from its source")
    return head[128:] == b"DICM" or path.suffix.lower() in {".dcm", ".dicom"}


# ---------------------------------------------------------------- Pillow

# what Pillow raises of files that end early or say nonsense, also on their later pages
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, MemoryError,
    KeyError, IndexError, TypeError, struct.error,
)  # fmt: skip


def _read_with_pillow(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the pixels ``(H, W)`` or ``(H, W, 3)`` of any number type, and what was done."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures beyond Pillow's limit: ours is lower
        try:
            with Image.open(path, formats=FORMATS) as picture:
                _check_pixels(*picture.size)
                changes = [f"first of {picture.n_frames} pages"] if _pages(picture) > 1 else []
                upright = ImageOps.exif_transpose(picture)
                return np.asarray(_simplified(upright, changes)), changes
        except UnidentifiedImageError as error:
            raise PictureError("it is no PNG, JPEG, TIFF, BMP or DICOM picture") from error
        except Image.DecompressionBombError as error:
            raise PictureError(_too_large("far more")) from error
        except DAMAGED as error:
            raise PictureError(
                "it is damaged or truncated: copy it again from its source"
            ) from error


def _pages(picture: "object") -> int:
    return getattr(picture, "n_frames", 1)


def _simplified(picture: "object", changes: list[str]) -> "object":
    """Turn palettes, transparency and the like into grey or colour; note what is lost."""
    if picture.mode in {"L", "RGB"} or picture.mode[0] in "IF":
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode in {"RGBA", "LA", "PA"}:
        changes.append("transparency left out")
    return picture.convert("L" if picture.mode == "LA" else "RGB")


def _check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise PictureError(f"it has no pixels ({width} x {height})")
    if width * height > MOST_PIXELS:
        raise PictureError(_too_large(f"{width} x {height}"))


def _too_large(found: str) -> str:
    return (
        f"it claims {found} pixels, and at most {MOST_PIXELS // 10**6} million are read: "
        "make a smaller copy of it"
    )


# ---------------------------------------------------------------- DICOM


def _read_dicom(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the pixels of a DICOM file: shown as its own window says, or from least to most."""
    import pydicom

    with quiet_pydicom():
        try:
            _refuse_deflated(path)
            header = pydicom.dcmread(path)
            return _dicom_pixels(header)
        except PictureError:
            raise
        except Exception as error:  # decoders raise anything; their words may hold header values
            raise PictureError(
                f"its DICOM content cannot be read ({type(error).__name__}): it may be truncated, "
                "hold no picture, or be compressed in a way that is not supported; export it "
                "uncompressed"
            ) from error


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings, which quote header values, away from terminals and logs."""
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


def _refuse_deflated(path: Path) -> None:
    """Refuse files whose whole content is zipped: they can unpack to any size."""
    from pydicom.filereader import read_file_meta_info

    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", ""))
    if syntax == DEFLATED:
        raise PictureError("it is a zipped ('deflated') DICOM file: export it uncompressed")


def _dicom_pixels(header: "object") -> tuple[np.ndarray, list[str]]:
    from pydicom.pixels import apply_modality_lut, pixel_array

    if "PixelData" not in header:
        raise PictureError("it is a DICOM file without a picture (a report or a plan)")
    frames = int(header.get("NumberOfFrames", 1) or 1)
    _check_pixels(int(header.Columns), int(header.Rows))
    changes = [f"first of {frames} frames"] if frames > 1 else []
    photometric = str(header.get("PhotometricInterpretation", ""))
    pixels = pixel_array(header, index=0)
    if pixels.ndim == 3:
        return pixels, changes
    if photometric == "PALETTE COLOR":
        raise PictureError("it is a DICOM picture with a colour table: export it as PNG")
    values = apply_modality_lut(pixels, header).astype(np.float64)
    shown, how = _windowed(values, header)
    if photometric == "MONOCHROME1":
        shown, how = 255 - shown, [*how, "inverted (MONOCHROME1)"]
    return shown, [*changes, *how]


def _windowed(values: np.ndarray, header: "object") -> tuple[np.ndarray, list[str]]:
    """Map values to 0 to 255 by the file's first window (DICOM PS3.3, C.11.2.1.2.1)."""
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if values.min() == values.max():
        raise PictureError("it is blank: every pixel has the same value")
    if centre is None or width is None or width < 1:
        return values, []  # `_to_bytes` maps the least to 0 and the most to 255, and says so
    share = (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    shown = np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return shown, [f"window centre {centre:g}, width {width:g}"]


def _first(value: "object") -> float | None:
    """Return the first of one or several numbers of a DICOM field."""
    if value is None or value == "":
        return None
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return float(several[0]) if len(several) else None


# ---------------------------------------------------------------- intensities and channels


def _to_bytes(pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Turn any numbers into uint8: from the least to 0, to the most to 255."""
    if pixels.dtype == np.uint8:
        return pixels, []
    values = pixels.astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise PictureError("it holds values that are no numbers")
    scaled = np.round((values - low) / (high - low) * 255).astype(np.uint8)
    return scaled, [f"intensities {low:g} to {high:g} mapped to 0 to 255"]


def _to_channels(pixels: np.ndarray, channels: int) -> tuple[np.ndarray, list[str]]:
    """Turn grey into colour or colour into grey (ITU-R 601 luma, as Pillow does)."""
    from PIL import Image

    if pixels.ndim == 3 and channels == 1:
        same = (pixels == pixels[..., :1]).all()
        grey = pixels[..., 0] if same else np.asarray(Image.fromarray(pixels).convert("L"))
        return np.ascontiguousarray(grey), [] if same else ["colour to grey"]
    if pixels.ndim == 2 and channels == 3:
        return np.repeat(pixels[..., None], 3, axis=2), ["grey in three channels"]
    if channels not in {1, 3}:
        raise MedlibError(f"pictures have 1 or 3 channels, but the model takes {channels}")
    return pixels, []
