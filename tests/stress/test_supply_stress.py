"""What the book depends on: chapters that can reach nobody, oldest and newest versions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from book.workflow import chapters, oldest
from book.workflow.chapters import ROOT
from medlib.data.cards import cards
from tests.listening import HOOK

pytestmark = [pytest.mark.stress, pytest.mark.timeout(2 * 3600)]

LISTEN = f"""\
import json
with open(%r, "a") as file:
    file.write("listening\\n")
def _heard(event, words):
    if not any(own in words for own in ("127.0.0.1", "::1", "localhost", "'/")):
        with open(%r, "a") as file:
            file.write(json.dumps([event, words]) + "\\n")
{HOOK}
"""
ALONE = 'ip link set lo up; exec "$@"'  # a kernel is spoken to over the loopback interface


def isolated() -> bool:
    """Tell whether a process may have a network of its own here, with nobody on it."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


def hosts_of_data() -> set[str]:
    """Return the hosts that the data cards name: a chapter without its data asks them."""
    origins = (origin for card in cards().values() for origin in card.origins)
    return {str(urlsplit(each["url"]).hostname) for each in origins if "url" in each}


@pytest.mark.skipif(not isolated(), reason="needs unshare, ip and the right to use them")
def test_a_newcomer_without_network_and_data_gets_every_chapter(tmp_path, finding):
    """Execute all chapters on phantoms, with no interface but the loopback, and listen."""
    stems = [chapter.stem for chapter in chapters.chapters()]
    heard, kernels = tmp_path / "heard.txt", tmp_path / "kernels.txt"
    start = tmp_path / "ipython" / "profile_default" / "startup" / "listen.py"
    start.parent.mkdir(parents=True)
    start.write_text(LISTEN % (str(kernels), str(heard)), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name != "MEDLIB_MIRROR"}
    env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "MEDLIB_CACHE": str(tmp_path / "cache")}
    code = (
        "from pathlib import Path; from book.workflow import twice; "
        f"print(twice.execute(Path({str(tmp_path / 'alone')!r}), {stems!r}, 'fast', 2))"
    )
    words = ["unshare", "--net", "sh", "-c", ALONE, "sh", sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    stamps = (tmp_path / "alone" / "fast" / "stamps").glob("*.json")
    read = [json.loads(stamp.read_text("utf-8")) for stamp in stamps]
    well = sum(stamp["status"] == "ok" for stamp in read)
    asked = heard.read_text("utf-8").splitlines() if heard.exists() else []
    what = "Chapters executed in profile `fast` without a network and without any data set"
    value = f"{well} of {len(stems)}"
    finding("supply", what, value, bar="all", held=well == len(stems))
    known = hosts_of_data()
    strangers = [each for each in asked if not any(host in each for host in known)]
    what = "Machines that their kernels tried to reach, beside those that the data cards name"
    finding("supply", what, f"{len(strangers)}", bar="none", held=not strangers)
    assert well == len(stems), done.stdout[-3000:] + done.stderr[-2000:]
    assert len(kernels.read_text("utf-8").splitlines()) >= len(stems)
    assert strangers == []


@pytest.mark.parametrize("versions", ["oldest", "newest"])
def test_the_unit_tests_pass_with_other_versions(versions, tmp_path, finding):
    """Install into an environment of its own what the bounds allow, and run the unit tests."""
    newer = shutil.which("python3.13") if versions == "newest" else None
    python = _environment(tmp_path / "venv", newer or sys.executable, versions)
    shown = "import platform as p, torch, numpy; "
    shown += "print(p.python_version(), torch.__version__.split('+')[0], numpy.__version__)"
    had = subprocess.run([python, "-c", shown], capture_output=True, text=True, check=True)
    report = tmp_path / "report.xml"
    words = [python, "-m", "pytest", "-m", "not site", "-n", "2", "--dist", "worksteal"]
    done = subprocess.run(
        [*words, f"--junitxml={report}"], cwd=ROOT, capture_output=True, text=True
    )
    count = {name: int(value) for name, value in _suite(report).items() if value.isdigit()}
    ran, wrong = count["tests"] - count["skipped"], count["failures"] + count["errors"]
    names = "Python {}, PyTorch {}, NumPy {}".format(*had.stdout.split())
    what = f"Unit tests that pass with the {versions} versions that are allowed ({names})"
    value = f"{ran - wrong:,} of {ran:,}"
    finding("supply", what, value, bar="all", held=done.returncode == 0)
    assert done.returncode == 0, done.stdout[-3000:]


def _suite(report: Path) -> dict[str, str]:
    """Return what pytest's report in XML says of the whole: tests, failures, errors, skipped."""
    return ElementTree.parse(report).getroot()[0].attrib


def _environment(folder: Path, python: str, versions: str) -> str:
    """Install what makes the book, then the other versions of what the library needs."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = str(folder / "bin" / "python")
    packages = ["--upgrade", "--upgrade-strategy", "eager", "-e", ".[export]"]
    if versions == "oldest":
        words = [sys.executable, "-m", oldest.__name__]
        packages = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    for wanted in (["-c", "constraints.txt", "-e", ".[book,export,test]"], packages):
        words = [own, "-m", "pip", "install", "--disable-pip-version-check", "-q", *wanted]
        subprocess.run(words, cwd=ROOT, check=True)
    return own
