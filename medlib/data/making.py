"""How the committed split files were made: deterministic, stratified, and by patient where known.

For maintainers: ``python -m medlib.data.making [NAME ...]`` writes ``data/splits/*.txt`` anew from
the arrays; a test holds the committed files against it. This is the one place besides
`medlib.data.locked` that sees the labels of what will be the test split, since it has to balance
them; it looks at no image and no model.
"""

import sys
from collections.abc import Callable, Mapping

import numpy as np

from medlib import paths
from medlib.data import loading, splits
from medlib.data.cards import SPLITS, Card, card
from medlib.data.dataset import stratified_rows

SHARES = {"test": 0.2, "val": 0.2}  # the rest trains


def split_by_case(labels: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Split single cases, each class in equal shares.

    Parameters
    ----------
    labels : ndarray
        ``(N,)`` int.
    seed : int
        Which cases go where.

    Returns
    -------
    dict
        ``train``, ``val`` and ``test``: ascending rows.
    """
    left = np.arange(len(labels))
    rows = {}
    for name, share in SHARES.items():
        chosen = stratified_rows(labels[left], round(share * len(labels)), seed)
        rows[name], left = left[chosen], np.delete(left, chosen)
    return {"train": left, **rows}


def _wisconsin(found: Card) -> dict[str, np.ndarray]:
    return split_by_case(loading.wisconsin_table(found)[1])


_MAKERS: Mapping[str, tuple[Callable[[Card], dict[str, np.ndarray]], str]] = {
    "wisconsin": (_wisconsin, "by case, stratified by class, seed 0"),
}


def make(name: str) -> str:
    """Return the text of the split file of a data set, made from its arrays."""
    maker, about = _MAKERS[name]
    rows = maker(card(name))
    sizes = ", ".join(f"{split} {len(rows[split])}" for split in SPLITS)
    return splits.render(rows, f"rows of {name}: {about}; {sizes}")


def main(names: list[str]) -> int:
    """Write the split files of the sets named, or of all."""
    for name in names or _MAKERS:
        path = paths.package_file(card(name).split["file"])
        path.write_text(make(name), encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
