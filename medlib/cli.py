"""The command line ``medlib``: one subcommand a job, one-line errors, never a traceback."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from medlib import __version__
from medlib.errors import MedlibError

COMMANDS = ("medlib.data.commands", "medlib.verify", "medlib.publish")


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
        print(f"medlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("medlib: stopped by you; run the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
