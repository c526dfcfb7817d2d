"""The book on a cluster: the plugin of Snakemake for Slurm, with one file that plays Slurm."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import fake_slurm
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "cluster" / "slurm"
PLUGIN = "snakemake_executor_plugin_slurm"
GOOD = "import medlib\nrun = medlib.begin('{stem}', profile=profile, seed=seed, device=device)\n"

pytestmark = [
    pytest.mark.stress,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec(PLUGIN) is None,
        reason=f"pip install -c constraints.txt -r {PROFILE.name}/requirements.txt",
    ),
]


@pytest.fixture
def profile(tiny_book) -> Path:
    """Return a copy of the profile that asks for news every second, not every 40."""
    tiny_book.timeout = 1500
    folder = tiny_book.root / "cluster"
    shutil.copytree(PROFILE, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    config |= {"jobs": 2, "latency-wait": 5, "slurm-init-seconds-before-status-checks": 1}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_a_cluster_executes_the_chapters_and_gets_the_resources(tiny_book, profile, finding):
    first, second = "01-01-one", "01-02-two"
    tiny_book.write(first, GOOD.format(stem=first) + "run.leave('a.txt').write_text('left')")
    taken = "print(run.take('01-01-one', 'a.txt').read_text())"
    tiny_book.write(second, GOOD.format(stem=second) + taken)
    state = tiny_book.root / "state"
    environment = fake_slurm.install(tiny_book.root / "bin", state)
    done = tiny_book.build("--profile", "gpu", "--executor", str(profile), **environment)
    jobs = fake_slurm.submitted(state)
    stamps = [
        json.loads((tiny_book.root / f"_build/gpu/stamps/{stem}.json").read_text())
        for stem in (first, second)
    ]
    held = [stamp["status"] for stamp in stamps] == ["ok", "ok"] and done.returncode == 0
    asked = {tuple(job["options"].get(name) for name in ("gpus", "mem", "time")) for job in jobs}
    finding(
        "scale",
        "Chapters of a toy book executed through Snakemake's Slurm plugin and a stand-in of Slurm, "
        "one of them with a file of the other",
        f"{sum(stamp['status'] == 'ok' for stamp in stamps)} of 2",
        bar="all",
        held=held,
    )
    assert held, done.stdout + done.stderr
    assert asked == {("1", "8000", "120")}
    assert {job["options"]["account"] for job in jobs} == {"my-account"}
    assert {job["state"] for job in jobs} == {"COMPLETED"}


def test_a_chapter_that_the_cluster_kills_is_named(tiny_book, profile, finding):
    """A node that dies leaves no stamp: the build says which chapter did not finish."""
    tiny_book.write("01-01-killed", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
    tiny_book.write("01-02-good", GOOD.format(stem="01-02-good"))
    config = profile / "config.yaml"
    config.write_text(config.read_text().replace("retries: 2", "retries: 0"))
    environment = fake_slurm.install(tiny_book.root / "bin", tiny_book.root / "state")
    done = tiny_book.build("--executor", str(profile), **environment)
    named = "chapter 01-01-killed: did not finish" in done.stdout
    finding(
        "scale",
        "A chapter killed on a node is named, and the others are finished",
        "yes" if named else "no",
        bar="yes",
        held=named,
    )
    assert named, done.stdout + done.stderr
    assert done.returncode == 1
    assert json.loads(tiny_book.path("stamps/01-02-good.json").read_text())["status"] == "ok"


def test_the_long_jobs_that_want_a_gpu_ask_for_it(tmp_path, profile, finding):
    """A dry run of all of them: nothing is trained."""
    from book.workflow.long_cluster import gpus, listed
    from book.workflow.long_table import JOBS

    wanted = {job.id: {"gpu": 1, "needs": []} for job in JOBS if job.device == "cuda"}
    assert gpus(listed(JOBS)) <= len(wanted)
    table = tmp_path / "jobs.json"
    table.write_text(json.dumps(wanted))
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run",
        "--directory", str(tmp_path), "--profile", str(profile), "--nolock",
        "--config", f"root={ROOT}", f"jobs={table}", "--", "long",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    asked = done.stdout.count("gpu=1,")
    finding(
        "scale",
        "Long jobs of the edition `gpu` in a dry run with the Slurm plugin that ask for a GPU",
        f"{asked} of {len(wanted)}",
        bar="all",
        held=asked == len(wanted),
    )
    assert asked == len(wanted), done.stdout[-2000:] + done.stderr[-2000:]
