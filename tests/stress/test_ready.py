"""How soon every page answers on a quiet machine, how much it loads, how far it jumps.

Each page is visited as by a new reader: nothing is cached. Ready is the end of the load, or of the
last task after it that held the page up for more than 50 ms, whichever is later.
"""

import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "site"))
from site_visit import WIDE, pages, wait_until

from tests.site.conftest import address, browser, site  # noqa: F401 (fixtures)

pytestmark = pytest.mark.stress
READY, JUMPS, BYTES = 2.0, 0.1, 2_000_000
BUSY = os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1)
QUIET = 1000  # milliseconds without a long task after which none is expected
SHOWN = 10
WATCH = """
  window.longTasks = []; window.jumps = 0;
  new PerformanceObserver((list) => list.getEntries()
    .forEach((task) => longTasks.push(task.startTime + task.duration)))
    .observe({ type: "longtask", buffered: true });
  new PerformanceObserver((list) => list.getEntries().filter((shift) => !shift.hadRecentInput)
    .forEach((shift) => { jumps += shift.value; }))
    .observe({ type: "layout-shift", buffered: true });
"""
MEASURED = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const files = performance.getEntriesByType("resource");
  const shared = (file) => file.name.includes("/_static/");
  const bytes = (some) => some.reduce((sum, file) => sum + file.encodedBodySize, 0);
  return {
    ready: Math.max(page.loadEventEnd, ...longTasks) / 1000, jumps,
    own: page.encodedBodySize + bytes(files.filter((file) => !shared(file))),
    shared: bytes(files.filter(shared)),
  };
}"""


def first_visit(chromium: Any, url: str) -> dict[str, float]:
    """Visit a page with an empty cache, and wait until it is idle."""
    context = chromium.new_context(viewport=WIDE, color_scheme="light")
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url, wait_until="load")
    wait_until(page, f"performance.now() > Math.max(0, ...longTasks) + {QUIET}", 60.0)
    found = page.evaluate(MEASURED)
    context.close()
    return found


@pytest.fixture(scope="module")
def visits(browser: Any, address: str) -> dict[str, dict[str, float]]:  # noqa: F811
    return {name: first_visit(browser, address + name) for name in pages()}


def worst(visits: dict[str, dict[str, float]], key: str, unit: float = 1) -> str:
    ranked = sorted(visits, key=lambda name: -visits[name][key])[:SHOWN]
    return ", ".join(f"{name} {visits[name][key] / unit:.2f}" for name in ranked)


@pytest.mark.timeout(1800)
@pytest.mark.skipif(BUSY, reason="the machine has other work: a time would say nothing")
def test_every_page_answers_within_two_seconds(visits, finding):
    slowest = max(each["ready"] for each in visits.values())
    middle = median(each["ready"] for each in visits.values())
    value = f"at most {slowest:.2f} s, median {middle:.2f} s; slowest: {worst(visits, 'ready')}"
    held = slowest < READY
    finding("site", "Seconds until a page answers, first visit", value, bar="< 2 s", held=held)
    assert held, value


@pytest.mark.timeout(1800)
def test_no_page_jumps(visits, finding):
    value = f"worst: {worst(visits, 'jumps')}"
    held = max(each["jumps"] for each in visits.values()) < JUMPS
    finding("site", "Layout shift while a page loads", value, bar="< 0.1", held=held)
    assert held, value


@pytest.mark.timeout(1800)
def test_no_page_loads_more_than_two_megabytes(visits, finding):
    shared = max(each["shared"] for each in visits.values()) / 1e6
    value = (
        f"heaviest, in MB without what all pages share: {worst(visits, 'own', 1e6)}; "
        f"shared and cached, uncompressed: {shared:.2f} MB"
    )
    held = max(each["own"] for each in visits.values()) < BYTES
    finding("site", "Bytes of a first visit", value, bar="< 2 MB", held=held)
    assert held, value
