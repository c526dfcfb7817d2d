"""What `medlib.data.load` returns: three splits of arrays, and the card they belong to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medlib.data.cards import Card
from medlib.data.stratify import stratified_rows


@dataclass(frozen=True)
class Split:
    """Cases of one split, aligned along the first axis.

    Attributes
    ----------
    images : ndarray
        ``(N, C, H, W)`` uint8; for tables ``(N, F)`` float64.
    labels : ndarray or None
        ``(N,)`` int64, or ``(N, K)`` int64 where a case may carry several; None in a test split.
    index : ndarray
        ``(N,)`` int64: position in the official split, or row of the source array.
    groups : ndarray or None
        ``(N,)`` str: the patient of each case, where the source names them.
    masks : ndarray or None
        ``(N, H, W)`` bool: the lesion; None where there are none, and in a test split.
    extras : mapping of str to ndarray
        Age, sex, view and the like, each ``(N,)``.
    """

    images: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray
    groups: np.ndarray | None = None
    masks: np.ndarray | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def features(self) -> np.ndarray:
        """The cases as a table ``(N, F)``: the columns of a table, the pixels of an image."""
        return self.images.reshape(len(self.images), -1)

    def take(self, rows: np.ndarray) -> "Split":
        """Return the cases at `rows`, with all that belongs to them.

        Parameters
        ----------
        rows : ndarray
            ``(M,)`` positions in this split (not source indices), or a boolean mask ``(N,)``.
        """
        return Split(
            images=self.images[rows],
            labels=_rows(self.labels, rows),
            index=self.index[rows],
            groups=_rows(self.groups, rows),
            masks=_rows(self.masks, rows),
            extras={key: value[rows] for key, value in self.extras.items()},
        )


@dataclass(frozen=True)
class Dataset:
    """A data set: its card and its three splits; the test split carries no labels.

    Attributes
    ----------
    card : Card
        What the set is.
    train, val, test : Split
        Its cases. ``test.labels`` and ``test.masks`` are None: see `medlib.data.locked`.
    synthetic : bool
        Whether the images were generated; nothing computed on them is a result.
    source : mapping
        Where the arrays came from: ``kind`` (``file``, ``phantom``, ``memory``) and its details.
    """

    card: Card
    train: Split
    val: Split
    test: Split
    synthetic: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the card."""
        return self.card.name

    @property
    def task(self) -> str:
        """``binary``, ``multi-class``, ``ordinal`` or ``multi-label``."""
        return self.card.task

    @property
    def num_classes(self) -> int:
        """Number of classes, or of labels where a case may carry several."""
        return self.card.num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.card.classes

    @property
    def in_channels(self) -> int:
        """Number of channels of an image; the number of columns of a table."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """Side length of an image in pixels; the number of columns of a table."""
        return self.train.images.shape[-1]

    def subset(self, max_images: int, seed: int = 0) -> "Dataset":
        """Cut every split to at most `max_images` cases, keeping the share of each class.

        Parameters
        ----------
        max_images : int
            Cap on the cases of each split, >= 1; a smaller split stays whole.
        seed : int
            Which cases are kept.

        Returns
        -------
        Dataset
            The cases in their old order. The test split keeps its index, so that
            `medlib.data.locked` finds the labels that belong to it.
        """
        from medlib.data import locked

        if max_images < 1:
            raise ValueError(f"max_images must be >= 1, got {max_images}")
        kept = {
            name: split.take(stratified_rows(split.labels, max_images, seed))
            for name, split in (("train", self.train), ("val", self.val))
        }
        rows = locked.stratified_test_rows(self, max_images, seed)
        return replace(self, **kept, test=self.test.take(rows))

    def keeping(self, kept: Mapping[str, Iterable[int]]) -> "Dataset":
        """Leave out what a preparation did not keep; the test split stays whole.

        Parameters
        ----------
        kept : mapping of str to iterable of int
            Under ``"train"`` and ``"val"`` the numbers in `Split.index` that stay.

        Returns
        -------
        Dataset
            The cases in their old order.
        """
        stays = {
            name: split.take(np.isin(split.index, list(kept[name])))
            for name, split in (("train", self.train), ("val", self.val))
        }
        return replace(self, **stays)


def _rows(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]
