"""Commands that receive SIGKILL at a chosen moment, and what is compared afterwards."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from medlib.leftovers import leftovers
from tests.data.data_helpers import medmnist_arrays, packed

ROOT = Path(__file__).resolve().parents[1]

LOOK = 0.05  # seconds between two looks at a process
PATIENCE = 1800  # seconds after which a command hangs
TIMES = {
    *("started", "seconds", "processor_seconds", "peak_memory_mb", "measured", "stamp"),
    *("date", "hardware"),
}
KEPT_MARKS = (".part", ".tmp.ipynb", ".tmp", ".site-unfinished", ".writable")


@dataclass
class Command:
    """A command that is run again and again.

    Attributes
    ----------
    words : sequence of str
        Program and arguments.
    cwd : Path
        Where it runs.
    env : mapping of str to str
        What its environment holds besides this one's.
    """

    words: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> subprocess.Popen:
        """Start it in a process group of its own, without output."""
        return subprocess.Popen(
            self.words, cwd=self.cwd, env=os.environ | dict(self.env), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self) -> float:
        """Run it undisturbed; return the processor seconds that it took."""
        process, used = self.start(), 0.0
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            used = max(used, processor_seconds(process.pid))
            self.check_hurry(process, deadline)
            time.sleep(LOOK)
        said = process.stderr.read().decode()
        assert process.returncode == 0, said
        assert "Traceback" not in said
        return used

    def check_hurry(self, process: subprocess.Popen, deadline: float) -> None:
        """End what hangs, and fail."""
        if time.monotonic() > deadline:
            for each in tree(process.pid):
                os.kill(each, signal.SIGKILL)
            raise AssertionError(f"{self.words} hangs")

    def kill_when(self, due: Callable[[int], bool], victims: Callable[[int], list[int]]) -> bool:
        """Run it and kill when it is time; return whether it lived long enough to be killed.

        Parameters
        ----------
        due : callable
            Tells of a process id whether it is time.
        victims : callable
            Returns the processes to kill.
        """
        process = self.start()
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and not due(process.pid):
            self.check_hurry(process, deadline)
            time.sleep(LOOK)
        landed = process.poll() is None
        for each in victims(process.pid) if landed else []:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.communicate()
        return landed


def tree(pid: int) -> list[int]:
    """Return a process and all that it started and that still run, itself first.

    Read from ``/proc``: asking for every process of the machine would cost more than what is
    watched.
    """
    found = [pid] if _state(pid) not in {"", "Z"} else []
    for parent in found:  # it grows while it is walked
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def processor_seconds(pid: int) -> float:
    """Return what a process and all that it started have used, also what has ended meanwhile."""
    ticks = sum(sum(map(int, _fields(each)[11:15])) for each in tree(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def _state(pid: int) -> str:
    """Return the letter of a process's state; nothing where there is none."""
    return (_fields(pid) or [""])[0]


def _fields(pid: int) -> list[str]:
    """Return what ``/proc/PID/stat`` says after the name: the state, ..., the four times."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def alone(pid: int) -> list[int]:
    """Kill the command itself: what it started must end by itself."""
    return [pid]


def everything(pid: int) -> list[int]:
    """Kill the command and all that it started, as a machine does that goes down."""
    return tree(pid)


def one_child(generator: random.Random) -> Callable[[int], list[int]]:
    """Kill one process that the command started, or itself where it started none."""

    def choose(pid: int) -> list[int]:
        found = everything(pid)
        return [generator.choice(found[1:] or found)]

    return choose


def at_random(generator: random.Random, seconds: float) -> Callable[[int], bool]:
    """Return a moment within so many processor seconds."""
    moment = generator.uniform(0, seconds)
    return lambda pid: processor_seconds(pid) >= moment


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the digest of every file below some folders, times left out."""
    files = [p for name in names for p in sorted((folder / name).rglob("*")) if p.is_file()]
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """Return the digest of a file; of JSON without times and memory."""
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(timeless(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def timeless(value: Any) -> Any:
    """Return plain values without times and memory."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key not in TIMES}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def unfinished(folder: Path) -> list[str]:
    """Return the temporary files below a folder."""
    marked = [p for p in folder.rglob("*") if p.is_file() and p.name.endswith(KEPT_MARKS)]
    found = {*marked, *leftovers(folder, deep=True)}
    return sorted(path.relative_to(folder).as_posix() for path in found)


def at_size(path: Path, size: float) -> Callable[[int], bool]:
    """Return the moment at which a file has so many bytes."""
    return lambda pid: path.exists() and path.stat().st_size >= size


def trained(folder: Path) -> dict[str, Any]:
    """Return what a finished training is compared by: weights, settings, curves; no times."""
    from medlib.saved import load_model

    saved = load_model(folder)
    weights = hashlib.sha256()
    for name, tensor in saved.module.state_dict().items():
        weights.update(name.encode() + tensor.numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "provenance": timeless(dict(saved.provenance)),
        "history": digest(folder / "history.csv"),
        "record": digest(folder / "training.json"),
        "files": sorted(path.name for path in folder.iterdir()),
    }


@dataclass(frozen=True)
class Server:
    """A server on this machine: its address, and its files by path."""

    address: str
    files: dict[str, bytes]


@contextmanager
def slow_server(pause: float = 0.01) -> Iterator["Server"]:
    """Give a server that sends 64 KiB and then waits for some seconds."""
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
                    time.sleep(pause)

        def log_message(self, format: str, *args: object) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.daemon_threads = True
    threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
    yield Server(f"http://127.0.0.1:{service.server_port}", files)
    service.shutdown()
    service.server_close()


def download(folder: Path, server: Server, images: int = 3000) -> tuple[Command, int]:
    """Return ``medlib data get`` for a made-up set in a checkout of its own, and its bytes."""
    counts = {"train": images, "val": 200, "test": 400}
    content = packed(medmnist_arrays(counts))
    server.files["/toy.npz"] = content
    card = yaml.safe_load((ROOT / "data" / "breastmnist.yml").read_text("utf-8"))
    card |= {"counts": counts, "digests": {"md5": hashlib.md5(content).hexdigest()}}
    card |= {"download_bytes": len(content)}  # a server that sends far more is refused
    card["origins"] = [{"kind": "file", "url": f"{server.address}/toy.npz"}]
    root = folder / "checkout"
    shutil.copytree(ROOT / "medlib", root / "medlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data", root / "data")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "data" / "breastmnist.yml").write_text(yaml.safe_dump(card), encoding="utf-8")
    env = {"PYTHONPATH": str(root), "MEDLIB_CACHE": str(folder / "cache"), "MEDLIB_MIRROR": ""}
    words = [sys.executable, "-m", "medlib", "data", "get", "breastmnist"]
    return Command(words, root, env), len(content)


def cached(folder: Path) -> dict[str, str]:
    """Return the digests of a cache, without the list that names times of change."""
    found = digests(folder.parent, [folder.name])
    return {name: each for name, each in found.items() if not name.endswith(".digests.json")}
