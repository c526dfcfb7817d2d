"""A model trained in a few steps on generated images, and a way to run commands in this process."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_helpers import TRAIN

from medlib import cli
from tests.command_runs import Done, runner


@pytest.fixture
def medlib(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Return a function that runs a command; an error is all that the command says."""
    runs = runner(capsys, monkeypatch)

    def run(*arguments: object) -> Done:
        done = runs(*arguments)
        if done.code == 2:
            assert done.err.count("medlib: ") == 1
            assert done.out == ""
        return done

    return run


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert cli.main([*TRAIN, "--steps", "20", "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """Return a folder of a finished training that a test may change."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))
