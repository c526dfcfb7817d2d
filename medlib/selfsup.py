"""Learning from images without labels: SimCLR, two views of an image that must be told to agree.

A network sees two random changes of each image of a batch and learns to find, for every view, its
twin among all others (Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive
learning of visual representations", ICML 2020). No label is used. What is kept is the encoder; the
projection head, which only serves the comparison, is thrown away.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.augment import Augment
from medlib.checkpoint import (
    check_same_training,
    describe_network,
    read_checkpoint,
    restoring,
    write_checkpoint,
)
from medlib.errors import MedlibError
from medlib.predict import as_input, normalise
from medlib.recipe import decay_groups
from medlib.train import seed_everything

__all__ = [
    "PRETEXT",
    "Pretraining",
    "SimCLR",
    "SimCLRRecipe",
    "adopt",
    "alignment",
    "encode",
    "encoder_of",
    "nt_xent",
    "pretrain",
    "two_views",
    "uniformity",
]

WARM_UP = 0.1  # share of the steps in which the learning rate rises
PRETEXT = Augment(
    flip_horizontal=True,
    rotation=15,
    scale=0.4,
    shift=0.15,
    contrast=0.4,
    brightness=0.15,
    blur=0.8,
)


@dataclass(frozen=True)
class SimCLRRecipe:
    """How to pretrain.

    Attributes
    ----------
    steps : int
        Steps of the optimiser.
    batch_size : int
        Images a step, at least 2; each gives two views.
    learning_rate : float
        The largest one: it rises over the first tenth of the steps and falls along a cosine.
    weight_decay : float
        Decay of the weights (AdamW); biases and the scales of normalisation are spared.
    temperature : float
        What similarities are divided by; see `nt_xent`.
    projection : int
        Numbers that the projection head puts out.
    augment : Augment
        The changes that a view may show: what the encoder learns not to care about.
    """

    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    temperature: float = 0.2
    projection: int = 64
    augment: Augment = PRETEXT

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 2:
            raise MedlibError(
                f"SimCLRRecipe: needs a step and two images a step, got steps={self.steps} and "
                f"batch_size={self.batch_size}"
            )
        if not self.temperature > 0:
            raise MedlibError(f"SimCLRRecipe: temperature must be above 0, got {self.temperature}")
        if self.augment.mixes:
            raise MedlibError("SimCLRRecipe: a view shows one image: leave mixup and cutmix out")

    def as_dict(self) -> dict[str, object]:
        """Return all fields as plain values, ready for JSON."""
        return asdict(self)


@dataclass
class Pretraining:
    """What happened in a pretraining: each step's loss, and `alignment` and `uniformity`.

    Attributes
    ----------
    loss, alignment, uniformity : list of float
        One number a step.
    """

    loss: list[float] = field(default_factory=list)
    alignment: list[float] = field(default_factory=list)
    uniformity: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, ready for JSON."""
        return asdict(self)


class SimCLR(nn.Module):
    """An encoder and the projection head that serves the comparison (section 2.1 of the paper).

    Parameters
    ----------
    encoder : nn.Module
        Maps images ``(N, C, H, W)`` to features ``(N, F)``; see `encoder_of`.
    features : int
        F.
    projection : int
        Numbers that the head puts out.
    """

    def __init__(self, encoder: nn.Module, features: int, projection: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projection)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to points ``(N, projection)`` on the unit sphere."""
        return functional.normalize(self.head(self.encoder(images)), dim=1)


def two_views(
    images: Tensor, augment: Augment, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return two random views of each image.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` uint8, or float with intensities in [0, 1].
    augment : Augment
        How far a view may differ from its image.
    generator : torch.Generator, optional
        Where the random numbers come from.

    Returns
    -------
    first, second : Tensor
        ``(N, C, H, W)`` float32 with intensities in [0, 1]; rows belong together.
    """
    return augment(images, generator), augment(images, generator)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy (the paper's equation 1).

    Every point is a question with 2 N - 1 possible answers, all other points of the batch, and one
    right answer, the other view of its image.

    Parameters
    ----------
    first, second : Tensor
        ``(N, P)`` points on the unit sphere, the two views of N images.
    temperature : float
        The smaller, the more the nearest wrong answers count.

    Returns
    -------
    Tensor
        The mean loss of the 2 N questions.
    """
    points = torch.cat([first, second])
    similarity = points @ points.T / temperature  # cosines, since the points have length 1
    similarity.fill_diagonal_(-torch.inf)  # no point is an answer to itself
    count = len(first)
    twin = torch.arange(2 * count, device=points.device).roll(count)
    return functional.cross_entropy(similarity, twin)


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean squared distance of two views; 0 is best (Wang and Isola, ICML 2020).

    Parameters
    ----------
    first, second : Tensor
        ``(N, P)`` points on the unit sphere.
    """
    return (first - second).square().sum(1).mean()


def uniformity(points: Tensor) -> Tensor:
    """Return the logarithm of the mean of exp(-2 d^2) over all pairs (Wang and Isola, ICML 2020).

    0 where all points are one, which is a collapse; the lower, the more evenly the points
    ``(N, P)`` lie on the sphere.
    """
    return torch.pdist(points).square().mul(-2).exp().mean().log()


def pretrain(
    encoder: nn.Module,
    images: np.ndarray,
    recipe: SimCLRRecipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    save_every: int = 200,
    after_step: Callable[[int, nn.Module], None] | None = None,
) -> Pretraining:
    """Pretrain an encoder on images without labels.

    Each step draws its own images and views from the seed and its number, so that an interrupted
    pretraining goes on as if nothing had happened.

    Parameters
    ----------
    encoder : nn.Module
        Maps ``(N, C, H, W)`` to features ``(N, F)``; changed in place, left in eval mode.
    images : ndarray
        ``(N, C, H, W)`` uint8, training images alone.
    recipe : SimCLRRecipe
        How to pretrain.
    seed : int
        Decides projection head, batches and views; the encoder has its weights already.
    device : {"cpu", "cuda"}
        Where to compute; the encoder stays there.
    checkpoint : Path, optional
        Written every `save_every` steps and at the end; an existing one is resumed.
    save_every : int
        Steps between two checkpoints.
    after_step : callable, optional
        Called with the number of steps taken and the encoder in eval mode, before the first step
        and after each; it may predict, and leaves the encoder as it was.

    Raises
    ------
    MedlibError
        For fewer images than a batch has, and where the loss diverges.
    CheckpointError
        For a checkpoint of another pretraining.
    """
    if len(images) < recipe.batch_size:
        raise MedlibError(f"a batch of {recipe.batch_size} needs more than {len(images)} images")
    run = _Pretraining(encoder.to(device), images, recipe, seed, device)
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint))
    while True:
        taken = len(run.history.loss)
        if after_step is not None:
            after_step(taken, encoder.eval())
        if taken == recipe.steps:
            break
        run.step()
        if checkpoint is not None and ((taken + 1) % save_every == 0 or taken + 1 == recipe.steps):
            run.save(Path(checkpoint))
    encoder.eval()
    return run.history


class _Pretraining:
    """The state of one pretraining, and the step that changes it."""

    def __init__(
        self, encoder: nn.Module, images: np.ndarray, recipe: SimCLRRecipe, seed: int, device: str
    ) -> None:
        self.recipe, self.seed, self.history = recipe, seed, Pretraining()
        self.images = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        features = encode(encoder, images[:2]).shape[1]
        seed_everything(seed)  # of the head
        self.model = SimCLR(encoder, features, recipe.projection)
        self.model = self.model.to(device, memory_format=torch.channels_last)
        groups = decay_groups(self.model, recipe.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, recipe.learning_rate)
        self.description = {
            "recipe": str(recipe),
            "seed": str(seed),
            "network": describe_network(encoder),
            "data": str(tuple(images.shape)),
        }

    def step(self) -> None:
        """Draw a batch and its views, and take one step down the gradient."""
        number = len(self.history.loss)
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        rows = torch.randperm(len(self.images), generator=draw)[: self.recipe.batch_size]
        views = torch.cat(two_views(self.images[rows], self.recipe.augment, draw))
        self.model.train()
        views = normalise(views, out=views).contiguous(memory_format=torch.channels_last)
        first, second = self.model(views).chunk(2)
        loss = nt_xent(first, second, self.recipe.temperature)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * _rate(number, self.recipe.steps)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self._note(loss.detach(), first.detach(), second.detach())

    def save(self, path: Path) -> None:
        """Write all that a resumed pretraining needs."""
        states = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        description, history = self.description, self.history.to_dict()
        write_checkpoint(path, {"description": description, "history": history, **states})

    def load(self, path: Path) -> None:
        """Go on where a checkpoint ended."""
        content = read_checkpoint(path, device=str(self.images.device))
        with restoring(path):
            check_same_training(path, content["description"], self.description)
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.history = Pretraining(**content["history"])

    def _note(self, loss: Tensor, first: Tensor, second: Tensor) -> None:
        """Write a step down."""
        if not torch.isfinite(loss):
            raise MedlibError(
                f"the contrastive loss became {float(loss)} at step {len(self.history.loss)}: "
                f"lower the learning_rate ({self.recipe.learning_rate})"
            )
        self.history.loss.append(float(loss))
        self.history.alignment.append(float(alignment(first, second)))
        self.history.uniformity.append(float(uniformity(first)))


def encoder_of(network: nn.Module) -> nn.Module:
    """Return the network itself, its last linear layer replaced by one that changes nothing.

    Parameters
    ----------
    network : nn.Module
        A classifier whose last linear layer reads its features, such as a `medlib.models.ResNet`;
        changed in place.

    Raises
    ------
    MedlibError
        For a network without a linear layer.
    """
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise MedlibError(f"{type(network).__name__} has no linear layer to take off")
    where, _, name = linear[-1].rpartition(".")
    setattr(network.get_submodule(where), name, nn.Identity())
    return network


def adopt(network: nn.Module, encoder: nn.Module) -> nn.Module:
    """Give a classifier the weights of a pretrained encoder; its last layer stays as it is.

    Parameters
    ----------
    network : nn.Module
        Built as the network was that `encoder_of` made the encoder from; changed in place.
    encoder : nn.Module
        From `pretrain`.

    Raises
    ------
    MedlibError
        Where the encoder is of another network.
    """
    state, own = encoder.state_dict(), network.state_dict()
    foreign = [n for n, v in state.items() if n not in own or own[n].shape != v.shape]
    missing = {name.rpartition(".")[0] for name in own.keys() - state.keys()}
    if foreign or len(missing) != 1:
        raise MedlibError(
            f"the encoder is not that of this {type(network).__name__}: they differ in "
            f"{', '.join(foreign or sorted(missing)) or 'no layer, as the encoder has a head'}"
        )
    network.load_state_dict(state, strict=False)
    return network


@torch.inference_mode()
def encode(encoder: nn.Module, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return the features ``(N, F)`` of images ``(N, C, H, W)`` uint8, the encoder in eval mode."""
    was_training, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    parts = torch.from_numpy(np.ascontiguousarray(images)).split(batch_size)
    found = [encoder(as_input(part.to(device), encoder)).cpu() for part in parts]
    encoder.train(was_training)
    return torch.cat(found).numpy()


def _rate(step: int, steps: int) -> float:
    """Return the share of the largest learning rate: a rise, then a cosine down to zero."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
