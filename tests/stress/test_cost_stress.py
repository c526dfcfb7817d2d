"""What a rebuild costs: nothing changed, more chapters, and what an import takes."""

import re
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests import tiny_book as books

pytestmark = [pytest.mark.stress, pytest.mark.timeout(7200)]
NUMBERS = (10, 20, 40)
REPEATS = 3
BENT = 0.10  # share by which a doubling may differ from a straight line
CODE = "value = {place}\nprint('the answer', value)"


def processor_seconds(words: Sequence[str], **settings: object) -> float:
    """Run a command and return what it and its children used of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True, **settings)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_cost_grows_with_the_chapters(tmp_path, finding):
    """The site and the bookkeeping of 10, 20 and 40 chapters, without their executions."""
    costs: dict[int, list[float]] = {number: [] for number in NUMBERS}
    made = {number: _book(tmp_path / f"book-{number}", number) for number in NUMBERS}
    for _ in range(REPEATS):  # interleaved, so that a busy minute meets all
        for number, book in made.items():
            costs[number].append(_rebuilt(book))
    medians = [statistics.median(costs[number]) for number in NUMBERS]
    slope, fixed = np.polyfit(NUMBERS, medians, 1)
    off = (abs(fixed + slope * n - m) / m for n, m in zip(NUMBERS, medians, strict=True))
    bent = float(max(off))
    shown = ", ".join(f"{m:.1f} s for {n}" for n, m in zip(NUMBERS, medians, strict=True))
    line = f"{fixed:.1f} s and {slope:.2f} s a chapter"
    value = f"{shown}: {line}, at most {100 * bent:.0f} % off that line"
    what = "Processor time of the site and all bookkeeping, 10, 20 and 40 chapters"
    finding("cost", what, value, bar="a line within 10 %", held=bent <= BENT)
    assert bent <= BENT, value


def test_the_import(finding):
    """What `import medlib` adds to a Python that does nothing."""
    gaps = []
    for _ in range(15):  # interleaved
        bare = processor_seconds([sys.executable, "-c", "pass"])
        gaps.append(processor_seconds([sys.executable, "-c", "import medlib"]) - bare)
    seconds = statistics.median(gaps)
    what = "`import medlib`, beyond a Python that does nothing"
    value = f"{seconds:.3f} s of processor time"
    finding("cost", what, value, bar="0.3 s", held=seconds <= 0.3)
    assert seconds <= 0.3


def test_a_build_without_changes(tmp_path, finding):
    """A second `make book` of 40 chapters."""
    book = _book(tmp_path / "book", max(NUMBERS))
    _rebuilt(book)
    seconds = statistics.median(_build(book, said="Nothing to do") for _ in range(REPEATS))
    what = "`make book` again, 40 chapters, nothing changed"
    value = f"{seconds:.1f} s of processor time"
    finding("cost", what, value, bar="3 s", held=seconds <= 3)
    assert seconds <= 3


def _book(root: Path, number: int) -> books.TinyBook:
    """Return a book of so many chapters, which count as executed."""
    book = books.new_book(root)
    book.timeout = 3600
    for place in range(number):
        stem = f"{1 + place // 20:02d}-{1 + place % 20:02d}-chapter"
        book.write(stem, CODE.format(place=place), title=f"Chapter {place}")
    return book


def _rebuilt(book: books.TinyBook) -> float:
    """Build the book from nothing but its executions; return the processor seconds."""
    subprocess.run(["rm", "-rf", str(book.path("")), str(book.root / "_build" / "kept")])
    _stamp_all(book)
    return _build(book, said="Building the site")


def _build(book: books.TinyBook, said: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = book.build("--cores", "2")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert re.search(r"\b0 of \d+ chapters|Nothing to do", done.stdout)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


STAMP = """
import json, os, shutil
from book.workflow import chapters, execute, fingerprint, source
from medlib import paths, results
import nbformat
build = paths.build_dir("fast")
for chapter in chapters.chapters():
    fingerprint.write(chapter.stem, "fast", 0, "auto")
    notebook = source.read(chapter.source)
    results.write_text(build / "executed" / f"{chapter.stem}.ipynb", nbformat.writes(notebook))
    stamp = {"chapter": chapter.stem, "profile": "fast", "seed": 0, "device": "auto",
             "status": "ok", "error": None, "seconds": 1.0, "processor_seconds": 1.0,
             "peak_memory_mb": 1, "started": "2026-01-01T00:00:00+00:00",
             **execute._provenance(chapter.stem, build)}
    results.write_text(build / "stamps" / f"{chapter.stem}.json", json.dumps(stamp))
shutil.rmtree(paths.build_dir("kept"))
"""


def _stamp_all(book: books.TinyBook) -> None:
    """Make every chapter count as executed: their own time is not what is measured."""
    subprocess.run([sys.executable, "-c", STAMP], cwd=book.root, check=True, env=book.env())
