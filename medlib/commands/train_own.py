"""``medlib train PATH``: a reader's own pictures, from the folder to the report."""

import argparse
from typing import TYPE_CHECKING, Any

from medlib.commands.common import alone_in, one_line, print_json, print_table, say
from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.own.audit import Audit
    from medlib.project import Plan

FEW = 20  # files left out that the terminal names


def train_own(args: argparse.Namespace, plan: "Plan") -> int:
    """Audit, or train and report; the arguments are those of ``medlib train``.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command.
    plan : Plan
        How the training from scratch goes.
    """
    from medlib.own import Options, audit_only, train_on_own

    if args.phantom:
        raise MedlibError("--phantom is for data sets of a card: your own pictures are real")
    ways = ("scratch", "features") if args.way == "both" else (args.way,)
    options = Options(
        plan=plan,
        ways=ways,
        size=args.size,
        fit=args.fit,
        patient_folders=args.patient_folders,
        positive=args.positive,
        slices=args.slices,
        resume=args.resume,
    )
    if args.audit:
        return _audited(audit_only(args.data, options, say), args.json)
    if args.out is None:
        raise MedlibError("say where to save: --out FOLDER (or only look: --audit)")
    try:
        with alone_in(args.out):
            summary = train_on_own(args.data, args.out, options, say)
    except KeyboardInterrupt:
        say("medlib: stopped by you; the same command with --resume goes on")
        return 130
    _show(summary, args)
    return 1 if summary["audit"]["skipped"] else 0


def _audited(found: "Audit", as_json: bool) -> int:
    if as_json:
        print_json(found.to_dict())
    else:
        print_table(["class", "pictures"], list(found.classes.items()))
        unnamed = f" ({found.unnamed} pictures name none)" if found.unnamed else ""
        print(f"patients: {f'{found.patients}{unnamed}' if found.patients else 'not named'}")
        _say_doubts(found.to_dict())
    return 1 if found.skipped else 0


def _show(summary: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        print_json(summary | {"report": str(args.out / "report.html")})
        return
    _say_doubts(summary["audit"])
    rows = []
    for name, found in summary["test"]["metrics"].items():
        interval = (
            "-" if found["interval"] is None else "{:.3f} to {:.3f}".format(*found["interval"])
        )
        rows.append([name.replace("_", " "), f"{found['value']:.3f}", interval])
    print(one_line(f"{summary['data']}, {summary['parts']['test']} test pictures, looked at once"))
    print_table(["metric", "model", "95 % interval"], rows)
    print(f"report: {args.out / 'report.html'}")
    print(f"next:   medlib predict {args.out} PICTURES")


def _say_doubts(found: dict[str, Any]) -> None:
    """Print warnings and what was left out, on stderr."""
    for warning in found["warnings"]:
        say(f"note: {warning}")
    for one in found["skipped"][:FEW]:
        say(f"left out: {one['what']}: {one['why']}")
    more = len(found["skipped"]) - FEW
    if more > 0:
        say(f"left out: {more} more files (all in cases.csv)")
