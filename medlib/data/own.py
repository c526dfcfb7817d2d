"""A reader's own images as a `Dataset`: the test labels go into the lock and do not come out."""

from collections.abc import Mapping, Sequence

import numpy as np

from medlib.data import archive, locked
from medlib.data.cards import SPLITS, Card
from medlib.data.dataset import Dataset, Split

__all__ = ["NAME", "own_dataset"]

NAME = "own"  # stands in file names where a card's name stands


def own_dataset(
    images: np.ndarray,
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    *,
    title: str,
    classes: Sequence[str],
    groups: np.ndarray | None = None,
) -> Dataset:
    """Make a data set of images in memory; its test labels are sealed.

    Parameters
    ----------
    images : ndarray
        ``(N, C, S, S)`` uint8.
    labels : ndarray
        ``(N,)`` class numbers, or ``(N, K)`` zeros and ones.
    rows : mapping
        Rows of ``train``, ``val`` and ``test``.
    title : str
        What the reader calls the set.
    classes : sequence of str
        Names of the classes or findings.
    groups : ndarray, optional
        ``(N,)``: a code of the patient of each image.
    """
    whole = Split(images, labels, np.arange(len(images)), groups)
    parts = {name: whole.take(np.asarray(rows[name])) for name in SPLITS}
    sealed, source = locked.seal(parts["test"])
    digest = archive.digest_of_arrays(
        {"images": images, "labels": labels, **{name: np.asarray(rows[name]) for name in SPLITS}}
    )
    card = _card(images, labels, rows, title, classes, groups is not None)
    return Dataset(
        card, parts["train"], parts["val"], sealed, source=source | {"digest": f"own-{digest}"}
    )


def _card(
    images: np.ndarray,
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    title: str,
    classes: Sequence[str],
    by_patient: bool,
) -> Card:
    single = "binary" if len(classes) == 2 else "multi-class"
    return Card(
        name=NAME,
        title=title,
        kind="image",
        modality="as the reader's files say",
        task="multi-label" if labels.ndim == 2 else single,
        classes=tuple(classes),
        channels=images.shape[1],
        size=images.shape[-1],
        counts={name: len(rows[name]) for name in SPLITS},
        file="",
        layout="rows",
        digests={},
        origins=(),
        split={"kind": "own"},
        licence={"name": "the reader's own", "read": False},
        publishable=False,
        citation="",
        opt_in=True,
        groups="patient" if by_patient else None,
    )
