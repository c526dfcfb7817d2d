"""Hand the long jobs that are missing to a cluster: one job of its own for each, through Snakemake.

``python -m book.workflow.long --executor cluster/slurm`` calls this. The machine that it is called
on need not have a GPU; the jobs that want one ask the cluster for it. A job that runs into the
cluster's time limit is submitted again (``retries`` in the profile) and goes on at its last
checkpoint.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from book.workflow import build
from book.workflow.long import frozen_commit, state
from book.workflow.long_jobs import Job
from medlib import paths, results

OPEN = {"begun", "to do", "no GPU"}  # states of jobs that a cluster can work on


def listed(jobs: Sequence[Job]) -> dict[str, dict[str, object]]:
    """Return what the Snakefile must know of the jobs that are open.

    Returns
    -------
    dict of str to dict
        By job: ``gpu``, the number of GPUs that it wants, and ``needs``, the open jobs whose
        networks it uses.
    """
    open_jobs = {job.id: job for job in jobs if state(job) in OPEN}
    return {
        name: {
            "gpu": int(job.device == "cuda"),
            "needs": [member.id for member in job.needs if member.id in open_jobs],
        }
        for name, job in open_jobs.items()
    }


def submit(jobs: Sequence[Job], executor: Path) -> int:
    """Run the open jobs on a cluster, wait for them, and return Snakemake's exit code.

    Parameters
    ----------
    jobs : sequence of Job
        Those that are finished, published, or without their data are left out.
    executor : Path
        Folder of a Snakemake profile, such as ``cluster/slurm``.

    Raises
    ------
    MedlibError
        Where the folder holds no profile, or a source is not committed.
    """
    wanted = listed(jobs)
    _, where = build.placed(1, executor)
    frozen_commit()
    print(f"{len(wanted)} of {len(jobs)} jobs to submit, {gpus(wanted)} of them with a GPU")
    if not wanted:
        return 0
    table = paths.build_dir("long") / "cluster.json"
    results.write_text(table, json.dumps(wanted, indent=1))
    command = build.snakemake(where, f"jobs={table}")
    return subprocess.run([*command, "--", "long"]).returncode


def gpus(wanted: dict[str, dict[str, object]]) -> int:
    """Return the number of listed jobs that want a GPU."""
    return sum(bool(each["gpu"]) for each in wanted.values())
