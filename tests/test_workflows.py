"""GitHub's workflows and the other habits: pinned, least rights, and commands that exist."""

import importlib.util
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from book.workflow import editions, release
from medlib import __version__

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
NAMES = {"pull-request", "nightly", "publish", "gpu", "weekly"}
PIN = re.compile(r"uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
WRITES = {  # (workflow, job) -> the only rights beyond reading the contents
    ("nightly", "book"): {"issues"},
    ("nightly", "report"): {"issues"},
    ("weekly", "report"): {"issues"},
    ("publish", "release"): {"contents"},
    ("publish", "deploy"): {"pages", "id-token"},
}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def parsed(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8"))


def steps(workflow: dict) -> Iterator[dict]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands(workflow: dict) -> Iterator[str]:
    for step in steps(workflow):
        yield from step.get("run", "").replace("&&", "\n").splitlines()


def test_the_five_workflows_are_there():
    assert {path.stem for path in FILES} == NAMES


@each_file
def test_every_action_is_pinned_to_a_commit_with_its_version(path):
    lines = [line for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert PIN.fullmatch(line.strip().removeprefix("- ")), line


def test_one_action_has_one_pin():
    text = "".join(path.read_text("utf-8") for path in FILES)
    pins = set(re.findall(r"uses: (\S+)@(\S+)", text))
    assert len(pins) == len({name for name, _ in pins})


@each_file
def test_a_workflow_may_only_read_and_a_job_only_what_it_needs(path):
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        rights = job.get("permissions", {})
        written = {right for right, level in rights.items() if level != "read"}
        assert written == WRITES.get((path.stem, name), set())


@each_file
def test_every_job_ends_and_every_checkout_forgets_its_token(path):
    workflow = parsed(path)
    assert all(job["timeout-minutes"] <= 1440 for job in workflow["jobs"].values())
    for step in steps(workflow):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@each_file
def test_no_outside_text_reaches_a_shell(path):
    text = path.read_text("utf-8")
    assert "pull_request_target" not in text
    for command in commands(parsed(path)):
        assert "${{" not in command, "pass it through env"


@each_file
def test_what_a_workflow_runs_exists(path):
    found = 0
    for command in commands(parsed(path)):
        for target in re.findall(r"^\s*make ([a-z]+)", command):
            assert target in TARGETS, command
            found += 1
        for module in re.findall(r"-m (book\.\S+)", command):
            assert importlib.util.find_spec(module), command
            found += 1
        for file in re.findall(r"(?:\s|^)((?:tests|\.github)/\S+|lock\.txt)", command):
            assert (ROOT / file).exists(), command
    assert found


def test_each_workflow_does_its_work():
    text = {path.stem: " ; ".join(commands(parsed(path))) for path in FILES}
    assert "make test" in text["pull-request"]
    assert parsed(FOLDER / "pull-request.yml")["jobs"]["test"]["env"]["CI"] == "true"
    for name in ("nightly", "publish"):
        assert "--require-hashes -r lock.txt" in text[name]
        assert "make book" in text[name]
        assert "make verify" in text[name]
    assert "PROFILE=gpu" in text["gpu"]
    assert "book.workflow.release" in text["publish"]
    assert "make editions" in text["publish"]
    assert "pytest tests/notebooks" in text["nightly"]
    colab = parsed(FOLDER / "nightly.yml")["jobs"]["colab"]["steps"]
    assert {"MEDLIB_COLAB": "all"} in [step.get("env") for step in colab]
    assert set(parsed(FOLDER / "weekly.yml")["jobs"]) == {
        "macos", "versions", "proofs", "links", "audit", "report",
    }  # fmt: skip


@each_file
def test_a_job_that_reports_or_publishes_waits_for_the_others(path):
    jobs = parsed(path)["jobs"]
    for name, job in jobs.items():
        needed = {job["needs"]} if isinstance(job.get("needs"), str) else set(job.get("needs", ()))
        assert needed <= set(jobs) - {name}
    if path.stem == "weekly":
        assert set(jobs["report"]["needs"]) == set(jobs) - {"report"}


def test_what_is_published_is_what_make_editions_writes():
    uploads = [
        s["with"]["path"]
        for s in steps(parsed(FOLDER / "publish.yml"))
        if "upload" in s.get("uses", "")
    ]
    assert uploads == ["_build/archives/site-${{ github.ref_name }}.zip", "_build/public"]
    assert editions.archive_name("${{ github.ref_name }}") in uploads[0]


@pytest.mark.parametrize("there", [True, False])
def test_sites_are_kept_with_their_releases_and_fetched_from_there(tmp_path, there):
    gh = (
        'echo "$*" >> calls\n'
        'case "$1 $2" in\n'
        '  "api --paginate") echo "v0.1.0 site-v0.1.0.zip"; echo "v0.2.0 site-v0.2.0.zip" ;;\n'
        f'  "release view") {"true" if there else "false"} ;;\n'
        "esac\n"
    )
    (tmp_path / "gh").write_text(f"#!/bin/sh\n{gh}", encoding="utf-8")
    (tmp_path / "gh").chmod(0o755)
    script = ROOT / ".github" / "releases.sh"
    path = f"{tmp_path}:{os.environ['PATH']}"
    for arguments in (["fetch", "archives"], ["keep", "v0.2.0"]):
        environment = os.environ | {"PATH": path, "GITHUB_REPOSITORY": "a/b"}
        subprocess.run(["bash", script, *arguments], cwd=tmp_path, env=environment, check=True)
    calls = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert (tmp_path / "archives").is_dir()
    assert [call for call in calls if "download" in call] == [
        f"release download {tag} --repo a/b --pattern site-{tag}.zip --dir archives --clobber"
        for tag in ("v0.1.0", "v0.2.0")
    ]
    assert calls[-1] == "release upload v0.2.0 site-v0.2.0.zip --repo a/b --clobber"
    assert any("release create v0.2.0" in call for call in calls) != there


@pytest.mark.parametrize("name", ["nightly", "publish"])
def test_the_lock_is_for_the_python_that_uses_it(name):
    jobs = parsed(FOLDER / f"{name}.yml")["jobs"].values()
    locked = [job for job in jobs if any("lock.txt" in s.get("run", "") for s in job["steps"])]
    versions = [s["with"]["python-version"] for s in steps({"jobs": dict(enumerate(locked))})
                if "setup-python" in s.get("uses", "")]  # fmt: skip
    head = (ROOT / "lock.txt").read_text("utf-8").splitlines()[1]
    assert versions == [re.search(r"cpython ([\d.]+), linux x86_64", head)[1]]


def test_the_oldest_and_the_newest_of_everything_is_tried():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    matrix = parsed(FOLDER / "weekly.yml")["jobs"]["versions"]["strategy"]["matrix"]["include"]
    old, new = matrix
    oldest, beyond = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()
    assert (old["python"], new["python"]) == (f"3.{oldest}", f"3.{int(beyond) - 1}")
    assert old["packages"] == "-r oldest.txt"
    assert new["packages"].startswith("--upgrade --upgrade-strategy eager")


def test_the_hooks_use_the_ruff_that_is_pinned():
    hooks = parsed(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    used = {each for hook in hooks for each in hook.get("additional_dependencies", [])}
    pinned = re.search(r"^ruff==.*$", (ROOT / "constraints.txt").read_text("utf-8"), re.M)[0]
    assert used == {pinned}
    for hook in hooks:
        for module in re.findall(r"-m (book\.\S+)", hook["entry"]):
            assert importlib.util.find_spec(module)


@pytest.mark.parametrize("open_issue", ["", "7"])
def test_a_failure_opens_one_issue_and_then_adds_to_it(tmp_path, open_issue):
    stand_in = tmp_path / "gh"
    stand_in.write_text(
        "#!/usr/bin/env bash\n"
        f'if [ "$2" = list ]; then echo "{open_issue}"; exit; fi\n'
        f'echo "$*" >> {tmp_path}/calls\n'
        f'for last; do :; done; cp "$last" {tmp_path}/body\n'
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "verify.txt").write_text("line\n" * 500 + "resnet-breast-auc  differs\n")
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "1",
        "GITHUB_SHA": "c0ffee",
    }
    script = ROOT / ".github" / "report-failure.sh"
    command = ["bash", str(script), "It differs", "verify.txt", "absent.txt"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    call = (tmp_path / "calls").read_text()
    expected = "issue comment 7" if open_issue else "issue create --repo a/b --title It differs"
    assert call.startswith(expected)
    body = (tmp_path / "body").read_text()
    assert "Commit c0ffee, [run 1](https://github.com/a/b/actions/runs/1)." in body
    assert "resnet-breast-auc  differs" in body
    assert len(body.splitlines()) < 140


def test_the_citation_names_this_version_and_nobody_who_was_made_up():
    citation = parsed(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    assert citation["authors"] == [{"name": "The contributors of the compendium"}]
    assert "doi" not in citation
    assert citation["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("BSD 3-Clause License")
    assert "CC BY 4.0" in (ROOT / "LICENSE-TEXT.md").read_text("utf-8")


def test_the_archive_is_described_as_the_work_is_cited():
    citation = parsed(ROOT / "CITATION.cff")
    archive = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
    assert archive["title"] == citation["title"]
    assert archive["creators"] == citation["authors"]
    assert archive["version"] == citation["version"] == __version__
    assert archive["license"] == citation["license"]
    assert archive["keywords"] == citation["keywords"]
    assert archive["upload_type"] == citation["type"]
    assert "CC BY 4.0" in archive["notes"]
    assert "written by AI agents" in archive["description"]
    assert "doi" not in archive, "Zenodo gives one to each edition"


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", text, re.M)
    form = re.compile(r"\[(Unreleased|\d+\.\d+\.\d+)\](?: - (?:unreleased|\d{4}-\d\d-\d\d))?")
    assert headings
    assert all(form.fullmatch(heading) for heading in headings)
    assert f"[{__version__}]" in text
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds


class TestRelease:
    @pytest.fixture
    def ready(self, tmp_path, monkeypatch):
        monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
        files = {
            "_config.yml": "title: T\nrepository:\n  url: https://github.com/a/b\n",
            "book/claims.yml": CLAIM,
            "results/cpu/03-05-resnet.json": '{"claims": {"one": {"value": 1}}}',
            "notebooks/.keep": "",
            "pyproject.toml": '[project]\nversion = "1.2.3"\n',
            "CITATION.cff": "version: 1.2.3\n",
            ".zenodo.json": '{"version": "1.2.3"}',
            "CHANGELOG.md": "## [1.2.3] - 2026-11-23\n",
        }
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path

    def test_a_complete_release_is_ready(self, ready):
        assert release.problems(ready, "v1.2.3") == []
        assert release.problems(ready) == []

    def test_a_fork_is_told_to_set_its_address(self, ready, monkeypatch):
        monkeypatch.setenv("GITHUB_REPOSITORY", "fork/b")
        assert "Set it, run make sync" in release.problems(ready)[0]

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("CITATION.cff", "version: 1.2.2", "CITATION.cff says 1.2.2"),
            ("pyproject.toml", '[project]\nversion = "2"', "pyproject.toml says 2"),
            (".zenodo.json", '{"version": "1"}', ".zenodo.json says 1"),
            ("CHANGELOG.md", "## [1.2.3] - unreleased", "CHANGELOG.md has no heading"),
            ("results/cpu/03-05-resnet.json", "{}", "1 claims have no published value: one"),
        ],
    )
    def test_what_is_missing_is_named(self, ready, file, content, message):
        (ready / file).write_text(content)
        assert len(release.problems(ready, "v1.2.3")) == 1
        assert message in release.problems(ready, "v1.2.3")[0]
        assert release.problems(ready) == [], "without a tag only the site is published"

    def test_a_copy_out_of_step_stops_it(self, ready):
        (ready / "notebooks/01-01-gone.ipynb").write_text("{}")
        assert "01-01-gone.ipynb. Run make sync" in release.problems(ready)[0]


CLAIM = """
- id: one
  chapter: 03-05-resnet
  sentence: The small ResNet has so many parameters.
  kind: count
  metric: parameters
"""
