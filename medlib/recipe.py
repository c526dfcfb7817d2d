"""How to train: a `Recipe`, and the optimiser, learning rate and loss that it stands for."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from medlib.augment import Augment
from medlib.errors import MedlibError
from medlib.losses import DEFAULTS, LOSSES, TARGETS, Loss, assume_negative

SELECTIONS = ("val_auc", "val_dice", "val_loss", "last")
UNKNOWN_LABELS = ("ignore", "negative")


class RecipeError(MedlibError, ValueError):
    """A recipe that makes no sense; the message names the field and what it takes."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training but the network, the data and the seed.

    Attributes
    ----------
    epochs : int
        Passes over the training images.
    batch_size : int
        Images a step.
    learning_rate : float
        The largest learning rate of the schedule.
    optimizer : {"adamw", "adam", "sgd"}
        SGD has Nesterov momentum 0.9; Adam adds the decay to the gradient, AdamW does not.
    schedule : {"one_cycle", "cosine", "steps", "constant"}
        How the learning rate goes from step to step; see `learning_rate_at`.
    weight_decay : float
        Decay of weights; biases and the scales of normalisation are spared.
    label_smoothing : float
        Share of the label that is spread over all classes.
    class_weights : "balanced", tuple of float or None
        Weight of each class in the loss; ``"balanced"`` makes all classes count the same.
    augment : Augment or None
        Random changes of the training images.
    ema : float
        Decay of the moving average of the weights, which is then what is validated and kept;
        0 keeps the last weights themselves.
    clip_norm : float or None
        Largest norm of the gradient.
    select : {"val_auc", "val_dice", "val_loss", "last"}
        Which epoch's weights are kept. Equal areas are decided by the lower validation loss. Where
        masks alone are trained there is no area, and ``"val_auc"`` stands for ``"val_dice"``.
    patience : int or None
        Stop after so many validated epochs without a better one.
    min_steps : int
        Train for more epochs where `epochs` of a small set would give fewer steps than these.
    max_steps : int or None
        Stop after so many steps; the schedule is stretched to them.
    drop_last : bool
        Whether to leave out an epoch's last batch where it is smaller than the others.
    validate_every : int
        Epochs from one validation to the next; the last epoch is always validated.
    amp : bool
        Mixed precision where the device has it: bfloat16, else float16 with scaled gradients.
    loss : str or None
        A key of `medlib.losses.LOSSES`; None takes ``"cross_entropy"`` for classes, ``"bce"`` for
        several labels an image, ``"dice_ce"`` for masks. Where a network has two heads it is the
        loss of the masks.
    loss_options : mapping of str to float or None
        Numbers of the loss itself, such as ``{"gamma": 1.0}`` for ``"focal"``.
    unknown : {"ignore", "negative"}
        What a label of -1 is in the loss of several labels: left out, or taken for a 0.
    label_share : float
        Weight of the label's loss where a network has two heads; the masks have the rest.
    accumulate : int
        Batches whose gradients are added up to one step: as a batch so many times as large, in the
        memory of one.
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 2e-3
    optimizer: str = "adamw"
    schedule: str = "one_cycle"
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    class_weights: str | tuple[float, ...] | None = None
    augment: Augment | None = None
    ema: float = 0.0
    clip_norm: float | None = None
    select: str = "val_auc"
    patience: int | None = None
    min_steps: int = 0
    max_steps: int | None = None
    drop_last: bool = True
    validate_every: int = 1
    amp: bool = False
    loss: str | None = None
    loss_options: Mapping[str, float] | None = None
    unknown: str = "ignore"
    label_share: float = 0.5
    accumulate: int = 1

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_ranges()

    @classmethod
    def small(cls) -> "Recipe":
        """Return the recipe for small images from scratch, made for ``resnet_small``.

        Found by repeated cross-validation inside the training and validation images of
        BreastMNIST and PneumoniaMNIST: ``book/workflow/search_small.py`` and its record
        ``results/long/search-small.json``. Small sets need steps more than epochs, hence
        `min_steps`. The averaged weights of the last epoch did better than those of the epoch
        with the best validation score, which a few dozen images choose nearly at random.
        """
        return cls(
            epochs=7,
            min_steps=1000,
            batch_size=32,
            learning_rate=1e-3,
            ema=0.99,
            label_smoothing=0.05,
            augment=Augment(flip_horizontal=True, rotation=10, scale=0.15, shift=0.08),
            select="last",
        )

    @classmethod
    def medmnist(cls) -> "Recipe":
        """Return the published protocol of MedMNIST v2 (Yang et al., Scientific Data, 2023)."""
        return cls(
            epochs=100,
            batch_size=128,
            learning_rate=1e-3,
            optimizer="adam",
            schedule="steps",
            weight_decay=0.0,
            drop_last=False,
        )

    def capped(self, max_steps: int) -> "Recipe":
        """Return the same recipe for at most `max_steps` steps."""
        steps = max_steps if self.max_steps is None else min(max_steps, self.max_steps)
        return replace(self, max_steps=steps)

    @property
    def images_a_step(self) -> int:
        """Images that one step of the optimiser rests on."""
        return self.batch_size * self.accumulate

    def steps_per_epoch(self, images: int) -> int:
        """Return the steps of one pass over so many images."""
        whole, rest = divmod(images, self.images_a_step)
        return max(1, whole + (rest > 0 and not self.drop_last))

    def total_steps(self, images: int) -> int:
        """Return the steps of the whole training on so many images."""
        steps = max(self.epochs, math.ceil(self.min_steps / self.steps_per_epoch(images)))
        steps *= self.steps_per_epoch(images)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def as_dict(self) -> dict[str, object]:
        """Return all fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Recipe":
        """Return the recipe whose fields `as_dict` gave, also after a way through JSON.

        Raises
        ------
        RecipeError
            For a field that there is not.
        """
        foreign = sorted(values.keys() - cls.__dataclass_fields__.keys())
        if foreign:
            raise RecipeError(f"Recipe: there is no field {', '.join(foreign)}: leave it out")
        read = dict(values)
        if isinstance(read.get("augment"), Mapping):
            read["augment"] = Augment(**read["augment"])
        if isinstance(read.get("class_weights"), list):
            read["class_weights"] = tuple(read["class_weights"])
        return cls(**read)

    def _check_choices(self) -> None:
        choices = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "select": SELECTIONS,
            "loss": (None, *LOSSES),
            "unknown": UNKNOWN_LABELS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise RecipeError(f"Recipe: {name} must be one of {tuple(known)}, got {value!r}")
        if self.patience is not None and self.select == "last":
            raise RecipeError(
                "Recipe: patience needs a validation score to watch, but select='last' looks at "
                "none: choose select='val_auc' or 'val_loss', or leave patience out"
            )

    def _check_ranges(self) -> None:
        for name in (
            *("epochs", "batch_size", "max_steps", "patience", "validate_every", "accumulate"),
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"Recipe: {name} must be at least 1, got {value}")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise RecipeError(f"Recipe: {name} must be above 0, got {value}")
        for name in ("label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"Recipe: {name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.label_share <= 1:
            raise RecipeError(f"Recipe: label_share must be in [0, 1], got {self.label_share}")


def learning_rate_at(step: int, total: int, schedule: str) -> float:
    """Return the share of the largest learning rate at a step, counted from 0.

    ``one_cycle`` rises evenly over the first quarter and falls to zero along a cosine (after
    Smith and Topin, "Super-convergence", 2019, without the cycle of the momentum). ``cosine``
    only falls. ``steps`` divides by ten at one half and at three quarters. ``constant`` stays.
    """
    return SCHEDULES[schedule](step / total)


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over all trainable parameters of a network."""
    groups = decay_groups(model, recipe.weight_decay)
    return OPTIMIZERS[recipe.optimizer](groups, lr=recipe.learning_rate)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups: matrices and filters decay, vectors do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_loss(recipe: Recipe, labels: Tensor, num_classes: int) -> Loss:
    """Return the loss of logits and labels.

    Labels ``(N,)`` are classes of images, labels ``(N, K)`` several an image, labels ``(N, H, W)``
    classes of pixels; `medlib.losses` says which losses each can have. The training labels are
    needed to balance classes.

    Raises
    ------
    RecipeError
        Where the recipe's loss is not for such labels, or lacks what the recipe asks of it.
    """
    target = TARGETS[labels.ndim]
    name = recipe.loss or DEFAULTS[target]
    _check_loss(name, target, recipe)
    named, options = LOSSES[name], dict(recipe.loss_options or {})
    if named.weighs:
        options["weight"] = _class_weights(recipe.class_weights, labels, num_classes)
    if named.smooths:
        options["smoothing"] = recipe.label_smoothing

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return named.function(logits, labels, **options)

    return assume_negative(loss) if recipe.unknown == "negative" else loss


def _check_loss(name: str, target: str, recipe: Recipe) -> None:
    """Refuse a loss that is not for such targets, and options that it does not have."""
    named = LOSSES[name]
    if target not in named.targets:
        fitting = [key for key, item in LOSSES.items() if target in item.targets]
        raise RecipeError(
            f"Recipe: loss={name!r} is not for {target}: choose one of {', '.join(fitting)}"
        )
    for field, supported in (("class_weights", named.weighs), ("label_smoothing", named.smooths)):
        if getattr(recipe, field) and not supported:
            raise RecipeError(f"Recipe: the loss {name!r} takes no {field}: leave it out")
    known = [
        key for key, p in inspect.signature(named.function).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    ]  # fmt: skip
    foreign = sorted(set(recipe.loss_options or {}) - set(known))
    if foreign:
        raise RecipeError(
            f"Recipe: the loss {name!r} has no option {', '.join(foreign)}: it takes "
            f"{', '.join(known) or 'none'}"
        )


def _class_weights(
    wanted: str | tuple[float, ...] | None, labels: Tensor, num_classes: int
) -> Tensor | None:
    """Return the weights of the classes, or for multi-label those of the positives."""
    if wanted is None:
        return None
    if wanted != "balanced":
        if isinstance(wanted, str) or len(wanted) != num_classes:
            raise RecipeError(
                f"Recipe: class_weights must be 'balanced' or {num_classes} numbers, one a "
                f"class; got {wanted!r}"
            )
        return torch.tensor(wanted, dtype=torch.float32, device=labels.device)
    if labels.ndim == 2:
        positives = (labels == 1).sum(0).clamp(min=1)
        return ((labels >= 0).sum(0) - positives).clamp(min=1) / positives
    counts = torch.bincount(labels.flatten(), minlength=num_classes).clamp(min=1)
    return labels.numel() / (num_classes * counts.float())


def _sgd(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True)


def _adam(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=lr, fused=True)


def _adamw(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=lr, fused=True)


OPTIMIZERS = {"adamw": _adamw, "adam": _adam, "sgd": _sgd}


def _one_cycle(share: float, rise: float = 0.25) -> float:
    if share < rise:
        return 0.05 + 0.95 * share / rise
    return _cosine((share - rise) / (1 - rise))


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def _steps(share: float) -> float:
    return 1.0 if share < 0.5 else 0.1 if share < 0.75 else 0.01


def _constant(share: float) -> float:
    return 1.0


SCHEDULES = {"one_cycle": _one_cycle, "cosine": _cosine, "steps": _steps, "constant": _constant}
