"""A clock that goes back: what was dated in the future must not count as new for ever."""

import json
import os
import time
from pathlib import Path

import pytest

from book.workflow import build, clocks
from medlib import paths

DAY = 86_400
STEM, NEXT = "01-01-first", "01-02-second"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder in which two chapters were executed, the second with files of the first."""
    monkeypatch.setenv("MEDLIB_BUILD", str(tmp_path))
    for kind in ("fingerprints", "stamps"):
        for stem in (STEM, NEXT):
            path = paths.build_dir("fast") / kind / f"{stem}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"status": "ok"}))
    return paths.build_dir("fast")


def date(folder: Path, name: str, seconds: float) -> None:
    """Date a file so many seconds from now."""
    then = time.time() + seconds
    os.utime(folder / name, (then, then))


def outdated(folder: Path) -> list[str]:
    """Return what a build would execute, as `build.build` finds it out."""
    clocks.set_back([folder / "fingerprints", folder / "stamps"])
    return build.outdated({STEM: [], NEXT: [STEM]}, "fast")


def changed(folder: Path, stem: str) -> None:
    """Let a chapter's fingerprint change now."""
    clocks.set_back([folder / "fingerprints", folder / "stamps"])
    (folder / "fingerprints" / f"{stem}.json").write_text(json.dumps({"new": time.time()}))


def test_in_order_nothing_is_outdated(folder):
    for kind, seconds in (("fingerprints", -20), ("stamps", -10)):
        date(folder, f"{kind}/{STEM}.json", seconds)
        date(folder, f"{kind}/{NEXT}.json", seconds + 1)
    assert outdated(folder) == []


def test_a_result_from_the_future_does_not_hide_a_change(folder):
    for name in (STEM, NEXT):
        date(folder, f"fingerprints/{name}.json", DAY - 10)
        date(folder, f"stamps/{name}.json", DAY + (name == NEXT))
    assert outdated(folder) == []
    changed(folder, NEXT)
    assert outdated(folder) == [NEXT]
    changed(folder, STEM)
    assert outdated(folder) == [STEM, NEXT]


def test_a_source_from_the_future_is_executed_once_and_not_for_ever(folder):
    date(folder, f"fingerprints/{STEM}.json", DAY)
    for name in (STEM, NEXT):
        date(folder, f"stamps/{name}.json", -5)
    date(folder, f"fingerprints/{NEXT}.json", -10)
    assert outdated(folder) == [STEM, NEXT]
    for name in (STEM, NEXT):
        (folder / "stamps" / f"{name}.json").write_text("{}")  # executed
    assert outdated(folder) == []


def test_the_order_of_the_files_stays(folder):
    for place, name in enumerate((STEM, NEXT)):
        date(folder, f"fingerprints/{name}.json", DAY + place)
        date(folder, f"stamps/{name}.json", -place - 10)
    ahead = clocks.set_back([folder / "fingerprints", folder / "stamps"])
    assert DAY < ahead < DAY + 5
    times = [p.stat().st_mtime for kind in ("fingerprints", "stamps")
             for p in sorted((folder / kind).iterdir())]  # fmt: skip
    assert times[0] < times[1] <= time.time()
    assert times[3] < times[2] < times[0]


def test_a_folder_that_is_missing_is_passed_over(tmp_path):
    assert clocks.set_back([tmp_path / "none"]) == 0


def test_what_sphinx_remembers_of_the_future_is_forgotten(tmp_path):
    doctrees = tmp_path / "doctrees"
    assert not clocks.forget_if_ahead(doctrees)
    doctrees.mkdir()
    (doctrees / clocks.LAST).touch()
    assert not clocks.forget_if_ahead(doctrees)
    date(doctrees, clocks.LAST, DAY)
    assert clocks.forget_if_ahead(doctrees)
    assert not doctrees.exists()
