"""The refusal of a Python or machine that the book is not tested on."""

import pytest

from book.workflow.check_python import problem


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
@pytest.mark.parametrize(
    "machine", [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")]
)
def test_tested_machines_pass(version, machine):
    assert problem(version, *machine) is None


@pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 14)])
def test_other_pythons_are_refused_with_the_remedy(version):
    message = problem(version, "Linux", "x86_64")
    assert f"{version[0]}.{version[1]}" in message
    assert "make PYTHON=" in message


def test_intel_macs_and_windows_are_refused_by_name():
    assert "Intel macOS" in problem((3, 11), "Darwin", "x86_64")
    assert "WSL" in problem((3, 11), "Windows", "AMD64")
