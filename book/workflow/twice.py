"""Execute chapters again, elsewhere, and say what two executions differ in.

With one seed on one machine nothing may: not the executed notebook, whose metadata `execute.strip`
has dropped, not a value, not a score of an image, not a file that one chapter leaves for another.
Three things follow the clock and are left out: stamps, ``measured`` values, and the cells of
`TIMED`, which draw the times that they measured. Where a kernel cuts printed text into outputs
follows the clock too; the text is joined before it is compared, as the site joins it.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from book.workflow import build, fingerprint
from book.workflow.execute import joined

FILES = ("executed/*.ipynb", "results/*.json", "scores/**/*.csv", "artefacts/**/*")
# cells that show times that they measured: how their code begins, by chapter
TIMED = {
    "03-06-densenet": ("built = {\n    name: network_of(model, **options)\n",),
    "03-10-side-by-side": (
        "# AUC and accuracy as printed by Yang et al. (2023), Table 3",
        "full_table(PNEUMONIA)",
        "full_table(RETINA)",
        'plots.pareto(\n    points("latency"),',
    ),
    "04-02-preparing-data": ("dot_interval(\n    [\n        Row(\n            name,\n",),
    "04-12-running": (
        'first = "PyTorch, 32 bits"\nrows = []\n',
        "zeroed = with_zeros(sparse(network, 0.9)).eval()\n",
    ),
}


@dataclass(frozen=True)
class Report:
    """What two executions differ in.

    Attributes
    ----------
    lines : tuple of str
        One line a file that differs, with the place.
    timed : tuple of str
        Chapters with cells that were left out although they differ, and how many.
    compared : int
        Number of files that both executions wrote.
    """

    lines: tuple[str, ...]
    timed: tuple[str, ...]
    compared: int

    @property
    def chapters(self) -> set[str]:
        """The chapters that a line names."""
        return {line.split(":")[0].split("/")[1].partition(".")[0] for line in self.lines}


def execute(folder: Path, stems: list[str], profile: str, cores: int) -> list[str]:
    """Execute chapters into a folder of their own; return what went wrong.

    Parameters
    ----------
    folder : Path
        Takes the place of ``_build``. What was executed there already stays.
    stems : list of str
        The chapters, with those whose artefacts they take.
    profile : str
        The workload.
    cores : int
        How many chapters run side by side.
    """
    with mock.patch.dict(os.environ, {"MEDLIB_BUILD": str(folder)}):
        for stem in stems:
            fingerprint.write(stem, profile, 0, "auto")
        return build.run_chapters(stems, profile, cores, 0, "auto")


def compare(first: Path, second: Path, stems: list[str] | None = None) -> Report:
    """Compare two executions.

    Parameters
    ----------
    first, second : Path
        Folders of a profile, such as ``_build/fast``.
    stems : list of str, optional
        The chapters to compare; all that either folder has where omitted.
    """
    names = sorted(set(_files(first)) | set(_files(second)))
    if stems is not None:
        names = [name for name in names if name.split("/")[1].partition(".")[0] in stems]
    lines = [line for name in names if (line := _difference(first / name, second / name, name))]
    books = [Path(name) for name in names if name.endswith(".ipynb")]
    timed = [f"{book.stem} ({count})" for book in books if (count := _timed(first, second, book))]
    return Report(tuple(lines), tuple(timed), len(names))


def _files(folder: Path) -> Iterator[str]:
    for pattern in FILES:
        yield from (p.relative_to(folder).as_posix() for p in folder.glob(pattern) if p.is_file())


def _difference(first: Path, second: Path, name: str) -> str:
    """Return where two files differ, or nothing."""
    if not (first.exists() and second.exists()):
        return f"{name}: written by one execution only"
    if first.suffix == ".ipynb":
        return _of_notebooks(_cells(first), _cells(second), name)
    return "" if _content(first) == _content(second) else name


def _content(path: Path) -> bytes:
    """Return what is compared of a file: all of it but measured times."""
    if path.suffix != ".json" or path.parent.name != "results":
        return path.read_bytes()
    document = json.loads(path.read_text("utf-8"))
    document.pop("measured", None)
    return json.dumps(document).encode()


def _of_notebooks(first: list[dict], second: list[dict], name: str) -> str:
    """Return the first cell in which two executed notebooks differ, or nothing."""
    if len(first) != len(second):
        return f"{name}: {len(first)} and {len(second)} cells"
    for number, (one, two) in enumerate(zip(first, second, strict=True)):
        if one != two and not _shows_times(Path(name).stem, one):
            return f"{name}: cell {number}, {_source(one)[:50]!r}"
    return ""


def _timed(first: Path, second: Path, book: Path) -> int:
    """Return how many cells that show times differ."""
    if not ((first / book).exists() and (second / book).exists()):
        return 0
    pairs = zip(_cells(first / book), _cells(second / book), strict=False)
    return sum(one != two and _shows_times(book.stem, one) for one, two in pairs)


def _shows_times(stem: str, cell: dict) -> bool:
    return _source(cell).startswith(TIMED.get(stem, ()))


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _cells(path: Path) -> list[dict]:
    """Return the cells of an executed notebook, with printed text in one piece."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    for cell in cells:
        cell["outputs"] = joined(cell.get("outputs", []))
    return cells
