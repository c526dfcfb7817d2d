"""Refuse, with a sentence, a Python or a machine that the book is not tested on.

Standard library only: it runs before anything is installed, also under an old Python.
"""

from __future__ import annotations

import platform
import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def problem(version: tuple[int, int], system: str, machine: str) -> str | None:
    """Return what is wrong with this Python or machine, or None where the book runs."""
    if not OLDEST <= version <= NEWEST:
        return (
            "this book needs Python 3.11, 3.12 or 3.13 (torch and its companions have tested "
            "wheels there); found {}.{}. Name another one: make PYTHON=python3.12".format(*version)
        )
    if system == "Darwin" and machine == "x86_64":
        return "torch has no current wheel for Intel macOS: use Linux or a Mac with Apple silicon"
    if system not in {"Linux", "Darwin"}:
        return "the book is tested on Linux and on Apple silicon; on Windows use WSL"
    return None


def main() -> int:
    """Print the problem, if there is one, and return the exit code."""
    found = problem(sys.version_info[:2], platform.system(), platform.machine())
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
