"""``medlib explain``: where a saved model looks in pictures, drawn over them."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlib.commands.common import (
    EXIT_CODES_SKIPPED,
    add_command,
    one_line,
    print_json,
    read_options,
    say,
)
from medlib.commands.predict import add_picture_arguments, read_for

if TYPE_CHECKING:
    import numpy as np

    from medlib.pictures import Picture
    from medlib.saved import SavedModel

TEXT = """\
Draw, for each picture, where the model finds what speaks for a class: the picture as the model
sees it, the map, and the map over the picture, one PNG a picture in FOLDER. By default it explains
the most probable class. A map shows what the score of the model depends on; whether the model is
right, or looks there for a good reason, it does not show (chapter 4.9 tests such maps)."""
EXAMPLES = (
    "medlib explain runs/breast/model.pt lesion.png --out maps",
    "medlib explain runs/breast pictures/ --method occlusion --option window=6 --out maps",
    "medlib explain runs/breast lesion.png --target malignant --out maps",
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``explain`` to the command line."""
    parser = add_command(
        subparsers,
        "explain",
        explain,
        about="maps of where a saved model looks in pictures",
        text=TEXT,
        examples=EXAMPLES,
        exit_codes=EXIT_CODES_SKIPPED,
    )
    add_picture_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where to save")
    parser.add_argument(
        "--method",
        default="grad_cam",
        help="grad_cam (default), cam, saliency, smooth_grad, integrated_gradients, occlusion, "
        "attention_rollout",
    )
    parser.add_argument("--target", help="class to explain, by name or number (default: the most "
                        "probable one of each picture)")  # fmt: skip
    parser.add_argument("--layer", help="layer of grad_cam and cam (default: the last convolution)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the method, such as window=6 of occlusion (repeatable)",
    )


def explain(args: argparse.Namespace) -> int:
    """Explain, draw and print."""
    from medlib import explain as explaining
    from medlib.nearest import check_known
    from medlib.run import resolve_device
    from medlib.saved import load_model

    check_known(args.method, explaining.METHODS, "method")
    saved = load_model(args.model)
    target = None if args.target is None else target_of(saved, args.target)
    device = resolve_device(args.device)
    found = read_for(saved, args)
    written: list[dict[str, Any]] = []
    if found.read:
        args.out.mkdir(parents=True, exist_ok=True)
        probabilities = saved.predict_proba(found.images, device=device)
        targets = probabilities.argmax(axis=1)
        if target is not None:
            targets[:] = target
        maps = explaining.explain(
            saved.module,
            found.images,
            method=args.method,
            target=targets,
            task=saved.task,
            layer=args.layer,
            device=device,
            **read_options(args.option),
        )
        written = _draw(saved, found.read, maps, targets, probabilities, args)
    skipped = [{"file": str(path), "why": why} for path, why in found.skipped]
    if args.json:
        print_json({"method": args.method, "results": written, "skipped": skipped})
    else:
        for one in written:
            shown = f"{one['map']}: {one['target']}, probability {one['probability']:.3f}"
            print(one_line(shown))
    return 1 if skipped else 0


def target_of(saved: "SavedModel", text: str) -> int:
    """Return the number of a class that is given by name or by number.

    Raises
    ------
    MedlibError
        For a class that the model does not know.
    """
    from medlib.nearest import check_known

    if text.isdecimal() and int(text) < len(saved.class_names):
        return int(text)
    check_known(text, saved.class_names, "class")
    return saved.class_names.index(text)


def _draw(
    saved: "SavedModel",
    pictures: "tuple[Picture, ...]",
    maps: "np.ndarray",
    targets: "np.ndarray",
    probabilities: "np.ndarray",
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Write one figure a picture; say where a map is empty."""
    from medlib import plots

    written, names = [], Counter()
    for picture, values, target, row in zip(pictures, maps, targets, probabilities, strict=True):
        stem = f"{picture.path.stem}-{args.method}"
        names[stem] += 1
        path = args.out / (f"{stem}.png" if names[stem] == 1 else f"{stem}-{names[stem]}.png")
        shown = f"{saved.class_names[target]}, {row[target]:.2f}"
        figure = plots.heatmaps([picture.image], values[None], dataset=None, titles=[shown])
        path.write_bytes(figure.png())
        if not values.any():
            say(f"{picture.path}: the map is zero everywhere: nothing speaks for this class")
        written.append(
            {
                "file": str(picture.path),
                "map": str(path),
                "target": saved.class_names[target],
                "probability": float(row[target]),
                "changes": list(picture.changes),
            }
        )
    return written
