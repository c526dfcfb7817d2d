"""A training that is stopped as soon as it has written a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medlib import train


@contextmanager
def stopped_at_checkpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Expect that what is trained in the block is stopped behind its first checkpoint."""
    with stopped_training(monkeypatch), pytest.raises(KeyboardInterrupt):
        yield


@contextmanager
def stopped_training(monkeypatch: pytest.MonkeyPatch | None = None) -> Iterator[None]:
    """Press Ctrl-C, as it were, behind the first checkpoint of what is trained in the block."""
    save = train._Training.save

    def save_and_stop(self: train._Training, path: Path) -> None:
        save(self, path)
        raise KeyboardInterrupt

    with (monkeypatch or pytest.MonkeyPatch()).context() as patched:
        patched.setattr(train._Training, "save", save_and_stop)
        yield
