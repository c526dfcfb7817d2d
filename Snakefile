# Executes the chapters, side by side, each when what it depends on has changed.
#
# Called by `make book` (book/workflow/build.py), which writes the fingerprints first. By hand, or with a
# cluster executor: snakemake --directory _build --config profile=gpu root=$PWD --executor slurm ...
# Snakemake keeps its own state in the folder given by --directory, so it stays below _build.

import sys
from pathlib import Path

ROOT = Path(config["root"])
PROFILE = config.get("profile", "cpu")
SEED = int(config.get("seed", 0))
DEVICE = config.get("device", "auto")
STEMS = str(config["chapters"]).split(",")
PREDECESSORS = config.get("predecessors", {})
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
    params:
        root=ROOT,
        python=sys.executable,
    shell:
        "here=$PWD && cd {params.root:q} && OMP_NUM_THREADS={threads} {params.python:q} "
        "-m book.workflow.execute {wildcards.stem} "
        f"--profile {PROFILE} --seed {SEED} --device {DEVICE} "
        '> "$here/{log}" 2>&1'
