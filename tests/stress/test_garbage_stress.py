"""More than a thousand damaged files, each fed to the command that reads such files."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from tests import damage
from tests.feeding import MEMORY, SECONDS, Fed, feed

pytestmark = [pytest.mark.stress, pytest.mark.timeout(7200)]

RANDOM = 18  # random damages of each kind, times its weight
LEAST = 1000


@cache
def plan() -> dict[str, range]:
    """Return the numbers of the inputs of each kind."""
    return {
        kind: range(len(damage.specials(kind)) + RANDOM * made.weight)
        for kind, made in damage.KINDS.items()
    }


@pytest.fixture(scope="module")
def fed() -> list[Fed]:
    """Feed all kinds in two processes, each of which imports everything once."""
    kinds = list(plan())
    halves = [{kind: plan()[kind] for kind in kinds[start::2]} for start in range(2)]
    with ThreadPoolExecutor(len(halves)) as pool:
        return [one for half in pool.map(feed, halves) for one in half]


@pytest.mark.parametrize("kind", damage.KINDS)
def test_each_input_is_read_correctly_or_refused_in_one_line(
    kind: str, fed: list[Fed], finding: Callable[..., None]
):
    faults = [f"{x.number} ({x.name}): {x.fault}" for x in fed if x.kind == kind and x.fault]
    finding(
        "garbage",
        f"Damaged {damage.KINDS[kind].about}: read correctly, or refused in one line that names "
        "the file",
        f"{len(plan()[kind]) - len(faults)} of {len(plan()[kind])}",
        bar="all",
        held=not faults,
    )
    assert faults == []


def test_the_whole_stays_within_its_limits(fed: list[Fed], finding: Callable[..., None]):
    executed = [one for one in fed if "was executed" in one.fault]
    refused = sum(not one.answer.startswith("0") for one in fed)
    most, slowest = max(one.bytes for one in fed), max(one.seconds for one in fed)
    finding("garbage", "Damaged inputs in all, and how many of them were refused",
            f"{len(fed):,}, {refused:,}", bar=f"at least {LEAST:,}",
            held=len(fed) >= LEAST)  # fmt: skip
    finding("garbage", "Inputs whose code was executed", f"{len(executed)}", bar="none",
            held=not executed)  # fmt: skip
    finding("garbage", "Most memory for one input, beyond what the process held before",
            f"{most / 2**20:,.0f} MiB", bar="2,048 MiB", held=most < MEMORY)  # fmt: skip
    finding("garbage", "Longest processor time for one input", f"{slowest:.1f} s",
            bar=f"{SECONDS:g} s", held=slowest < SECONDS)  # fmt: skip
    assert len(fed) >= LEAST
    assert not executed
    assert most < MEMORY
