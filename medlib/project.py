"""A training in a folder of its own: data in, ``model.pt``, ``history.csv``, ``training.json`` out.

While it runs, the folder holds a checkpoint after each epoch, so that a stopped training goes on
where it ended. `train_to_folder` takes any `Dataset`: where the images come from is not its affair.
"""

import csv
import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medlib import __version__
from medlib.data import Dataset, cards, data_status, load
from medlib.errors import MedlibError
from medlib.leftovers import sweep
from medlib.models import SEGMENTERS, count_parameters
from medlib.nearest import check_known
from medlib.recipe import Recipe
from medlib.results import write_json, write_text
from medlib.run import resolve_device
from medlib.saved import FILE, ModelSpec, load_model, save_model
from medlib.train import History, fit, seed_everything

__all__ = [
    "RECIPES",
    "Plan",
    "ProjectError",
    "describe_data",
    "find_data",
    "is_path",
    "recipe_named",
    "train_to_folder",
    "versions",
]

RECIPES = {"small": Recipe.small, "medmnist": Recipe.medmnist}
CHECKPOINT, RECORD, HISTORY = "checkpoint.pt", "training.json", "history.csv"


class ProjectError(MedlibError):
    """A training folder that cannot be used as asked; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides a training but the data.

    Attributes
    ----------
    model : str
        Name in `medlib.models.MODELS`.
    recipe : Recipe
        How to train.
    recipe_name : str
        Its name, for the record.
    options : dict
        Further arguments of `medlib.models.create`.
    seed : int
        Seed of the initial weights and of the training.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    """

    model: str = "resnet_small"
    recipe: Recipe = field(default_factory=Recipe.small)
    recipe_name: str = "small"
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"


def recipe_named(name: str, *, epochs: int | None = None, max_steps: int | None = None) -> Recipe:
    """Return a recipe of `RECIPES`, shortened where asked.

    Parameters
    ----------
    name : str
        Its name.
    epochs : int, optional
        So many passes over the training images, whatever their number.
    max_steps : int, optional
        At most so many steps.
    """
    check_known(name, RECIPES, "recipe")
    recipe = RECIPES[name]()
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs, min_steps=0)
    return recipe if max_steps is None else replace(recipe, max_steps=max_steps)


def is_path(name: str) -> bool:
    """Tell whether the data of a training are a reader's own: a path, and no card's name."""
    return name not in cards() and ("/" in name or "." in name or Path(name).exists())


def find_data(name: str, *, phantom: bool = False) -> Dataset:
    """Return the images of a data set's name.

    Parameters
    ----------
    name : str
        Name of a card.
    phantom : bool
        Generated images of the same shape and classes instead: to try things out, never a result.

    Raises
    ------
    MedlibError
        For an unknown name, a table, or data that are not here.
    """
    check_known(name, cards(), "data set")
    if cards()[name].kind != "image":
        raise ProjectError(
            f"{name} is a table of measurements, and the networks here take images: choose a data "
            "set of images ('medlib data list')"
        )
    if not phantom:
        return load(name)
    from medlib.data import phantoms

    return phantoms.phantom_like(cards()[name])


def train_to_folder(
    data: Dataset,
    folder: Path | str,
    plan: Plan,
    *,
    resume: bool = False,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Train on the training images, select on the validation images, write the folder.

    Parameters
    ----------
    data : Dataset
        Its test split is not looked at.
    folder : Path or str
        Where; made where it is missing.
    plan : Plan
        How.
    resume : bool
        Go on with the training that the folder holds, or begin where it holds none.
    progress : bool, optional
        Whether to show a bar; by default on a terminal only.

    Returns
    -------
    dict
        What ``training.json`` holds.

    Raises
    ------
    ProjectError
        Where the folder holds another training, or one and `resume` is not given.
    """
    folder = Path(folder)
    if plan.model in SEGMENTERS:
        raise ProjectError(f"{plan.model} names pixels, not images: choose a classifier")
    settings = _settings(data, plan)
    finished = _finished(folder, settings, resume)
    if finished is not None:
        _tidy(folder)
        return finished
    seed_everything(plan.seed)
    spec = _spec(data, plan)
    model, device = spec.build(), resolve_device(plan.device)
    _make(folder)
    history = fit(
        model,
        data,
        plan.recipe,
        seed=plan.seed,
        device=device,
        checkpoint=folder / CHECKPOINT,
        progress=progress,
    )
    record = _record(settings, history, count_parameters(model), device)
    write_text(folder / HISTORY, _history_csv(history))
    write_json(folder / RECORD, _plain(record))
    save_model(model, folder / FILE, spec=spec, provenance=record)  # last: it says "finished"
    _tidy(folder)
    return _plain(record)


def _tidy(folder: Path) -> None:
    """Remove what a finished training needs no more, also what a killed one left."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    sweep(folder)


def _spec(data: Dataset, plan: Plan) -> ModelSpec:
    return ModelSpec(
        plan.model,
        data.in_channels,
        data.num_classes,
        data.image_size,
        data.task,
        tuple(data.class_names),
        dict(plan.options),
    )


def _settings(data: Dataset, plan: Plan) -> dict[str, Any]:
    """Return what a training depends on, as plain values."""
    return {
        "data": describe_data(data),
        "model": plan.model,
        "options": dict(plan.options),
        "recipe": plan.recipe_name,
        "recipe_values": plan.recipe.as_dict(),
        "seed": plan.seed,
    }


def describe_data(data: Dataset) -> dict[str, Any]:
    """Name the data and its content: kind, name, digest, sizes of the splits."""
    kind = _kind(data)
    if kind == "card":
        digest = data_status([data.name])[data.name]
    else:
        digest = data.source.get("digest", f"phantom-{data.source.get('seed', 0)}")
    return {
        "kind": kind,
        "name": data.name,
        "digest": digest,
        "train": len(data.train),
        "val": len(data.val),
    }


def _kind(data: Dataset) -> str:
    """Tell generated images, a reader's own, and those of a card apart."""
    if data.synthetic:
        return "phantom"
    return "own" if data.source.get("kind") == "memory" else "card"


def _finished(folder: Path, settings: Mapping[str, Any], resume: bool) -> dict[str, Any] | None:
    """Return the record of a finished training in the folder; None where there is one to do."""
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"{folder} is a file: name a folder for the training")
    if not (folder / FILE).exists():
        if (folder / CHECKPOINT).exists() and not resume:
            raise ProjectError(
                f"{folder} holds a training that was stopped: add --resume to go on with it, or "
                "choose another folder"
            )
        return None
    if not resume:
        raise ProjectError(f"{folder} already holds a trained model: choose another folder")
    record = dict(load_model(folder).provenance)
    differing = [key for key in settings if _plain(record.get(key)) != _plain(settings[key])]
    if differing:
        raise ProjectError(
            f"{folder} holds a finished training that differs in {', '.join(differing)}: choose "
            "another folder"
        )
    return _plain(record)


def _record(
    settings: Mapping[str, Any], history: History, parameters: int, device: str
) -> dict[str, Any]:
    """Return what is worth knowing of a training: settings, outcome, versions, date."""
    return dict(settings) | {
        "schema": 1,
        "device": device,
        "parameters": parameters,
        "epochs": len(history.epochs),
        "selected_epoch": history.best_epoch,
        "steps": history.steps,
        "seconds": round(history.seconds, 2),
        "validation": {k: v for k, v in history.best.items() if k.startswith("val_")},
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on."""
    import numpy
    import torch

    return {
        "medlib": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
    }


def _history_csv(history: History) -> str:
    """Return the epochs as CSV; a cell is empty where an epoch was not validated."""
    columns = list(dict.fromkeys(key for epoch in history.epochs for key in epoch))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history.epochs)
    return text.getvalue()


def _plain(value: object) -> Any:
    """Return what JSON keeps of a value: tuples become lists, what is no number becomes null."""
    text = json.dumps(value, default=str)
    return json.loads(text, parse_constant=lambda name: None)


def _make(folder: Path) -> None:
    """Make the folder, or say before any training that it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ProjectError(
            f"cannot write to {folder}: {error.strerror or error}: choose another folder"
        ) from error
