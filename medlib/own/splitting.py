"""Which pictures are learned, which choose, which test: whole patients to one side each."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from medlib.data.stratify import SHARES, split_by_case, split_by_group
from medlib.own.cases import OwnDataError
from medlib.own.reading import Pictures

__all__ = ["groups_of", "patients_of", "split_pictures"]

TRIES = 20  # seeds of a split that are tried until every class is on every side


def split_pictures(
    pictures: Pictures, labels: np.ndarray, classes: Sequence[str], seed: int = 0
) -> dict[str, np.ndarray]:
    """Split pictures into training, validation and test.

    The reader's own split stands where there is one; a missing validation or test part is cut from
    the training part. Patients, and pictures that nearly equal each other, stay together.

    Parameters
    ----------
    pictures : Pictures
        Without copies.
    labels : ndarray
        ``(N,)`` class numbers or ``(N, K)`` zeros and ones.
    classes : sequence of str
        Their names.
    seed : int
        Of the split.

    Returns
    -------
    dict of str to ndarray
        Ascending rows of ``train``, ``val`` and ``test``.

    Raises
    ------
    OwnDataError
        Where a patient is on two sides of the reader's split, or a class cannot be on all three.
    """
    members = labels if labels.ndim == 2 else np.eye(len(classes), dtype=np.int64)[labels]
    groups = groups_of(pictures)
    given = np.array([case.split or "" for case in pictures.cases])
    if (given == "").all():
        rows = _fresh(members, groups, dict(SHARES), classes, seed)
    else:
        _refuse_shared_patients(pictures)
        rows = _completed(given, members, groups, classes, seed)
    _refuse_missing(rows, members, classes)
    return rows


def groups_of(pictures: Pictures) -> np.ndarray:
    """Return what stays together, ``(N,)``: the patient's pictures, and near copies."""
    parent = np.arange(len(pictures.cases))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    for rows in _linked(pictures):
        for row in rows[1:]:
            parent[root(row)] = root(rows[0])
    return np.array([root(row) for row in range(len(parent))])


def patients_of(pictures: Pictures, rows: np.ndarray) -> np.ndarray | None:
    """Return the patient's code of each row, by which intervals are made; None where none is known.

    A picture whose patient is not named counts as a patient of its own.
    """
    if all(case.patient is None for case in pictures.cases):
        return None
    return np.array([pictures.cases[r].patient or f"picture-{r + 1}" for r in rows])


def _linked(pictures: Pictures) -> list[list[int]]:
    """List the rows that share a patient or nearly all of their look."""
    by: dict[object, list[int]] = defaultdict(list)
    for row, (case, facts) in enumerate(zip(pictures.cases, pictures.facts, strict=True)):
        by[facts.near].append(row)
        if case.patient is not None:
            by[case.patient].append(row)
    return [rows for rows in by.values() if len(rows) > 1]


def _fresh(
    members: np.ndarray,
    groups: np.ndarray,
    shares: dict[str, float],
    classes: Sequence[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """Split anew, trying several seeds until every class is on every side."""
    _refuse_rare(members, groups, classes, len(shares))
    single = len(np.unique(groups)) == len(groups)
    for attempt in range(TRIES):
        if single:
            rows = split_by_case(members, shares, seed + attempt)
        else:
            rows = split_by_group(members, groups, shares, seed + attempt)
        if all(_is_mixed(members[part]) for part in rows.values()):
            break
    return rows


def _is_mixed(members: np.ndarray) -> bool:
    """Tell whether each class or finding is there, and is not in every picture."""
    return bool(members.any(axis=0).all() and not members.all(axis=0).any())


def _completed(
    given: np.ndarray,
    members: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """Take the reader's split, and cut what it lacks from its training part."""
    rows = {name: np.flatnonzero(given == name) for name in SHARES}
    if not len(rows["train"]):
        raise OwnDataError("the split has no training pictures: name some of them train")
    missing = [name for name in ("val", "test") if not len(rows[name])]
    if not missing:
        return rows
    whole = rows["train"]
    shares = {"train": 1 - 0.2 * len(missing), **dict.fromkeys(missing, 0.2)}
    parts = _fresh(members[whole], groups[whole], shares, classes, seed)
    return rows | {name: whole[part] for name, part in parts.items()}


def _refuse_shared_patients(pictures: Pictures) -> None:
    """Refuse a split that has a patient on two sides: its test would be no test."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for case in pictures.cases:
        if case.patient is not None:
            sides[case.patient].setdefault(str(case.split), case.shown)
    shared = [files for files in sides.values() if len(files) > 1]
    if shared:
        first = ", ".join(f"{shown} in {split}" for split, shown in shared[0].items())
        raise OwnDataError(
            f"{len(shared)} patients have pictures on two sides of the split (one of them: {first})"
            ": the test would meet faces it knows; leave the split out, and medlib splits by "
            "patient, or move all pictures of a patient to one side"
        )


def _refuse_rare(
    members: np.ndarray, groups: np.ndarray, classes: Sequence[str], sides: int
) -> None:
    for k, name in enumerate(classes):
        units = len(np.unique(groups[members[:, k] == 1]))
        if units < sides:
            raise OwnDataError(
                f"the class {name} has pictures of {units} patients or separate pictures only: "
                f"at least {sides} are needed, one for each part of the split, and thirty or more "
                "for an answer that means something; add pictures, or leave the class out (where "
                "all patients got one number when they were made anonymous, name them apart in a "
                "table with a column patient)"
            )


def _refuse_missing(
    rows: dict[str, np.ndarray], members: np.ndarray, classes: Sequence[str]
) -> None:
    for part, chosen in rows.items():
        there, always = members[chosen].any(axis=0), members[chosen].all(axis=0)
        absent = [name for name, found in zip(classes, there, strict=True) if not found]
        everywhere = [name for name, found in zip(classes, always, strict=True) if found]
        if absent or everywhere:
            what = f"no picture of {', '.join(absent)}" if absent else (
                f"no picture without {', '.join(everywhere)}"
            )  # fmt: skip
            raise OwnDataError(
                f"the {part} part has {what}: every class or finding must be seen with and "
                "without in train, val and test; leave the split out, and medlib makes one, or "
                "add pictures"
            )
