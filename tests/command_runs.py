"""Commands run in the tests' own process."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from medlib import cli


@dataclass(frozen=True)
class Done:
    """What a command did: exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


def runner(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Return a function that runs a command; an error is one line without traceback."""
    monkeypatch.setattr("medlib.run._active", None)  # no chapter of another test is open

    def run(*arguments: object) -> Done:
        code = cli.main([str(each) for each in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        if code == 2:
            assert said.err.splitlines()[-1].startswith("medlib: ")
        return Done(code, said.out, said.err)

    return run
