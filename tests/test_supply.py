"""What the book is built on: licences, no connection by an import, no outdated call."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from book.workflow import licences, oldest
from medlib.errors import MedlibError
from tests.listening import HOOK

ROOT = Path(__file__).resolve().parents[1]
PINS = licences.pinned((ROOT / "constraints.txt").read_text("utf-8"))

LISTEN = f"""
import importlib, json, pkgutil
asked = []
_heard = lambda *attempt: asked.append(attempt)
{HOOK}
imported = []
for top in ("medlib", "book.workflow", "book._ext"):
    paths = importlib.import_module(top).__path__
    for each in pkgutil.walk_packages(paths, top + "."):
        if not each.name.endswith("__main__"):
            importlib.import_module(each.name)
            imported.append(each.name)
print(json.dumps({{"asked": asked, "imported": imported}}))
"""


def test_every_pinned_package_has_its_licence():
    kept = {each.package: each for each in licences.read()}
    assert {name: each.version for name, each in kept.items()} == PINS, "run: make lock"
    assert [each.package for each in kept.values() if each.licence == licences.UNKNOWN] == []


def test_no_licence_but_nvidias_is_closed():
    closed = [each.package for each in licences.read() if "LicenseRef" in each.licence]
    assert closed
    assert [name for name in closed if not name.startswith(("nvidia-", "cuda-"))] == []


def test_licences_are_read_from_what_is_installed():
    names = ("numpy", "pytest", "torch")
    found = {
        each.package: each for each in licences.survey({n: metadata.version(n) for n in names})
    }
    assert found["pytest"].licence == "MIT"
    assert "BSD-3-Clause" in found["torch"].licence
    with pytest.raises(MedlibError, match="not 0.1: make install"):
        licences.survey({"numpy": "0.1"})
    with pytest.raises(MedlibError, match="no-such-package is not installed"):
        licences.survey({"no-such-package": "1"})


def test_the_table_counts_every_package_once(tmp_path):
    path = tmp_path / "licences.csv"
    rows = [
        licences.Licence(name, "1", text, "text")
        for name, text in (("a", "MIT"), ("b", "X"), ("c", "X"))
    ]
    path.write_text(licences.to_csv(rows), encoding="utf-8")
    assert licences.read(path) == rows
    lines = licences.table(path).splitlines()
    assert lines[0].startswith("3 packages")
    assert lines[-2:] == ["| X | 2 | b 1, c 1 |", "| MIT | 1 | a 1 |"]


def test_no_import_opens_a_connection():
    done = subprocess.run([sys.executable, "-c", LISTEN], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["imported"]) > 150
    assert told["asked"] == []


def test_the_listener_hears_an_attempt(tmp_path):
    (tmp_path / "talkative.py").write_text(
        "import socket as s\ns.socket(s.AF_INET, s.SOCK_DGRAM).connect(('127.0.0.1', 9))\n"
    )
    code = LISTEN.replace("imported = []", "imported = []\nimport talkative")
    code = code.replace('("medlib", "book.workflow", "book._ext")', "()")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["asked"][0][0] == "socket.connect"


def test_the_oldest_versions_are_the_lower_bounds():
    assert oldest.oldest(["numpy>=1.26,<3", "efficientnet==0.1.0"]) == [
        "numpy==1.26",
        "efficientnet==0.1.0",
    ]
    with pytest.raises(MedlibError, match="torch<3 needs one lower bound"):
        oldest.oldest(["torch<3"])
    done = subprocess.run(
        [sys.executable, "-m", "book.workflow.oldest"], cwd=ROOT, capture_output=True, text=True
    )
    assert "torch==2.8" in done.stdout.splitlines()
    assert done.returncode == 0


def test_what_is_outdated_is_an_error_in_the_tests():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    errors = [each for each in options["ini_options"]["filterwarnings"] if "error" in each]
    assert {each.removeprefix("error::") for each in errors} >= {
        "DeprecationWarning",
        "PendingDeprecationWarning",
        "FutureWarning",
    }


def test_the_known_holes_are_looked_up_every_week():
    weekly = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text("utf-8"))
    runs = [step.get("run", "") for step in weekly["jobs"]["audit"]["steps"]]
    assert any("pip-audit --disable-pip --require-hashes -r lock.txt" in run for run in runs)
    assert "audit" in weekly["jobs"]["report"]["needs"]
