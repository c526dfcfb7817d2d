"""`make test`: lint, unit tests, the whole book in profile fast, the site in a real browser."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from book.workflow.progress import clock

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = (  # no window, no request of its own
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
INSTALL_BROWSER = "apt-get install chromium   (macOS: brew install --cask chromium)"


def steps(cores: int) -> list[tuple[str, list[str]]]:
    """Return what is run, in order, as (name, arguments of Python)."""
    fast = ["-m", "book.workflow.build", "--profile", "fast", "--cores", str(cores)]
    return [
        ("lint", ["-m", "book.workflow.check"]),
        ("book in profile fast", fast),
        ("unit tests", ["-m", "pytest", "-m", "not site", *several(cores, "worksteal")]),
    ]


def several(cores: int, share: str) -> list[str]:
    """Return what shares tests among processes.

    Parameters
    ----------
    cores : int
        Number of processes; one needs nothing.
    share : str
        How pytest-xdist shares: ``worksteal``, or ``loadgroup``: a page in one process.
    """
    return ["-n", str(cores), "--dist", share] if cores > 1 else []


def browser() -> str | None:
    """Return the Chromium that the browser check uses, or None."""
    named = os.environ.get("MEDLIB_BROWSER")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def check_site(cores: int) -> list[str]:
    """Check the built site in Chromium; without one, say so (and fail where CI is set)."""
    if browser():
        shared = several(cores, "loadgroup")
        return _run("site in a browser", ["-m", "pytest", "tests/site", *shared])
    print(f"browser check NOT RUN: {INSTALL_BROWSER}")
    return ["browser check not run"] if os.environ.get("CI") == "true" else []


def _run(name: str, arguments: list[str]) -> list[str]:
    """Run one step with its time, and return its name where it failed."""
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    alone = {"OMP_NUM_THREADS": "1"} if "-n" in arguments else {}
    code = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=os.environ | alone).returncode
    print(f"=== {name}: {'ok' if code == 0 else 'FAILED'}, {clock(time.monotonic() - started)} ===")
    return [name] if code else []


def main() -> int:
    """Run every step, also after one failed, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    cores = parser.parse_args().cores
    started = time.monotonic()
    failed: list[str] = []
    for name, arguments in steps(cores):
        failed += _run(name, arguments)
    failed += check_site(cores)
    print(f"\nmake test took {clock(time.monotonic() - started)}")
    print(f"FAILED: {', '.join(failed)}" if failed else "All steps passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
