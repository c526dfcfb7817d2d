"""A table (CSV) with a line for each picture: path, label or labels, patient, split."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medlib.own.cases import Case, Found, OwnDataError, Skipped, split_named
from medlib.pictures import PictureError, is_volume, looks_like_picture

__all__ = ["find_in_table"]

COLUMNS = ("path", "label", "labels", "patient", "split")
NONE_WORDS = {"", "none", "no finding"}


@dataclass(frozen=True)
class _Line:
    """One line of the table: its number as an editor shows it, and its cells by column."""

    number: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()


class _UnusableLine(Exception):
    """Says why a line is left out."""


def find_in_table(path: Path) -> Found:
    """Find the pictures that a table names.

    The columns ``path`` (below the folder of the table) and ``label`` are needed; ``labels``
    instead of ``label`` holds several findings, parted by semicolons, or none. ``patient`` and
    ``split`` may be there. A path may name a folder of DICOM slices.

    Raises
    ------
    OwnDataError
        Where the table cannot be read or lacks a column.
    """
    columns, lines = _read(path)
    _check_columns(path, columns)
    several = "labels" in columns
    cases: list[Case] = []
    skipped: list[Skipped] = []
    for line in lines:
        try:
            cases += _cases_of(path.parent, line, several, "split" in columns)
        except _UnusableLine as why:
            skipped.append(Skipped(f"{path.name}, line {line.number}", str(why)))
    cases, twice = _once(cases)
    notes = _notes(cases, columns)
    return Found(path.parent, path.name, tuple(cases), (*skipped, *twice), notes, several)


def _read(path: Path) -> tuple[list[str], list[_Line]]:
    """Return the columns and the lines, whatever separates the cells."""
    text = _text(path)
    if not text.strip():
        raise OwnDataError(f"{path} is empty: give a table with the columns path and label")
    first = text.splitlines()[0]
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator)
    try:
        columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        lines = []
        for row in reader:
            cells = dict(zip(columns, list(row.values())[: len(columns)], strict=False))
            if any(isinstance(v, str) and v.strip() for v in cells.values()):
                lines.append(_Line(reader.line_num, cells))
    except csv.Error as error:
        raise OwnDataError(
            f"{path} cannot be read as a table near line {reader.line_num} ({error}): save it "
            "again as CSV"
        ) from error
    return columns, lines


def _text(path: Path) -> str:
    """Read the table; older Excel does not write UTF-8."""
    content = path.read_bytes()
    if b"\0" in content:
        raise OwnDataError(f"{path} is no text: save the table as CSV (in Excel: CSV UTF-8)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _check_columns(path: Path, columns: list[str]) -> None:
    known = ", ".join(c or "(without a name)" for c in columns)
    if "path" not in columns:
        raise OwnDataError(f"{path} has no column 'path' (it has: {known}): name the column with "
                           "the pictures' files 'path', in the first line")  # fmt: skip
    given = [name for name in ("label", "labels") if name in columns]
    if len(given) != 1:
        found = "both 'label' and 'labels'" if given else "neither 'label' nor 'labels'"
        raise OwnDataError(
            f"{path} has {found} (it has: {known}): have one column 'label' with the class of each "
            "picture, or one column 'labels' with its findings, parted by semicolons"
        )
    twice = sorted({c for c in columns if c in COLUMNS and columns.count(c) > 1})
    if twice:
        raise OwnDataError(f"{path} has the column {twice[0]!r} twice: leave one")


def _cases_of(folder: Path, line: _Line, several: bool, has_split: bool) -> Iterator[Case]:
    """Yield the case of a line, or those of the folder of slices that it names."""
    labels = _labels(line, several)
    split = _split(line) if has_split else None
    patient = line.get("patient") or None
    for path in _paths(folder, line.get("path")):
        shown = path.relative_to(folder).as_posix()
        yield Case(path, shown, labels, patient=patient, split=split)


def _labels(line: _Line, several: bool) -> tuple[str, ...]:
    if not several:
        label = line.get("label")
        if not label:
            raise _UnusableLine("it has no label: fill it in, or delete the line")
        return (label,)
    words = [word.strip() for word in line.get("labels").replace("|", ";").split(";")]
    return tuple(dict.fromkeys(w for w in words if w.lower() not in NONE_WORDS))


def _split(line: _Line) -> str:
    split = split_named(line.get("split"))
    if split is None:
        raise _UnusableLine("its split is none of train, val and test: correct it, or leave the "
                            "whole column out, and medlib splits by patient")  # fmt: skip
    return split


def _paths(folder: Path, written: str) -> list[Path]:
    """Return the file that a line names, or the pictures in the folder that it names.

    Raises
    ------
    _UnusableLine
        Where it is missing, or lies outside the table's folder (also by way of a link).
    """
    if not written:
        raise _UnusableLine("it has no path: fill it in, or delete the line")
    path = folder / written.replace("\\", "/")
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        exists = path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise _UnusableLine("its path cannot be a file name: correct it") from error
    if not inside:
        raise _UnusableLine("its path leads out of the folder of the table: copy the picture "
                            "into that folder, or move the table")  # fmt: skip
    if not exists:
        raise _UnusableLine("there is no file at its path: check the spelling, also capitals")
    path = folder / path.relative_to(folder) if path.is_relative_to(folder) else path
    return _slices(path) if path.is_dir() else [_plain(path, folder)]


def _plain(path: Path, folder: Path) -> Path:
    """Return a path without detours (``a/../b``), so that it is named as it lies."""
    return folder / path.resolve().relative_to(folder.resolve()) if ".." in path.parts else path


def _slices(folder: Path) -> list[Path]:
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and _is_case(p)]
    if not files:
        raise _UnusableLine("its path is a folder without pictures: name a file, or a folder of "
                            "DICOM slices")  # fmt: skip
    return files


def _is_case(path: Path) -> bool:
    try:
        return not path.name.startswith(".") and (is_volume(path) or looks_like_picture(path))
    except PictureError:
        return False


def _once(cases: list[Case]) -> tuple[list[Case], list[Skipped]]:
    """Keep a file that is named twice once; none where its lines contradict each other."""
    by_path: dict[Path, list[Case]] = {}
    for case in cases:
        by_path.setdefault(case.path, []).append(case)
    kept, skipped = [], []
    for same in by_path.values():
        agree = len(set(same)) == 1
        if agree:
            kept.append(same[0])
        if len(same) > 1:
            why = ("the table names it twice: it is used once" if agree else
                   "the table names it twice, with different labels, patients or splits: correct "
                   "the wrong line")  # fmt: skip
            skipped.append(Skipped(same[0].shown, why))
    return kept, skipped


def _notes(cases: list[Case], columns: list[str]) -> tuple[str, ...]:
    unknown = sum(case.patient is None for case in cases)
    if "patient" in columns and 0 < unknown < len(cases):
        return (f"{unknown} lines name no patient: each counts as a patient of its own",)
    return ()
