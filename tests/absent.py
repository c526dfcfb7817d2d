"""What a test does where something that it needs is not on the machine."""

import os

import pytest


def missing(what: str) -> None:
    """End a test that cannot run: skip it for a person, fail it for a machine."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
