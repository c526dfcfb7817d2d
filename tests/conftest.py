"""Shared by all tests: where the real images are, and how many tests could not have them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL_SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
LONG = ("proofs", "stress")  # markers with a command of their own
_ran = 0
_not_run: Counter[str] = Counter()


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Return the folder of real data sets; the test is skipped where there is none."""
    why = _why_no_mirror()
    if why:
        pytest.skip(why)
    return Path(os.environ["MEDLIB_MIRROR"])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread, as measured runs do: another number of threads rounds otherwise."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _why_no_mirror() -> str:
    folder = os.environ.get("MEDLIB_MIRROR", "")
    if not folder:
        return "MEDLIB_MIRROR is not set"
    return "" if Path(folder).is_dir() else f"MEDLIB_MIRROR names no folder: {folder}"


def _why_no_images(names: tuple[str, ...]) -> str:
    """Say which data sets are missing, in the mirror and the cache; nothing where all are here."""
    from medlib.data import card, store

    missing = [name for name in names if store.find(card(name)) is None]
    return f"not here: {', '.join(missing)}" if missing else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long unless ``-m`` names it; count tests that use `mirror`."""
    for marker in LONG:
        if marker not in config.option.markexpr:
            left_out = [item for item in items if item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not item.get_closest_marker(marker)]
    for item in items:
        if "mirror" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_images)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test on real images where they are missing.

    ``@pytest.mark.real_images`` needs the three small sets; ``real_images("busi128")`` those named.
    """
    if "mirror" in getattr(item, "fixturenames", ()):
        return  # the fixture itself decides
    for marker in item.iter_markers("real_images"):
        why = _why_no_images(marker.args or SMALL_SETS)
        if why:
            pytest.skip(why)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests on real images that ran, and those that did not, with the reason."""
    global _ran
    if "real_images" not in report.keywords:
        return
    if report.when == "call" and not report.skipped:
        _ran += 1
    elif report.skipped:
        _not_run[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with the line that says how much was tested on real images."""
    total = sum(_not_run.values())
    reasons = f" ({'; '.join(_not_run)})" if total else ""
    terminalreporter.write_line(f"real-image tests: {_ran} run, {total} not run{reasons}")
