"""Search the recipe for small images by repeated cross-validation inside train and validation.

Run as ``nice python -m book.workflow.search_small``. Each repeat splits the official training and
validation images of a set anew: a fifth is held out to compare candidates, a tenth selects the
epoch, the rest trains. All candidates see the same splits and seeds. The test split is never
touched. The file is written after every training, and a second call goes on where the first ended.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from medlib import data, metrics, paths
from medlib.augment import Augment
from medlib.checkpoint import read_checkpoint
from medlib.models import create
from medlib.recipe import Recipe
from medlib.results import write_json
from medlib.train import fit, predict_proba, seed_everything

COMMITTED = paths.package_file("results/long/search-small.json")
MILD = Augment(flip_horizontal=True, rotation=10, scale=0.15, shift=0.08)
STRONG = Augment(
    flip_horizontal=True,
    rotation=15,
    scale=0.2,
    shift=0.12,
    contrast=0.2,
    brightness=0.1,
    erase=0.3,
)
GEOMETRY = Augment(flip_horizontal=True, rotation=15, shear=8, scale=0.25, shift=0.12)
BASE = Recipe(epochs=1, min_steps=700, learning_rate=2e-3, ema=0.99, label_smoothing=0.05)


@dataclass(frozen=True)
class Candidate:
    """A width, depth and stem of ``resnet_small`` with a recipe, and how often it is tried."""

    name: str
    options: dict[str, object]
    recipe: Recipe
    repeats: dict[str, int]


# First round: width, stem, augmentation, learning rate. Second round: around the best of the first
# that stays under 20 seconds, with more steps, other depths, geometry only. Third: around the best
# of the second (a lower learning rate), its second set, and more repeats of it.
HALF24 = {"width": 24, "stem": "half"}
HALF32 = {"width": 32, "stem": "half"}
LONGER = replace(BASE, augment=MILD, min_steps=1000)
SLOW = replace(LONGER, learning_rate=1e-3)
FOUR = {"breastmnist": 4}
CANDIDATES = (
    Candidate("w16-small", {"width": 16}, replace(BASE, augment=MILD), FOUR),
    Candidate(
        "w16-half-1400",
        {"width": 16, "stem": "half"},
        replace(BASE, augment=MILD, min_steps=1400),
        FOUR,
    ),
    Candidate("w24-half-1400", HALF24, replace(BASE, augment=MILD, min_steps=1400), FOUR),
    Candidate("w32-half", HALF32, replace(BASE, augment=MILD), FOUR),
    Candidate("w32-half-plain", HALF32, BASE, FOUR),
    Candidate("w32-half-strong", HALF32, replace(BASE, augment=STRONG), FOUR),
    Candidate("w32-half-fast", HALF32, replace(BASE, augment=MILD, learning_rate=5e-3), FOUR),
    Candidate("w24-half-1000", HALF24, LONGER, FOUR | {"pneumoniamnist": 3}),
    Candidate("w24-half-1000-geometry", HALF24, replace(LONGER, augment=GEOMETRY), FOUR),
    Candidate("w24-half-1000-slow", HALF24, SLOW, {"breastmnist": 8, "pneumoniamnist": 3}),
    Candidate("w16-half-1000-deep", {"width": 16, "stem": "half", "blocks": 2}, LONGER, FOUR),
    Candidate("w24-half-1000-shallow", {**HALF24, "blocks": (1, 1)}, LONGER, FOUR),
    Candidate("w24-half-1000-slower", HALF24, replace(SLOW, learning_rate=5e-4), FOUR),
    Candidate("w32-half-slow", HALF32, replace(SLOW, min_steps=700), FOUR),
)


def splits(labels: np.ndarray, repeat: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions that train, select the epoch and compare candidates, by class shares."""
    rng = np.random.default_rng([7, repeat])
    parts: tuple[list, list, list] = ([], [], [])
    for value in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == value))
        ends = [int(0.7 * len(rows)), int(0.8 * len(rows))]
        for part, chunk in zip(parts, np.split(rows, ends), strict=True):
            part.append(chunk)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def train_once(candidate: Candidate, dataset: data.Dataset, repeat: int) -> dict[str, float]:
    """Train a candidate on one split; return its scores on the fifth that was held out."""
    pool = join(dataset.train, dataset.val)
    train, select, held_out = (pool.take(rows) for rows in splits(pool.labels, repeat))
    fold = replace(dataset, train=train, val=select)
    seed_everything(repeat)
    model = create(
        "resnet_small",
        in_channels=dataset.in_channels,
        num_classes=dataset.num_classes,
        image_size=dataset.image_size,
        **candidate.options,
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        history = fit(model, fold, candidate.recipe, seed=repeat, checkpoint=path, progress=False)
        seconds = time.process_time() - began
        row = {"steps": history.steps, "seconds": seconds, "selected": score(model, held_out)}
        model.load_state_dict(read_checkpoint(path)["averaged"])
    return row | {"last": score(model, held_out), "val_auc": history.best["val_auc"]}


def score(model: torch.nn.Module, split: data.Split) -> dict[str, float]:
    """Return AUC and accuracy on a labelled split."""
    probabilities = predict_proba(model, split.images, task="binary")
    return {
        "auc": metrics.auc(split.labels, probabilities),
        "accuracy": metrics.accuracy(split.labels, probabilities),
    }


def join(first: data.Split, second: data.Split) -> data.Split:
    """Join the images and labels of two splits."""
    images = np.concatenate([first.images, second.images])
    labels = np.concatenate([first.labels, second.labels])
    return data.Split(images=images, labels=labels, index=np.arange(len(labels)))


def pending(rows: list[dict]) -> Iterator[tuple[Candidate, str, int]]:
    """Yield what is not done yet, repeat by repeat, so that candidates advance together."""
    done = {(row["candidate"], row["data"], row["repeat"]) for row in rows}
    longest = max(count for c in CANDIDATES for count in c.repeats.values())
    for repeat in range(longest):
        for candidate in CANDIDATES:
            for name, count in candidate.repeats.items():
                if repeat < count and (candidate.name, name, repeat) not in done:
                    yield candidate, name, repeat


def summary(rows: list[dict]) -> list[dict]:
    """Return mean and standard deviation over the repeats of each candidate and set."""
    keys = sorted({(row["data"], row["candidate"]) for row in rows})
    return [_summary_row(rows, name, candidate) for name, candidate in keys]


def _summary_row(rows: list[dict], name: str, candidate: str) -> dict:
    mine = [row for row in rows if (row["data"], row["candidate"]) == (name, candidate)]
    line = {"data": name, "candidate": candidate, "repeats": len(mine)}
    for kept in ("selected", "last"):
        values = np.array([[row[kept]["auc"], row[kept]["accuracy"]] for row in mine])
        spread = values.std(axis=0, ddof=1) if len(mine) > 1 else np.full(2, np.nan)
        line |= {f"auc_{kept}": values[:, 0].mean(), f"auc_{kept}_sd": spread[0]}
        line |= {f"accuracy_{kept}": values[:, 1].mean()}
    return line | {"seconds": float(np.median([row["seconds"] for row in mine]))}


def save(rows: list[dict]) -> None:
    """Write all rows, their summary and the candidates, whole or not at all."""
    described = {c.name: {"options": c.options, "recipe": c.recipe.as_dict()} for c in CANDIDATES}
    content = {"schema": 1, "candidates": described, "summary": summary(rows), "rows": rows}
    write_json(output(), content)


def output() -> Path:
    """Return the file of the running search; ``make publish PROFILE=long`` commits it."""
    return paths.build_dir("long") / COMMITTED.name


def main() -> None:
    """Train what is pending, up to a budget of processor seconds over all calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=1200, help="processor seconds in all")
    budget = parser.parse_args().budget
    torch.set_num_threads(1)
    known = output() if output().exists() else COMMITTED
    rows = json.loads(known.read_text(encoding="utf-8"))["rows"] if known.exists() else []
    for candidate, name, repeat in pending(rows):
        if sum(row["seconds"] for row in rows) > budget:
            break
        row = train_once(candidate, data.load(name), repeat)
        rows.append({"candidate": candidate.name, "data": name, "repeat": repeat, **row})
        save(rows)
    for line in summary(rows):
        print(" ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in line.values()))


if __name__ == "__main__":
    main()
