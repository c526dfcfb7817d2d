"""Differentially private training: clip each example's gradient, add noise, count the privacy.

The unit of privacy is one training image. `epsilon` holds for two training sets that differ by one
image more or less, not by a patient with all images: see `for_group`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln, logsumexp
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional

from medlib.data import Split
from medlib.errors import MedlibError
from medlib.predict import as_input

__all__ = [
    "PrivatePlan",
    "clipped_sum",
    "epsilon",
    "for_group",
    "gaussian_delta",
    "input_from_gradients",
    "noise_for",
    "per_example_gradients",
    "renyi_divergence",
    "train_privately",
]

ORDERS = (*range(2, 64), *range(64, 257, 8), 512, 1024)


@dataclass(frozen=True)
class PrivatePlan:
    """How to train privately.

    Attributes
    ----------
    steps : int
        Gradient steps.
    expected_batch : int
        Images of a step on average: each image is drawn by itself, with the same chance.
    learning_rate : float
        Of plain gradient descent; it falls to zero along a cosine.
    clip : float or None
        Largest norm of one example's gradient; None leaves it as it is, without any privacy.
    noise : float
        Standard deviation of the noise on the sum of gradients, in multiples of `clip`.
    """

    steps: int = 300
    expected_batch: int = 128
    learning_rate: float = 0.5
    clip: float | None = 1.0
    noise: float = 1.0

    def epsilon(self, images: int, delta: float) -> float:
        """Return what the training on so many images costs; infinite without clip or noise."""
        if self.clip is None or self.noise == 0:
            return math.inf
        return epsilon(self.expected_batch / images, self.noise, self.steps, delta)


def train_privately(model: nn.Module, split: Split, plan: PrivatePlan, *, seed: int = 0) -> None:
    """Train a network by differentially private gradient descent; changed in place.

    Abadi et al., "Deep learning with differential privacy", 2016, algorithm 1. A seed makes the
    noise repeatable, which an experiment needs and a release must not have: noise that somebody
    can draw again protects nobody.

    Parameters
    ----------
    model : nn.Module
        Maps ``(N, C, H, W)`` to logits ``(N, K)``; without batch normalisation, which would mix
        the examples.
    split : Split
        Images and labels.
    plan : PrivatePlan
        How.
    seed : int
        Decides who is drawn, and the noise.
    """
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    generator = torch.Generator().manual_seed(seed)
    model.eval()  # no dropout; nothing else here depends on the mode
    for step in range(plan.steps):
        drawn = torch.rand(len(split), generator=generator) < plan.expected_batch / len(split)
        batch = as_input(images[drawn], model)
        total = clipped_sum(per_example_gradients(model, batch, labels[drawn]), plan.clip)
        rate = plan.learning_rate * 0.5 * (1 + math.cos(math.pi * step / plan.steps))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                noise = torch.randn(weight.shape, generator=generator)
                noisy = total[name] + plan.noise * (plan.clip or 0.0) * noise
                weight -= rate * noisy / plan.expected_batch


def per_example_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the gradient of each example's own cross-entropy.

    Parameters
    ----------
    model : nn.Module
        Without batch normalisation.
    images : Tensor
        ``(N, C, H, W)``, normalised as for the network.
    labels : Tensor
        ``(N,)``.

    Returns
    -------
    dict of str to Tensor
        By parameter, ``(N, *shape)``.
    """
    if any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        raise MedlibError(
            "batch normalisation mixes the examples of a batch, so that none has a gradient of "
            "its own: use a network without it, or medlib.federated.with_group_norm"
        )

    def loss(weights: Mapping[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, dict(weights), (image[None],))
        return functional.cross_entropy(logits, label[None])

    weights = {name: p.detach() for name, p in model.named_parameters()}
    if len(images) == 0:
        return {name: p.new_zeros((0, *p.shape)) for name, p in weights.items()}
    return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weights, images, labels)


def clipped_sum(gradients: Mapping[str, Tensor], clip: float | None) -> dict[str, Tensor]:
    """Return the sum of the examples' gradients, none of them longer than `clip`.

    Parameters
    ----------
    gradients : mapping of str to Tensor
        As `per_example_gradients` returns them. The norm of an example is over all parameters.
    clip : float or None
        Largest norm; None leaves all as they are.

    Returns
    -------
    dict of str to Tensor
        By parameter. One example more or less moves it by `clip` at most.
    """
    lengths = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
    shrink = torch.ones_like(lengths) if clip is None else (clip / lengths).clamp(max=1)
    return {name: torch.einsum("n,n...->...", shrink, g) for name, g in gradients.items()}


# ---------------------------------------------------------------- what it costs


def renyi_divergence(rate: float, noise: float, order: int) -> float:
    """Return the Renyi divergence that one step of the subsampled Gaussian mechanism costs.

    Mironov, Talwar and Zhang, "Renyi differential privacy of the sampled Gaussian mechanism",
    2019, section 3.3, for whole orders.

    Parameters
    ----------
    rate : float
        Chance of each example to be in the step's batch, in (0, 1].
    noise : float
        Standard deviation of the noise in multiples of the largest norm, above 0.
    order : int
        2 or more.
    """
    if not 0 < rate <= 1 or not noise > 0 or order < 2:
        raise MedlibError(f"need 0 < rate <= 1, noise > 0, order >= 2: {rate}, {noise}, {order}")
    if rate == 1:
        return order / (2 * noise**2)
    k = np.arange(order + 1)
    chosen = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    drawn = k * math.log(rate) + (order - k) * math.log1p(-rate)
    return float(logsumexp(chosen + drawn + k * (k - 1) / (2 * noise**2))) / (order - 1)


def epsilon(rate: float, noise: float, steps: int, delta: float) -> float:
    """Return the smallest epsilon that this accountant can vouch for.

    Divergences of steps add up. Each order is converted after Canonne, Kamath and Steinke, "The
    discrete Gaussian for differential privacy", 2020, proposition 12, and the best one counts.

    Parameters
    ----------
    rate, noise
        As in `renyi_divergence`.
    steps : int
        How many such steps.
    delta : float
        In (0, 1), far below 1 over the number of examples.
    """
    if steps < 1 or not 0 < delta < 1:
        raise MedlibError(f"need steps >= 1 and 0 < delta < 1, got {steps} and {delta}")
    bounds = [
        steps * renyi_divergence(rate, noise, order)
        + math.log1p(-1 / order)
        - math.log(delta * order) / (order - 1)
        for order in ORDERS
    ]
    return max(0.0, min(bounds))


def noise_for(target: float, rate: float, steps: int, delta: float) -> float:
    """Return the smallest noise, to three decimals, whose `epsilon` is at most `target`."""
    low, high = 0.05, 0.1
    while epsilon(rate, high, steps, delta) > target:
        low, high = high, 2 * high
    while high - low > 0.0005:
        middle = (low + high) / 2
        low, high = (
            (low, middle) if epsilon(rate, middle, steps, delta) <= target else (middle, high)
        )
    return math.ceil(high * 1_000) / 1_000


def gaussian_delta(epsilon: float, noise: float) -> float:
    """Return the exact delta of one Gaussian mechanism without subsampling.

    Balle and Wang, "Improving the Gaussian mechanism for differential privacy", 2018, theorem 8.
    """
    half, tilt = 1 / (2 * noise), epsilon * noise
    return float(norm.cdf(half - tilt) - math.exp(epsilon + norm.logcdf(-half - tilt)))


def for_group(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """Return the epsilon and delta that still hold for `size` examples together.

    Such as all images of one patient. From the definition, applied `size` times: epsilon grows
    with the size, delta by a factor of more than ``exp((size - 1) epsilon)``.

    Returns
    -------
    tuple of float
        Delta of 1 or more promises nothing.
    """
    if size < 1:
        raise MedlibError(f"a group has at least one example, got {size}")
    return size * epsilon, delta * sum(math.exp(k * epsilon) for k in range(size))


def input_from_gradients(weights: Tensor, biases: Tensor) -> Tensor:
    """Return the input of a fully connected layer, computed from the gradients of one example.

    The gradient of row j of the weights is the gradient of bias j times the input, so that one is
    the input once it is divided by the other (Geiping et al., "Inverting gradients: how easy is it
    to break privacy in federated learning?", 2020, proposition 3.1). Of several examples it gives
    a mixture.

    Parameters
    ----------
    weights : Tensor
        Gradient of the weights, ``(M, F)``.
    biases : Tensor
        Gradient of the biases, ``(M,)``; that of the largest one is used.

    Returns
    -------
    Tensor
        ``(F,)``.
    """
    row = int(biases.abs().argmax())
    return weights[row] / biases[row]
