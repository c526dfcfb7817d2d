"""Federated learning: sites train on their own images, a server averages the networks.

Simulated on one machine: a site is a `medlib.data.Split`. What would travel between a site and the
server is the network alone, and its bytes are counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from medlib.data import Split
from medlib.errors import MedlibError
from medlib.predict import as_input
from medlib.recipe import learning_rate_at

__all__ = [
    "Federation",
    "Plan",
    "Scanner",
    "average",
    "deal",
    "deal_by_class",
    "deal_by_patient",
    "federate",
    "norm_tensors",
    "scan",
    "state_bytes",
    "train_at_site",
    "with_group_norm",
    "with_scanners",
]

State = Mapping[str, Tensor]
_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


# ---------------------------------------------------------------- who has which images


def deal(split: Split, sites: int, seed: int = 0) -> list[Split]:
    """Deal images to sites at random, as equally as they go: every site looks like the whole.

    Parameters
    ----------
    split : Split
        All images.
    sites : int
        How many sites, at most as many as images.
    seed : int
        Decides who gets what.

    Returns
    -------
    list of Split
        A part a site; each image is in one of them.
    """
    _check_sites(sites, len(split))
    rows = np.random.default_rng(seed).permutation(len(split))
    return [split.take(np.sort(part)) for part in np.array_split(rows, sites)]


def deal_by_class(split: Split, sites: int, concentration: float, seed: int = 0) -> list[Split]:
    """Deal images so that the sites see the classes in different shares.

    The images of each class are shared out in proportions drawn from a symmetric Dirichlet
    distribution (Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution for
    federated visual classification", 2019, there drawn a site). Drawn again until every site has
    32 images or, of small splits, a third of an equal share.

    Parameters
    ----------
    split, sites, seed
        As in `deal`.
    concentration : float
        Above 0. Large: all sites alike. Far below 1: most of a class lies at one or two sites.

    Returns
    -------
    list of Split
        A part a site, of unequal sizes.
    """
    _check_sites(sites, len(split))
    if not concentration > 0:
        raise MedlibError(f"concentration must be above 0, got {concentration}")
    generator = np.random.default_rng(seed)
    fewest = min(32, len(split) // (3 * sites))
    for _ in range(1_000):
        owner = np.empty(len(split), dtype=int)
        for label in np.unique(split.labels):
            rows = generator.permutation(np.flatnonzero(split.labels == label))
            shares = generator.dirichlet([concentration] * sites)
            ends = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(int)
            for site, part in enumerate(np.split(rows, ends)):
                owner[part] = site
        if np.bincount(owner, minlength=sites).min() >= fewest:
            return [split.take(np.flatnonzero(owner == site)) for site in range(sites)]
    raise MedlibError(f"no draw gave each of {sites} sites {fewest} images: use fewer sites")


def deal_by_patient(split: Split, sites: int, seed: int = 0) -> list[Split]:
    """Deal whole patients to sites at random, the same number to each, one more to some.

    Parameters
    ----------
    split, sites, seed
        As in `deal`; the split names the patient of each image (`Split.groups`).

    Returns
    -------
    list of Split
        A part a site; no patient is at two.
    """
    if split.groups is None:
        raise MedlibError("the split names no patients: use deal, or a set such as malaria50")
    names, patient = np.unique(split.groups, return_inverse=True)
    _check_sites(sites, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    parts = np.array_split(order, sites)
    return [split.take(np.flatnonzero(np.isin(patient, part))) for part in parts]


@dataclass(frozen=True)
class Scanner:
    """How a site's machine shows what another machine would show differently.

    Attributes
    ----------
    gain, offset : float
        Grey values become gain times value plus offset, on the scale from 0 to 1.
    blur : float
        Standard deviation of a Gaussian blur, in pixels.
    noise : float
        Standard deviation of the noise that is added, on the scale from 0 to 1.
    """

    gain: float = 1.0
    offset: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


def scan(images: np.ndarray, scanner: Scanner, seed: int = 0) -> np.ndarray:
    """Return images ``(N, C, H, W)`` uint8 as a scanner would have taken them."""
    seen = ndimage.gaussian_filter(images / 255.0, (0, 0, scanner.blur, scanner.blur))
    noise = np.random.default_rng(seed).normal(size=images.shape)
    seen = scanner.gain * seen + scanner.offset + scanner.noise * noise
    return np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)


# ---------------------------------------------------------------- rounds


@dataclass(frozen=True)
class Plan:
    """What all sites agree on before the first round.

    Attributes
    ----------
    rounds : int
        How often the networks are averaged.
    local_steps : int
        Gradient steps that each site takes between two averages.
    batch_size : int
        Images a step; a site with fewer takes all that it has.
    learning_rate : float
        Of plain gradient descent, in the first round; from round to round it falls to zero along
        a cosine.
    proximal : float
        Weight of FedProx's term, which pulls a site's weights towards the round's start
        (Li et al., "Federated optimization in heterogeneous networks", 2020); 0 leaves it out.
    """

    rounds: int = 20
    local_steps: int = 10
    batch_size: int = 32
    learning_rate: float = 0.1
    proximal: float = 0.0

    def rate(self, number: int) -> float:
        """Return the learning rate of a round, counted from 0."""
        return self.learning_rate * learning_rate_at(number, self.rounds, "cosine")


@dataclass
class Federation:
    """What `federate` leaves.

    Attributes
    ----------
    bytes_a_round : int
        Sent in a round, over all sites: the network to each of them, and each one's back.
    losses : list of float
        Mean training loss of each round, over the sites' steps.
    own : list of dict
        What each site has kept to itself, by name; empty dicts where it shares everything.
    """

    bytes_a_round: int
    losses: list[float] = field(default_factory=list)
    own: list[dict[str, Tensor]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Sent in all rounds."""
        return self.bytes_a_round * len(self.losses)


def federate(
    model: nn.Module,
    sites: Sequence[Split],
    plan: Plan,
    *,
    seed: int = 0,
    keep: Sequence[str] = (),
    after_round: Callable[[int, nn.Module], None] | None = None,
) -> Federation:
    """Train a network by federated averaging; it ends as the average of the last round.

    McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
    2017, with every site in every round and the same number of steps at each. One site alone is
    ordinary training.

    Parameters
    ----------
    model : nn.Module
        Maps ``(N, C, H, W)`` to logits ``(N, K)``; changed in place, left in eval mode.
    sites : sequence of Split
        The images and labels of each.
    plan : Plan
        What they agree on.
    seed : int
        Decides the order of each site's images.
    keep : sequence of str
        Tensors of the network's state that never leave a site. `norm_tensors` gives FedBN (Li et
        al., "FedBN: federated learning on non-IID features via local batch normalization", 2021).
    after_round : callable, optional
        Called with the round, counted from 0, and the averaged network, to watch it; a network
        whose sites keep something carries those of the first site.

    Returns
    -------
    Federation
        Losses, bytes, and what each site has kept.
    """
    weights = [len(site) for site in sites]
    streams = [_batches(site, plan.batch_size, (seed, k)) for k, site in enumerate(sites)]
    found = Federation(2 * len(sites) * state_bytes(model, keep))
    shared = _copied(model)
    found.own = [{name: shared[name] for name in keep} for _ in sites]
    for number in range(plan.rounds):
        returned, losses = [], []
        for k, stream in enumerate(streams):
            model.load_state_dict({**shared, **found.own[k]})
            losses.append(train_at_site(model, stream, plan, plan.rate(number)))
            returned.append(_copied(model))
            found.own[k] = {name: returned[k][name] for name in keep}
        shared = average(returned, weights)
        found.losses.append(float(np.mean(losses)))
        model.load_state_dict({**shared, **found.own[0]})
        model.eval()
        if after_round is not None:
            after_round(number, model)
    return found


def average(states: Sequence[State], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of networks' states, tensor by tensor.

    Parameters
    ----------
    states : sequence of dict of str to Tensor
        State of each site's network, all of the same shapes.
    weights : sequence of float
        Of each site, such as its number of images; they need not sum to 1.

    Returns
    -------
    dict of str to Tensor
        Whole-number tensors, which count batches, are rounded.
    """
    if len(states) != len(weights) or not states or min(weights) < 0 or not sum(weights) > 0:
        raise MedlibError(f"need a weight of at least 0 a state, got {len(states)}: {weights}")
    total, mean = sum(weights), {}
    for name, first in states[0].items():
        parts = [w / total * s[name].double() for s, w in zip(states, weights, strict=True)]
        summed = torch.stack(parts).sum(0)
        mean[name] = (summed if first.is_floating_point() else summed.round()).to(first.dtype)
    return mean


def train_at_site(
    model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], plan: Plan, rate: float
) -> float:
    """Take a site's steps of one round, by plain gradient descent.

    Parameters
    ----------
    model : nn.Module
        As the server sent it; changed in place.
    batches : iterator of (images, labels)
        The site's own; images ``(N, C, H, W)`` uint8, labels ``(N,)``.
    plan : Plan
        Number of steps, and the proximal term.
    rate : float
        Learning rate of this round.

    Returns
    -------
    float
        Mean cross-entropy of the batches.
    """
    sent = [p.detach().clone() for p in model.parameters()] if plan.proximal else []
    model.train()
    total = 0.0
    for _ in range(plan.local_steps):
        images, labels = next(batches)
        loss = functional.cross_entropy(model(as_input(images, model)), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for k, (weight, gradient) in enumerate(zip(model.parameters(), gradients, strict=True)):
                pull = plan.proximal * (weight - sent[k]) if sent else 0.0
                weight -= rate * (gradient + pull)
        total += loss.item()
    return total / plan.local_steps


def state_bytes(model: nn.Module, keep: Sequence[str] = ()) -> int:
    """Return the bytes of a network's state, without the tensors named in `keep`."""
    sent = (t for name, t in model.state_dict().items() if name not in set(keep))
    return sum(t.numel() * t.element_size() for t in sent)


def norm_tensors(model: nn.Module) -> list[str]:
    """Return the names of all that belongs to normalisation layers: scales, shifts, statistics."""
    layers = [name for name, layer in model.named_modules() if isinstance(layer, _NORMS)]
    return [name for name in model.state_dict() if name.rpartition(".")[0] in layers]


def with_group_norm(model: nn.Module, groups: int = 4) -> nn.Module:
    """Replace batch by group normalisation, which needs no other image; changed in place.

    Wu and He, "Group normalization", 2018. Hsieh et al., "The non-IID data quagmire of
    decentralized machine learning", 2020, use it where the sites' images differ.

    Parameters
    ----------
    model : nn.Module
        Not trained yet.
    groups : int
        Groups of channels; every layer's channels must be a multiple of it.
    """
    for layer in list(model.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(layer, name, nn.GroupNorm(groups, child.num_features))
    return model


def with_scanners(sites: Sequence[Split], scanners: Sequence[Scanner]) -> list[Split]:
    """Return the sites, each with its images as its own scanner would have taken them."""
    pairs = enumerate(zip(sites, scanners, strict=True))
    return [replace(site, images=scan(site.images, s, seed=k)) for k, (site, s) in pairs]


def _batches(site: Split, size: int, key: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a site's images and labels for ever, in a new order each time they are used up."""
    images, labels = torch.from_numpy(site.images), torch.from_numpy(site.labels)
    generator, size = np.random.default_rng(key), min(size, len(site))
    while True:
        rows = torch.from_numpy(generator.permutation(len(site)))
        for part in rows[: len(rows) // size * size].split(size):
            yield images[part], labels[part]


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _check_sites(sites: int, available: int) -> None:
    if not 1 <= sites <= available:
        raise MedlibError(f"sites must be from 1 to {available}, got {sites}")
