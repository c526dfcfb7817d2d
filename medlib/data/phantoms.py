"""Phantoms: generated images whose truth is known, of any size and any number.

They stand in where real data is missing (and every page says so), and they are the data of the
questions that need truth: which labels are missing, how labels depend on each other, where the
lesion is, how the scanner changed. A case is a smooth, noisy background with one lobed lesion
(single label) or one lesion a finding (multi-label). Everything follows from the seed: images are
drawn in blocks of fixed size, so that a stream and an array agree and labels need no images.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from medlib.data.cards import SPLITS, Card
from medlib.data.dataset import Dataset, Split
from medlib.errors import MedlibError

BLOCK = 256  # cases drawn from one random generator; part of what a seed means


@dataclass(frozen=True)
class Phantom:
    """What to generate.

    Attributes
    ----------
    count : int
        Number of cases.
    size, channels : int
        Side length in pixels, and channels (1 or 3).
    num_classes : int
        Classes, or findings where `task` is ``multi-label``.
    task : str
        ``binary``, ``multi-class``, ``ordinal`` or ``multi-label``.
    prior : tuple of float
        Probability of each class (sums to 1), or prevalence of each finding. Empty: mildly
        unequal classes; findings between 35 and 10 percent.
    correlation : float
        Correlation of the Gaussian variables behind each pair of findings, in [0, 1).
    missing : float
        Share of the observed labels of a multi-label task that are unknown (-1), at random.
    flipped : float
        Share of the observed labels that are wrong.
    overlap : float
        How much classes resemble each other: 0 separates them, 1 is the default, 2 is hard.
    shift : float
        Domain shift: 0 none, 1 another scanner (contrast, brightness, noise, blur).
    empty_class : int or None
        Class without a lesion, such as ``normal``.
    """

    count: int
    size: int = 28
    channels: int = 1
    num_classes: int = 2
    task: str = "binary"
    prior: tuple[float, ...] = ()
    correlation: float = 0.0
    missing: float = 0.0
    flipped: float = 0.0
    overlap: float = 1.0
    shift: float = 0.0
    empty_class: int | None = None

    @property
    def multi_label(self) -> bool:
        """Whether a case may carry several findings."""
        return self.task == "multi-label"

    @property
    def probabilities(self) -> np.ndarray:
        """Prior of each class or prevalence of each finding, ``(K,)``."""
        if self.prior:
            return np.asarray(self.prior, dtype=float)
        falling = np.linspace(1.0, 0.5, self.num_classes)
        return (
            np.linspace(0.35, 0.1, self.num_classes) if self.multi_label else falling / sum(falling)
        )


@dataclass(frozen=True)
class Batch:
    """Generated cases with their whole truth.

    Attributes
    ----------
    images : ndarray
        ``(N, C, H, W)`` uint8.
    labels : ndarray
        The truth: ``(N,)`` or ``(N, K)`` int64.
    observed : ndarray
        The labels that a study would hold: with those that are wrong, and -1 where unknown.
    masks : ndarray
        ``(N, H, W)`` bool: the lesions.
    """

    images: np.ndarray
    labels: np.ndarray
    observed: np.ndarray
    masks: np.ndarray
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


def generate(phantom: Phantom, seed: int = 0) -> Batch:
    """Generate all cases at once.

    Parameters
    ----------
    phantom : Phantom
        What to generate.
    seed : int
        The same seed gives the same bytes.
    """
    blocks = list(stream(phantom, seed))
    join = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("images", "labels", "observed", "masks")
    }
    return Batch(**join)


def stream(phantom: Phantom, seed: int = 0) -> Iterator[Batch]:
    """Generate cases block by block, so that a million need no more memory than 256."""
    _check(phantom)
    for block, start in enumerate(range(0, phantom.count, BLOCK)):
        labels, observed = _labels_of_block(phantom, seed, block)
        images, masks = _images_of_block(phantom, seed, block, labels)
        keep = min(BLOCK, phantom.count - start)
        yield Batch(images[:keep], labels[:keep], observed[:keep], masks[:keep])


def labels_of(phantom: Phantom, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the observed labels that `generate` gives, without drawing images."""
    _check(phantom)
    blocks = [_labels_of_block(phantom, seed, block) for block in range(-(-phantom.count // BLOCK))]
    labels, observed = (
        np.concatenate(parts)[: phantom.count] for parts in zip(*blocks, strict=True)
    )
    return labels, observed


def phantom_like(card: Card, seed: int = 0) -> Dataset:
    """Generate a stand-in with the shape, classes and counts of a real data set.

    Parameters
    ----------
    card : Card
        The set to stand in for.
    seed : int
        The same seed gives the same data set.

    Returns
    -------
    Dataset
        With ``synthetic=True``: no number computed on it is a result.
    """
    parts = {split: _split_like(card, split, seed) for split in SPLITS}
    return Dataset(card, **parts, synthetic=True, source={"kind": "phantom", "seed": seed})


def as_dataset(
    phantom: Phantom, *, val: int, test: int, seed: int = 0, observed: bool = True
) -> Dataset:
    """Generate a data set of one's own design.

    Parameters
    ----------
    phantom : Phantom
        What to generate; its `count` is the number of training cases.
    val, test : int
        Number of validation and test cases.
    seed : int
        The same seed gives the same data set.
    observed : bool
        Whether the training labels are the observed ones, with flips and -1 for unknown ones.
        Validation and test labels are always the truth.

    Returns
    -------
    Dataset
        Named ``phantom``, with masks; the test labels are locked as everywhere.
    """
    from medlib.data import locked

    counts = {"train": phantom.count, "val": val, "test": test}
    splits = {}
    for split, count in counts.items():
        batch = generate(replace(phantom, count=count), _seed_of(split, seed))
        labels = batch.observed if observed and split == "train" else batch.labels
        splits[split] = Split(batch.images, labels, np.arange(count), masks=batch.masks)
    splits["test"], source = locked.seal(splits["test"])
    return Dataset(card_of(phantom, counts), **splits, synthetic=True, source=source)


def card_of(phantom: Phantom, counts: Mapping[str, int]) -> Card:
    """Return a card for generated data, so that it can go wherever a real data set goes."""
    return Card(
        name="phantom",
        title="Phantom",
        kind="image",
        modality="generated",
        task=phantom.task,
        classes=tuple(f"class {k}" for k in range(phantom.num_classes)),
        channels=phantom.channels,
        size=phantom.size,
        counts=dict(counts),
        file="",
        layout="generated",
        digests={},
        origins=(),
        split={"kind": "generated"},
        licence={"name": "generated here", "url": "", "read": True},
        publishable=True,
        citation="",
        opt_in=False,
        masks=True,
    )


def answers_like(card: Card, split: str, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels and masks of one split of `phantom_like`; for `medlib.data.locked` only."""
    if card.kind == "tabular":
        return _table_like(card, split, seed)[1], None
    phantom, stream_seed = _phantom_of(card, split), _seed_of(split, seed)
    if not card.masks:
        return labels_of(phantom, stream_seed)[0], None
    whole = generate(phantom, stream_seed)
    return whole.labels, whole.masks


def _split_like(card: Card, split: str, seed: int) -> Split:
    count = card.counts[split]
    if card.kind == "tabular":
        images, labels = _table_like(card, split, seed)
        masks = None
    else:
        whole = generate(_phantom_of(card, split), _seed_of(split, seed))
        images, labels = whole.images, whole.labels
        masks = whole.masks if card.masks else None
    index = np.arange(count)
    groups = np.array([f"{split}-{row // 4}" for row in index]) if card.groups else None
    locked = split == "test"
    return Split(images, None if locked else labels, index, groups, None if locked else masks, {})


def _phantom_of(card: Card, split: str) -> Phantom:
    normal = [k for k, name in enumerate(card.classes) if name == "normal"]
    return Phantom(
        count=card.counts[split],
        size=card.size,
        channels=card.channels,
        num_classes=card.num_classes,
        task=card.task,
        correlation=0.3 if card.multi_label else 0.0,
        empty_class=normal[0] if normal and card.masks else None,
    )


def _seed_of(split: str, seed: int) -> int:
    return 3 * seed + SPLITS.index(split)


def _table_like(card: Card, split: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a table of correlated positive measurements whose means differ by class."""
    rng = np.random.default_rng([_seed_of(split, seed), 7])
    labels = rng.choice(card.num_classes, card.counts[split], p=[0.37, 0.63])
    common = rng.normal(size=(len(labels), 1)) + 1.2 * labels[:, None]
    own = rng.normal(size=(len(labels), card.size))
    return np.exp(0.3 * common + 0.3 * own), labels.astype(np.int64)


def _check(phantom: Phantom) -> None:
    """Refuse what cannot be generated."""
    prior = phantom.probabilities
    if len(prior) != phantom.num_classes or (prior < 0).any() or (prior > 1).any():
        raise MedlibError(f"prior needs {phantom.num_classes} probabilities, got {phantom.prior}")
    if not phantom.multi_label and not np.isclose(prior.sum(), 1):
        raise MedlibError(f"prior must sum to 1, got {prior.sum():.3f}")
    if phantom.count < 1 or phantom.size < 8 or phantom.channels not in {1, 3}:
        raise MedlibError(
            "a phantom needs count >= 1, size >= 8 and 1 or 3 channels, got "
            f"count {phantom.count}, size {phantom.size}, channels {phantom.channels}"
        )
    if not 0 <= phantom.correlation < 1:
        raise MedlibError(f"correlation must lie in [0, 1), got {phantom.correlation}")


# ---------------------------------------------------------------- labels


def _labels_of_block(phantom: Phantom, seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, block, 1])
    labels = _findings(phantom, rng) if phantom.multi_label else _classes(phantom, rng)
    observed = _flip(labels, phantom, rng)
    unknown = rng.random(observed.shape) < phantom.missing
    return labels, np.where(unknown, -1, observed)


def _classes(phantom: Phantom, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(phantom.num_classes, BLOCK, p=phantom.probabilities).astype(np.int64)


def _findings(phantom: Phantom, rng: np.random.Generator) -> np.ndarray:
    """Draw findings from a Gaussian copula with one common factor."""
    common = rng.normal(size=(BLOCK, 1)) * np.sqrt(phantom.correlation)
    own = rng.normal(size=(BLOCK, phantom.num_classes)) * np.sqrt(1 - phantom.correlation)
    return (common + own < normal_quantile(phantom.probabilities)).astype(np.int64)


def normal_quantile(probability: np.ndarray) -> np.ndarray:
    """Return the standard normal quantile of each probability (standard library, no SciPy)."""
    from statistics import NormalDist

    normal = NormalDist()
    edge = {0.0: -np.inf, 1.0: np.inf}
    return np.array([edge[p] if p in edge else normal.inv_cdf(p) for p in map(float, probability)])


def _flip(labels: np.ndarray, phantom: Phantom, rng: np.random.Generator) -> np.ndarray:
    wrong = rng.random(labels.shape) < phantom.flipped
    if phantom.multi_label:
        return np.where(wrong, 1 - labels, labels)
    other = (labels + rng.integers(1, max(phantom.num_classes, 2), labels.shape)) % max(
        phantom.num_classes, 2
    )
    return np.where(wrong, other, labels)


# ---------------------------------------------------------------- images


def _images_of_block(
    phantom: Phantom, seed: int, block: int, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, block, 2])
    picture = np.float32(0.45) + np.float32(0.12) * _smooth_noise(rng, phantom.size)
    masks = np.zeros(picture.shape, dtype=bool)
    for lesion in _lesions(phantom, labels, rng):
        rows = np.flatnonzero(lesion.pop("present"))
        inside, bump = _lobed({key: values[rows] for key, values in lesion.items()}, phantom.size)
        picture[rows] += bump
        masks[rows] |= inside
    noise = np.float32(0.05) * rng.standard_normal(picture.shape, dtype=np.float32)
    picture = _shifted(picture, noise, phantom.shift)
    return _to_uint8(picture, phantom.channels), masks


def _lesions(
    phantom: Phantom, labels: np.ndarray, rng: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the lesions of a block: one for a class, one a finding for findings."""
    if not phantom.multi_label:
        yield _lesion_of_class(phantom, labels, rng)
        return
    angles = 2 * np.pi * np.arange(phantom.num_classes) / phantom.num_classes
    for finding, angle in enumerate(angles):
        centre = np.array([np.sin(angle), np.cos(angle)]) * 0.28
        yield _lesion_of_finding(phantom, finding, labels[:, finding], centre, rng)


def _lesion_of_class(
    phantom: Phantom, labels: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw lesions whose edge, brightness and radius depend on the class, with overlap."""
    spread = phantom.overlap
    empty = -1 if phantom.empty_class is None else phantom.empty_class
    kind = labels - ((empty >= 0) & (labels > empty))  # the classes with a lesion, counted up
    grade = labels / max(phantom.num_classes - 1, 1)
    ordinal = phantom.task == "ordinal"
    radius = 0.13 + 0.16 * grade if ordinal else 0.2 + 0.035 * (kind // 4)
    ragged = 0.15 + 0.2 * grade if ordinal else np.where(kind % 2 == 1, 0.34, 0.1)
    contrast = 0.2 + 0.1 * grade if ordinal else np.where((kind // 2) % 2 == 1, -0.24, 0.24)
    return {
        "centre": rng.normal(scale=0.08, size=(len(labels), 2)),
        "radius": np.clip(radius + rng.normal(scale=0.03 * spread, size=len(labels)), 0.06, 0.42),
        "ragged": np.clip(ragged + rng.normal(scale=0.11 * spread, size=len(labels)), 0, 0.8),
        "lobes": rng.integers(4, 7, len(labels)),
        "turn": rng.uniform(0, 2 * np.pi, len(labels)),
        "contrast": contrast + rng.normal(scale=0.06 * spread, size=len(labels)),
        "present": labels != empty,
    }


def _lesion_of_finding(
    phantom: Phantom, finding: int, has: np.ndarray, centre: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the lesions of one finding near its usual place, some of them faint."""
    count = len(has)
    sign = -1.0 if finding % 2 else 1.0
    strength = np.clip(0.22 + rng.normal(scale=0.08 * phantom.overlap, size=count), 0.02, None)
    return {
        "centre": centre + rng.normal(scale=0.04, size=(count, 2)),
        "radius": np.clip(0.09 + rng.normal(scale=0.02, size=count), 0.05, 0.2),
        "ragged": np.full(count, 0.1 + 0.3 * (finding % 3 == 2)),
        "lobes": np.full(count, 4 + finding % 3),
        "turn": rng.uniform(0, 2 * np.pi, count),
        "contrast": sign * strength,
        "present": has > 0,
    }


def _lobed(lesion: dict[str, np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw lobed shapes: where they are ``(N, H, W)`` bool, and what they add to the picture."""
    lesion = {key: values.astype(np.float32) for key, values in lesion.items()}
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    down = axis[None, :, None] - lesion["centre"][:, 0, None, None]
    right = axis[None, None, :] - lesion["centre"][:, 1, None, None]
    angle = np.arctan2(down, right) * _each(lesion["lobes"]) + _each(lesion["turn"])
    edge = _each(lesion["radius"]) * (1 + _each(lesion["ragged"]) * np.cos(angle))
    depth = edge - np.hypot(down, right)
    weight = 1 / (1 + np.exp(-np.clip(depth * 60, -30, 30)))
    return depth > 0, _each(lesion["contrast"]) * weight


def _each(values: np.ndarray) -> np.ndarray:
    """Shape one number a case so that it applies to all pixels."""
    return values[:, None, None]


def _smooth_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw smooth backgrounds ``(BLOCK, H, W)``: coarse noise, enlarged linearly."""
    coarse = rng.standard_normal((BLOCK, 6, 6), dtype=np.float32)
    position = np.linspace(0, 5, size)
    left = np.minimum(position.astype(int), 4)
    enlarge = np.zeros((size, 6), dtype=np.float32)
    enlarge[np.arange(size), left] = 1 - (position - left)
    enlarge[np.arange(size), left + 1] = position - left
    return enlarge @ coarse @ enlarge.T


def _shifted(picture: np.ndarray, noise: np.ndarray, shift: float) -> np.ndarray:
    """Apply the other scanner: blurred, less contrast, brighter, noisier."""
    if shift:
        blurred = (
            picture + np.roll(picture, 1, -1) + np.roll(picture, 1, -2) + np.roll(picture, -1, -1)
        ) / 4
        picture = (1 - 0.7 * shift) * picture + 0.7 * shift * blurred
        picture = 0.5 + (1 - 0.35 * shift) * (picture - 0.5) + 0.12 * shift
    return picture + (1 + shift) * noise


def _to_uint8(picture: np.ndarray, channels: int) -> np.ndarray:
    grey = np.clip(picture, 0, 1)
    tints = np.array([1.0, 0.72, 0.55]) if channels == 3 else np.ones(1)
    return np.rint(255 * grey[:, None] * tints[None, :, None, None]).astype(np.uint8)
