"""The benchmark on the other nine sets of MedMNIST, for a machine with a GPU and their files.

Our recipe, five seeds, and the published protocol (ResNet-18 at 28 pixels in single precision),
three seeds, as on the three small sets; beside them a constant and a histogram. A machine without a
GPU leaves the networks, and one without the files (``make data ALL=1``) leaves all of it. Settled
before any score. It has not been run: only phantoms went through it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from book.workflow.long_jobs import Baseline, Job, Training
from medlib.recipe import Recipe

# processor minutes of a network's training on the largest set, TissueMNIST, guessed; by images
NINE = {
    "bloodmnist": 0.1,
    "chestmnist": 0.5,
    "dermamnist": 0.1,
    "octmnist": 0.6,
    "organamnist": 0.2,
    "organcmnist": 0.1,
    "organsmnist": 0.1,
    "pathmnist": 0.6,
    "tissuemnist": 1.0,
}
OURS, PUBLISHED = range(5), range(3)
MINUTES = 15.0


@dataclass(frozen=True)
class OnGpu(Training):
    """A training that waits for a machine with a GPU."""

    device: ClassVar[str] = "cuda"


def twelve_jobs() -> Iterator[Job]:
    """Yield what the nine large sets need to stand beside the three small ones."""
    for name, share in NINE.items():
        for seed in OURS:
            yield OnGpu("resnet-small", name, seed, MINUTES * share, recipe=Recipe.small())
        for seed in PUBLISHED:
            yield OnGpu(
                "resnet18", name, seed, 2 * MINUTES * share, recipe=Recipe.medmnist(),
                network="resnet18",
            )  # fmt: skip
        for baseline in ("constant", "histogram"):
            yield Baseline(baseline, name, 0, 10 * share)
