"""Sweep what a killed process left of the files that it was writing.

Files are written under another name and renamed when they are whole (`medlib.paths.whole_file`,
`medlib.results.write_text`), so that a killed write leaves the old file whole, and a neighbour with
a part of the new one. Nobody needs that neighbour.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["leftovers", "sweep"]

DRAFT = re.compile(r"(?P<name>.+)\.(?P<pid>\d+)\.part")  # of `whole_file`
UNFINISHED = re.compile(r"\.(?P<name>.+\.\w+)\.[a-z0-9_]{8}")  # of `write_text`
PROBES = {".writable"}


def sweep(folder: Path, *, deep: bool = False) -> list[Path]:
    """Remove what killed processes left in a folder; call it where nobody else writes there.

    Parameters
    ----------
    folder : Path
        The folder; it may be missing.
    deep : bool
        Whether folders inside it are swept too.

    Returns
    -------
    list of Path
        What was removed.
    """
    found = list(leftovers(folder, deep=deep))
    for path in found:
        path.unlink(missing_ok=True)
    return found


def leftovers(folder: Path, *, deep: bool = False) -> Iterator[Path]:
    """Yield the unfinished files of a folder; not the drafts of processes that still run."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
        if path.is_file() and _is_left(path.name):
            yield path


def _is_left(name: str) -> bool:
    draft = DRAFT.fullmatch(name)
    if draft:
        return not _runs(int(draft["pid"]))
    return name in PROBES or UNFINISHED.fullmatch(name) is not None


def _runs(process: int) -> bool:
    """Tell whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
