"""`make lock`: lock.txt, the exact archives (sha256) of the nightly and the release builds.

It also writes down the licence that each installed package states (`book/workflow/licences.py`).

pip resolves the install without installing anything and reports which archives it would take, with
their digests. The lock is for one Python and one platform, named in its first lines; `make book`
and `make test` use `constraints.txt`, which is for all.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from book.workflow import licences
from book.workflow.chapters import ROOT
from medlib.errors import MedlibError

# The last two build medlib without isolation.
WANTED = (".[book,export,test]", "hatchling", "editables")
HEAD = """\
# The exact archives of the nightly and the release builds, written by: make lock
# For {where}. Install with:
#   pip install --require-hashes -r lock.txt && pip install --no-deps --no-build-isolation -e .
"""


def lock_text(report: dict[str, Any]) -> str:
    """Return the content of the lock for a report of pip.

    Parameters
    ----------
    report : dict
        What ``pip install --dry-run --report`` writes.

    Raises
    ------
    MedlibError
        Where an archive has no sha256, or lies on this machine's disk: it may not be the one that
        others get.
    """
    entries = [_entry(each) for each in report["install"] if not _is_ours(each)]
    return HEAD.format(where=place(report["environment"])) + "\n".join(sorted(entries)) + "\n"


def place(environment: dict[str, str]) -> str:
    """Name the Python and the platform that a lock is for: ``CPython 3.11, Linux x86_64``."""
    return "{implementation_name} {python_version}, {sys_platform} {platform_machine}".format(
        **environment
    )


def resolve(root: Path = ROOT) -> dict[str, Any]:
    """Ask pip which archives it would install, from the constraints; nothing is installed.

    Raises
    ------
    MedlibError
        Where pip fails; its own message is passed on.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--dry-run", "--ignore-installed", "--report", str(report), "-c", "constraints.txt",
            *WANTED,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise MedlibError(f"pip could not resolve the install: {done.stderr.strip()[-800:]}")
        return json.loads(report.read_text(encoding="utf-8"))


def _is_ours(item: dict[str, Any]) -> bool:
    return item["metadata"]["name"] == "medlib"


def _entry(item: dict[str, Any]) -> str:
    """Return the lines of one package."""
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    download = item["download_info"]
    digest = download.get("archive_info", {}).get("hashes", {}).get("sha256", "")
    if download["url"].startswith("file:"):
        raise MedlibError(
            f"pip took {name} from this machine's disk, which others do not have; run: "
            "PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= make lock"
        )
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise MedlibError(f"the index gives no sha256 for {name}=={version}")
    return f"{name.lower().replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}"


def main() -> int:
    """Write the lock, or say in one line why not."""
    parser = argparse.ArgumentParser(prog="make lock", description=__doc__.split("\n")[0])
    parser.parse_args()
    print(f"Resolving for Python {platform.python_version()} (nothing is installed) ...")
    try:
        text = lock_text(resolve())
        known = licences.survey(licences.pinned((ROOT / "constraints.txt").read_text("utf-8")))
    except MedlibError as error:
        print(f"make lock: {error}", file=sys.stderr)
        return 2
    (ROOT / "lock.txt").write_text(text, encoding="utf-8")
    licences.FILE.write_text(licences.to_csv(known), encoding="utf-8")
    print(f"lock.txt: {text.count('--hash')} archives; {licences.FILE.name}: {len(known)} licences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
