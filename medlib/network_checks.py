"""Checks of a network before it is trained: each takes seconds, and each finds another kind of bug.

A check takes ``build``, which returns the network with fresh weights, a batch of images as the
network will see them, ``(N, C, H, W)`` float32, and their class numbers ``(N,)``; it returns a
`Check`. `check_network` makes them all. `shuffled_labels` looks at a whole training instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.errors import MedlibError
from medlib.training_checks import eval_mode

__all__ = ["CHECKS", "Check", "check_network", "shuffled_labels"]

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes
    ----------
    name : str
        What was checked.
    passed : bool
        Whether it is as it should be.
    found : str
        What was seen, beside what was expected.
    """

    name: str
    passed: bool
    found: str


def check_network(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> list[Check]:
    """Make all checks of `CHECKS`; one that the network breaks down in counts as failed.

    Parameters
    ----------
    build : callable
        Returns the network, a classifier, freshly initialised.
    images : Tensor
        ``(N, C, H, W)`` float32, scaled as in training; 8 to 32 of them, of all classes.
    labels : Tensor
        ``(N,)`` int64.
    num_classes : int
        How many classes there are.
    """
    found = []
    for name, check in CHECKS.items():
        try:
            found.append(check(build, images, labels, num_classes))
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = str(error).strip().split("\n")[0][:60]
            found.append(Check(name, False, f"{type(error).__name__}: {reason}"))
    return found


def scaled_inputs(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> Check:
    """The images are centred and of unit size, about: first weights are drawn for such inputs."""
    mean, spread = float(images.mean()), float(images.std())
    good = abs(mean) < 1 and 0.1 < spread < 3 and bool(torch.isfinite(images).all())
    return Check("inputs scaled", good, f"mean {mean:.2f}, SD {spread:.2g}")


def output_shape(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> Check:
    """An image gives one finite number a class."""
    logits = _logits(build().eval(), images)
    wanted = (len(images), num_classes)
    good = tuple(logits.shape) == wanted and bool(torch.isfinite(logits).all())
    return Check("output shape", good, f"{tuple(logits.shape)}, expected {wanted}")


def first_loss(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> Check:
    """A network that has seen nothing is as good as a guess: its loss is log(classes), about."""
    with torch.no_grad():
        loss = float(functional.cross_entropy(build().train()(images), labels))
    wanted = math.log(num_classes)
    return Check(
        "first loss", abs(loss - wanted) < 0.4 * wanted, f"{loss:.2f}, expected {wanted:.2f}"
    )


def learns_batch(
    build: Build,
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    steps: int = 100,
    learning_rate: float = 5e-3,
    enough: float = 0.1,
) -> Check:
    """It can learn a few images by heart: without that it can learn nothing larger.

    Parameters
    ----------
    build, images, labels, num_classes
        As in `check_network`.
    steps : int
        Steps of Adam on the one batch.
    learning_rate : float
        Of Adam.
    enough : float
        The loss that must be reached: the mean of the last ten steps.
    """
    model, losses = build().train(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    last = float(np.mean(losses[-10:]))
    return Check("learns one batch", last < enough, f"loss {last:.3f}, wanted below {enough}")


def gradients_arrive(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> Check:
    """Each parameter gets a gradient that is a number and not all zero."""
    model = build().train()
    functional.cross_entropy(model(images), labels).backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not torch.isfinite(p.grad).all() or not p.grad.any()
    ]
    count = sum(1 for _ in model.parameters())
    words = f"none at {without[0]}" if without else "all"
    found = f"{count - len(without)} of {count} parameters ({words})"
    return Check("gradients arrive", count > 0 and not without, found)


def images_apart(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> Check:
    """In eval mode the answer to an image depends on that image alone.

    The gradient of one image's first logit with respect to all images is zero at the others. (The
    sum of its logits will not do: behind a softmax it is 1 whatever the images are.)
    """
    model, chosen = build(), len(images) // 2
    inputs = images.clone().requires_grad_()
    with eval_mode(model):
        answer = model(inputs)[chosen, 0]
    (gradient,) = torch.autograd.grad(answer, inputs, allow_unused=True)
    if gradient is None:
        return Check("images apart", False, "no gradient reaches the images")
    reached = gradient.flatten(1).abs().amax(1) > 0
    others = int(reached.sum()) - int(reached[chosen])
    good = others == 0 and bool(reached[chosen])
    return Check("images apart", good, f"depends on {others} of {len(images) - 1} other images")


def repeats(build: Build, images: Tensor, labels: Tensor, num_classes: int) -> Check:
    """In eval mode the same images get the same answer twice."""
    model = build().eval()
    apart = float((_logits(model, images) - _logits(model, images)).abs().max())
    return Check("repeats itself", apart == 0, f"two answers differ by {apart:.2g}")


def shuffled_labels(
    train: Callable[[np.ndarray, np.ndarray], float],
    train_labels: np.ndarray,
    val_labels: np.ndarray,
    *,
    seed: int = 0,
    errors: float = 4.0,
) -> Check:
    """Nothing can be learned from shuffled labels: an AUC off one half is a leak.

    Where it is not one half, the labels have found another way into the prediction than through
    what is in the images.

    Parameters
    ----------
    train : callable
        Does everything that comes after the labels, preparation included: takes the labels of
        training and validation, returns the AUC on validation.
    train_labels, val_labels : ndarray
        ``(N,)`` class numbers 0 and 1.
    seed : int
        Decides how they are shuffled.
    errors : float
        How many standard errors from one half are allowed; the standard error is that of the
        Mann-Whitney statistic where the classes do not differ.

    Raises
    ------
    MedlibError
        Where the validation labels are not of two classes.
    """
    ones = int((val_labels == 1).sum())
    zeros = len(val_labels) - ones
    if not ones or not zeros or set(np.unique(val_labels)) != {0, 1}:
        raise MedlibError("shuffled_labels needs validation labels 0 and 1, some of each")
    generator = np.random.default_rng(seed)
    area = train(generator.permutation(train_labels), generator.permutation(val_labels))
    allowed = errors * math.sqrt((ones + zeros + 1) / (12 * ones * zeros))
    found = f"AUC {area:.2f}, expected 0.50 ± {allowed:.2f}"
    return Check("shuffled labels", abs(area - 0.5) < allowed, found)


CHECKS = {
    "inputs scaled": scaled_inputs,
    "output shape": output_shape,
    "first loss": first_loss,
    "learns one batch": learns_batch,
    "gradients arrive": gradients_arrive,
    "images apart": images_apart,
    "repeats itself": repeats,
}


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)
