"""A book of two or three tiny chapters in a checkout of its own."""

from pathlib import Path

import pytest

from tests import tiny_book as books


@pytest.fixture
def tiny_book(tmp_path: Path) -> books.TinyBook:
    """Return a new checkout without chapters."""
    return books.tiny_book(tmp_path / "checkout")
