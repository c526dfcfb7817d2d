"""The short form of `tests/stress/test_cost_stress.py`: what an import loads, how work grows."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from book.workflow import build, chapters, fingerprint, lint, reading
from tests import tiny_book as books

HEAVY = ("torch", "torchvision", "matplotlib", "pandas", "scipy", "sklearn", "skimage")
LOADED = "import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import medlib", (*HEAVY, "numpy", "yaml")),
        ("from medlib import cli\ncli.parser().format_help()", HEAVY),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code, unwanted):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-c", LOADED.format(code=code)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not set(unwanted) & set(json.loads(done.stdout))
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 1  # of processor time; far below on a quiet machine


def calls(work: Callable[[], object]) -> int:
    """Count the calls of functions: a measure of work that no other process disturbs."""
    count = 0

    def add(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(add)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def bent(numbers: list[int], work: list[int]) -> float:
    """Return by what share the work differs at most from a straight line."""
    slope, fixed = np.polyfit(numbers, work, 1)
    line = fixed + slope * np.array(numbers)
    return float(np.max(np.abs(line - work) / work))


def test_a_line_is_told_from_a_curve():
    numbers = [10, 20, 40]
    assert bent(numbers, [7 + 3 * n for n in numbers]) < 1e-9
    assert bent(numbers, [n**2 for n in numbers]) > 0.1
    assert calls(lambda: [abs(each) for each in range(100)]) >= 100


def test_the_work_grows_with_the_chapters_and_not_faster(tmp_path, monkeypatch):
    numbers, work = [10, 20, 40], []
    for number in (1, *numbers):  # with the first one the library is read
        book = books.TinyBook(tmp_path / f"book-{number}")
        monkeypatch.setenv("MEDLIB_BUILD", str(book.root / "_build"))
        write_chapters(book, number)
        known = {chapter.stem: chapter for chapter in chapters.chapters(book.root)}
        monkeypatch.setattr(chapters, "chapter", known.__getitem__)
        work.append(calls(lambda book=book, known=known: bookkeeping(book.root, list(known))))
    assert bent(numbers, work[1:]) < 0.1, work


def write_chapters(book, number):
    """Write so many chapters and an empty list of claims."""
    (book.root / "notebooks").mkdir(parents=True)
    (book.root / "book").mkdir()
    (book.root / "book" / "claims.yml").write_text("[]\n")
    for place in range(number):
        stem = f"{1 + place // 20:02d}-{1 + place % 20:02d}-chapter"
        book.write(stem, "import medlib\nprint(medlib.metrics)")


def bookkeeping(root, stems):
    """Do what a build does for every chapter before and after the executions."""
    for stem in stems:
        fingerprint.sources(stem)
    build.predecessors(stems)
    lint.lint(root)
    reading.survey(root)
