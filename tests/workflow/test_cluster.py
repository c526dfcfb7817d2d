"""What a cluster is asked for, without its plugin: `make stress` runs the plugin itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from book.workflow import build, estimate, long, long_cluster
from book.workflow.long_architectures import mask_jobs
from book.workflow.long_table import JOBS
from medlib.data import card
from medlib.errors import MedlibError

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "cluster" / "slurm"


@pytest.fixture
def profile(tmp_path) -> Path:
    """Return the profile with the executor that every Snakemake has."""
    config = yaml.safe_load((PROFILE / "config.yaml").read_text("utf-8"))
    assert config["executor"] == "slurm"
    folder = tmp_path / "cluster"
    folder.mkdir()
    text = yaml.safe_dump(config | {"executor": "local", "cores": 1})
    (folder / "config.yaml").write_text(text)
    return folder


def dry_run(folder: Path, profile: Path, *words: str) -> str:
    """Return what Snakemake would do; it refuses an option of the profile that it does not know."""
    command = [
        sys.executable, "-m", "snakemake", "--dry-run", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(folder), "--profile", str(profile), "--nolock", "--config",
        f"root={ROOT}", *words,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_chapters_and_long_jobs_ask_for_a_gpu_memory_and_time(tmp_path, profile):
    (tmp_path / "gpu" / "fingerprints").mkdir(parents=True)
    (tmp_path / "gpu" / "fingerprints" / "01-01-one.json").write_text("{}")
    jobs = {"head": {"gpu": 1, "needs": []}, "mask": {"gpu": 0, "needs": ["head"]}}
    table = tmp_path / "jobs.json"
    table.write_text(json.dumps(jobs))
    found = dry_run(
        tmp_path, profile, "profile=gpu", "chapters=01-01-one", f"jobs={table}", "--", "all", "long"
    )
    by_output = {part.split("output: ")[1].split()[0]: part for part in found.split("rule ")[1:]
                 if "output: " in part}  # fmt: skip
    asked = {name: part.split("resources: ")[1].split("\n")[0] for name, part in by_output.items()}
    assert set(asked) == {
        "gpu/stamps/01-01-one.json",
        "long/jobs/head/record.json",
        "long/jobs/mask/record.json",
    }
    for words in ("gpu=1", "mem_mb=8000", "runtime=120", "slurm_partition=gpu"):
        assert words in asked["gpu/stamps/01-01-one.json"]
    assert "gpu=1" in asked["long/jobs/head/record.json"]
    assert "gpu=0" in asked["long/jobs/mask/record.json"]
    assert "input: long/jobs/head/record.json" in by_output["long/jobs/mask/record.json"]


def test_an_executor_takes_the_place_of_the_cores(tmp_path):
    assert build.placed(2, None) == (2, ["--cores", "2"])
    assert build.placed(2, PROFILE) == (50, ["--profile", str(PROFILE)])
    with pytest.raises(MedlibError, match=r"no profile of Snakemake at .* config\.yaml"):
        build.placed(2, tmp_path)


def test_open_jobs_are_listed_with_what_they_wait_for(monkeypatch):
    jobs = list(mask_jobs())
    reader = next(job for job in jobs if job.needs)
    member = reader.needs[0]
    states = {reader.id: "to do", member.id: "no GPU"}
    monkeypatch.setattr(long_cluster, "state", lambda job: states.get(job.id, "published"))
    found = long_cluster.listed(jobs)
    assert found[reader.id] == {"gpu": 0, "needs": [member.id]}
    assert set(found) == set(states)
    states[member.id] = "done"
    assert long_cluster.listed(jobs)[reader.id]["needs"] == []


def test_nothing_is_submitted_before_everything_is_committed(monkeypatch):
    def refuse() -> None:
        raise MedlibError("not committed: medlib/train.py")

    monkeypatch.setattr(long_cluster, "frozen_commit", refuse)
    with pytest.raises(MedlibError, match="not committed"):
        long_cluster.submit(JOBS, PROFILE)


def test_the_command_hands_the_chosen_jobs_over(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        long_cluster, "submit", lambda jobs, where: seen.update(jobs=jobs, where=where) or 3
    )
    assert long.main(["--executor", "cluster/slurm", "--only", "resnet18__octmnist*"]) == 3
    assert {job.data for job in seen["jobs"]} == {"octmnist"}
    assert seen["where"] == Path("cluster/slurm")


def test_the_estimate_counts_the_jobs_that_wait_for_a_gpu():
    """Where the table of jobs has changed, `python -m book.workflow.estimate` counts again."""
    waiting = [job for job in JOBS if job.device == "cuda"]
    document = json.loads(estimate.FILE.read_text("utf-8"))
    assert sum(each["jobs"] for each in document["lines"]) == len(waiting)
    steps = sum(job.recipe.total_steps(card(job.data).counts["train"]) for job in waiting)
    assert sum(each["steps"] for each in document["lines"]) == steps
    assert {each["rate"] for each in document["lines"]} <= {e["network"] for e in document["rates"]}


def test_hours_are_work_over_rate():
    rate = estimate.Rate("resnet18", 1, images=10.0, multiply_adds=5e9, mixed=True)
    line = estimate.Line("vgg16", 224, 1, 10, images=3600.0, multiply_adds=1e10, rate="resnet18")
    assert line.core_hours({"resnet18": rate}) == pytest.approx(2.0)
    assert line.operations == pytest.approx(6 * 3600 * 1e10)
    assert line.gpu_hours == pytest.approx(6 * 1e10 / estimate.SUSTAINED)


def test_the_page_gets_both_tables():
    text = (ROOT / f"{estimate.DOCUMENT}.md").read_text("utf-8")
    shown = estimate.filled({estimate.DOCUMENT: text})[estimate.DOCUMENT]
    assert not any(marker in shown for marker in estimate.MARKERS.values())
    assert "| all long jobs |" in shown
    assert estimate.filled({}) == {}
