"""The command ``medlib data``: list, get, find and check data sets."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``data`` to the command line."""
    subparsers.add_parser("data", help="list, get, find and check data sets")
