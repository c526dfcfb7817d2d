"""``medlib predict``: the probabilities that a saved model gives to pictures."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlib.commands.common import (
    EXIT_CODES_SKIPPED,
    add_command,
    print_json,
    print_table,
    say,
)
from medlib.errors import MedlibError

if TYPE_CHECKING:
    import numpy as np

    from medlib.pictures import Pictures
    from medlib.saved import SavedModel

TEXT = """\
Print the probability of each class for each picture: PNG, JPEG, TIFF, BMP or DICOM files, or
folders of them; of a volume (NIfTI, .npz) those of a few slices. Each picture is brought to the
channels and the size that the model takes, and the command says how. A file that cannot be used is
named with the reason, and the others go on. Of a DICOM header nothing is printed that could name a
patient; file names are printed as they are. A model of this book is made for learning, not for
diagnosis."""
EXAMPLES = (
    "medlib predict runs/breast/model.pt lesion.png",
    "medlib predict runs/breast/model.pt pictures/ --csv scores.csv",
    "medlib predict runs/breast lesion.dcm --fit crop --json",
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``predict`` to the command line."""
    parser = add_command(
        subparsers,
        "predict",
        predict,
        about="the probabilities that a saved model gives to pictures",
        text=TEXT,
        examples=EXAMPLES,
        exit_codes=EXIT_CODES_SKIPPED,
    )
    add_picture_arguments(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table of all pictures")


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that takes a model and pictures."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.pt of a training")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="files or folders")
    parser.add_argument(
        "--fit",
        choices=("squeeze", "crop", "pad"),
        help="what becomes of a picture that is not square (default: as in the training, "
        "else squeeze)",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda")


def read_for(saved: "SavedModel", args: argparse.Namespace) -> "Pictures":
    """Read the pictures of the arguments as the model takes them, and name what was skipped.

    Raises
    ------
    MedlibError
        Where there is nothing to read.
    """
    from medlib.pictures import find_files, is_volume, read_pictures

    files, others = find_files(args.images)
    volumes = [path for path in (*files, *others) if is_volume(path)]
    files, others = ([p for p in paths if p not in volumes] for paths in (files, others))
    if not files and not volumes:
        raise MedlibError(
            f"there are no pictures in {', '.join(map(str, args.images))}: expected PNG, JPEG, "
            "TIFF, BMP or DICOM files, or volumes (NIfTI, .npz)"
        )
    if others:
        say(f"left alone, since they do not look like pictures: {_few(others)}")
    fit, slices = _as_in_training(saved)
    shape = {"channels": saved.channels, "size": saved.size, "fit": args.fit or fit}
    found = read_pictures(files, **shape)
    if volumes:
        found = _with_slices(found, volumes, shape, slices)
    for path, why in found.skipped:
        say(f"skipped {path}: {why}")
    changed = Counter(", ".join(one.changes) for one in found.read if one.changes)
    for change, count in changed.most_common(5):
        say(f"{count} of {len(found.read)} pictures: {change}")
    if len(changed) > 5:
        say(f"and {len(changed) - 5} other ways of bringing them to size: --json names all")
    return found


def _as_in_training(saved: "SavedModel") -> tuple[str, int]:
    """Return how pictures were fitted and how many slices of a volume were taken.

    Raises
    ------
    MedlibError
        Where the model file says something that no training does.
    """
    from medlib.pictures import FITS

    fit, slices = (saved.provenance.get(k, d) for k, d in (("fit", "squeeze"), ("slices", 3)))
    if fit not in FITS or not isinstance(slices, int) or slices < 1:
        raise MedlibError(
            f"{saved.path} was trained with fit {fit!r} and slices {slices!r}, which medlib does "
            "not do: train anew"
        )
    return fit, slices


def _with_slices(
    found: "Pictures", volumes: list[Path], shape: dict[str, Any], slices: int
) -> "Pictures":
    """Add the slices of volumes, each a picture of its own."""
    from dataclasses import replace

    from medlib.own.volumes import read_slices

    say(f"{len(volumes)} volumes: up to {slices} slices of each, every slice judged by itself")
    for path in volumes:
        read, skipped = read_slices(path, slices=slices, **shape)
        found = replace(found, read=(*found.read, *read), skipped=(*found.skipped, *skipped))
    return found


def predict(args: argparse.Namespace) -> int:
    """Predict and print."""
    from medlib.run import resolve_device
    from medlib.saved import load_model

    saved = load_model(args.model)
    device = resolve_device(args.device)
    found = read_for(saved, args)
    probabilities = saved.predict_proba(found.images, device=device)
    if args.csv:
        _write_csv(args.csv, saved, found, probabilities)
    if args.json:
        print_json(_as_json(saved, found, probabilities))
    elif found.read:
        rows = zip(found.read, probabilities, strict=True)
        print_table(
            ["file", *saved.class_names, "most probable"],
            [
                [one.path, *(f"{p:.3f}" for p in row), ", ".join(decided(saved, row))]
                for one, row in rows
            ],
        )
    return 1 if found.skipped else 0


def decided(saved: "SavedModel", row: "np.ndarray") -> list[str]:
    """Return the most probable class, or each finding above one half."""
    from medlib.metrics import predicted

    if saved.task == "multi-label":
        kept = predicted(row[None], 2)[0]
        return [name for name, keep in zip(saved.class_names, kept, strict=True) if keep]
    return [saved.class_names[int(predicted(row[None])[0])]]


def _as_json(saved: "SavedModel", found: "Pictures", probabilities: "np.ndarray") -> dict:
    results = [
        {
            "file": str(one.path),
            "probabilities": dict(zip(saved.class_names, row.tolist(), strict=True)),
            "most_probable": decided(saved, row),
            "changes": list(one.changes),
        }
        for one, row in zip(found.read, probabilities, strict=True)
    ]
    skipped = [{"file": str(path), "why": why} for path, why in found.skipped]
    return {
        "model": str(saved.path),
        "task": saved.task,
        "classes": list(saved.class_names),
        "results": results,
        "skipped": skipped,
    }


def _write_csv(path: Path, saved: "SavedModel", found: "Pictures", rows: "np.ndarray") -> None:
    from medlib.results import write_csv

    lines = (
        [one.path, *(f"{p:.6g}" for p in row), "; ".join(decided(saved, row))]
        for one, row in zip(found.read, rows, strict=True)
    )
    write_csv(path, [["file", *saved.class_names, "most probable"], *lines])
    say(f"written: {path} ({len(found.read)} pictures)")


def _few(paths: list[Path]) -> str:
    names = ", ".join(str(path) for path in paths[:3])
    return names if len(paths) <= 3 else f"{names} and {len(paths) - 3} others"
