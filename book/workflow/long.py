"""Run the long jobs that are missing: resumable, killable at any time, each scored once.

``make results`` calls ``python -m book.workflow.long``. A job of `long_table.JOBS` runs in a
process of its own, on one thread, at the lowest priority; the cheapest is first, two run at a time
at most. A process works on a job for twenty minutes and is then stopped behind its next checkpoint,
so that others get their turn. What is done is never done again: a finished job has a record, a
published one stands in ``results/long``, and the test split of a job is looked at once over all
sessions.
"""

import argparse
import contextlib
import datetime
import fcntl
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from book.workflow.long_jobs import Job
from book.workflow.long_table import JOBS
from medlib import data, paths, results, run
from medlib.errors import DataUnavailable, MedlibError
from medlib.evaluate import Scores, read_scores

SLICE = 20.0  # minutes that a process works on a job before others get their turn
WORKERS = 2
SOURCES = ("medlib", "data", "book/workflow/long*.py", "book/workflow/search_small.py")
RECORDED = ("torch", "numpy", "scikit-learn")


# ---------------------------------------------------------------- the state of a job


def folder() -> Path:
    """Return where the jobs keep weights, checkpoints and records."""
    return paths.build_dir("long") / "jobs"


def record_file(job: Job) -> Path:
    """Return the record of a finished job."""
    return folder() / job.id / "record.json"


def published_file(job: Job) -> Path:
    """Return the committed record of a published job."""
    return results.published_dir("long") / "jobs" / f"{job.id}.json"


def state(job: Job) -> str:
    """Return ``published``, ``done``, ``begun``, ``no GPU``, ``data missing`` or ``to do``."""
    if published_file(job).exists():
        return "published"
    if record_file(job).exists():
        return "done"
    if job.device == "cuda" and not has_gpu():
        return "no GPU"
    if data.data_status([job.data])[job.data] == "missing":
        return "data missing"
    return "begun" if (folder() / job.id / "checkpoint.pt").exists() else "to do"


@cache
def has_gpu() -> bool:
    """Tell whether this machine has a GPU."""
    import torch

    return torch.cuda.is_available()


def pending(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that can be worked on, cheapest first; members before what combines them."""
    order = sorted(jobs, key=lambda job: (job.minutes + sum(m.minutes for m in job.needs), job.id))
    open_jobs = [job for job in order if state(job) in {"begun", "to do"}]
    waiting = {job.id for job in open_jobs}
    return [job for job in open_jobs if not waiting & {member.id for member in job.needs}]


# ---------------------------------------------------------------- one job, in its own process


def work(job: Job, dataset: data.Dataset, commit: str | None) -> dict[str, Any]:
    """Train what is left, score the test split once, write the record.

    Parameters
    ----------
    job : Job
        The job; nothing happens where its record is there.
    dataset : Dataset
        Its data set.
    commit : str or None
        The commit that froze the job before its test split is looked at.

    Returns
    -------
    dict
        The record.
    """
    with exclusive(folder() / job.id / "lock", f"job {job.id} is at work in another process"):
        known = results.read_json(record_file(job))
        if known is not None:
            return known
        began = time.process_time(), datetime.datetime.now(datetime.UTC)
        note_session(job, began[1].isoformat("T", "seconds"), commit)
        predictor, details = job.predictor(dataset, folder())
        record = {"schema": 1, "job": job.id, "chapter": job.chapter, **details}
        record |= {"model_id": job.model_id, "data": job.data, "seed": job.seed}
        record |= {"variant": job.variant, "validation": job.validate(predictor, dataset)}
        record["synthetic"] = dataset.synthetic
        scored = score(job, predictor, dataset)
        record |= {"scores": scored.name, **job.audit(predictor, scored)}
        seconds = round(time.process_time() - began[0], 1)  # pooled folds learn while they score
        record["stamp"] = stamp(job, commit) | {"processor_seconds_last_session": seconds}
        results.write_json(record_file(job), record)
        return results.read_json(record_file(job)) or record


def score(job: Job, predictor: Any, dataset: data.Dataset) -> Path:
    """Look at the test split once; return the file of scores.

    Where an earlier process has looked and was killed before it wrote the record, its file stays.
    """
    log = paths.build_dir("long") / "results" / f".{job.chapter}.lock"
    with exclusive(log, wait=True):
        opened = run.resume(job.chapter, seed=job.seed, device=job.device)
        opened.synthetic = opened.synthetic or dataset.synthetic
        name = f"{job.id}__phantom.csv" if dataset.synthetic else f"{job.id}.csv"
        path = Path(opened.build) / "scores" / job.chapter / name
        if not path.exists():
            job.look(predictor, dataset)
        return path


def note_session(job: Job, started: str, commit: str | None) -> None:
    """Add a line to the list of processes that worked on a job."""
    path = folder() / job.id / "sessions.json"
    known = results.read_json(path) or {"sessions": []}
    known["sessions"].append({"started": started, "commit": commit})
    results.write_json(path, known)


def stamp(job: Job, commit: str | None) -> dict[str, Any]:
    """Say what ran: commit, versions, hardware, sessions, and how busy the machine was."""
    from book.workflow.execute import hardware

    sessions = results.read_json(folder() / job.id / "sessions.json") or {}
    return {
        "commit": commit,
        "versions": {name: metadata.version(name) for name in RECORDED},
        "hardware": hardware(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "ended": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        **sessions,
    }


def frozen_commit() -> str | None:
    """Return the commit of the sources; None outside a git checkout.

    Raises
    ------
    MedlibError
        Where a source is not committed: nothing is scored before everything is frozen.
    """
    root = paths.root()
    if root is None or not (root / ".git").exists() or shutil.which("git") is None:
        return None
    changed = _git("status", "--porcelain", "--", *SOURCES)
    if changed:
        names = ", ".join(line[3:] for line in changed.splitlines())
        raise MedlibError(f"not committed: {names}; commit first, then score the test split")
    return _git("rev-parse", "HEAD")


def _git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(
        command, cwd=paths.root(), capture_output=True, text=True, check=True
    ).stdout.strip()


@contextlib.contextmanager
def exclusive(path: Path, refusal: str = "", *, wait: bool = False) -> Iterator[TextIO]:
    """Hold a lock that ends with the process.

    Raises
    ------
    MedlibError
        With `refusal`, where another process holds it and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise MedlibError(f"{refusal} (lock {path})") from error
        yield file


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def work_alone(job: Job) -> int:
    """Work on a job as a process of the runner: lowest priority, one thread."""
    import torch

    os.nice(19)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    commit = frozen_commit()
    try:
        work(job, data.load(job.data, job.image_size), commit)
    except DataUnavailable as error:
        print(f"{job.id}: {error}")
        return 2
    return 0


# ---------------------------------------------------------------- the runner


@dataclass
class Session:
    """A process at work on a job.

    Attributes
    ----------
    job : Job
    process : subprocess.Popen
    began : float
        Monotonic time of its start.
    seen : float or None
        When its time was over: the time stamp of the checkpoint; the next one ends the process.
    """

    job: Job
    process: subprocess.Popen
    began: float
    seen: float | None = None

    @property
    def checkpoint(self) -> float:
        """Time stamp of the job's checkpoint; 0 where there is none."""
        path = folder() / self.job.id / "checkpoint.pt"
        return path.stat().st_mtime if path.exists() else 0.0

    def stop_behind_checkpoint(self) -> None:
        """Stop the process as soon as it has written another checkpoint."""
        if self.seen is None:
            self.seen = self.checkpoint
        elif self.checkpoint not in {0.0, self.seen}:
            self.process.terminate()


class Runner:
    """Runs pending jobs until none is left or the time is over."""

    def __init__(self, jobs: Sequence[Job], *, workers: int, minutes: float) -> None:
        self.jobs, self.workers = list(jobs), min(workers, WORKERS)
        self.end = time.monotonic() + 60 * minutes
        self.sessions: list[Session] = []
        self.failed: set[str] = set()

    def run(self) -> int:
        """Run; return the number of jobs that failed."""
        try:
            while self.start() or self.sessions:
                time.sleep(0.5)
                self.reap()
                self.stop_those_whose_time_is_over()
        finally:
            for session in self.sessions:
                session.process.terminate()
        return len(self.failed)

    def start(self) -> bool:
        """Start the next job where a worker is free; return whether one was started."""
        busy = {session.job.id for session in self.sessions} | self.failed
        ready = [job for job in pending(self.jobs) if job.id not in busy]
        if not ready or len(self.sessions) >= self.workers or time.monotonic() > self.end:
            return False
        self.sessions.append(Session(ready[0], self._process(ready[0]), time.monotonic()))
        return True

    def reap(self) -> None:
        """Take note of processes that ended."""
        for session in [s for s in self.sessions if s.process.poll() is not None]:
            self.sessions.remove(session)
            code, stopped = session.process.returncode, session.seen is not None
            if code != 0 and not stopped:
                self.failed.add(session.job.id)
                print(f"failed: {session.job.id}, see {log_file(session.job)}", flush=True)
                continue
            minutes = (time.monotonic() - session.began) / 60
            how = "done" if code == 0 else "goes on later"
            print(f"{how}: {session.job.id}, {minutes:.1f} minutes", flush=True)

    def stop_those_whose_time_is_over(self) -> None:
        """Ask sessions to end: after their twenty minutes, or with the runner's own time."""
        now = time.monotonic()
        for session in self.sessions:
            if now > self.end or now - session.began > 60 * SLICE:
                session.stop_behind_checkpoint()

    def _process(self, job: Job) -> subprocess.Popen:
        command = [sys.executable, "-m", "book.workflow.long", "--job", job.id]
        path = log_file(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
            return subprocess.Popen(command, stdout=log, stderr=log, env=one_thread)


def log_file(job: Job) -> Path:
    """Return where a job's processes write what they print."""
    return paths.build_dir("long") / "log" / f"{job.id}.log"


# ---------------------------------------------------------------- what is there


def table(jobs: Sequence[Job]) -> Iterator[str]:
    """Yield a line a job: its state, its estimate, how far it is."""
    for job in sorted(jobs, key=lambda job: (job.minutes, job.id)):
        yield f"{state(job):<13}{job.minutes:>7.1f} min  {job.id}"
    left = sum(job.minutes for job in jobs if state(job) in {"begun", "to do"})
    yield f"left: about {left:.0f} processor minutes"


def scores_of(jobs: Sequence[Job]) -> Iterator[Scores]:
    """Yield the scores of finished jobs, from this build or the published edition."""
    for job in jobs:
        for base in (paths.build_dir("long"), results.published_dir("long")):
            path = base / "scores" / job.chapter / f"{job.id}.csv"
            if path.exists():
                yield read_scores(path)
                break


def report(jobs: Sequence[Job]) -> Iterator[str]:
    """Yield a line for each model and set: mean over seeds, 95 % interval over seeds and cases."""
    found: dict[tuple[str, str], list[Scores]] = {}
    for each in scores_of(jobs):
        found.setdefault((each.data, each.model_id), []).append(each)
    for (name, model_id), group in sorted(found.items()):
        line = f"{name:<15}{model_id:<35}{len(group)} seeds"
        for metric in ("auc", "accuracy"):
            values = results.score_values(group, metric)
            low, high = results.score_interval(group, metric, 10_000)
            line += f"  {metric} {sum(values) / len(values):.3f} ({low:.3f} to {high:.3f})"
        yield line


def main(argv: Sequence[str] | None = None) -> int:
    """Run, list or report the long jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="jobs by name, such as '*breast*'"
    )
    parser.add_argument("--limit", type=float, default=1e9, metavar="MINUTES", help="stop by then")
    parser.add_argument("--workers", type=int, default=WORKERS, help="1 or 2 processes")
    parser.add_argument("--list", action="store_true", help="print states and estimates")
    parser.add_argument("--report", action="store_true", help="print the scores of finished jobs")
    parser.add_argument("--executor", type=Path, help="hand them to a cluster: cluster/slurm")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.job:
        return work_alone(next(job for job in JOBS if job.id == arguments.job))
    jobs = [job for job in JOBS if fnmatch.fnmatch(job.id, arguments.only)]
    if arguments.list or arguments.report:
        print("\n".join(table(jobs) if arguments.list else report(jobs)))
        return 0
    if arguments.executor:
        from book.workflow.long_cluster import submit

        return submit(jobs, arguments.executor)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with exclusive(paths.build_dir("long") / "runner.lock", "the long runs are at work already"):
        runner = Runner(jobs, workers=arguments.workers, minutes=arguments.limit)
        return 1 if runner.run() else 0


if __name__ == "__main__":
    sys.exit(main())
