"""Two ways to a model, compared on validation: from scratch, and a line on pretrained features."""

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medlib.data import Dataset
from medlib.project import HISTORY, Plan, describe_data, train_to_folder, versions
from medlib.results import write_json
from medlib.saved import FILE, TRANSFER, ModelSpec, load_model, save_model
from medlib.train import History

__all__ = ["FOLDERS", "Candidate", "by_features", "by_scratch", "history_of"]

FOLDERS = {"scratch": "from-scratch", "features": "pretrained-features"}
INNER_SIZE = 128  # pixels at which the pretrained network looks


@dataclass(frozen=True)
class Candidate:
    """A trained model with its score on the validation pictures.

    Attributes
    ----------
    name : {"scratch", "features"}
        Which way it was trained.
    about : str
        The way in words.
    folder : Path
        Where it lies.
    data : Dataset
        The pictures in its size.
    validation_auc : float
        Minus infinity where it is undefined.
    seconds : float
        Of the training.
    """

    name: str
    about: str
    folder: Path
    data: Dataset
    validation_auc: float
    seconds: float


def by_scratch(
    data: Dataset, folder: Path, plan: Plan, *, resume: bool, extra: dict[str, Any]
) -> Candidate:
    """Train a network from random weights with the recipe of the plan.

    Parameters
    ----------
    data : Dataset
        Its test labels are sealed.
    folder : Path
        Where the training is kept.
    plan : Plan
        Network, recipe, seed, device.
    resume : bool
        Whether to go on with what the folder holds.
    extra : dict
        What the model file says besides, such as how pictures are fitted.
    """
    record = train_to_folder(data, folder, plan, resume=resume)
    _add(folder, extra)
    auc = record["validation"].get("val_auc")
    about = f"{plan.model} from random weights, recipe {plan.recipe_name!r}, on {_size(data)}"
    return Candidate("scratch", about, folder, data, _known(auc), record["seconds"])


def by_features(
    data: Dataset, folder: Path, plan: Plan, *, resume: bool, extra: dict[str, Any]
) -> Candidate:
    """Fit logistic regression on the features of a frozen ImageNet network.

    How much the line is held back is chosen on validation. Parameters are those of `by_scratch`.
    """
    if not (resume and (folder / FILE).exists()):
        _fit_features(data, folder, plan, extra)
    record = load_model(folder).provenance
    about = (
        "logistic regression on features of EfficientNet-Lite0, which learned from ImageNet and "
        f"stays as it is, on {_size(data)}"
    )
    auc = record["validation"]["val_auc"]
    return Candidate("features", about, folder, data, _known(auc), record["seconds"])


WAYS: dict[str, Callable[..., Candidate]] = {"scratch": by_scratch, "features": by_features}


def history_of(folder: Path) -> History | None:
    """Return the epochs of a training from scratch; None where the folder holds none."""
    path = folder / HISTORY
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    record = load_model(folder).provenance
    return History(rows, int(record["selected_epoch"]), int(record["steps"]), record["seconds"])


def _fit_features(data: Dataset, folder: Path, plan: Plan, extra: dict[str, Any]) -> None:
    from medlib.pretrained import pretrained
    from medlib.probes import Probe

    started = time.perf_counter()
    source = pretrained()
    probe = Probe(source, "logistic", image_size=INNER_SIZE).fit(data)
    network = probe.as_network(data.in_channels)
    spec = ModelSpec(
        TRANSFER,
        data.in_channels,
        data.num_classes,
        data.image_size,
        data.task,
        tuple(data.class_names),
        {"inner_size": INNER_SIZE},
    )
    record = {
        "schema": 1,
        "data": describe_data(data),
        "model": TRANSFER,
        "pretrained": {"source": source.source, "licence": source.licence, "sha256": source.digest},
        "recipe": "logistic regression",
        "recipe_values": {"strength": probe.chosen_, "tried": len(probe.validation_)},
        "seed": plan.seed,
        "parameters": sum(p.numel() for p in network.parameters()),
        "validation": {"val_auc": float(probe.validation_[probe.chosen_])},
        "seconds": round(time.perf_counter() - started, 2),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    save_model(network, folder / FILE, spec=spec, provenance=record | extra)
    write_json(folder / "training.json", record | extra)


def _add(folder: Path, extra: dict[str, Any]) -> None:
    """Write more entries into a finished model file."""
    saved = load_model(folder)
    if any(saved.provenance.get(key) != value for key, value in extra.items()):
        provenance = dict(saved.provenance) | extra
        save_model(saved.module, folder / FILE, spec=saved.spec, provenance=provenance)


def _size(data: Dataset) -> str:
    colour = "grey" if data.in_channels == 1 else "colour"
    return f"{colour} pictures of {data.image_size} x {data.image_size} pixels"


def _known(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else float(value)
