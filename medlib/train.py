"""Training: `fit` a network to a data set after a `Recipe`."""

import contextlib
import copy
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from medlib import distributed
from medlib.augment import to_unit
from medlib.checkpoint import (
    CheckpointError,
    check_same_training,
    describe_network,
    read_checkpoint,
    restoring,
    write_checkpoint,
)
from medlib.models.auxiliary import total_loss
from medlib.models.heads import Heads
from medlib.predict import as_input, normalise, precision, predict_masks, predict_proba
from medlib.recipe import Recipe, RecipeError, build_optimizer, learning_rate_at
from medlib.targets import LabelsAndMasks, Target, mask_classes, target_named
from medlib.training_checks import (
    TrainingError,
    check_images,
    check_outputs,
    eval_mode,
)
from medlib.validation import is_better, validation_auc

if TYPE_CHECKING:
    import pandas as pd

    from medlib.data import Dataset

__all__ = [
    "CheckpointError",
    "History",
    "Recipe",
    "RecipeError",
    "TrainingError",
    "fit",
    "mask_classes",
    "normalise",
    "predict_masks",
    "predict_proba",
    "seed_everything",
    "validation_auc",
]


PREPARED = 2**19  # numbers that are augmented at once: 2 MB, which caches hold


@dataclass
class History:
    """What happened in a training.

    Attributes
    ----------
    epochs : list of dict
        For each epoch ``epoch``, ``train_loss`` and ``learning_rate``, and where it was
        validated ``val_loss``, and for labels ``val_auc`` (NaN where undefined) and
        ``val_accuracy``, for masks ``val_dice``.
    best_epoch : int
        The epoch, counted from 0, whose weights the network ends with.
    steps : int
        Optimiser steps taken.
    seconds : float
        Time spent, over all sessions of a resumed training.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    steps: int = 0
    seconds: float = 0.0

    def frame(self) -> "pd.DataFrame":
        """Return the epochs as a table."""
        import pandas as pd

        return pd.DataFrame(self.epochs)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @property
    def best(self) -> dict[str, float]:
        """The record of the selected epoch."""
        return self.epochs[self.best_epoch]


def fit(
    model: nn.Module,
    data: "Dataset",
    recipe: Recipe,
    *,
    target: str = "label",
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: bool | None = None,
    relabel: Callable[[Tensor, Tensor], Tensor] | None = None,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
) -> History:
    """Train a network; it ends with the weights of the epoch that the recipe selects.

    The images stay on the device as uint8; each step takes a batch, augments and normalises it.
    The result depends on the initial weights, the data, the recipe and the seed only, and on a
    CPU it is the same to the last bit, also where the training was interrupted and resumed.
    Images that are mapped from a file (NumPy's memmap) stay there and are read batch by batch. A
    script that ``torchrun`` starts in several processes trains in all (`medlib.distributed`).

    Parameters
    ----------
    model : nn.Module
        Maps ``(N, C, H, W)`` to logits ``(N, K)``, for masks to ``(N, M, H, W)``, for both to
        `medlib.models.Heads`; changed in place and left in eval mode.
    data : Dataset
        Its train and val splits are used, its test split is not.
    recipe : Recipe
        How to train.
    target : {"label", "mask", "class_mask", "label_and_mask"}
        What is learned: the labels, the lesions' masks, masks that carry the class of their image
        (`mask_classes` names M classes), or labels and masks by two heads.
    seed : int
        Decides the order of the images, the augmentation and dropout.
    device : {"cpu", "cuda"}
        Where to train; the network stays there.
    checkpoint : Path, optional
        Written after each epoch; an existing one is resumed, a finished one only loaded.
    progress : bool, optional
        Whether to show a bar; by default on a terminal only.
    relabel : callable, optional
        Maps the prepared training images of some batches and their labels to what is learned in
        place of the labels, such as a `medlib.distil.Teacher`; validation keeps the labels.
    after_epoch : callable, optional
        Called with the epoch, counted from 0, and the network as it is validated, before the
        checkpoint is written; it may predict, and leaves the network as it was.

    Returns
    -------
    History
        Losses and validation scores of each epoch.

    Raises
    ------
    TrainingError
        For data that the network or the recipe cannot take, and where the loss diverges.
    CheckpointError
        For a checkpoint that is truncated, foreign, or of another training.
    """
    learned = check_training(model, data, recipe, target)
    with _own_random_state(device):
        training = _Training(model, data, recipe, seed, device, learned, relabel)
        if checkpoint is not None and training.team.from_first(Path(checkpoint).exists):
            training.load(Path(checkpoint))
        with _progress_bar(training, progress) as advance:
            while not training.finished:
                training.run_epoch(advance)
                if after_epoch is not None:
                    after_epoch(len(training.history.epochs) - 1, training.kept)
                if checkpoint is not None and training.team.is_first:
                    training.save(Path(checkpoint))
    return training.close()


def seed_everything(seed: int) -> None:
    """Seed the random numbers of Python, NumPy and PyTorch (on every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class _Training:
    """The state of one training, and the steps that change it."""

    def __init__(
        self,
        model: nn.Module,
        data: "Dataset",
        recipe: Recipe,
        seed: int,
        device: str,
        target: Target | None = None,
        relabel: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.recipe, self.seed, self.device, self.relabel = recipe, seed, device, relabel
        self.target = target_named("label", data) if target is None else target
        self.team = distributed.join(device)
        self.started = time.perf_counter()
        # Channels last is the faster layout of convolutions, on GPUs and with oneDNN on CPUs.
        self.model = model.to(device, memory_format=torch.channels_last)
        self.network = self.team.wrap(self.model)  # all processes now have the first one's weights
        self.averaged = copy.deepcopy(model).eval() if recipe.ema else None
        self.moving, self.copied = _paired_tensors(self.averaged, self.model)
        self.images, self.val_images = (
            _on_device(s.images, device) for s in (data.train, data.val)
        )
        self.labels, self.val_labels = (
            _moved(self.target.read(split), device) for split in (data.train, data.val)
        )
        self.optimizer = build_optimizer(model, recipe)
        self.loss = self.target.loss(recipe, self.labels)
        self.total_steps = recipe.total_steps(len(self.images))
        self.amp = _amp_type(device) if recipe.amp else None
        self.scaler = torch.amp.GradScaler(device, enabled=self.amp == torch.float16)
        self.history = History()
        self.best: dict[str, Tensor] = {}
        self.description = {
            "recipe": str(recipe),
            "seed": str(seed),
            "network": describe_network(model),
            "data": f"{data.name}, {tuple(self.images.shape)} and {tuple(self.val_images.shape)}",
            "target": self.target.name + ("" if relabel is None else ", relabelled"),
        }
        self.team.check(
            len(self.images), self.step_size, part=recipe.batch_size, drop_last=recipe.drop_last
        )

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept: the averaged one where there is one."""
        return self.model if self.averaged is None else self.averaged

    @property
    def step_size(self) -> int:
        """Images of one step, over all processes."""
        return min(self.recipe.images_a_step, len(self.images))

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or none of the last epochs was a better one."""
        if self.history.steps >= self.total_steps:
            return True
        patience = self.recipe.patience
        if patience is None or not self.history.epochs:
            return False
        validated = [e["epoch"] for e in self.history.epochs if "val_loss" in e]
        return sum(epoch > self.history.best_epoch for epoch in validated) >= patience

    @property
    def steps_left(self) -> int:
        """Steps of the next epoch: a whole pass, or what is left of all."""
        whole = self.recipe.steps_per_epoch(len(self.images))
        return min(self.total_steps - self.history.steps, whole)

    def run_epoch(self, advance: Callable[[dict[str, float]], None]) -> None:
        """Take the steps of one epoch, then validate."""
        epoch = len(self.history.epochs)
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        self.model.train()
        # in one tensor: a small one a step would lie between the large ones, and hold their memory
        losses = torch.empty(self.steps_left, device=self.device)
        for number, (images, labels) in enumerate(self.batches()):
            losses[number] = self.step(images, labels)
        mean = self.team.mean(losses.mean())
        record = {"epoch": epoch, "train_loss": float(mean)}
        self._check_finite(record)
        record["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        if self._validates(epoch):
            self.team.align(self.model, self.averaged)
            record |= self.team.from_first(self.validate)
        self.history.epochs.append(record)
        self._select(record)
        advance(record)

    def batches(self) -> Iterator[tuple[Tensor, Tensor | LabelsAndMasks]]:
        """Yield prepared images and labels of each step in a new random order.

        Many small batches are prepared at once, since the cost of a small one is all overhead.
        """
        rows = torch.randperm(len(self.images))[: self.steps_left * self.step_size]
        rows = self.team.share(rows).to(self.images.device)
        size = self.step_size // self.team.world
        together = max(1, PREPARED // (size * self.images[0].numel()))
        for part in rows.split(together * size):
            # index_select copies whole rows, 20 times as fast as indexing by []
            chosen = self.images.index_select(0, part).to(self.device)
            images, labels = self.prepare(chosen, self.labels[part])
            yield from zip(images.split(size), labels.split(size), strict=True)

    def step(self, images: Tensor, labels: Tensor | LabelsAndMasks) -> Tensor:
        """Take one step down the gradient; return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * learning_rate_at(
                self.history.steps, self.total_steps, self.recipe.schedule
            )
        loss = self.add_gradients(images, labels)
        if self.recipe.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.history.steps += 1
        self._average()
        return loss

    def add_gradients(self, images: Tensor, labels: Tensor | LabelsAndMasks) -> Tensor:
        """Add up the gradients of a step's batches, one at a time in memory; return the loss."""
        size = self.recipe.batch_size // self.team.world
        parts = list(zip(images.split(size), labels.split(size), strict=True))
        total = torch.zeros((), device=self.device)
        for number, (part, truth) in enumerate(parts, start=1):
            with self.team.silent(self.network, number < len(parts)):
                with torch.autocast(self.device, dtype=self.amp, enabled=self.amp is not None):
                    loss = total_loss(self.loss, self.network(part), truth)
                loss = loss if len(parts) == 1 else loss * (len(part) / len(images))
                self.scaler.scale(loss).backward()
            total = loss.detach() if len(parts) == 1 else total + loss.detach()
        return total

    def prepare(
        self, images: Tensor, labels: Tensor | LabelsAndMasks
    ) -> tuple[Tensor, Tensor | LabelsAndMasks]:
        """Augment and normalise uint8 images; labels are mixed and masks moved with them."""
        augment, draw = self.recipe.augment, None
        if augment is not None:
            draw = augment.draw(len(images), device=str(images.device))
        images = to_unit(images) if augment is None else augment.apply(images, draw)
        images = (
            normalise(images, out=images)
            .to(precision(self.model))
            .contiguous(memory_format=torch.channels_last)
        )
        truth = self.target.prepare(labels, augment, draw)
        return images, truth if self.relabel is None else self.relabel(images, truth)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Return the loss and the target's scores on the validation split."""
        with eval_mode(self.kept):
            return self.target.validate(self._val_outputs(), self.loss)

    def _val_outputs(self) -> Iterator[tuple[Tensor | Heads, Tensor | LabelsAndMasks]]:
        """Yield outputs and truth of the validation split, batch by batch."""
        size = self.target.at_once
        pairs = zip(self.val_images.split(size), self.val_labels.split(size), strict=True)
        for images, truth in pairs:
            yield self.kept(as_input(images.to(self.device), self.kept)), truth

    def save(self, path: Path) -> None:
        """Write all that a resumed training needs."""
        self._keep_time()
        content = {
            "description": self.description,
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "history": self.history.to_dict(),
        }
        write_checkpoint(path, content)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint ended."""
        content = read_checkpoint(path, device=self.device)
        with restoring(path):
            check_same_training(path, content["description"], self.description)
            if content["best"] is not None:
                self.model.load_state_dict(content["best"])  # fits, or fails here
            self.model.load_state_dict(content["model"])
            if self.averaged is not None:
                self.averaged.load_state_dict(content["averaged"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.scaler.load_state_dict(content["scaler"])
            self.best = content["best"]
            self.history = History(**content["history"])

    def close(self) -> History:
        """Give the network the selected weights, and return the history."""
        self._keep_time()
        self.model.load_state_dict(self.best)
        self.model.eval()
        return self.history

    def _validates(self, epoch: int) -> bool:
        last = self.history.steps >= self.total_steps
        return last or (epoch + 1) % self.recipe.validate_every == 0

    def _select(self, record: dict[str, float]) -> None:
        """Keep this epoch's weights where they are the best so far, or simply the last."""
        if "val_loss" not in record:
            return
        best = self.history.best if self.history.best_epoch >= 0 else None
        if best is None or is_better(record, best, self.target.select(self.recipe)):
            self.history.best_epoch = int(record["epoch"])
            self.best = {k: v.detach().clone() for k, v in self.kept.state_dict().items()}

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the current ones; early steps move them further."""
        if self.averaged is None:
            return
        steps = self.history.steps
        decay = min(self.recipe.ema, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(*self.moving, 1 - decay)
        for old, new in self.copied:
            old.copy_(new)

    def _check_finite(self, record: dict[str, float]) -> None:
        if not np.isfinite(record["train_loss"]):
            raise TrainingError(
                f"the training loss became {record['train_loss']} in epoch {record['epoch']} "
                f"(by step {self.history.steps}): lower the recipe's learning_rate "
                f"({self.recipe.learning_rate}) or set clip_norm=1.0"
            )

    def _keep_time(self) -> None:
        now = time.perf_counter()
        self.history.seconds += now - self.started
        self.started = now


def check_training(model: nn.Module, data: "Dataset", recipe: Recipe, target: str) -> Target:
    """Return what is learned by its name; refuse data that network or recipe cannot take.

    Raises
    ------
    TrainingError
        Naming the split, what was expected, what came, and what to do.
    """
    for name, split in (("train", data.train), ("val", data.val)):
        if len(split.images) == 0:
            raise TrainingError(f"the {name} split of {data.name} is empty: fit needs both splits")
        check_images(model, split.images)
    learned = target_named(target, data)
    learned.check(recipe)
    first = next(model.parameters(), torch.empty(0))
    image = torch.from_numpy(np.array(data.train.images[:1])).to(first.device)
    check_outputs(model, as_input(image, model), learned.shapes, target)
    return learned


def _on_device(images: np.ndarray, device: str) -> Tensor:
    """Return images (uint8) as a tensor on the device; those mapped from a file stay there."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    in_file = getattr(images, "filename", None) is not None  # a memory map
    return tensor if in_file else tensor.to(device)


def _moved(truth: Tensor | LabelsAndMasks, device: str) -> Tensor | LabelsAndMasks:
    if isinstance(truth, LabelsAndMasks):
        return LabelsAndMasks(truth.labels.to(device), truth.masks.to(device))
    return truth.to(device)


def _paired_tensors(
    averaged: nn.Module | None, model: nn.Module
) -> tuple[tuple[list[Tensor], list[Tensor]], list[tuple[Tensor, Tensor]]]:
    """Pair the tensors of the two networks: those that can be averaged, and whole numbers."""
    if averaged is None:
        return ([], []), []
    pairs = list(zip(averaged.state_dict().values(), model.state_dict().values(), strict=True))
    floating = [pair for pair in pairs if pair[0].is_floating_point()]
    whole = [pair for pair in pairs if not pair[0].is_floating_point()]
    return ([old for old, _ in floating], [new for _, new in floating]), whole


def _amp_type(device: str) -> torch.dtype | None:
    """Return the half precision that the device computes fast in, or None."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None


@contextlib.contextmanager
def _own_random_state(device: str) -> Iterator[None]:
    """Leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        yield


@contextlib.contextmanager
def _progress_bar(
    training: _Training, wanted: bool | None
) -> Iterator[Callable[[dict[str, float]], None]]:
    """Yield what to call after each epoch: it moves a bar, or does nothing where it is quiet."""
    shows = sys.stderr.isatty() if wanted is None else wanted
    if not (shows and training.team.is_first):
        yield lambda record: None
        return
    from tqdm import tqdm

    with tqdm(total=training.total_steps, initial=training.history.steps, unit="step") as bar:

        def advance(record: dict[str, float]) -> None:
            shown = {k: f"{v:.3f}" for k, v in record.items() if k.startswith(("train", "val"))}
            bar.set_postfix(shown, refresh=False)
            bar.update(training.history.steps - bar.n)

        yield advance
