"""``medlib train``: from a data set, or a reader's own pictures, to a saved model."""

import argparse
from pathlib import Path
from typing import Any

from medlib.commands.common import (
    EXIT_CODES_SKIPPED,
    add_command,
    alone_in,
    natural,
    positive,
    print_json,
    read_options,
    say,
)

TEXT = """\
Train a network on the training images of a data set, with the validation images to watch it. The
test images are not touched. FOLDER then holds model.pt (weights, and what is needed to use them),
history.csv (losses and validation scores of each epoch) and training.json (settings, versions,
date). Ctrl-C stops at once; the last full epoch is kept, and --resume goes on to the same result,
to the last bit, as if nothing had happened.

In place of a data set, a PATH of your own pictures: a folder with a folder for each class, or a
table (CSV) with the columns path, label (or labels, parted by semicolons) and, where known, patient
and split. PNG, JPEG, TIFF, BMP, DICOM; slices of NIfTI and .npz volumes. They are audited, split by
patient, learned in two ways, the better one on validation is tested once, and FOLDER gets a report
(report.html), model.pt, model.onnx and tables. No field of a DICOM header that names a patient is
written or printed; the names of other files are."""
EXAMPLES = (
    "medlib train breastmnist --out runs/breast",
    "medlib train breastmnist --out runs/breast --resume",
    "medlib train pneumoniamnist --model resnet18 --recipe medmnist --epochs 5 --out runs/p",
    "medlib train retinamnist --option width=16 --seed 1 --out runs/retina-1 --json",
    "medlib train pictures/ --audit",
    "medlib train pictures/ --out runs/mine",
    "medlib train pictures/table.csv --out runs/mine --way features",
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``train`` to the command line."""
    parser = add_command(
        subparsers,
        "train",
        train,
        about="train a network on a data set and save it",
        text=TEXT,
        examples=EXAMPLES,
        exit_codes=EXIT_CODES_SKIPPED,
    )
    parser.add_argument(
        "data",
        metavar="DATASET",
        help="a data set ('medlib data list' shows them), or the path of your own pictures",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to save")
    parser.add_argument("--model", default="resnet_small", help="a network; see 'medlib models'")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the network, such as width=16 (repeatable)",
    )
    parser.add_argument(
        "--recipe", default="small", help="small (default) or medmnist, the published protocol"
    )
    parser.add_argument("--epochs", type=positive, help="passes over the images, not the recipe's")
    parser.add_argument("--steps", type=positive, help="stop after so many steps at the latest")
    parser.add_argument("--seed", type=natural, default=0, help="decides all chance (default: 0)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda")
    parser.add_argument("--resume", action="store_true", help="go on with what FOLDER holds")
    parser.add_argument(
        "--phantom", action="store_true", help="generated images, to try things out: no result"
    )
    _add_own_arguments(parser)


def _add_own_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only a reader's own pictures need."""
    own = parser.add_argument_group("your own pictures")
    own.add_argument("--audit", action="store_true", help="only look at them; train nothing")
    own.add_argument(
        "--patient-folders", action="store_true", help="the folders inside a class name patients"
    )
    own.add_argument("--positive", metavar="CLASS", help="of two classes, the positive one")
    own.add_argument(
        "--way",
        choices=("both", "scratch", "features"),
        default="both",
        help="from scratch, on pretrained features, or both, chosen on validation (default)",
    )
    own.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="side of the pictures (default: by the files, at most 64 from scratch, 128 else)",
    )
    own.add_argument(
        "--fit",
        choices=("squeeze", "crop", "pad"),
        default="squeeze",
        help="what becomes of a picture that is not square (default: squeeze)",
    )
    own.add_argument(
        "--slices",
        type=positive,
        default=3,
        help="slices of each volume, from its middle (default: 3)",
    )


def train(args: argparse.Namespace) -> int:
    """Train and report."""
    from medlib.models import MODELS
    from medlib.nearest import check_known
    from medlib.project import Plan, find_data, is_path, recipe_named, train_to_folder

    check_known(args.model, MODELS, "model")
    recipe = recipe_named(args.recipe, epochs=args.epochs, max_steps=args.steps)
    options = read_options(args.option)
    plan = Plan(args.model, recipe, args.recipe, options, args.seed, args.device)
    if is_path(args.data):
        from medlib.commands.train_own import train_own

        return train_own(args, plan)
    _refuse_own_options(args)
    data = find_data(args.data, phantom=args.phantom)
    try:
        with alone_in(args.out):
            record = train_to_folder(data, args.out, plan, resume=args.resume)
    except KeyboardInterrupt:
        say(f"medlib: stopped by you; {_how_to_go_on(args.out)}")
        return 130
    if args.json:
        print_json(record | {"model_file": str(args.out / "model.pt")})
    else:
        _print(record, args.out)
    return 0


def _refuse_own_options(args: argparse.Namespace) -> None:
    """Refuse what means nothing for a data set of a card."""
    from medlib.errors import MedlibError

    if args.audit or args.patient_folders or args.positive or args.size:
        raise MedlibError(
            "--audit, --patient-folders, --positive and --size are for your own pictures, and "
            f"{args.data} names a data set: give a path, such as ./{args.data}"
        )
    if args.out is None:
        raise MedlibError("say where to save: --out FOLDER")


def _how_to_go_on(folder: Path) -> str:
    from medlib.project import CHECKPOINT

    if (folder / CHECKPOINT).exists():
        return "the same command with --resume goes on after the last full epoch"
    return "no epoch was finished, so that the same command starts anew"


def _print(record: dict[str, Any], folder: Path) -> None:
    data, validation = record["data"], record["validation"]
    kind = "generated images: no result" if data["kind"] == "phantom" else "real images"
    print(f"{record['model']} on {data['name']} ({kind}), seed {record['seed']}")
    print(
        f"trained on {data['train']} images in {record['steps']} steps, {record['seconds']:.0f} s"
    )
    chosen = "the last" if record["recipe_values"]["select"] == "last" else "the best"
    print(
        f"kept: epoch {record['selected_epoch'] + 1} of {record['epochs']} ({chosen}); on "
        f"{data['val']} validation images: {_scores(validation)}"
    )
    print(f"saved: {folder / 'model.pt'}")
    print(f"next:  medlib evaluate {folder / 'model.pt'}")


def _scores(validation: dict[str, float | None]) -> str:
    names = {"val_auc": "AUC", "val_accuracy": "accuracy", "val_loss": "loss"}
    known = {names[key]: validation.get(key) for key in names}
    return ", ".join(f"{name} {value:.3f}" for name, value in known.items() if value is not None)
