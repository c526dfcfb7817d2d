"""Enough of Slurm for its plugin of Snakemake: one file that plays all of its commands.

`install` links it as ``sbatch``, ``squeue``, ``sacct`` and so on into a folder for the PATH. A job
runs at once, as a process of this machine. What was submitted, and how it ended, stands in
``$FAKE_SLURM/<number>.json``.
"""

import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "sacct", "squeue", "srun", "sinfo", "scancel", "sacctmgr", "scontrol")
SHORT = {"-A": "account", "-p": "partition", "-t": "time", "-D": "chdir", "-J": "job-name"}


def install(folder: Path, state: Path) -> dict[str, str]:
    """Put the commands into a folder and return the environment that finds them."""
    for path in (folder, state):
        path.mkdir(parents=True)
    for name in COMMANDS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(state)}


def submitted(state: Path) -> list[dict]:
    """Return what was submitted, in order: options, the command, the state."""
    return [json.loads(path.read_text()) for path in sorted(state.glob("*.json"))]


def options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split a command line into options by their long names and what follows them."""
    found, rest = {}, list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        if not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        found[SHORT.get(name, name.lstrip("-"))] = value
    return found, rest


def sbatch(words: list[str], state: Path) -> int:
    """Take a job, start it in the background, print its number."""
    found, _ = options(words)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = 1 + len(list(state.glob("*.json")))
        write(state, number, {"options": found, "state": "RUNNING"})
    environment = os.environ | {"SLURM_JOB_ID": str(number)}
    command = [sys.executable, __file__, "run", str(number)]
    subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, start_new_session=True, cwd=found["chdir"],
    )  # fmt: skip
    print(number)
    return 0


def run(words: list[str], state: Path) -> int:
    """Run a job to its end, and write down how it ended."""
    number = int(words[0])
    job = json.loads((state / f"{number}.json").read_text())
    log = Path(job["options"]["output"].replace("%j", str(number)))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        done = subprocess.run(job["options"]["wrap"], shell=True, stdout=output, stderr=output)
    job["state"] = "FAILED" if done.returncode else "COMPLETED"
    write(state, number, job)
    return done.returncode


def sacct(words: list[str], state: Path) -> int:
    """Print number and state of each job."""
    for number, job in enumerate(submitted(state), start=1):
        print(f"{number}|{job['state']}")
    return 0


def srun(words: list[str], state: Path) -> int:
    """Run the command in this place; there is only one."""
    _, command = options(words)
    return subprocess.run(command).returncode


def write(state: Path, number: int, job: dict) -> None:
    """Write a job's file at once, so that no reader sees half of it."""
    draft = state / f"{number}.part"
    draft.write_text(json.dumps(job))
    draft.rename(state / f"{number}.json")


def main() -> int:
    """Play the command that the first word names."""
    name, *words = sys.argv[1:]
    state = Path(os.environ["FAKE_SLURM"])
    answers = {"sinfo": "PARTITION\ngpu*", "sacctmgr": "my-account", "scontrol": ""}
    if name in answers:
        print(answers[name])
        return 0
    played = {"sbatch": sbatch, "run": run, "sacct": sacct, "squeue": sacct, "srun": srun}
    return played[name](words, state) if name in played else 0


if __name__ == "__main__":
    sys.exit(main())
