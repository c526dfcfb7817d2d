"""The lock on the test split: the only door through which its labels and masks leave.

`medlib.data.load` never hands them out. `medlib.evaluate` calls the functions here, and a static
test (``book/workflow/lock_check.py``) finds any other caller.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from medlib.data import archive, loading
from medlib.data.dataset import Dataset, Split
from medlib.data.stratify import stratified_rows
from medlib.errors import MedlibError

_vault: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]] = {}


def read_test_labels(dataset: Dataset) -> np.ndarray:
    """Return the test labels of a data set, aligned with ``dataset.test``.

    Only `medlib.evaluate` may call this.

    Returns
    -------
    ndarray
        ``(N,)`` int64, or ``(N, K)`` int64 where a case may carry several.
    """
    return _answers(dataset)[0]


def read_test_masks(dataset: Dataset) -> np.ndarray:
    """Return the test masks ``(N, H, W)`` bool, aligned with ``dataset.test``.

    Only `medlib.evaluate` may call this.

    Raises
    ------
    MedlibError
        Where the set has no masks.
    """
    masks = _answers(dataset)[1]
    if masks is None:
        raise MedlibError(f"the data set '{dataset.name}' has no masks")
    return masks


def stratified_test_rows(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """Choose test rows so that each class keeps its share; the labels stay here.

    Returns
    -------
    ndarray
        Ascending positions in ``dataset.test``.
    """
    if len(dataset.test) <= count:
        return np.arange(len(dataset.test))
    return stratified_rows(read_test_labels(dataset), count, seed)


def seal(test: Split) -> tuple[Split, dict[str, str]]:
    """Lock the answers of a test split that exists in memory only (own images, generated ones).

    Returns
    -------
    Split
        The same cases without labels and masks.
    dict
        What the data set's ``source`` must be for `read_test_labels` to find the answers.
    """
    if test.labels is None:
        raise MedlibError("there is nothing to seal: the test split carries no labels")
    key = f"sealed-{len(_vault)}"
    _vault[key] = (test.index.copy(), test.labels, test.masks)
    return loading.without_answers(test), {"kind": "memory", "key": key}


def _answers(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    kind = dataset.source.get("kind")
    if kind not in _DOORS:
        raise MedlibError(
            f"the test labels of '{dataset.name}' cannot be found: its source is "
            f"{dict(dataset.source)}; build such a data set with medlib.data.locked.seal"
        )
    labels, masks = _DOORS[kind](dataset)
    return labels, masks


def _from_file(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    path, card, rows = Path(dataset.source["path"]), dataset.card, dataset.test.index
    name = "test_labels" if card.layout == "medmnist" else "labels"
    count = card.counts["test"] if card.layout == "medmnist" else sum(card.counts.values())
    labels = archive.read_arrays(path, [name])[name]
    labels = loading.as_labels(card, path, labels, count)[rows]
    has_masks = "masks" in archive.array_names(path)
    return labels, archive.read_arrays(path, ["masks"])["masks"][rows] > 0 if has_masks else None


def _from_sklearn(dataset: Dataset) -> tuple[np.ndarray, None]:
    return loading.wisconsin_table(dataset.card)[1][dataset.test.index], None


def _from_phantom(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    from medlib.data import phantoms

    whole = phantoms.answers_like(dataset.card, "test", dataset.source["seed"])
    rows = dataset.test.index
    return whole[0][rows], None if whole[1] is None else whole[1][rows]


def _from_memory(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    index, labels, masks = _vault[dataset.source["key"]]
    order = np.argsort(index, kind="stable")
    rows = order[np.searchsorted(index, dataset.test.index, sorter=order)]
    return labels[rows], None if masks is None else masks[rows]


_DOORS: dict[str, Callable[[Dataset], tuple[np.ndarray, np.ndarray | None]]] = {
    "file": _from_file,
    "sklearn": _from_sklearn,
    "phantom": _from_phantom,
    "memory": _from_memory,
}
