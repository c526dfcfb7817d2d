"""The command line ``medlib``: one subcommand a job, one-line errors, never a traceback."""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from medlib import __version__
from medlib.commands.common import say
from medlib.errors import MedlibError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
COMMANDS = (
    "medlib.data.commands",
    "medlib.commands.models",
    "medlib.commands.train",
    "medlib.commands.evaluate",
    "medlib.commands.predict",
    "medlib.commands.explain",
    "medlib.verify",
    "medlib.publish",
)


def parser() -> argparse.ArgumentParser:
    """Build the parser from the modules that offer a command (``add_parser``)."""
    top = argparse.ArgumentParser(
        prog="medlib",
        description="Data, models and results of the book "
        "'Deep learning in medical image classification'.",
    )
    top.add_argument("--version", action="version", version=f"medlib {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(name).add_parser(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process where omitted.

    Returns
    -------
    int
        The command's exit code; 2 for an error that a message explains, 130 after Ctrl-C.
    """
    args = parser().parse_args(argv)
    try:
        return args.func(args)
    except MedlibError as error:
        say(f"medlib: {error}")
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as head, has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - so that closing it fails no more
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        remedy = "; free some space, and run it again" if error.errno in FULL else ""
        say(f"medlib: cannot read or write{where}: {error.strerror or error}{remedy}")
        return 2
    except KeyboardInterrupt:
        print("medlib: stopped by you; run the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
