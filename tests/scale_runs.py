"""Trainings in processes of their own, for the tests of scale: what they take in time and memory.

As a script it measures one of them and prints the figures as JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medlib import distributed
from medlib.data import Dataset, Split, card
from medlib.data.phantoms import Phantom, stream
from medlib.models import create
from medlib.train import Recipe, fit, seed_everything

RECIPE = Recipe(epochs=1, batch_size=128, learning_rate=1e-3, select="last")
VAL = 10  # one validation image for so many training images: an epoch costs the same a case
AT_LEAST = 16_384  # images that are timed: fewer take several epochs
NETWORKS = {
    "lenet5": lambda size: create("lenet5", in_channels=1, num_classes=2, image_size=size),
    "linear": lambda size: nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(size**2 // 16, 2)
    ),
}


def mapped(folder: Path, count: int, size: int) -> Dataset:
    """Stream phantoms into a file, block by block, and return a data set that is mapped from it."""
    whole = count + count // VAL
    path, labels = folder / "images.u8", np.empty(whole, dtype=np.int64)
    with path.open("wb") as file:
        at = 0
        for block in stream(Phantom(whole, size=size)):
            file.write(block.images.tobytes())
            labels[at : at + len(block)] = block.labels
            at += len(block)
    images = np.memmap(path, dtype=np.uint8, mode="r+", shape=(whole, 1, size, size))
    train, val = (
        Split(images[rows], labels[rows], np.arange(whole)[rows])
        for rows in (slice(0, count), slice(count, None))
    )
    return Dataset(card("breastmnist"), train, val, replace(val, labels=None), synthetic=True)


def own_memory() -> int:
    """Return the bytes that this process alone holds: not the pages of a mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Give a list: `own_memory` before the block, and the largest while it runs."""
    found, over = [own_memory(), own_memory()], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            found[1] = max(found[1], own_memory())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield found
    over.set()
    thread.join()


def streamed(folder: Path, count: int, size: int, network: str) -> dict[str, float]:
    """Train one network on so many phantoms; return what a case took, and the memory.

    Returns
    -------
    dict of str to float
        ``microseconds`` of processor time a case and epoch; ``peak`` memory in bytes, and by how
        much it has ``grown`` in the training; ``drawing`` the phantoms in microseconds a case;
        ``loss`` of the last epoch.
    """
    torch.set_num_threads(1)
    seed_everything(0)
    small = mapped(folder, 1280, size)
    fit(NETWORKS[network](size), small, RECIPE, progress=False)  # loads what the first one loads
    began = time.process_time()
    data = mapped(folder, count, size)
    drawn = time.process_time()
    recipe = replace(RECIPE, epochs=max(1, AT_LEAST // count))
    model = NETWORKS[network](size)
    with peak_memory() as memory:
        history = fit(model, data, recipe, progress=False)
    took = time.process_time() - drawn
    cases = count * recipe.epochs
    return {
        "count": count,
        "microseconds": 1e6 * took / cases,
        "drawing": 1e6 * (drawn - began) / count,
        "peak": memory[1],
        "grown": memory[1] - memory[0],
        "loss": history.epochs[-1]["train_loss"],
    }


def without_norm() -> nn.Module:
    """Make a network without batch norm, in double precision."""
    seed_everything(0)
    layers = [nn.Conv2d(1, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 13 * 13, 2)]
    return nn.Sequential(*layers).double()


def together(folder: Path, steps: int) -> dict[str, float]:
    """Train in as many processes as ``torchrun`` started; return the time of a ResNet's steps.

    The first process leaves the weights of 20 steps of `without_norm` as ``weights<processes>.pt``.
    """
    torch.set_num_threads(1)
    rank, world = (int(os.environ.get(name, default)) for name, default in
                   (("RANK", "0"), ("WORLD_SIZE", "1")))  # fmt: skip
    own = folder / f"{world}-{rank}"
    own.mkdir(exist_ok=True)
    data = mapped(own, 2560, 28)
    model = without_norm()
    fit(model, data, replace(RECIPE, max_steps=20), progress=False)
    if rank == 0:
        torch.save(model.state_dict(), folder / f"weights{world}.pt")
    network = create("resnet_small", in_channels=1, num_classes=2, image_size=28)
    began = time.perf_counter()
    fit(network, data, replace(RECIPE, epochs=100, max_steps=steps, validate_every=10_000),
        progress=False)  # fmt: skip
    return {"world": world, "rank": rank, "seconds": time.perf_counter() - began}


def measured(*words: object, processes: int = 1) -> dict[str, Any]:
    """Run this file in one process, or under ``torchrun`` in several; return what it printed."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(several if processes > 1 else []), __file__, *map(str, words)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    env |= {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure what the command line asks for; the first process prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("streamed", "together"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("numbers", nargs="+")
    args = parser.parse_args()
    if args.what == "streamed":
        count, size, network = args.numbers
        print(json.dumps(streamed(args.folder, int(count), int(size), network)))
        return
    found = together(args.folder, int(args.numbers[0]))
    if distributed.join("cpu").is_first:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
