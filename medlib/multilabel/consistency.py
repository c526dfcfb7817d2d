"""Consistency between two views of a case, in the manner of FixMatch, on frozen features (3.17)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medlib.errors import MedlibError
from medlib.multilabel.base import UNKNOWN
from medlib.multilabel.heads import HeadRecipe, LinearHead
from medlib.multilabel.losses import Loss, ignore_unknown


class ConsistencyHead(LinearHead):
    """A linear head that must say the same of a spoiled case as of a nearly intact one.

    Sohn et al. (NeurIPS 2020): where the answer to a weakly changed case is sure, it becomes the
    target for the strongly changed one. On features, the weak view has a little noise and the
    strong one lacks some of the features. Known labels are learned on the weak view.

    Parameters
    ----------
    recipe : HeadRecipe, optional
    confidence : float
        From this probability on (and one minus it down) an unknown label has a target.
    strength : float
        Weight of the unknown labels' mean against that of the known ones.
    noise : float
        Standard deviation of the weak view's noise, in standard deviations of a feature.
    dropped : float
        Share of the features that the strong view lacks.
    """

    def __init__(
        self,
        recipe: HeadRecipe | None = None,
        *,
        confidence: float = 0.9,
        strength: float = 1.0,
        noise: float = 0.1,
        dropped: float = 0.5,
    ) -> None:
        if not 0.5 < confidence <= 1 or not 0 <= dropped < 1:
            raise MedlibError(
                f"need 0.5 < confidence <= 1 and 0 <= dropped < 1, got {confidence}, {dropped}"
            )
        super().__init__(recipe=recipe)
        self.confidence, self.strength = confidence, strength
        self.noise, self.dropped = noise, dropped

    def build(self, num_features: int, labels: Tensor) -> nn.Module:
        """Return the layer; in training it answers to both views, one below the other."""
        return _TwoViews(super().build(num_features, labels), self.noise, self.dropped)

    def make_loss(self, labels: Tensor) -> Loss:
        """Return the loss of the two views' logits ``(2N, K)``."""
        return self._two_views_loss

    def _two_views_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weak, strong = logits.chunk(2)
        known_part = ignore_unknown(weak, labels)
        return known_part + self.strength * agreement(weak, strong, labels, self.confidence)


class _TwoViews(nn.Module):
    def __init__(self, layer: nn.Module, noise: float, dropped: float) -> None:
        super().__init__()
        self.layer, self.noise, self.dropped = layer, noise, dropped

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return self.layer(features)
        weak = features + self.noise * torch.randn_like(features)
        strong = F.dropout(features, self.dropped)
        return self.layer(torch.cat([weak, strong]))


def agreement(weak: Tensor, strong: Tensor, labels: Tensor, confidence: float) -> Tensor:
    """Return the loss of the strong view against sure answers to the weak one.

    The mean over the unknown labels; those without a sure answer count zero.

    Parameters
    ----------
    weak, strong : Tensor
        ``(N, K)`` logits.
    labels : Tensor
        ``(N, K)`` of 1, 0 and -1.
    confidence : float
        What is sure.
    """
    chance = weak.detach().sigmoid()
    unknown = labels == UNKNOWN
    sure = unknown & ((chance >= confidence) | (chance <= 1 - confidence))
    terms = F.binary_cross_entropy_with_logits(strong, chance.round(), reduction="none")
    return (terms * sure).sum() / unknown.sum().clamp(min=1)
