"""Files dated in the future, as they are left behind when the clock of a machine goes back.

The workflow asks which of two files is newer. A result that is dated tomorrow would be newer than
every change that is made today, and a source that is dated tomorrow newer than every result.
"""

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["forget_if_ahead", "set_back"]

SLACK = 2.0  # seconds that the clocks of a machine and of its file server may differ
LAST = "environment.pickle"  # what Sphinx writes last, with the times at which it read the pages


def set_back(folders: Iterable[Path]) -> float:
    """Date all files of some folders back until none lies ahead; their order stays.

    Parameters
    ----------
    folders : iterable of Path
        Folders whose files are compared with each other; a missing one is passed over.

    Returns
    -------
    float
        Seconds by which the last file was ahead; 0 where none was.
    """
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    ahead = max((path.stat().st_mtime for path in files), default=0.0) - time.time()
    if ahead <= SLACK:
        return 0.0
    back = int(ahead * 1e9) + 1
    for path in files:
        facts = path.stat()
        os.utime(path, ns=(facts.st_atime_ns, max(0, facts.st_mtime_ns - back)))
    return ahead


def forget_if_ahead(doctrees: Path) -> bool:
    """Remove what Sphinx remembers of its pages where it was written in the future.

    Sphinx reads a page again where it is newer than the time at which it was read last; that time
    stands inside the file, so that the folder can only be made anew.
    """
    last = doctrees / LAST
    if not last.exists() or last.stat().st_mtime - time.time() <= SLACK:
        return False
    shutil.rmtree(doctrees)
    return True
