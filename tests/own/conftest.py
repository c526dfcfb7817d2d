"""One short training on a folder a class, and a way to run commands in this process."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from own_helpers import SHORT, folders

from medlib import cli
from tests.command_runs import Done, runner


@pytest.fixture
def medlib(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Return a function that runs a command; an error is one line without traceback."""
    return runner(capsys, monkeypatch)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``pictures`` (60, two classes) and ``out``, both ways compared."""
    home = tmp_path_factory.mktemp("own")
    folders(home / "pictures", 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medlib.run._active", None)
        code = cli.main(["train", str(home / "pictures"), "--out", str(home / "out"), *SHORT])
    assert code == 0
    return home


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished training that a test may change."""
    return Path(shutil.copytree(finished_once, tmp_path / "home"))
