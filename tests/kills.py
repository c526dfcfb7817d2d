"""Commands that receive SIGKILL at a chosen moment, and what is compared afterwards."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from medlib.leftovers import leftovers

LOOK = 0.02  # seconds between two looks at a process
PATIENCE = 600  # seconds after which a command hangs
TIMES = {
    *("started", "seconds", "processor_seconds", "peak_memory_mb", "measured", "stamp"),
    *("date", "hardware"),
}
KEPT_MARKS = (".part", ".tmp.ipynb", ".tmp", ".site-unfinished", ".writable")


@dataclass
class Command:
    """A command that is run again and again.

    Attributes
    ----------
    words : sequence of str
        Program and arguments.
    cwd : Path
        Where it runs.
    env : mapping of str to str
        What its environment holds besides this one's.
    """

    words: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> subprocess.Popen:
        """Start it in a process group of its own, without output."""
        return subprocess.Popen(
            self.words, cwd=self.cwd, env=os.environ | dict(self.env), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self) -> float:
        """Run it undisturbed; return the processor seconds that it took."""
        process, used = self.start(), 0.0
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            used = max(used, processor_seconds(process.pid))
            assert time.monotonic() < deadline, f"{self.words} hangs"
            time.sleep(LOOK)
        said = process.stderr.read().decode()
        assert process.returncode == 0, said
        assert "Traceback" not in said
        return used

    def kill_when(self, due: Callable[[int], bool], victims: Callable[[int], list[int]]) -> bool:
        """Run it and kill when it is time; return whether it lived long enough to be killed.

        Parameters
        ----------
        due : callable
            Tells of a process id whether it is time.
        victims : callable
            Returns the processes to kill.
        """
        process = self.start()
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and not due(process.pid):
            assert time.monotonic() < deadline, f"{self.words} hangs"
            time.sleep(LOOK)
        landed = process.poll() is None
        for each in victims(process.pid) if landed else []:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.communicate()
        return landed


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started and that still run, itself first."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def processor_seconds(pid: int) -> float:
    """Return what a process and all that it started have used, also what has ended meanwhile."""
    used = 0.0
    for process in tree(pid):
        with suppress(psutil.Error):
            used += sum(process.cpu_times()[:4])  # user, system, and those of ended children
    return used


def alone(pid: int) -> list[int]:
    """Kill the command itself: what it started must end by itself."""
    return [pid]


def everything(pid: int) -> list[int]:
    """Kill the command and all that it started, as a machine does that goes down."""
    return [process.pid for process in tree(pid)]


def one_child(generator: random.Random) -> Callable[[int], list[int]]:
    """Kill one process that the command started, or itself where it started none."""

    def choose(pid: int) -> list[int]:
        found = everything(pid)
        return [generator.choice(found[1:] or found)]

    return choose


def at_random(generator: random.Random, seconds: float) -> Callable[[int], bool]:
    """Return a moment within so many processor seconds."""
    moment = generator.uniform(0, seconds)
    return lambda pid: processor_seconds(pid) >= moment


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the digest of every file below some folders, times left out."""
    files = [p for name in names for p in sorted((folder / name).rglob("*")) if p.is_file()]
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """Return the digest of a file; of JSON without times and memory."""
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(timeless(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def timeless(value: Any) -> Any:
    """Return plain values without times and memory."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key not in TIMES}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def unfinished(folder: Path) -> list[str]:
    """Return the temporary files below a folder."""
    marked = [p for p in folder.rglob("*") if p.is_file() and p.name.endswith(KEPT_MARKS)]
    found = {*marked, *leftovers(folder, deep=True)}
    return sorted(path.relative_to(folder).as_posix() for path in found)
