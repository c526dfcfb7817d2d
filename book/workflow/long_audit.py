"""What the long runs of chapter 4.8 compute: the audit of how benchmark scores are reported.

A benchmark's score is one number out of many that a training offers: one for each epoch and each
seed. This module trains a cheap network by the schedule of the published protocol (Adam, batches of
128, steps at one half and three quarters), predicts the test images after every epoch, and opens
the test labels once a training, through `evaluate_audit`. What is chosen from those labels is
never a result: it is shown as the mistake that it is.

**Arms.** ``audit-small``: `resnet_small` at 28 pixels; BreastMNIST and RetinaMNIST 100 epochs, five
seeds; PneumoniaMNIST 40 epochs, three seeds, to save time. ``audit-enlarged``: the same network and
schedule on the same images enlarged to 56 pixels by bilinear interpolation, which adds no
information; three seeds on BreastMNIST and on RetinaMNIST. Nothing was tuned.

**Known before.** The scores of ``resnet-small`` (our recipe), of its combinations, of the published
tables, and of chapters 3.10 to 3.17. Of these arms, nothing: only the speed of 20 steps.

**Rules of choosing the epoch.** (1) best validation AUC, as the protocol does; (2) the last epoch;
(3) the best test score. Gain = (3) minus (1), of the same training, for AUC and for accuracy apart.

**Endpoint.** Gain in test AUC on BreastMNIST, mean of five seeds with a t interval. The smallest
gain that matters: 0.02 (accuracy: 2 points). The other sets and accuracy are secondary and
described, not tested.

**Where does the gain go?** Test images are cut into two halves, 200 times, stratified by class. The
epoch with the best score on one half is judged on that half and on the other, both against the
epoch that validation chose.

**Hypotheses**, written before any of these scores was seen:

1. The gain in AUC is at least 0.02 on BreastMNIST and RetinaMNIST, below 0.02 on PneumoniaMNIST.
2. The gain in accuracy is at least 2 points on all three sets.
3. On BreastMNIST and RetinaMNIST less than half of the gain in AUC is left on the other half. On
   PneumoniaMNIST, whose test split comes from another distribution, more than half is left.
4. The standard deviation of the test AUC over seeds is smaller than the standard error that the
   sampling of test images alone gives it, on all three sets.
5. The best of five seeds lies less than 0.03 in AUC above their mean on both sets.
6. Enlarging to 56 pixels: the 95 % interval of the difference in AUC holds zero on both sets
   (`medlib.intervals.compare`); the smallest difference that matters is 0.03.
7. Best validation epoch against last epoch: less than 0.02 apart in mean AUC on all three sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from book.workflow.long_jobs import Job, Training
from book.workflow.long_models import Network, Predictor
from medlib.checkpoint import read_checkpoint, write_checkpoint
from medlib.data import Dataset
from medlib.evaluate import Scores, evaluate_audit, read_scores, rounded
from medlib.predict import predict_proba
from medlib.recipe import Recipe
from medlib.train import fit

REASON = (
    "shows what choosing the epoch on the test split would have gained: all epochs of one training "
    "are judged by the labels of this look"
)
METRICS = ("auc", "accuracy")
HALVINGS = 200

# epochs, seeds, processor minutes a training at 28 pixels
SMALL = {
    "breastmnist": (100, 5, 1.2),
    "retinamnist": (100, 5, 1.5),
    "pneumoniamnist": (40, 3, 3.2),
}
# side length as a multiple of 28 pixels, seeds, minutes
ENLARGED = {"breastmnist": (2, 3, 2.2), "retinamnist": (2, 3, 4.5)}


class Enlarged(nn.Module):
    """A network that sees its images enlarged by bilinear interpolation.

    Parameters
    ----------
    network : nn.Module
        Gives logits ``(N, K)``, whatever the size of the images.
    factor : int
        How many times as long each side becomes.
    """

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, K)``."""
        larger = functional.interpolate(images, scale_factor=float(self.factor), mode="bilinear")
        return self.network(larger)


@dataclass(frozen=True)
class EveryEpoch(Network):
    """The network of the epoch that validation chose, and what all epochs gave the test images.

    Attributes
    ----------
    epochs : ndarray
        Probabilities ``(E, N, K)``; the labels of these images had no part in them.
    """

    epochs: np.ndarray | None = None


@dataclass(frozen=True)
class Audited(Training):
    """A training whose every epoch is judged on the test split, to show what that would gain.

    Attributes
    ----------
    factor : int
        How many times as long each side of the images is made.
    """

    factor: int = 1

    def untrained(self, dataset: Dataset) -> nn.Module:
        """Return the network as it is before the first step."""
        network = super().untrained(dataset)
        return network if self.factor == 1 else Enlarged(network, self.factor)

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train, and predict the test images after each epoch; see `Job.predictor`."""
        kept, images = folder / self.id / "epochs.pt", dataset.test.images
        found: dict[int, np.ndarray] = {}
        if kept.exists():
            found = {k: t.numpy() for k, t in enumerate(read_checkpoint(kept)["test"])}

        def predict(epoch: int, model: nn.Module) -> None:
            found[epoch] = predict_proba(model, images, task=dataset.task, device=self.device)
            table = np.stack([found[each] for each in range(epoch + 1)])
            write_checkpoint(kept, {"test": torch.from_numpy(table)})

        model = self.untrained(dataset)
        checkpoint = folder / self.id / "checkpoint.pt"
        history = fit(
            model, dataset, self.recipe, seed=self.seed, device=self.device,
            checkpoint=checkpoint, progress=False, after_epoch=predict,
        )  # fmt: skip
        table = np.stack([found[epoch] for epoch in range(len(history.epochs))])
        details = self.details(history.to_dict()) | {"factor": self.factor}
        return EveryEpoch(model, dataset.task, self.device, table), details

    def look(self, predictor: Predictor, dataset: Dataset) -> Scores:
        """Open the labels of the test split, once; the scores are those of the chosen epoch."""
        named = {"model_id": self.model_id, "seed": self.seed}
        return evaluate_audit(predictor, dataset, reason=REASON, **named)

    def audit(self, predictor: Predictor, scored: Path) -> dict[str, Any]:
        """Return the test scores of every epoch, and what choosing by one half gives the other."""
        scores = read_scores(scored)
        assert isinstance(predictor, EveryEpoch)
        assert isinstance(scores, Scores)
        assert predictor.epochs is not None
        epochs = [replace(scores, probabilities=rounded(table)) for table in predictor.epochs]
        by_epoch = {name: [float(each.value(name)) for each in epochs] for name in METRICS}
        first, other = halvings(scores.labels, HALVINGS, self.seed)
        halves = {}
        for name in METRICS:
            here = np.stack([each.value(name, first) for each in epochs])
            there = np.stack([each.value(name, other) for each in epochs])
            plain = scores.value(name, first), scores.value(name, other)
            halves[name] = gains(here, there, *plain)
        return {"audit": {"reason": REASON, "epochs": by_epoch, "halves": halves}}


def halvings(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights ``(B, N)`` of the first and the other half of the cases, B times.

    Of each class one half, rounded down, is in the first.
    """
    random = np.random.default_rng(seed)
    first = np.zeros((count, len(labels)))
    for value in np.unique(labels):
        rows = np.flatnonzero(labels == value)
        for draw in first:
            draw[random.permutation(rows)[: len(rows) // 2]] = 1.0
    return first, 1.0 - first


def gains(
    here: np.ndarray, there: np.ndarray, plain_here: np.ndarray, plain_there: np.ndarray
) -> dict[str, float]:
    """Return how far the epoch that is best on one half lies above the usual one, on both halves.

    Parameters
    ----------
    here, there : ndarray
        Scores ``(E, B)`` of each epoch on the half that chooses, and on the other half.
    plain_here, plain_there : ndarray
        Scores ``(B,)`` of the epoch that validation chose.
    """
    epoch, draw = here.argmax(axis=0), np.arange(here.shape[1])
    return {
        "same_half": float(np.mean(here[epoch, draw] - plain_here)),
        "other_half": float(np.mean(there[epoch, draw] - plain_there)),
    }


def audit_jobs() -> Iterator[Job]:
    """Yield the trainings whose every epoch is judged."""
    for name, (epochs, seeds, minutes) in SMALL.items():
        recipe = replace(Recipe.medmnist(), epochs=epochs)
        for seed in range(seeds):
            yield Audited("audit-small", name, seed, minutes, recipe=recipe)
    for name, (factor, seeds, minutes) in ENLARGED.items():
        for seed in range(seeds):
            yield Audited(
                "audit-enlarged", name, seed, minutes, recipe=Recipe.medmnist(), factor=factor
            )
