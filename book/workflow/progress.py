"""Progress of a build: one line a finished chapter, with elapsed and remaining time."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

DEFAULT_SECONDS = 45.0  # a chapter that never ran here


def clock(seconds: float) -> str:
    """Format a duration as minutes and seconds, such as ``3:07``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Watches the stamps that the executions write and prints a line for each.

    Parameters
    ----------
    stamps : Path
        Folder of the stamps.
    stems : iterable of str
        Chapters that will run.
    cores : int
        How many run side by side; the estimate of the remaining time divides by it.
    say : callable
        Takes a line of text.
    """

    def __init__(
        self, stamps: Path, stems: Iterable[str], cores: int, say: Callable[[str], None] = print
    ) -> None:
        self.stamps, self.cores, self.say = stamps, cores, say
        self.expected = {stem: self._seconds(stem) for stem in stems}
        self.total = len(self.expected)
        self.waiting = dict(self.expected)
        self.before = {stem: self._written(stem) for stem in self.expected}
        self.start = time.monotonic()

    def poll(self) -> None:
        """Print a line for every chapter that finished since the last call."""
        for stem in list(self.waiting):
            if self._written(stem) not in (None, self.before[stem]):
                del self.waiting[stem]
                self.say(self._line(json.loads(self._path(stem).read_text("utf-8"))))

    def remaining(self) -> float:
        """Estimate the seconds that are left, from how long each chapter took the last time."""
        left = sum(self.waiting.values())
        return max([left / self.cores, *self.waiting.values()]) if self.waiting else 0.0

    def _line(self, stamp: dict) -> str:
        elapsed = time.monotonic() - self.start
        return (
            f"[{self.total - len(self.waiting):2d}/{self.total}] {stamp['chapter']:<28} "
            f"{stamp['status']:<13}{stamp['seconds']:6.1f} s {stamp['peak_memory_mb']:6d} MB   "
            f"elapsed {clock(elapsed)}, about {clock(self.remaining())} left"
        )

    def _path(self, stem: str) -> Path:
        return self.stamps / f"{stem}.json"

    def _written(self, stem: str) -> int | None:
        return self._path(stem).stat().st_mtime_ns if self._path(stem).exists() else None

    def _seconds(self, stem: str) -> float:
        if not self._path(stem).exists():
            return DEFAULT_SECONDS
        return float(json.loads(self._path(stem).read_text("utf-8")).get("seconds", 0)) + 1.0
