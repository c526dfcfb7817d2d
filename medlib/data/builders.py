"""The recipes that turn published pictures into the arrays of a card, with Pillow.

Each takes the source files in any order and gives the same arrays, sorted; the digest on the card
is over these arrays.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from medlib.data.sources import SourceFile
from medlib.errors import MedlibError

Arrays = dict[str, np.ndarray]
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis",
    "Hernia", "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip


def build_busi128(files: Iterable[SourceFile], extra: Mapping[str, bytes]) -> Arrays:
    """Build BUSI at 128 px: grey, bilinear; all masks of an image OR-ed, nearest.

    Parameters
    ----------
    files : iterable of SourceFile
        Pictures ``benign (1).png`` and masks ``benign (1)_mask.png``, ``..._mask_1.png``.
    extra : mapping
        Not used.

    Returns
    -------
    dict
        ``images``, ``masks`` (780, 128, 128) uint8, ``labels``, ``label_names``, ``source_file``.
    """
    names = ("normal", "benign", "malignant")
    images: Arrays = {}
    masks: Arrays = {}
    for file in _pictures(files):
        stem, is_mask, _ = file.path.stem.partition("_mask")
        if stem.partition(" ")[0] not in names:
            continue
        if is_mask:
            drawn = _grey(file, size=128, nearest=True) > 127
            masks[stem] = masks.get(stem, np.zeros_like(drawn)) | drawn
        else:
            images[stem] = _grey(file, size=128)
    found = sorted(images, key=lambda stem: f"{stem}.png")
    empty = np.zeros((128, 128), dtype=bool)
    return {
        "images": _stack([images[stem] for stem in found], 128),
        "masks": _stack([masks.get(stem, empty).astype(np.uint8) for stem in found], 128),
        "labels": np.array([names.index(stem.partition(" ")[0]) for stem in found], np.uint8),
        "label_names": np.array(names),
        "source_file": np.array([f"{stem}.png" for stem in found]),
    }


def build_malaria50(files: Iterable[SourceFile], extra: Mapping[str, bytes]) -> Arrays:
    """Build the malaria cells at 50 px: grey, sorted by label and name, patients from the names.

    Parameters
    ----------
    files : iterable of SourceFile
        Pictures in folders ``Parasitized`` and ``Uninfected``; some repeat the folder's name.
    extra : mapping
        Not used.

    Returns
    -------
    dict
        ``images`` (27558, 50, 50) uint8, ``labels``, ``label_names``, ``patient``, ``source_file``.
    """
    folders = ("Uninfected", "Parasitized")
    cells: dict[tuple[int, str], np.ndarray] = {}
    for file in _pictures(files):
        folder = file.path.parent.name
        if folder in folders:
            name = file.path.name.removeprefix(folder)
            cells[folders.index(folder), name] = _grey(file)
    found = sorted(cells)
    return {
        "images": _stack([cells[key] for key in found], 50),
        "labels": np.array([label for label, _ in found], np.uint8),
        "label_names": np.array(["uninfected", "parasitized"]),
        "patient": np.array([_malaria_patient(name) for _, name in found]),
        "source_file": np.array([name for _, name in found]),
    }


def build_nih1000(files: Iterable[SourceFile], extra: Mapping[str, bytes]) -> Arrays:
    """Build the 1,000 chest films at 64 px, with the labels of the official table.

    Parameters
    ----------
    files : iterable of SourceFile
        Pictures named as in the table, ``00000001_000.png``.
    extra : mapping
        ``labels``: the table ``Data_Entry_2017_v2020.csv``.

    Returns
    -------
    dict
        ``images`` (1000, 64, 64) uint8, ``labels`` (1000, 14) uint8, ``label_names``, ``patient``,
        ``age``, ``sex``, ``view``, ``source_file``.
    """
    films = {file.path.name: _grey(file) for file in _pictures(files)}
    found = sorted(films)
    rows = _rows_of_table(extra["labels"], films)
    marks = [rows[name]["Finding Labels"].split("|") for name in found]
    return {
        "images": _stack([films[name] for name in found], 64),
        "labels": np.array([[f in row for f in FINDINGS] for row in marks], np.uint8),
        "label_names": np.array(FINDINGS),
        "patient": np.array([int(rows[name]["Patient ID"]) for name in found], np.int32),
        "age": np.array([_leading_number(rows[name]["Patient Age"]) for name in found], np.int16),
        "sex": np.array([_either(rows[name], "Patient Gender", "Patient Sex") for name in found]),
        "view": np.array([rows[name]["View Position"] for name in found]),
        "source_file": np.array(found),
    }


BUILDERS: dict[str, Callable[[Iterable[SourceFile], Mapping[str, bytes]], Arrays]] = {
    "busi128": build_busi128,
    "malaria50": build_malaria50,
    "nih1000": build_nih1000,
}


def _pictures(files: Iterable[SourceFile]) -> Iterable[SourceFile]:
    """Leave out what is no picture, and the hidden copies that macOS adds to archives."""
    for file in files:
        if file.path.suffix.lower() == ".png" and not file.path.name.startswith("._"):
            yield file


def _grey(file: SourceFile, size: int | None = None, nearest: bool = False) -> np.ndarray:
    """Decode a picture to grey ``(H, W)`` uint8, resized where `size` is given."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(file.content), formats=["PNG"]) as picture:
            grey = picture.convert("L")
            if size is not None:
                how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
                grey = grey.resize((size, size), how)
            return np.asarray(grey)
    except (
        OSError,
        ValueError,
        SyntaxError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
    ) as error:
        raise MedlibError(f"{file.path} is no readable PNG picture: {error}") from error


def _stack(pictures: list[np.ndarray], size: int) -> np.ndarray:
    """Join pictures that must all have the same size."""
    wrong = {picture.shape for picture in pictures} - {(size, size)}
    if wrong or not pictures:
        raise MedlibError(f"expected pictures of {size}x{size} px, got {len(pictures)} of {wrong}")
    return np.stack(pictures)


def _malaria_patient(name: str) -> str:
    found = re.match(r"C\d+(P\d+)?", name)
    if found is None:
        raise MedlibError(f"the picture name {name!r} does not begin with a patient, C<number>")
    return found.group(0)


def _rows_of_table(table: bytes, wanted: Mapping[str, np.ndarray]) -> dict[str, dict[str, str]]:
    reader = csv.DictReader(io.StringIO(table.decode("utf-8-sig")))
    rows = {row["Image Index"]: row for row in reader if row.get("Image Index") in wanted}
    missing = sorted(set(wanted) - set(rows))
    if missing:
        raise MedlibError(
            f"the table of labels lacks {len(missing)} pictures, such as {missing[0]}"
        )
    return rows


def _leading_number(text: str) -> int:
    """Read an age: ``58`` in the newer table, ``058Y`` in the older one."""
    return int(re.match(r"\d+", text).group(0))


def _either(row: Mapping[str, str], *names: str) -> str:
    """Return the first column that the table has."""
    return next(row[name] for name in names if name in row)
