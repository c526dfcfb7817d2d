"""One-line errors of the workflow's commands."""

import errno

import pytest

from book.workflow.plainly import plainly
from medlib.errors import MedlibError


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MedlibError("unknown profile 'x'"), 2, "make x: unknown profile 'x'"),
        (OSError(errno.ENOSPC, "No space", "a.json"), 2, "disk is full (while writing a.json)"),
        (OSError(errno.EROFS, "Read-only", "b"), 2, "cannot read or write b: Read-only. Where"),
        (KeyboardInterrupt(), 130, "stopped by you"),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(error, code, words, capsys):
    assert plainly("make x", raising(error)) == code
    printed = capsys.readouterr()
    assert words in printed.out + printed.err


def test_results_and_other_errors_pass_through():
    assert plainly("make x", lambda: 1) == 1
    with pytest.raises(OSError, match="no system"):
        plainly("make x", raising(OSError("no system call")))
    with pytest.raises(ValueError, match="a bug"):
        plainly("make x", raising(ValueError("a bug")))
