"""Git for the tests: as somebody, on some day, without the settings of this machine."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str, day: str = "2026-11-01") -> None:
    """Run git in a folder."""
    who = {"NAME": "Ann", "EMAIL": "ann@example.org", "DATE": f"{day}T12:00:00+00:00"}
    people = {f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who}
    fixed = {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    subprocess.run(["git", *arguments], cwd=folder, env=people | fixed, check=True)
