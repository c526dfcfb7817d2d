"""The day on which each file was last changed, from the history of the checkout."""

import subprocess
from pathlib import Path

from book.workflow import chapters


def days(root: Path = chapters.ROOT) -> dict[str, str]:
    """Return the day of the last commit that changed each file of the texts.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    dict of str to str
        Day such as ``2026-11-30`` by path below the root. Empty where the history is missing or
        cut off (an archive, a shallow clone): a wrong day would be worse than none.
    """
    kind = git(root, "rev-parse", "--is-shallow-repository", "--show-toplevel").split("\n")
    if kind[0] != "false" or Path(kind[1]).resolve() != root.resolve():
        return {}
    log = git(
        root, "log", "--format=%x00%cs", "--name-only", "--no-renames", "--", "book", "notebooks"
    )
    found: dict[str, str] = {}
    for record in log.split("\0")[1:]:
        day, *files = record.split()
        found |= {file: max(day, found.get(file, "")) for file in files}
    return found


def git(root: Path, *arguments: str) -> str:
    """Return what git prints, or nothing where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
