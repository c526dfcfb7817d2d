"""A thousand to a million phantoms through `fit`, and one process against two."""

import statistics
import sys

import pytest
import torch

from tests.scale_runs import measured

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
    pytest.mark.timeout(3600),
]
# the largest in the middle, so that a machine that others use is as busy before it as after it
COUNTS = (1_000, 10_000, 100_000, 1_000_000, 100_000, 10_000, 1_000)
FLAT = 64e6  # bytes that a million cases may take beyond a thousand: labels, order, losses


def test_time_is_linear_and_memory_flat_up_to_a_million(tmp_path, finding):
    """Processor time a case is held against that of the largest number; so is the memory."""
    runs = [measured("streamed", tmp_path, count, 28, "lenet5") for count in COUNTS]
    found = {
        count: {
            key: statistics.fmean(run[key] for run in runs if run["count"] == count)
            for key in runs[0]
        }
        for count in sorted(set(COUNTS))
    }
    largest = found[max(found)]
    for count, run in found.items():
        ratio = run["microseconds"] / largest["microseconds"]
        finding(
            "scale",
            f"One epoch of LeNet-5 over {count:,} streamed phantoms, processor time a phantom",
            f"{run['microseconds']:.0f} µs, {ratio:.2f} of that at {max(found):,}",
            bar="0.90 to 1.10",
            held=0.9 <= ratio <= 1.1,
        )
    growth = largest["peak"] - min(run["peak"] for run in found.values())
    finding(
        "scale",
        f"Peak memory at {max(found):,} phantoms beyond the least, pages of the file left out",
        f"{growth / 1e6:.0f} MB, on a file of {1.1 * 784:.0f} MB",
        bar=f"at most {FLAT / 1e6:.0f} MB",
        held=growth <= FLAT,
    )
    finding("scale", "Drawing a phantom, processor time", f"{largest['drawing']:.0f} µs")
    assert all(
        0.9 <= run["microseconds"] / largest["microseconds"] <= 1.1 for run in found.values()
    ), found
    assert growth <= FLAT


def test_two_processes_give_the_same_weights_faster(tmp_path, finding):
    """A network without batch norm in double precision, 20 steps; the speed is that of a ResNet."""
    ratios = []
    for _ in range(5):  # both within the same minute, because the machine is shared
        one, two = (measured("together", tmp_path, 40, processes=n) for n in (1, 2))
        ratios.append(one["seconds"] / two["seconds"])
    alone, shared = (torch.load(tmp_path / f"weights{n}.pt") for n in (1, 2))
    off = max(float((alone[key] - shared[key]).abs().max()) for key in alone)
    finding(
        "scale",
        "Largest difference of a weight, `torchrun` with 1 and with 2 processes, 20 steps",
        f"{off:.1e}",
        bar="at most 1e-6",
        held=off <= 1e-6,
    )
    finding(
        "scale",
        "Speed-up of 2 processes on 2 cores, small ResNet, batch 128 (median of 5; range)",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
    )
    assert off <= 1e-6
