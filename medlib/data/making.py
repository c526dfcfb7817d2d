"""How the committed split files were made: deterministic, stratified, and by patient where known.

For maintainers: ``python -m medlib.data.making [NAME ...]`` writes ``data/splits/*.txt`` anew from
the arrays; a test holds the committed files against it. Besides `medlib.data.locked`, this is the
one place that sees the labels of what becomes the test split, since it has to balance them. It
looks at no image and no model.
"""

import csv
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from medlib import paths
from medlib.data import archive, loading, splits, store
from medlib.data.cards import SPLITS, Card, card
from medlib.data.stratify import split_by_case, split_by_group
from medlib.errors import MedlibError
from medlib.multilabel.folds import patient_folds

Rows = dict[str, np.ndarray]
FOLDED, FOLDS = ("nih1000",), 5


def make(name: str) -> str:
    """Return the text of the split file of a data set, made from its arrays."""
    if name not in _MAKERS:
        raise MedlibError(f"'{name}' has no split of ours: choose one of {', '.join(_MAKERS)}")
    maker, about = _MAKERS[name]
    found = maker(card(name))
    rows = {split: found[split] for split in SPLITS}
    sizes = ", ".join(f"{split} {len(rows[split])}" for split in SPLITS)
    return splits.render(rows, f"rows of {name}: {about}; {sizes}")


def make_folds(name: str) -> str:
    """Return the text of the fold file of a data set whose few patients ask for pooled folds."""
    wanted = card(name)
    arrays = _arrays(wanted, "labels", "patient")
    columns = [wanted.classes.index(finding) for finding in wanted.supported]
    fold = patient_folds(arrays["labels"][:, columns], arrays["patient"], FOLDS, seed=0)
    rows = {f"fold{k}": np.flatnonzero(fold == k) for k in range(FOLDS)}
    about = "folds by patient, stratified by the supported findings, seed 0"
    return splits.render(rows, f"rows of {name}: {about}")


def main(names: list[str]) -> int:
    """Write the split files of the sets named, or of all, and the fold files."""
    for name in names or _MAKERS:
        written = {paths.package_file(card(name).split["file"]): make(name)}
        if name in FOLDED:
            written[paths.package_file(f"data/splits/{name}-folds.txt")] = make_folds(name)
        for path, text in written.items():
            path.write_text(text, encoding="utf-8")
            print(path)
    return 0


def _wisconsin(wanted: Card) -> Rows:
    return split_by_case(loading.wisconsin_table(wanted)[1])


def _nih1000(wanted: Card) -> Rows:
    arrays = _arrays(wanted, "labels", "patient")
    return split_by_group(arrays["labels"], arrays["patient"])


def _malaria50(wanted: Card) -> Rows:
    """Balance parasitised cells, healthy cells of ill patients, and cells of healthy patients."""
    arrays = _arrays(wanted, "labels", "patient")
    parasitised = arrays["labels"] == 1
    ill = np.isin(arrays["patient"], np.unique(arrays["patient"][parasitised]))
    traits = np.column_stack([parasitised, ill & ~parasitised, ~ill]).astype(int)
    return split_by_group(traits, arrays["patient"])


def _busi128(wanted: Card) -> Rows:
    """Follow BreastMNIST, picture by picture."""
    files = _arrays(wanted, "source_file")["source_file"]
    row_of = {str(name): row for row, name in enumerate(files)}
    rows: dict[str, list[int]] = {split: [] for split in SPLITS}
    with _mapping_file().open(encoding="utf-8", newline="") as stream:
        for entry in csv.DictReader(stream):
            rows[entry["split"]].append(row_of[entry["busi_file"]])
    return {split: np.sort(found) for split, found in rows.items()}


def _mapping_file() -> Path:
    """Return the table of which BreastMNIST picture is which BUSI file; it lies in the mirror."""
    folder = paths.mirror_dir()
    path = (folder or Path(os.curdir)) / "breastmnist_to_busi.csv"
    if not path.is_file():
        raise MedlibError(
            f"{path} is missing: it maps BreastMNIST to BUSI; set MEDLIB_MIRROR to its folder"
        )
    return path


def _arrays(wanted: Card, *names: str) -> dict[str, np.ndarray]:
    path = store.find(wanted)
    if path is None:
        raise store.unavailable(wanted, "its split can only be made from its arrays")
    return archive.read_arrays(path, names)


_MAKERS: Mapping[str, tuple[Callable[[Card], Rows], str]] = {
    "wisconsin": (_wisconsin, "by case, stratified by class, seed 0"),
    "nih1000": (_nih1000, "by patient, stratified by finding, seed 0"),
    "malaria50": (_malaria50, "by patient, stratified by cell and patient, seed 0"),
    "busi128": (_busi128, "as BreastMNIST, whose pictures these are"),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
