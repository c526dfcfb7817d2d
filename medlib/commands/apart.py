"""A medlib command in a process of its own, as in a terminal."""

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ran", "run_apart"]

TIMES = re.compile(r" after \d+ s")  # differ each time


@dataclass(frozen=True)
class Ran:
    """A command that has ended.

    Attributes
    ----------
    code : int
        Its exit code.
    said : str
        What it printed, without times.
    seconds : float
        Processor seconds it took where the system counts them, else seconds.
    """

    code: int
    said: str
    seconds: float


def run_apart(*words: object, folder: Path | str) -> Ran:
    """Run a medlib command in a folder and wait for it.

    What it does to the state of this process, such as the open run of a chapter, is nothing.

    Parameters
    ----------
    *words : object
        The command without ``medlib``, such as ``"train", "pictures", "--out", "mine"``.
    folder : Path or str
        The folder that relative paths start from.
    """
    before = _seconds()
    done = subprocess.run(
        [sys.executable, "-m", "medlib", *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Ran(done.returncode, TIMES.sub("", done.stdout), _seconds() - before)


def _seconds() -> float:
    """Return the processor seconds of all ended children of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
