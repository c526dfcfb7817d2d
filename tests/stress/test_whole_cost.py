"""What the whole book costs: from nothing, again, and after a change of one page or one chapter."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from book.workflow import chapters
from book.workflow.chapters import ROOT
from medlib import results

pytestmark = [pytest.mark.stress, pytest.mark.timeout(2 * 3600)]
WORDS = "\n\nA sentence that a test added, number {number}.\n"
PAGE = "book/contributing.md"
CHAPTER = "04-06-testing-once"
REPEATS = 3
SLOWEST = 5  # chapters whose time is looked into
PROFILED = """\
import cProfile, json, pstats, sys
import matplotlib
from book.workflow import chapters, source
matplotlib.use("agg")
code = source.code(source.read(chapters.chapter(sys.argv[1]).source))
profile = cProfile.Profile()
names = {"__name__": "__main__", "display": lambda *shown, **how: None}
profile.runcall(exec, compile(code, sys.argv[1], "exec"), names)
entries = pstats.Stats(profile).stats.items()
print("\\n" + json.dumps([[file, name, entry[2]] for (file, _line, name), entry in entries]))
"""


class Book:
    """A checkout whose book is built."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.changes = 0

    def build(self) -> tuple[float, str]:
        """Build it in profile cpu; return the seconds and what was said."""
        words = [sys.executable, "-m", "book.workflow.build", "--cores", "2"]
        env = os.environ | {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        env.pop("MEDLIB_BUILD", None)
        started = time.monotonic()
        done = subprocess.run(words, cwd=self.root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return time.monotonic() - started, done.stdout

    def change(self, name: str) -> None:
        """Add a sentence to the end of a text."""
        self.changes += 1
        path = self.root / name
        path.write_text(path.read_text("utf-8").rstrip() + WORDS.format(number=self.changes))

    def took(self, stem: str) -> float:
        """Return the seconds that the last execution of a chapter took."""
        stamp = results.read_json(self.root / "_build" / "cpu" / "stamps" / f"{stem}.json")
        return float(stamp["seconds"])


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A clone of this checkout, or the folder with a clone that MEDLIB_STRESS_BOOK names."""
    named = os.environ.get("MEDLIB_STRESS_BOOK")
    root = Path(named) if named else tmp_path_factory.mktemp("whole") / "book"
    if not named:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
    return Book(root)


@pytest.fixture(scope="module")
def restored(clone: Book) -> Iterator[Book]:
    """The same clone, with its texts as they were afterwards."""
    kept = {name: (clone.root / name).read_bytes() for name in (PAGE, f"notebooks/{CHAPTER}.md")}
    yield clone
    for name, content in kept.items():
        (clone.root / name).write_bytes(content)


def test_the_book_from_nothing(clone: Book, finding):
    if (clone.root / "_build" / "cpu").exists():
        pytest.skip("this clone is built already")
    seconds, said = clone.build()
    minutes = f"{seconds / 60:.1f} minutes"
    finding("cost", "`make book` from nothing, 2 cores, all chapters with their real data and the "
            "site", minutes, bar="25 minutes", held=seconds <= 25 * 60)  # fmt: skip
    assert "FAILED" not in said
    assert seconds <= 25 * 60


def test_nothing_changed(clone: Book, finding):
    clone.build()
    found = [clone.build() for _ in range(REPEATS)]
    assert all("Nothing to do" in said for _seconds, said in found)
    seconds = statistics.median(seconds for seconds, _said in found)
    finding("cost", "`make book` again, the whole book, nothing changed", f"{seconds:.1f} s",
            bar="3 s", held=seconds <= 3)  # fmt: skip
    assert seconds <= 3


def test_one_page_of_prose(restored: Book, finding):
    seconds = statistics.median(rebuilt(restored, PAGE, executed=0))
    finding("cost", "`make book` after a change of one page of prose", f"{seconds:.1f} s",
            bar="10 s", held=seconds <= 10)  # fmt: skip
    assert seconds <= 10


def test_one_chapter(restored: Book, finding):
    """A sentence more in a chapter that no other chapter takes anything from."""
    found = rebuilt(restored, f"notebooks/{CHAPTER}.md", executed=1)
    seconds = statistics.median(each - restored.took(CHAPTER) for each in found)
    finding("cost", "`make book` after a change of one chapter, beyond the chapter's own seconds",
            f"{seconds:.1f} s", bar="10 s", held=seconds <= 10)  # fmt: skip
    assert seconds <= 10


def test_where_the_slowest_chapters_spend_their_time(clone: Book, finding, tmp_path):
    """Execute each under a profiler, away from the results of the book."""
    stamps = [results.read_json(path) for path in clone.root.glob("_build/cpu/stamps/*.json")]
    stamps.sort(key=lambda stamp: -stamp["processor_seconds"])
    for stem in [stamp["chapter"] for stamp in stamps[:SLOWEST]]:
        entries = profiled(clone, stem, tmp_path)
        total = sum(seconds for _file, _name, seconds in entries)
        own = sum(seconds for file, _name, seconds in entries if "/medlib/" in file)
        largest = sorted(entries, key=lambda entry: -entry[2])[:3]
        shares = [f"{percent(each[2] / total)} {readable(each[1])}" for each in largest]
        what = f"Where {chapters.chapter(stem).title}, one of the slowest chapters, spends its time"
        value = f"{', '.join(shares)}; {percent(own / total)} code of `medlib` itself"
        finding("cost", what, value)
        assert own < total / 2, value


def profiled(book: Book, stem: str, folder: Path) -> list[tuple[str, str, float]]:
    """Return file, name and own seconds of each function that a chapter calls."""
    env = os.environ | {"PYTHONPATH": str(book.root), "OMP_NUM_THREADS": "1"}
    env["MEDLIB_BUILD"] = str(folder / "build")
    words = [sys.executable, "-c", PROFILED, stem]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[tuple[str, str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def percent(share: float) -> str:
    """Return a share as the book writes it."""
    return f"{100 * share:.0f} %"


def readable(name: str) -> str:
    """Return the last name in what the profiler calls a function."""
    words = re.findall(r"[A-Za-z_]\w*", name.split(" of ")[0])
    return f"`{words[-1]}`"


def rebuilt(book: Book, name: str, executed: int) -> Iterator[float]:
    """Change a text and build, again and again; yield the seconds of each build."""
    for _ in range(REPEATS):
        book.change(name)
        seconds, said = book.build()
        assert re.search(rf"^{executed} of \d+ chapters", said, re.MULTILINE), said
        yield seconds
