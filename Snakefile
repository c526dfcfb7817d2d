# Executes the chapters, side by side, each when what it depends on has changed; and the long jobs
# that a cluster takes over.
#
# Called by `make book` (book/workflow/build.py), which writes the fingerprints first, and for the long
# jobs by book/workflow/long_cluster.py. On a cluster: book/cluster.md.
# Snakemake keeps its own state in the folder given by --directory, so it stays below _build.

import json
import sys
from pathlib import Path

ROOT = Path(config["root"])
PROFILE = config.get("profile", "cpu")
SEED = int(config.get("seed", 0))
DEVICE = config.get("device", "auto")
STEMS = str(config.get("chapters") or "").split(",")
PREDECESSORS = config.get("predecessors", {})
# too many for a command line: {job: {"gpu": 0 or 1, "needs": [jobs]}}
JOBS = json.loads(Path(config["jobs"]).read_text("utf-8")) if "jobs" in config else {}
sys.path.insert(0, str(ROOT))


wildcard_constraints:
    stem=r"\d\d-\d\d-[a-z0-9-]+",


rule all:
    input:
        expand(f"{PROFILE}/stamps/{{stem}}.json", stem=STEMS),


rule chapter:
    input:
        f"{PROFILE}/fingerprints/{{stem}}.json",
        lambda w: [f"{PROFILE}/stamps/{s}.json" for s in PREDECESSORS.get(w.stem, [])],
    output:
        f"{PROFILE}/stamps/{{stem}}.json",
    log:
        f"{PROFILE}/logs/{{stem}}.log",
    threads: 1
    resources:
        gpu=1 if PROFILE == "gpu" else 0,
        mem_mb=8000,
        runtime=120,  # minutes, after which a cluster ends a job
    params:
        root=ROOT,
        python=sys.executable,
    shell:
        "here=$PWD && cd {params.root:q} && OMP_NUM_THREADS={threads} {params.python:q} "
        "-m book.workflow.execute {wildcards.stem} "
        f"--profile {PROFILE} --seed {SEED} --device {DEVICE} "
        '> "$here/{log}" 2>&1'


rule long:
    input:
        expand("long/jobs/{job}/record.json", job=JOBS),


rule long_job:
    input:
        lambda w: [f"long/jobs/{job}/record.json" for job in JOBS[w.job]["needs"]],
    output:
        "long/jobs/{job}/record.json",
    log:
        "long/log/{job}.log",
    threads: 1
    resources:
        gpu=lambda w: JOBS[w.job]["gpu"],
        mem_mb=16000,
        runtime=480,
    params:
        root=ROOT,
        python=sys.executable,
    shell:
        "here=$PWD && cd {params.root:q} && OMP_NUM_THREADS={threads} {params.python:q} "
        '-m book.workflow.long --job {wildcards.job} >> "$here/{log}" 2>&1'
