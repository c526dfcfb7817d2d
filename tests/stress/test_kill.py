"""A hundred SIGKILLs at random moments: the same command again gives the same files."""

import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import kills
from tests import tiny_book as books
from tests.own.own_helpers import folders

pytestmark = [pytest.mark.stress, pytest.mark.timeout(7200)]
BOOK, TRAIN, OWN, GET = 15, 25, 10, 50  # kills: a hundred in all
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Tally:
    """What came of one command's kills."""

    landed: int = 0
    rounds: int = 0
    different: int = 0
    left: int = 0

    @property
    def held(self) -> bool:
        return not (self.different or self.left)

    def __str__(self) -> str:
        return (
            f"{self.landed} kills in {self.rounds} runs: {self.different} ended otherwise, "
            f"{self.left} left temporary files"
        )


def survive(
    command: kills.Command,
    fresh: Callable[[], None],
    look: Callable[[], Any],
    folder: Path,
    wanted: int,
    seed: int,
    moments: Callable[[random.Random, float], Callable[[int], bool]] = kills.at_random,
    done: Callable[[], bool] = lambda: False,
) -> Tally:
    """Kill a command again and again, let it end, and compare with an undisturbed run.

    ``done`` tells of a command that refuses to run again that it had ended before the kill.
    """
    generator, tally = random.Random(seed), Tally()
    fresh()
    seconds = command.run()
    expected = look()
    who = (kills.everything, kills.alone, kills.one_child(generator))
    while tally.landed < wanted:
        fresh()
        tally.rounds += 1
        for _ in range(min(generator.randint(1, 4), wanted - tally.landed)):
            if done():
                break
            tally.landed += command.kill_when(moments(generator, seconds), generator.choice(who))
        if not done():
            command.run()
        tally.different += look() != expected
        tally.left += bool(kills.unfinished(folder))
    return tally


def report(finding: Callable[..., None], what: str, tally: Tally) -> None:
    """Write down what came of the kills, then judge it."""
    finding("kill", what, str(tally), bar="all the same, nothing left", held=tally.held)
    assert tally.held, tally


ONE = """
run.leave("taken.json").write_text("[1, 2, 3]")
medlib.record("toy-count", value=42)
print("one", 6 * 7)"""
TWO = """
taken = run.take("01-01-one", "taken.json").read_text()
medlib.record("toy-sum", value=len(taken))
print("two", taken)"""
CLAIMS = [
    {"id": "toy-count", "chapter": "01-01-one"},
    {"id": "toy-sum", "chapter": "01-02-two"},
]


def test_the_book(tmp_path, finding):
    """Executions, stamps, results and artefacts of a book of two chapters."""
    tiny_book = books.new_book(tmp_path / "checkout")
    begin = "import medlib\n\nrun = medlib.begin('{}', profile=profile, seed=seed, device=device)\n"
    tiny_book.write("01-01-one", begin.format("01-01-one") + ONE)
    tiny_book.write("01-02-two", begin.format("01-02-two") + TWO)
    common = {"sentence": "It is so.", "kind": "count", "metric": "cases"}
    text = yaml.safe_dump([claim | common for claim in CLAIMS])
    (tiny_book.root / "book" / "claims.yml").write_text(text)
    words = [sys.executable, "-m", "book.workflow.build", "--profile", "fast", "--cores", "2"]
    env = {"PYTHONPATH": str(tiny_book.root), "MEDLIB_OFFLINE": "1"}
    command = kills.Command(words, tiny_book.root, env)
    built = tiny_book.path("")

    def look() -> dict[str, Any]:
        names = ("executed", "results", "artefacts", "stamps", "fingerprints", "generated")
        pages = sorted((built / "html").rglob("*.html"))
        whole = [page.read_text("utf-8").rstrip().endswith("</html>") for page in pages]
        found = kills.digests(built, names)
        found.pop("generated/status.md", None)  # it lists the times
        return found | {page.name: ok for page, ok in zip(pages, whole, strict=True)}

    fresh = lambda: shutil.rmtree(built, ignore_errors=True)  # noqa: E731
    tally = survive(command, fresh, look, built, BOOK, seed=1)
    report(finding, "`make book`, two chapters, profile fast", tally)


def test_a_training(tmp_path, finding):
    """A training of a named data set, with a checkpoint after each epoch."""
    out = tmp_path / "out"
    words = [sys.executable, "-m", "medlib", "train", "breastmnist", "--phantom", "--resume"]
    words += ["--model", "lenet5", "--epochs", "12", "--device", "cpu", "--out", str(out)]
    command = kills.Command(words, tmp_path, _training(tmp_path))
    fresh = lambda: shutil.rmtree(out, ignore_errors=True)  # noqa: E731
    tally = survive(command, fresh, lambda: kills.trained(out), tmp_path, TRAIN, seed=2)
    report(finding, "`medlib train`, a data set by name", tally)


def test_own_pictures(tmp_path, finding):
    """From a folder of pictures to the report, tested once."""
    out, build = tmp_path / "out", tmp_path / "build"
    folders(tmp_path / "pictures", 20)
    words = [sys.executable, "-m", "medlib", "train", str(tmp_path / "pictures"), "--resume"]
    words += ["--way", "scratch", "--model", "lenet5", "--steps", "60", "--device", "cpu"]
    command = kills.Command([*words, "--out", str(out)], tmp_path, _training(tmp_path))

    def fresh() -> None:
        for folder in (out, build):
            shutil.rmtree(folder, ignore_errors=True)

    def look() -> dict[str, Any]:
        names = ("cases.csv", "test-predictions.csv", "summary.json", "model.onnx")
        found = {name: kills.digest(out / name) for name in names}
        return (
            found | kills.trained(out / "from-scratch") | {"report": (out / "report.html").exists()}
        )

    done = (out / "report.html").exists
    tally = survive(command, fresh, look, tmp_path, OWN, seed=3, done=done)
    report(finding, "`medlib train`, a folder of pictures to its report", tally)


def test_downloads(tmp_path, finding):
    """A data set from a server on this machine, which sends slowly."""
    with kills.slow_server() as server:
        command, size = kills.download(tmp_path, server)
        cache = tmp_path / "cache"

        def moment(generator: random.Random, seconds: float) -> Callable[[int], bool]:
            """Half of the kills come by time, half when so many bytes are here."""
            if generator.random() < 0.5:
                return kills.at_random(generator, seconds)
            return kills.at_size(cache / "breastmnist.npz.part", generator.uniform(0, size))

        look = lambda: kills.cached(cache)  # noqa: E731
        fresh = lambda: shutil.rmtree(cache, ignore_errors=True)  # noqa: E731
        tally = survive(command, fresh, look, tmp_path, GET, seed=4, moments=moment)
    report(finding, "`medlib data get`, from a slow server", tally)


def _training(folder: Path) -> dict[str, str]:
    """Return an environment in which a training writes only below a folder."""
    return {
        "PYTHONPATH": str(ROOT),
        "MEDLIB_BUILD": str(folder / "build"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    }
