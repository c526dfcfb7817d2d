"""The short form of `make stress`'s test of scale: one thousand phantoms against four."""

import sys

import pytest

from tests.scale_runs import measured


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_four_times_the_phantoms_take_four_times_as_long_and_no_more_memory(tmp_path):
    few, many = (measured("streamed", tmp_path, count, 64, "linear") for count in (1_000, 4_000))
    # few pay more of the start for each phantom; other tests run beside
    assert 1 / 2 < many["microseconds"] / few["microseconds"] < 1.4
    in_file = (4_000 - 1_000) * 1.1 * 64**2
    # a copy of the images would add all of it to the few megabytes that training leaves
    assert many["grown"] - few["grown"] < in_file
