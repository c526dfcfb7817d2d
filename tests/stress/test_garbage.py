"""More than a thousand damaged files, each fed to the command that reads such files."""

from collections.abc import Callable

import pytest

from tests import damage
from tests.feeding import MEMORY, SECONDS, Fed, feed

pytestmark = pytest.mark.stress

RANDOM = 25  # random damages of each kind, times its weight
LEAST = 1000
_all: list[Fed] = []


@pytest.mark.parametrize("kind", damage.KINDS)
def test_each_input_is_read_correctly_or_refused_in_one_line(
    kind: str, finding: Callable[..., None]
):
    made = damage.KINDS[kind]
    count = len(damage.specials(kind)) + RANDOM * made.weight
    fed = feed({kind: range(count)})
    _all.extend(fed)
    faults = [f"{one.number} ({one.name}): {one.fault}" for one in fed if one.fault]
    finding(
        "garbage",
        f"Damaged {made.about}: read correctly, or refused in one line that names the file",
        f"{count - len(faults)} of {count}",
        bar="all",
        held=not faults,
    )
    assert faults == []


def test_the_whole_stays_within_its_limits(finding: Callable[..., None]):
    if len({one.kind for one in _all}) < len(damage.KINDS):
        pytest.skip("only some kinds were chosen")
    executed = [one for one in _all if "was executed" in one.fault]
    refused = sum(not one.answer.startswith("0") for one in _all)
    most, slowest = max(one.bytes for one in _all), max(one.seconds for one in _all)
    finding("garbage", "Damaged inputs in all, and how many of them were refused",
            f"{len(_all):,}, {refused:,}", bar=f"at least {LEAST:,}",
            held=len(_all) >= LEAST)  # fmt: skip
    finding("garbage", "Inputs whose code was executed", f"{len(executed)}", bar="none",
            held=not executed)  # fmt: skip
    finding("garbage", "Most memory for one input, beyond what the process held before",
            f"{most / 2**20:,.0f} MiB", bar="2,048 MiB", held=most < MEMORY)  # fmt: skip
    finding("garbage", "Longest time for one input", f"{slowest:.1f} s",
            bar=f"{SECONDS:g} s", held=slowest < SECONDS)  # fmt: skip
    assert len(_all) >= LEAST
    assert not executed
    assert most < MEMORY
