"""A folder for each class: the name of the folder is the label of all pictures in it."""

from collections.abc import Iterator
from pathlib import Path

from medlib.own.cases import Case, Found, OwnDataError, Skipped, split_named
from medlib.pictures import PictureError, is_volume, looks_like_picture

__all__ = ["find_in_folders"]


def find_in_folders(root: Path, *, patient_folders: bool = False) -> Found:
    """Find pictures in a folder that holds a folder for each class.

    The classes may lie in folders ``train``, ``val`` and ``test``; then the split is theirs.

    Parameters
    ----------
    root : Path
        The folder.
    patient_folders : bool
        Whether the folders inside a class name patients.

    Raises
    ------
    OwnDataError
        Where there are no folders, or no pictures in them.
    """
    tops = _folders(root)
    if not tops:
        raise OwnDataError(
            f"{root} holds no folders: make a folder for each class, named after it, and put its "
            "pictures inside; or give a table (CSV) with the columns path and label"
        )
    splits = {top: split_named(top.name) for top in tops}
    layered = any(splits.values())
    _refuse_mixed(root, tops, splits, layered)
    classes = [(folder, splits[top]) for top in tops for folder in _folders(top)]
    pairs = classes if layered else [(top, None) for top in tops]
    cases, skipped = [], [*_loose(root, root)]
    for folder, split in pairs:
        cases += _cases_of(root, folder, split, patient_folders)
        skipped += _others(root, folder)
    for top in tops if layered else ():
        skipped += _loose(root, top)
    return Found(root, root.resolve().name, tuple(cases), tuple(skipped), _notes(root, cases,
                 patient_folders))  # fmt: skip


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; hidden ones are no one's data."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _is_case(path: Path) -> bool:
    try:
        return is_volume(path) or looks_like_picture(path)
    except PictureError:  # an empty file without an ending
        return False


def _cases_of(root: Path, folder: Path, split: str | None, by_patient: bool) -> list[Case]:
    return [
        Case(
            path,
            path.relative_to(root).as_posix(),
            (folder.name,),
            patient=_patient(path.relative_to(folder)) if by_patient else None,
            split=split,
        )
        for path in _files(folder)
        if _is_case(path)
    ]


def _patient(inside: Path) -> str | None:
    """Return the first folder inside a class; None for a picture that lies directly in it."""
    return inside.parts[0] if len(inside.parts) > 1 else None


def _others(root: Path, folder: Path) -> Iterator[Skipped]:
    for path in _files(folder):
        if not _is_case(path):
            why = "it does not look like a picture (PNG, JPEG, TIFF, BMP, DICOM) or a volume"
            yield Skipped(path.relative_to(root).as_posix(), why)


def _loose(root: Path, folder: Path) -> Iterator[Skipped]:
    """Name pictures that lie beside the folders of the classes."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and _is_case(path):
            why = "it lies in no class: move it into the folder of its class"
            yield Skipped(path.relative_to(root).as_posix(), why)


def _refuse_mixed(
    root: Path, tops: list[Path], splits: dict[Path, str | None], layered: bool
) -> None:
    if layered and not all(splits.values()):
        strange = next(top.name for top in tops if splits[top] is None)
        raise OwnDataError(
            f"{root} holds folders of splits and also {strange!r}: have either train, val and "
            "test, with the classes inside, or the classes alone"
        )


def _notes(root: Path, cases: list[Case], by_patient: bool) -> tuple[str, ...]:
    deeper = any(len(Path(c.shown).parts) > 2 + (c.split is not None) for c in cases)
    if deeper and not by_patient:
        return (
            "the classes hold further folders: where each of those is a patient, add "
            "--patient-folders, so that no patient is on two sides of a split",
        )
    return ()
