"""Losses: what a training makes small, for classes, for labels that may be unknown, for pixels.

Every loss is the mean over images, or over all known labels, so that batches of one size may be
added up. A `Recipe` names its loss by a key of `LOSSES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from medlib.metrics import UNKNOWN

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Return the cross-entropy of the softmax over classes, for images or for pixels.

    Parameters
    ----------
    logits : Tensor
        ``(N, K)``, or ``(N, K, H, W)`` for pixels.
    target : Tensor
        Class numbers, int64, ``(N,)`` or ``(N, H, W)``.
    weight : Tensor, optional
        Weight of each class, ``(K,)``; the mean is then over the weights.
    smoothing : float
        Share of each label that is spread over all classes.
    """
    return functional.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)


def cumulative(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of the questions "above class k?" of ordered classes.

    Frank and Hall, "A simple approach to ordinal classification", ECML 2001, ask one yes-or-no
    question a step of the order. Here the answers are sums of one softmax, so that they never
    contradict each other, and a network needs no other output: a guess two grades off is wrong in
    two questions. With two classes it is the cross-entropy.

    Parameters
    ----------
    logits : Tensor
        ``(N, K)``, in the order of the classes.
    target : Tensor
        Class numbers, int64, ``(N,)``.
    smoothing : float
        Share of each label that is spread over all classes.
    """
    logits = _precise(logits)
    truth = functional.one_hot(target, logits.shape[1]).to(logits.dtype)
    truth = truth * (1 - smoothing) + smoothing / logits.shape[1]
    logs = functional.log_softmax(logits, dim=1)
    upto = logs.logcumsumexp(1)[:, :-1]  # log P(class <= k)
    above = logs.flip(1).logcumsumexp(1).flip(1)[:, 1:]  # log P(class > k)
    below = truth.cumsum(1)[:, :-1]
    return -(below * upto + (1 - below) * above).mean()


def bce(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Return the mean of the binary cross-entropies of the known labels.

    Parameters
    ----------
    logits : Tensor
        ``(N, K)``.
    labels : Tensor
        ``(N, K)`` of 0 and 1; -1 is unknown and counts for nothing.
    weight : Tensor, optional
        Weight of the positives of each label, ``(K,)``.
    smoothing : float
        Share of each label that is spread evenly over 0 and 1.
    """
    known = labels != UNKNOWN
    soft = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    loss = functional.binary_cross_entropy_with_logits
    if known.all():
        return loss(logits, soft, pos_weight=weight)
    return _mean_of_known(loss(logits, soft, pos_weight=weight, reduction="none"), known)


def focal(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Tensor:
    """Return the focal loss, which turns away from labels that are easy already.

    Lin et al., "Focal loss for dense object detection", ICCV 2017: each label's cross-entropy
    weighs ``(1 - p) ** gamma``, p being the probability of what is true. Here it is the mean over
    all known labels; the paper divides by the number of objects.

    Parameters
    ----------
    logits, labels, weight
        As in `bce`.
    gamma : float
        How strongly; 0 leaves the cross-entropy.
    alpha : float
        Weight of the positives; the negatives have 1 - alpha.
    """
    positive, negative = focused(_precise(logits), gamma, gamma)
    return _mean_by_sign(alpha * positive, (1 - alpha) * negative, labels, weight)


def asymmetric(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    *,
    gamma_positive: float = 1.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """Return the asymmetric loss, a focal loss that is stricter with the many negatives.

    Ridnik, Ben-Baruch et al., "Asymmetric loss for multi-label classification", ICCV 2021. A
    negative below `margin` counts for nothing. The defaults are those of the authors' code, which
    however takes the sum, and no gradient of the focusing factors.

    Parameters
    ----------
    logits, labels, weight
        As in `bce`.
    gamma_positive, gamma_negative : float
        Focusing of the positives and of the negatives.
    margin : float
        What is taken off the probability of a negative.
    """
    positive, negative = focused(_precise(logits), gamma_positive, gamma_negative, margin)
    return _mean_by_sign(positive, negative, labels, weight)


def focused(
    logits: Tensor, gamma_positive: float, gamma_negative: float, margin: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the logarithms of presence and of absence, each weighed down where it is easy.

    Both are ``(N, K)`` and at most 0; powers of 0 leave the logarithms as they are. Parameters are
    those of `asymmetric`; the focal loss has equal powers and no margin.
    """
    shifted = (torch.sigmoid(logits) - margin).clamp(min=0)
    # with a margin 1 - shifted stays away from zero; without one the logits are the exact way
    absent = torch.log1p(-shifted) if margin > 0 else functional.logsigmoid(-logits)
    positive = torch.sigmoid(-logits) ** gamma_positive * functional.logsigmoid(logits)
    return positive, shifted**gamma_negative * absent


def assume_negative(loss: Loss) -> Loss:
    """Return a multi-label loss that takes unknown labels for negative, instead of leaving them."""
    return lambda logits, labels: loss(logits, labels.clamp(min=0))


def tversky(
    logits: Tensor, masks: Tensor, *, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0
) -> Tensor:
    """Return one minus the Tversky index of each image's classes but the background.

    Salehi, Erdogmus and Gholipour, "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", MLMI 2017.

    Parameters
    ----------
    logits : Tensor
        ``(N, K, H, W)``; class 0 is the background.
    masks : Tensor
        ``(N, H, W)`` class numbers, int64.
    alpha, beta : float
        Weight of false positives and of false negatives.
    smooth : float
        Pixels added above and below, so that a class that is neither there nor found has no loss.
    """
    logits = _precise(logits)
    found = torch.softmax(logits, dim=1)[:, 1:]  # (N, K - 1, H, W)
    truth = _one_hot(masks, logits)[:, 1:]
    hit = (found * truth).sum((2, 3))
    false_positive, false_negative = found.sum((2, 3)) - hit, truth.sum((2, 3)) - hit
    index = (hit + smooth) / (hit + alpha * false_positive + beta * false_negative + smooth)
    return 1 - index.mean()


def dice(logits: Tensor, masks: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Return one minus the soft Dice coefficient of each image's classes but the background.

    After Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, with plain instead of squared sums: the
    Tversky index with both kinds of error weighing one half. Parameters are those of `tversky`,
    `smooth` counts pixels of the doubled intersection.
    """
    return tversky(logits, masks, alpha=0.5, beta=0.5, smooth=smooth / 2)


def lovasz(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the Lovász-softmax loss, a surrogate of the intersection over union.

    Berman, Triki and Blaschko, "The Lovász-softmax loss", CVPR 2018: for each image the mean over
    the classes in its mask, the background being one of them.

    Parameters
    ----------
    logits : Tensor
        ``(N, K, H, W)``.
    masks : Tensor
        ``(N, H, W)`` class numbers, int64.
    """
    logits = _precise(logits)
    truth = _one_hot(masks, logits).flatten(2)  # (N, K, P)
    errors = (truth - torch.softmax(logits, dim=1).flatten(2)).abs()
    errors, order = errors.sort(dim=2, descending=True)
    sorted_truth = truth.gather(2, order)
    inside = sorted_truth.sum(2, keepdim=True)
    hit, missed = sorted_truth.cumsum(2), (1 - sorted_truth).cumsum(2)
    jaccard = 1 - (inside - hit) / (inside + missed)  # loss where all errors so far were made
    steps = jaccard.diff(dim=2, prepend=torch.zeros_like(inside))
    each = (errors * steps).sum(2)  # (N, K)
    present = truth.amax(2)
    return ((each * present).sum(1) / present.sum(1)).mean()


def dice_ce(
    logits: Tensor, masks: Tensor, weight: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Return the sum of `dice` and the pixels' `cross_entropy`, as nnU-Net does.

    Isensee et al., "nnU-Net", Nature Methods, 2021. Weight and smoothing are the cross-entropy's.
    """
    return dice(logits, masks) + cross_entropy(logits, masks, weight, smoothing)


@dataclass(frozen=True)
class Named:
    """A loss that a recipe may name.

    Attributes
    ----------
    function : callable
        Maps logits, targets and options to one number.
    targets : tuple of str
        What it can be asked for: ``"classes"`` of images, ``"labels"`` (several an image),
        ``"masks"``.
    weighs, smooths : bool
        Whether it takes class weights, and label smoothing.
    """

    function: Callable[..., Tensor]
    targets: tuple[str, ...]
    weighs: bool = False
    smooths: bool = False


LOSSES = {
    "cross_entropy": Named(cross_entropy, ("classes", "masks"), weighs=True, smooths=True),
    "cumulative": Named(cumulative, ("classes",), smooths=True),
    "bce": Named(bce, ("labels",), weighs=True, smooths=True),
    "focal": Named(focal, ("labels",), weighs=True),
    "asymmetric": Named(asymmetric, ("labels",), weighs=True),
    "dice": Named(dice, ("masks",)),
    "dice_ce": Named(dice_ce, ("masks",), weighs=True, smooths=True),
    "tversky": Named(tversky, ("masks",)),
    "lovasz": Named(lovasz, ("masks",)),
}
TARGETS = {1: "classes", 2: "labels", 3: "masks"}  # by the dimensions of the labels
DEFAULTS = {"classes": "cross_entropy", "labels": "bce", "masks": "dice_ce"}


def _mean_by_sign(
    positive: Tensor, negative: Tensor, labels: Tensor, weight: Tensor | None
) -> Tensor:
    """Return minus the mean of the logarithms that the known labels choose."""
    positive = positive if weight is None else weight * positive
    return _mean_of_known(-torch.where(labels == 1, positive, negative), labels != UNKNOWN)


def _mean_of_known(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean of the values of known labels, 0 where there are none."""
    return torch.where(known, values, 0).sum() / known.sum().clamp(min=1)


def _precise(logits: Tensor) -> Tensor:
    """Return logits of half precision as float32: sums over many pixels need it."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _one_hot(masks: Tensor, like: Tensor) -> Tensor:
    """Turn class numbers ``(N, H, W)`` into zeros and ones ``(N, K, H, W)``."""
    return functional.one_hot(masks, like.shape[1]).permute(0, 3, 1, 2).to(like.dtype)
