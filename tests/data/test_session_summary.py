"""The line at the end of a test session that says how much was tested on real images."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

def test_plain():
    assert True

@pytest.mark.real_images
def test_small_sets():
    assert True

@pytest.mark.real_images("busi128")
def test_large_set():
    assert True

def test_mirror(mirror):
    assert mirror.is_dir()
"""


def last_lines(tmp_path: Path, mirror: str) -> str:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text("utf-8"), "utf-8")
    (tmp_path / "test_x.py").write_text(TESTS, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  real_images: x\n", "utf-8")
    environment = {
        **os.environ,
        "MEDLIB_MIRROR": mirror,
        "MEDLIB_CACHE": str(tmp_path / "none"),
        "PYTHONPATH": str(CONFTEST.parents[1]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_without_images_the_line_says_how_many_tests_did_not_run_and_why(tmp_path):
    text = last_lines(tmp_path, "")
    assert "real-image tests: 0 run, 3 not run (" in text
    for why in ("not here: busi128", "MEDLIB_MIRROR is not set", "breastmnist, pneumoniamnist"):
        assert why in text


@pytest.mark.real_images("breastmnist", "pneumoniamnist", "retinamnist", "busi128")
def test_with_images_all_run(tmp_path, mirror):
    assert "real-image tests: 3 run, 0 not run\n" in last_lines(tmp_path, str(mirror))
