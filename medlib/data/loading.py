"""`load`: from the name of a card to a `Dataset`, whose test labels stay behind."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from medlib.data import archive, splits, store
from medlib.data.cards import SPLITS, Card, card
from medlib.data.dataset import Dataset, Split
from medlib.errors import DigestMismatch, MedlibError


def load(name: str, size: int | None = None) -> Dataset:
    """Load a data set: from the mirror, else the cache, else its origin.

    Parameters
    ----------
    name : str
        Name of a card, such as ``"breastmnist"``; `medlib.data.cards` lists them.
    size : int, optional
        Side length in pixels, where the set is published at several; the card's where omitted.

    Returns
    -------
    Dataset
        Training and validation cases with labels; test cases without.

    Raises
    ------
    DataUnavailable
        Where the set is not here and could not be had.
    DigestMismatch
        Where the file is not the one that the card names.
    MedlibError
        For an unknown name or size, or an unreadable file.
    """
    found = card(name).at_size(size)
    return _LAYOUTS[found.layout](found)


def _load_medmnist(card: Card) -> Dataset:
    """Load a file with ``train_images``, ``train_labels`` and so on."""
    path = _obtain(card)
    store.verify_file(card, path)
    names = [f"{split}_images" for split in SPLITS] + ["train_labels", "val_labels"]
    arrays = archive.read_arrays(path, names, max_bytes=most_bytes(card))
    parts = {split: _medmnist_split(card, path, arrays, split) for split in SPLITS}
    return Dataset(card, **parts, source={"kind": "file", "path": str(path)})


def _medmnist_split(card: Card, path: Path, arrays: Mapping[str, np.ndarray], split: str) -> Split:
    images = channels_first(arrays[f"{split}_images"])
    labels = arrays.get(f"{split}_labels")
    expected = (card.counts[split], card.channels, card.size, card.size)
    expect(path, f"{split}_images", images, expected, np.uint8)
    return Split(
        images=images,
        labels=None if labels is None else as_labels(card, path, labels, len(images)),
        index=np.arange(len(images)),
    )


def _load_rows(card: Card) -> Dataset:
    """Load a file with one row a case, cut by the committed split indices."""
    path = _obtain(card)
    arrays = archive.read_arrays(path, max_bytes=most_bytes(card))
    source = {"kind": "file", "path": str(path), **store.verify_arrays(card, path, arrays)}
    rows = splits.read_split(card)
    parts = {split: _rows_split(card, path, arrays, split, rows[split]) for split in SPLITS}
    return Dataset(card, **parts, source=source)


def _rows_split(
    card: Card, path: Path, arrays: Mapping[str, np.ndarray], split: str, rows: np.ndarray
) -> Split:
    images = channels_first(arrays["images"])
    expect(path, "images", images, (sum(card.counts.values()),) + images.shape[1:], np.uint8)
    whole = Split(
        images=images,
        labels=as_labels(card, path, arrays["labels"], len(images)),
        index=np.arange(len(images)),
        groups=arrays["patient"].astype(str) if "patient" in arrays else None,
        masks=arrays["masks"] > 0 if "masks" in arrays else None,
        extras={key: arrays[key] for key in EXTRAS if key in arrays},
    )
    part = whole.take(rows)
    return without_answers(part) if split == "test" else part


EXTRAS = ("age", "sex", "view")


def _load_sklearn(card: Card) -> Dataset:
    """Load the Wisconsin table, which travels inside scikit-learn."""
    features, labels = wisconsin_table(card)
    whole = Split(features, labels, np.arange(len(features)))
    rows = splits.read_split(card)
    parts = {split: whole.take(rows[split]) for split in SPLITS}
    parts["test"] = without_answers(parts["test"])
    return Dataset(card, **parts, source={"kind": "sklearn"})


def wisconsin_table(card: Card) -> tuple[np.ndarray, np.ndarray]:
    """Return the features ``(569, 30)`` and labels ``(569,)`` of the installed scikit-learn."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise store.unavailable(card, f"scikit-learn is not installed ({error})") from error
    table = load_breast_cancer()
    arrays = {"features": table.data, "labels": table.target.astype(np.int64)}
    found = archive.digest_of_arrays(arrays)
    if found != card.digests["arrays"]:
        import sklearn

        where = Path(f"scikit-learn {sklearn.__version__}")
        raise DigestMismatch(store.mismatch(card, where, "arrays", card.digests["arrays"], found))
    return arrays["features"], arrays["labels"]


_LAYOUTS: dict[str, Callable[[Card], Dataset]] = {
    "medmnist": _load_medmnist,
    "rows": _load_rows,
    "sklearn": _load_sklearn,
}


def most_bytes(card: Card) -> int:
    """Return how much the arrays of a set may unpack to: images, masks, labels, names, slack."""
    pixels = card.channels * card.size * card.size
    return sum(card.counts.values()) * (2 * pixels + 1024) + (1 << 20)


def without_answers(split: Split) -> Split:
    """Return a split without labels and masks."""
    return Split(split.images, None, split.index, split.groups, None, split.extras)


def channels_first(images: np.ndarray) -> np.ndarray:
    """Turn ``(N, H, W)`` or ``(N, H, W, C)`` into contiguous ``(N, C, H, W)``."""
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4:
        return images  # the check against the card says what is wrong
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def as_labels(card: Card, path: Path, labels: np.ndarray, count: int) -> np.ndarray:
    """Check labels against the card and return them as int64, ``(N,)`` or ``(N, K)``."""
    columns = card.num_classes if card.multi_label else 1
    if labels.ndim == 0 or labels.dtype.kind not in "iub":
        raise MedlibError(
            f"{path}: labels is {labels.dtype} {labels.shape}, expected whole numbers, one a case; "
            f"{archive.REMEDY}"
        )
    labels = labels.reshape(len(labels), -1).astype(np.int64)
    expect(path, "labels", labels, (count, columns), np.int64)
    highest = 1 if card.multi_label else card.num_classes - 1
    if len(labels) and not 0 <= labels.min() <= labels.max() <= highest:
        raise MedlibError(
            f"{path}: labels of '{card.name}' run from {labels.min()} to {labels.max()}, "
            f"expected 0 to {highest}"
        )
    return labels if card.multi_label else labels[:, 0]


def expect(path: Path, what: str, values: np.ndarray, shape: tuple, dtype: type) -> None:
    """Refuse an array of another shape or type than the card promises."""
    if values.shape != shape or values.dtype != dtype:
        raise MedlibError(
            f"{path}: {what} is {values.dtype} {values.shape}, "
            f"expected {np.dtype(dtype)} {shape}; {archive.REMEDY}"
        )


def _obtain(card: Card) -> Path:
    """Return the file of a set; download it where that is allowed without being asked."""
    path = store.find(card)
    if path is not None:
        return path
    if card.opt_in:
        raise store.unavailable(card, "it is only downloaded when asked for by name")
    from medlib.data import download, origins

    return origins.obtain(card, patience=download.HASTY)
