"""What the commands share: how help looks, how tables and JSON are printed, options read."""

import argparse
import contextlib
import fcntl
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from medlib.errors import MedlibError

ORDERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
BREAKS = re.compile(r"\s*[\t-\r\x1c-\x1e\x85\u2028\u2029]\s*")
EXIT_CODES = "exit codes: 0 done, 2 an error that the message explains, 130 stopped by Ctrl-C"
EXIT_CODES_SKIPPED = (
    "exit codes: 0 done, 1 some file was skipped (each is named), 2 an error that the message\n"
    "explains, 130 stopped by Ctrl-C"
)


def add_command(
    subparsers: argparse._SubParsersAction,
    name: str,
    function: Callable[[argparse.Namespace], int],
    *,
    about: str,
    text: str,
    examples: Sequence[str],
    exit_codes: str = EXIT_CODES,
) -> argparse.ArgumentParser:
    """Add a command whose ``--help`` teaches: a paragraph, examples, exit codes.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        Where to add it.
    name : str
        The command.
    function : callable
        What runs; returns the exit code.
    about : str
        One line for the list of commands.
    text : str
        The paragraph.
    examples : sequence of str
        Command lines.
    exit_codes : str
        What the exit codes mean.
    """
    lines = "\n".join(f"  {example}" for example in examples)
    parser = subparsers.add_parser(
        name,
        help=about,
        description=text,
        epilog=f"examples:\n{lines}\n\n{exit_codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document and nothing else"
    )
    parser.set_defaults(func=function)
    return parser


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a second command out of the folder that this one writes to.

    The lock is held on the folder itself and ends with the process, also where that is killed.

    Raises
    ------
    MedlibError
        Where another command is at work there.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise MedlibError(
            f"another command is writing to {folder}: wait for it, or choose another folder"
        ) from None
    except OSError:  # cannot be written, which the command itself says; or no locks there
        yield
        return
    try:
        yield
    finally:
        os.close(handle)
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # where nothing was written


def print_json(found: object) -> None:
    """Print one JSON document; numbers that are none (NaN) become null."""
    text = json.dumps(found, ensure_ascii=False)
    plain = json.loads(text, parse_constant=lambda name: None)
    print(json.dumps(plain, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, numbers to the right."""
    lines = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    for line in lines:
        first, *rest = zip(line, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
        print("  ".join(cells).rstrip())


def one_line(text: object) -> str:
    r"""Return a text for a terminal: one line, and nothing in it that a terminal would obey.

    Names of files, cells of tables and answers of servers are other people's words.

    Examples
    --------
    >>> one_line("a\nb \x1b[2J")
    'a b ?[2J'
    """
    return ORDERS.sub("?", BREAKS.sub(" ", str(text).strip()))


def say(text: str) -> None:
    """Print a line for a person on stderr, so that stdout stays for the result."""
    print(one_line(text), file=sys.stderr)


def positive(text: str) -> int:
    """Read a whole number above 0, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def natural(text: str) -> int:
    """Read a whole number from 0, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {value}")
    return value


def read_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``["width=16", "stem=small"]`` as ``{"width": 16, "stem": "small"}``.

    Raises
    ------
    MedlibError
        For a text without ``=``.
    """
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise MedlibError(f"--option takes NAME=VALUE, such as width=16; got {pair!r}")
        options[name] = _value(value)
    return options


def _value(text: str) -> object:
    """Read a number, true, false or a list as such, anything else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else one_line(value)
