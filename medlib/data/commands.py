"""The command ``medlib data``: list, get, find and check data sets."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medlib import paths
from medlib.commands.common import one_line, say
from medlib.data import store
from medlib.data.cards import Card, card, cards
from medlib.errors import MedlibError

ABOUT = """\
Data sets are looked for in the folder named by MEDLIB_MIRROR, then in the cache (MEDLIB_CACHE;
in a checkout, .cache/medlib). The three small sets of the default book are downloaded when needed;
the others only by 'medlib data get NAME'."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``data`` to the command line."""
    parser = subparsers.add_parser(
        "data",
        help="list, get, find and check data sets",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "list", list_sets, "show all data sets, and which are here")
    getter = _add(actions, "get", get_sets, "download data sets (without names: the default ones)")
    getter.add_argument("names", nargs="*", metavar="NAME", help="data sets to get")
    getter.add_argument("--all", action="store_true", help="every data set, several GB")
    where = _add(actions, "where", where_is, "print where a data set lies, or belongs")
    where.add_argument("names", nargs=1, metavar="NAME", help="the data set")
    check = _add(actions, "check", check_sets, "read data sets and compare them with their cards")
    check.add_argument("names", nargs="*", metavar="NAME", help="data sets (default: all here)")


def _add(
    actions: argparse._SubParsersAction, name: str, function: Any, about: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=about, description=about.capitalize() + ".")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(func=function)
    return parser


def cli(argv: list[str]) -> int:
    """Run ``medlib data`` with arguments such as ``["list", "--json"]``.

    Returns
    -------
    int
        0, or 1 where a data set could not be had or is damaged, or 2 for another error.
    """
    top = argparse.ArgumentParser(prog="medlib")
    add_parser(top.add_subparsers())
    args = top.parse_args(["data", *argv])
    try:
        return args.func(args)
    except MedlibError as error:
        say(f"medlib: {error}")
        return 2


def list_sets(args: argparse.Namespace) -> int:
    """Print all data sets."""
    found = [_facts(one) for one in cards().values()]
    if args.json:
        _print_json(found)
        return 0
    _print_table(found, ("name", "task", "classes", "size", "cases", "licence", "here"))
    print(f"\nmirror: {paths.mirror_dir() or 'none (MEDLIB_MIRROR is not set)'}")
    print(f"cache:  {paths.cache_dir()}")
    return 0


def get_sets(args: argparse.Namespace) -> int:
    """Download data sets; one that fails does not stop the others."""
    if args.all and args.names:
        raise MedlibError("give names or --all, not both")
    chosen = _named(args.names) if args.names else _default_sets(args.all)
    results = [_get(one, quiet=args.json) for one in chosen]
    if args.json:
        _print_json(results)
    return 1 if any("error" in result for result in results) else 0


def ensure_default() -> list[str]:
    """Get the sets of the default book where that is quickly possible, and say what is missing.

    Nothing fails here: a chapter whose data is missing says so on its own page.

    Returns
    -------
    list of str
        Names of the sets that are not here.
    """
    from medlib.data import origins
    from medlib.data.download import HASTY

    missing = []
    for wanted in _default_sets(every=False):
        if _is_here(wanted):
            continue
        try:
            path = origins.obtain(wanted, HASTY, _progress_bar(wanted.name))
            print(f"{wanted.name}: downloaded to {path}")
        except MedlibError as error:
            missing.append(wanted.name)
            say(f"{wanted.name}: {error}")
    return missing


def where_is(args: argparse.Namespace) -> int:
    """Print the path of a data set; exit code 1 where it is not there yet."""
    wanted = card(args.names[0])
    path = Path("scikit-learn") if wanted.layout == "sklearn" else store.find(wanted)
    if args.json:
        _print_json({"name": wanted.name, "path": str(path or store.placed(wanted))} | _here(path))
    else:
        print(path or store.placed(wanted))
        if path is None:
            print(f"medlib: it is not there yet: medlib data get {wanted.name}", file=sys.stderr)
    return 0 if path else 1


def check_sets(args: argparse.Namespace) -> int:
    """Load data sets, which checks digests, shapes and labels; 1 where one named is not good."""
    chosen = (
        _named(args.names) if args.names else [one for one in cards().values() if _is_here(one)]
    )
    results = [_checked(one) for one in chosen]
    if args.json:
        _print_json(results)
    else:
        for result in results:
            print(one_line(f"{result['name']}: {result.get('error', 'good')}"))
        absent = len(cards()) - len(chosen)
        if not args.names and absent:
            print(f"{absent} data sets are not here: see 'medlib data list'")
    return 1 if any("error" in result for result in results) else 0


def _get(wanted: Card, quiet: bool) -> dict[str, Any]:
    from medlib.data import origins

    try:
        if wanted.layout == "sklearn":
            from medlib.data.loading import load

            load(wanted.name)
            path: Path = Path("scikit-learn")
        else:
            path = origins.obtain(wanted, progress=None if quiet else _progress_bar(wanted.name))
    except MedlibError as error:
        if not quiet:
            say(f"{wanted.name}: {error}")
        return {"name": wanted.name, "error": str(error)}
    if not quiet:
        print(f"{wanted.name}: {path}")
    return {"name": wanted.name, "path": str(path)}


def _checked(wanted: Card) -> dict[str, Any]:
    from medlib.data.loading import load

    try:
        found = load(wanted.name)
    except MedlibError as error:
        return {"name": wanted.name, "error": str(error)}
    return {"name": wanted.name, "cases": sum(map(len, (found.train, found.val, found.test)))}


def _named(names: Iterable[str]) -> list[Card]:
    return [card(name) for name in dict.fromkeys(names)]


def _default_sets(every: bool) -> list[Card]:
    return [one for one in cards().values() if every or not one.opt_in]


def _is_here(wanted: Card) -> bool:
    return wanted.layout == "sklearn" or store.find(wanted) is not None


def _here(path: Path | None) -> dict[str, bool]:
    return {"here": path is not None}


def _facts(one: Card) -> dict[str, Any]:
    return {
        "name": one.name,
        "task": one.task,
        "classes": one.num_classes,
        "size": one.size,
        "cases": sum(one.counts.values()),
        "licence": one.licence["name"],
        "publishable": one.publishable,
        "default": not one.opt_in,
        "here": _place(one),
    }


def _place(one: Card) -> str:
    """Say in a word where a data set is."""
    if one.layout == "sklearn":
        return "installed"
    path = store.find(one)
    if path is None:
        return "no: get" if one.opt_in else "no: default"
    return "mirror" if path.parent == paths.mirror_dir() else "cache"


def _print_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    lines = [columns, *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    for line in lines:
        print(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        )


def _print_json(found: Mapping[str, Any] | list[Any]) -> None:
    print(json.dumps(found, indent=2, ensure_ascii=False))


def _progress_bar(name: str) -> Any:
    """Return a function that draws a progress bar on a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    bar = tqdm(desc=name, unit="B", unit_scale=True, disable=None, leave=False)

    def _show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return _show
