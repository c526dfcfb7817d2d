"""A hundred SIGKILLs at random moments: the same command again gives the same files."""

import hashlib
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import kills
from tests import tiny_book as books
from tests.data.data_helpers import medmnist_arrays, packed
from tests.own.own_helpers import folders

pytestmark = [pytest.mark.stress, pytest.mark.timeout(7200)]
BOOK, TRAIN, OWN, GET = 2, 2, 2, 4  # kills: a hundred in all
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
) -> Tally:
    """Kill a command again and again, let it end, and compare with an undisturbed run."""
    generator, tally = random.Random(seed), Tally()
    fresh()
    seconds = command.run()
    expected = look()
    who = (kills.everything, kills.alone, kills.one_child(generator))
    while tally.landed < wanted:
        fresh()
        tally.rounds += 1
        for _ in range(min(generator.randint(1, 4), wanted - tally.landed)):
            tally.landed += command.kill_when(moments(generator, seconds), generator.choice(who))
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
    tiny_book = books.tiny_book(tmp_path / "checkout")
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
    tally = survive(command, fresh, lambda: trained(out), tmp_path, TRAIN, seed=2)
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
        return found | trained(out / "from-scratch") | {"report": (out / "report.html").exists()}

    tally = survive(command, fresh, look, tmp_path, OWN, seed=3)
    report(finding, "`medlib train`, a folder of pictures to its report", tally)


def test_downloads(tmp_path, finding):
    """A data set from a server on this machine, which sends slowly."""
    with slow_server() as (url, files):
        _download(tmp_path, finding, url, files)


def _download(tmp_path: Path, finding: Callable[..., None], url: str, files: dict) -> None:
    counts = {"train": 3000, "val": 200, "test": 400}
    content = packed(medmnist_arrays(counts))
    card = yaml.safe_load((ROOT / "data" / "breastmnist.yml").read_text("utf-8"))
    card |= {"counts": counts, "digests": {"md5": hashlib.md5(content).hexdigest()}}
    card["origins"] = [{"kind": "file", "url": f"{url}/toy.npz"}]
    files["/toy.npz"] = content
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "medlib", root / "medlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data", root / "data")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "data" / "breastmnist.yml").write_text(yaml.safe_dump(card), encoding="utf-8")
    cache = tmp_path / "cache"
    env = {"PYTHONPATH": str(root), "MEDLIB_CACHE": str(cache), "MEDLIB_MIRROR": ""}
    words = [sys.executable, "-m", "medlib", "data", "get", "breastmnist"]
    command = kills.Command(words, root, env)

    def look() -> dict[str, str]:
        return {k: v for k, v in kills.digests(tmp_path, ["cache"]).items() if "digests" not in k}

    def moment(generator: random.Random, seconds: float) -> Callable[[int], bool]:
        """Half of the kills come by time, half when so many bytes are here."""
        size = generator.uniform(0, len(content))
        part = cache / "breastmnist.npz.part"
        by_size = lambda pid: part.exists() and part.stat().st_size >= size  # noqa: E731
        return by_size if generator.random() < 0.5 else kills.at_random(generator, seconds)

    fresh = lambda: shutil.rmtree(cache, ignore_errors=True)  # noqa: E731
    tally = survive(command, fresh, look, tmp_path, GET, seed=4, moments=moment)
    report(finding, "`medlib data get`, from a slow server", tally)


@contextmanager
def slow_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Give the address of a server that sends 64 KiB every few milliseconds, and its files."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files[self.path]
            start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                place = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", place)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            with suppress(ConnectionError):
                for at in range(start, len(content), 1 << 16):
                    self.wfile.write(content[at : at + (1 << 16)])
                    time.sleep(0.01)

        def log_message(self, format: str, *args: object) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.daemon_threads = True
    threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{service.server_port}", files
    service.shutdown()
    service.server_close()


def trained(folder: Path) -> dict[str, Any]:
    """Return what a finished training is compared by: weights, settings, curves; no times."""
    from medlib.saved import load_model

    saved = load_model(folder)
    weights = hashlib.sha256()
    for name, tensor in saved.module.state_dict().items():
        weights.update(name.encode() + tensor.numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "provenance": kills.timeless(dict(saved.provenance)),
        "history": kills.digest(folder / "history.csv"),
        "record": kills.digest(folder / "training.json"),
        "files": sorted(path.name for path in folder.iterdir()),
    }


def _training(folder: Path) -> dict[str, str]:
    """Return an environment in which a training writes only below a folder."""
    return {
        "PYTHONPATH": str(ROOT),
        "MEDLIB_BUILD": str(folder / "build"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    }
