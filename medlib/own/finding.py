"""From a folder or a table to a list of cases: the only place that sees who a picture is of."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from medlib.own.cases import Found, OwnDataError, with_codes
from medlib.own.folders import find_in_folders
from medlib.own.headers import with_headers
from medlib.own.table import find_in_table
from medlib.own.volumes import with_slices

__all__ = ["find_cases", "ordered_classes"]

# A class whose name begins with one of these means that something is not there.
ABSENCE = {
    *("normal", "negative", "neg", "healthy", "benign", "control", "controls", "absent", "no"),
    *("none", "non", "not", "without", "0", "false"),
}


def find_cases(
    path: Path | str,
    *,
    patient_folders: bool = False,
    positive: str | None = None,
    slices: int = 3,
) -> Found:
    """Find the pictures of a folder or a table.

    Parameters
    ----------
    path : Path or str
        A folder with a folder for each class, or a table (CSV) with the columns path and label.
    patient_folders : bool
        Whether the folders inside a class name patients.
    positive : str, optional
        Of two classes, the one that counts as positive.
    slices : int
        How many slices are taken from each volume.

    Returns
    -------
    Found
        Patients carry neutral codes, and no shown name repeats a field of a DICOM header.

    Raises
    ------
    OwnDataError
        Where there is nothing to train on; the message says what to do.
    """
    path = Path(path)
    if not path.exists():
        raise OwnDataError(f"there is nothing at {path}: give a folder with a folder for each "
                           "class, or a table (CSV)")  # fmt: skip
    if path.is_dir():
        found = find_in_folders(path, patient_folders=patient_folders)
    elif path.suffix.lower() in {".csv", ".tsv", ".txt"}:
        found = find_in_table(path)
    else:
        raise OwnDataError(f"{path} is neither a folder nor a table: give a folder with a folder "
                           "for each class, or a table whose name ends in .csv")  # fmt: skip
    found = with_codes(with_slices(with_headers(found), slices))
    found = _as_binary(found)
    classes = ordered_classes(found, positive)
    return replace(found, classes=classes)


def ordered_classes(found: Found, positive: str | None = None) -> tuple[str, ...]:
    """Return the classes by name; of two, the one that means health comes first.

    Raises
    ------
    OwnDataError
        Where there are fewer than two classes (or no finding), or no class `positive`.
    """
    counts = Counter(label for case in found.cases for label in case.labels)
    names = sorted(counts)
    if not found.cases:
        skipped = f" ({len(found.skipped)} files or lines were left out)" if found.skipped else ""
        raise OwnDataError(f"there are no pictures in {found.title}{skipped}: expected PNG, JPEG, "
                           f"TIFF, BMP, DICOM, NIfTI or .npz files{_first(found)}")  # fmt: skip
    if found.multi_label:
        if not names:
            raise OwnDataError(f"no line of {found.title} names a finding: there is nothing to "
                               "learn")  # fmt: skip
        return tuple(names)
    if len(names) < 2:
        raise OwnDataError(
            f"{found.title} holds one class only ({names[0]}): a classifier needs at least two, "
            "such as 'benign' and 'malignant'"
        )
    if positive is not None and (positive not in names or len(names) != 2):
        raise OwnDataError(
            f"--positive takes one of two classes; the classes here are {', '.join(names)}"
        )
    if len(names) == 2:
        last = positive or _positive(names)
        names = [next(name for name in names if name != last), last]
    return tuple(names)


def _as_binary(found: Found) -> Found:
    """Turn a table with one finding alone into two classes: without it and with it."""
    names = {label for case in found.cases for label in case.labels}
    if not found.multi_label or len(names) != 1:
        return found
    (name,) = names
    cases = tuple(replace(case, labels=case.labels or (f"no {name}",)) for case in found.cases)
    return replace(found, cases=cases, multi_label=False)


def _positive(names: list[str]) -> str:
    """Return the one of two classes that does not mean health; the second where that is unclear."""
    ill = [name for name in names if re.split(r"[\W_]+", name.lower())[0] not in ABSENCE]
    return ill[0] if len(ill) == 1 else names[1]


def _first(found: Found) -> str:
    if not found.skipped:
        return ""
    one = found.skipped[0]
    return f"; the first one left out: {one.shown}: {one.why}"
