"""What `make test` runs, and how it shares the tests between processes."""

from book.workflow import test as command


def test_one_core_needs_no_other_process():
    assert command.several(1, "worksteal") == []
    assert all("-n" not in arguments for _, arguments in command.steps(1))


def test_two_cores_share_the_unit_tests_and_the_chapters():
    steps = dict(command.steps(2))
    assert steps["unit tests"][-4:] == ["-n", "2", "--dist", "worksteal"]
    assert steps["book in profile fast"][-2:] == ["--cores", "2"]


def test_shared_tests_compute_with_one_thread_each(monkeypatch):
    seen = {}

    class Done:
        returncode = 0

    def run(arguments, cwd, env):
        seen.update(env)
        return Done()

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(command.subprocess, "run", run)
    assert command._run("unit", ["-m", "pytest", "-n", "2"]) == []
    assert seen["OMP_NUM_THREADS"] == "1"
    command._run("lint", ["-m", "book.workflow.check"])
    assert seen["OMP_NUM_THREADS"] == "7"
