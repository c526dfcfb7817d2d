"""Distillation: a small network learns what a large one says of each training image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.errors import MedlibError

__all__ = ["Teacher"]


@dataclass(frozen=True)
class Teacher:
    """Turns the labels of images into what trained networks say of the same images.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, at temperature
    1. The teacher sees each image as the student does, augmented. Give it to `medlib.fit` as
    ``relabel=``.

    Attributes
    ----------
    members : sequence of nn.Module
        Classifiers of one label an image; the mean of their probabilities is taught.
    weight : float
        Share of the teacher in the label; the true one has the rest.
    """

    members: Sequence[nn.Module]
    weight: float = 0.9

    def __post_init__(self) -> None:
        if not self.members or not 0 <= self.weight <= 1:
            raise MedlibError("a teacher needs at least one network and a weight in [0, 1]")

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return labels ``(N, K)``: the teacher's probabilities, mixed with the true ones.

        Parameters
        ----------
        images : Tensor
            ``(N, C, H, W)``, prepared as in training.
        labels : Tensor
            Class numbers ``(N,)``.
        """
        said = self.probabilities(images)
        true = functional.one_hot(labels, said.shape[1]).to(said)
        return torch.lerp(true, said, self.weight)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the mean of the members' probabilities, ``(N, K)``."""
        said = [each.eval()(images).softmax(1) for each in self.members]
        return torch.stack(said).mean(0)
