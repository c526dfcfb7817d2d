"""How fast a network runs here: images a second, forward and in training."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.models.auxiliary import total_loss

__all__ = ["Speed", "side_by_side", "speed_of"]


@dataclass(frozen=True)
class Speed:
    """Images a second: medians over passes.

    Attributes
    ----------
    forward : float
        Prediction alone.
    training : float
        Forward, backward and a step of the optimiser.
    """

    forward: float
    training: float


def speed_of(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    num_classes: int,
    batch_size: int = 16,
    seconds: float = 1.0,
    threads: int = 1,
) -> Speed:
    """Measure a classifier or segmenter on the CPU with random images.

    Parameters
    ----------
    model : nn.Module
        The network; training changes it.
    input_shape : (C, H, W)
        Shape of one image.
    num_classes : int
        Number of its outputs.
    batch_size : int
        Images a pass.
    seconds : float
        Time for each of the two measurements; a pass is finished, and at least one is timed.
    threads : int
        Threads of PyTorch while it is measured.
    """
    images = torch.randn(batch_size, *input_shape).contiguous(memory_format=torch.channels_last)
    with _threads(threads):
        model = model.to(memory_format=torch.channels_last).eval()
        with torch.inference_mode():
            logits = model(images)
            forward = _median_seconds(lambda: model(images), seconds)
        labels = torch.zeros(batch_size, *logits.shape[2:], dtype=torch.long) % num_classes
        step = _training_step(model.train(), images, labels)
        step()
        training = _median_seconds(step, seconds)
    return Speed(batch_size / forward, batch_size / training)


def side_by_side(
    actions: Mapping[str, Callable[[], object]],
    rounds: int = 20,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median seconds of several actions, taken in turns.

    What else the machine does then meets all of them alike, so that their ratios mean more than
    the times themselves. Each action is done once before, unmeasured.

    Parameters
    ----------
    actions : mapping of str to callable
        What is timed, by name.
    rounds : int
        How often each is timed.
    clock : callable
        What tells the seconds; ``time.process_time`` counts those of this process alone, which on
        a busy machine are the ones to compare.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            before = clock()
            action()
            if turn:
                times[name].append(clock() - before)
    return {name: statistics.median(each) for name, each in times.items()}


def _training_step(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        total_loss(functional.cross_entropy, model(images), labels).backward()
        optimizer.step()

    return step


def _median_seconds(action: Callable[[], object], budget: float) -> float:
    """Repeat an action for a while and return the median time of one."""
    times, started = [], time.perf_counter()
    while not times or time.perf_counter() - started < budget:
        before = time.perf_counter()
        action()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
