"""A cache of its own for each test, tiny data sets, a local server that misbehaves on demand."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from data_helpers import medmnist_arrays, packed

from medlib.data import card, download
from medlib.data.cards import Card
from tests.lying_server import Server, running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("MEDLIB_CACHE", str(folder))
    monkeypatch.setenv("MEDLIB_MIRROR", "")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_unreachable", {})
    return folder


@pytest.fixture
def tiny() -> tuple[Card, bytes]:
    """A BreastMNIST of 12 images: its card and the bytes of its file."""
    counts = {"train": 6, "val": 2, "test": 4}
    content = packed(medmnist_arrays(counts))
    digest = hashlib.md5(content).hexdigest()
    return replace(card("breastmnist"), counts=counts, digests={"md5": digest}), content


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on 127.0.0.1."""
    with running() as state:
        yield state


@pytest.fixture
def cards_are(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the cards that medlib knows."""

    def replace_cards(*these: Card) -> None:
        module = sys.modules["medlib.data.cards"]  # its name in the package is the function
        known = {one.name: one for one in these}
        monkeypatch.setattr(module, "_cards_in", lambda folder: known)

    return replace_cards
