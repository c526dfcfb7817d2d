"""Servers, disks and clocks that lie, for minutes: the long form of ``data/test_lies.py``."""

import contextlib
import hashlib
import itertools
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_book import TinyBook

from medlib.data import download
from medlib.data.download import PATIENT, Patience, fetch, part_of
from medlib.errors import MedlibError
from tests.data.test_lies import LIES
from tests.lying_server import Server, running

pytestmark = [pytest.mark.stress, pytest.mark.timeout(1800)]

QUICK = Patience(connect=2.0, stall=0.5, attempts=2, pause=0.01)
CONTENT = bytes(range(256)) * 1200  # 300 kB
DIGEST = ("sha256", hashlib.sha256(CONTENT).hexdigest())
SMALL = 512 * 1024  # bytes of the disk that is full
DAY = 86_400
TRAIN = ("train", "breastmnist", "--phantom", "--model", "lenet5", "--device", "cpu", "--steps",
         "20")  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as state:
        yield state


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_unreachable", {})


def stories() -> Iterator[tuple[str, ...]]:
    """Yield what a server does in a row: each lie by itself, cuts anywhere, pairs of lies."""
    for word, _ in LIES.values():
        yield (word,)
    for k in range(60):
        yield (f"cut:{k * 5003}", f"{('reset', 'stall')[k % 2]}:{k * 101}")
    passing = ("500", "busy:0", "cut:70000", "reset:90000", "nothing", "whole", "chunk_cut",
               "changed", "range:bytes {start}-{total}/{total}", "range:bytes 0-9/10", "part",
               "unannounced", "longer")  # fmt: skip
    yield from itertools.permutations(passing, 2)


def test_the_cache_never_holds_a_wrong_file(server, tmp_path, finding):
    def tell(number: int, story: tuple[str, ...]) -> str:
        target = tmp_path / f"{number}" / "f.npz"
        url = server.put(f"/{number}/f.npz", CONTENT, *story, *story)
        for _ in range(2):
            with contextlib.suppress(MedlibError):
                fetch(url, target, digest=DIGEST, patience=QUICK)
            if target.exists() and target.read_bytes() != CONTENT:
                return f"{story}: a wrong file"
        server.put(f"/{number}/f.npz", CONTENT)
        fetch(url, target, digest=DIGEST, patience=QUICK)
        return "" if target.read_bytes() == CONTENT else f"{story}: a wrong file at last"

    told = list(stories())
    with ThreadPoolExecutor(8) as pool:
        wrong = [said for said in pool.map(tell, range(len(told)), told) if said]
    finding("lies", "Misbehaving servers after which the cache held the right file or none, and a "
            "second try at an honest one succeeded", f"{len(told) - len(wrong)} of {len(told)}",
            bar="all", held=not wrong)  # fmt: skip
    assert wrong == []


SLOW = ("hang:200", "stall:70000", "seconds", "status_line:200", "headers:200", "chunks:200")


def test_a_wait_ends_also_with_the_patience_of_a_user(server, tmp_path, finding, monkeypatch):
    monkeypatch.setattr("tests.lying_server.Handler._stall", _stall_for_minutes)
    most = PATIENT.attempts * (2 * PATIENT.stall + 20.0)  # twice: headers, then content

    def wait(word: str) -> tuple[float, str]:
        started, said = time.monotonic(), "it arrived"
        try:
            fetch(server.put(f"/{word}", CONTENT, word), tmp_path / word, digest=DIGEST)
        except MedlibError as error:
            said = str(error)
        return time.monotonic() - started, said

    with ThreadPoolExecutor(len(SLOW)) as pool:
        waited = dict(zip(SLOW, pool.map(wait, SLOW), strict=True))
    longest = max(seconds for seconds, _ in waited.values())
    finding("lies", "Longest wait before `medlib data get` gave up a server that stalls or drips",
            f"{longest:.0f} s", bar=f"{most:.0f} s", held=longest < most)  # fmt: skip
    assert all("tries without progress" in said for _, said in waited.values()), waited
    assert longest < most


def _stall_for_minutes(self: object, content: bytes, argument: str) -> None:
    self._send(content[: int(argument)], len(content))  # type: ignore[attr-defined]
    time.sleep(200)


def test_two_processes_download_a_file_once(server, tmp_path, finding):
    url = server.put("/f", CONTENT, "stall:70000", "ok")
    code = (
        "import sys; from pathlib import Path; from medlib.data.download import fetch, Patience;"
        "fetch(sys.argv[1], Path(sys.argv[2]), digest=('sha256', sys.argv[3]),"
        " patience=Patience(stall=0.5, pause=0.1))"
    )
    command = [sys.executable, "-c", code, url, str(tmp_path / "f"), DIGEST[1]]
    both = [subprocess.Popen(command) for _ in range(2)]
    codes = [process.wait(120) for process in both]
    held = codes == [0, 0] and len(server.asked) == 2
    finding("lies", "Two processes that download one file at once: both have it, transferred once",
            "yes" if held else f"exit codes {codes}, {len(server.asked)} requests",
            bar="yes", held=held)  # fmt: skip
    assert held
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


# ---------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of half a megabyte; skipped where this user may not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount).returncode:
        pytest.skip("only root may mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def command(*words: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a medlib command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "medlib", *map(str, words)],
        capture_output=True, text=True, timeout=300, env=os.environ | environment,
    )  # fmt: skip


def check_refusal(done: subprocess.CompletedProcess, *words: str) -> None:
    """Let a command have ended with one line that says these words."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert any(word in last for word in words), last


def fill(folder: Path, leave: int) -> None:
    """Fill a disk until so many bytes are left."""
    free = shutil.disk_usage(folder).free
    (folder / "filler").write_bytes(bytes(max(0, free - leave)))


def test_a_full_disk_while_downloading(server, small_disk, finding):
    content = CONTENT * 3
    digest = ("sha256", hashlib.sha256(content).hexdigest())
    url = server.put("/f", content, "unannounced")
    with pytest.raises(MedlibError, match="the disk is full: .*run the same command again"):
        fetch(url, small_disk / "f.npz", digest=digest, patience=QUICK)
    kept = part_of(small_disk / "f.npz").read_bytes()
    held = content.startswith(kept) and len(kept) > 400_000 and not (small_disk / "f.npz").exists()
    subprocess.run(["mount", "-o", f"remount,size={4 * SMALL}", str(small_disk)], check=True)
    server.put("/f", content)
    fetch(url, small_disk / "f.npz", digest=digest, patience=QUICK)
    finding("lies", "A disk that is full during a download: one sentence, the beginning kept, and "
            "continued once there is room", "yes" if held else "no", bar="yes",
            held=held)  # fmt: skip
    assert held
    assert server.asked[-1][1] == f"bytes={len(kept)}-"


def test_a_full_disk_while_training(small_disk, tmp_path, finding):
    whole = command(*TRAIN, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    fill(small_disk, 100_000)
    check_refusal(command(*TRAIN, "--out", small_disk / "run"), "No space left", "disk is full")
    left = sorted(path.name for path in (small_disk / "run").glob("*"))
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    again = command(*TRAIN, "--resume", "--out", small_disk / "run")
    same = again.returncode == 0 and _weights(small_disk / "run") == _weights(tmp_path / "whole")
    finding("lies", "A disk that is full during a training: one sentence, and with room again "
            "the same command ends with the same weights", "yes" if same else again.stderr[-80:],
            bar="yes", held=same)  # fmt: skip
    assert same, (left, again.stderr)


def _weights(folder: Path) -> str:
    from medlib.saved import load_model

    return load_model(folder).digest


GOOD = 'import medlib\n\nrun = medlib.begin("{stem}", profile=profile, seed=seed, device=device)\n'


@pytest.fixture
def book(tiny_book: TinyBook) -> TinyBook:
    """A tiny book whose builds may wait for a busy machine."""
    tiny_book.timeout = 1500.0
    return tiny_book


def _two_chapters(book: TinyBook) -> None:
    for stem in ("01-01-one", "01-02-two"):
        book.write(stem, GOOD.format(stem=stem) + f'print("first words of {stem}")')


def _stamps(book: TinyBook) -> dict[str, int]:
    return {p.stem: p.stat().st_ino for p in book.path("stamps").glob("*.json")}


def test_a_full_disk_while_building(book, small_disk, finding):
    _two_chapters(book)
    done = book.build(MEDLIB_BUILD=str(small_disk))
    said = (done.stdout + done.stderr).strip()
    held = done.returncode != 0 and "the disk is full" in said and "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    again = book.build(MEDLIB_BUILD=str(small_disk))
    held = held and again.returncode == 0
    finding("lies", "A disk that is full during `make book`: one sentence, and the next build with "
            "room succeeds", "yes" if held else said[-120:], bar="yes", held=held)  # fmt: skip
    assert held, said + again.stdout + again.stderr


def test_a_folder_that_may_not_be_written(small_disk, book, tmp_path, finding):
    fill(small_disk, 50_000)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    _two_chapters(book)
    picture = tmp_path / "p.png"
    from tests import damage

    picture.write_bytes(damage.picture("PNG"))
    (tmp_path / "model.pt").write_bytes(damage.sound_model())
    tries = {
        "train": command(*TRAIN, "--out", small_disk / "run"),
        "predict": command(
            "predict", tmp_path / "model.pt", picture, "--csv", small_disk / "t.csv"
        ),
        "explain": command("explain", tmp_path / "model.pt", picture, "--out", small_disk / "maps"),
        "book": book.build(MEDLIB_BUILD=str(small_disk)),
    }
    refused = [
        name
        for name, done in tries.items()
        if done.returncode == 2
        and "Read-only file system" in done.stderr.strip().splitlines()[-1]
        and "Traceback" not in done.stderr
    ]
    said = command("data", "get", "breastmnist", MEDLIB_CACHE=str(small_disk), MEDLIB_MIRROR="")
    if said.returncode == 1 and "set MEDLIB_CACHE" in said.stderr:
        refused.append("data get")
    count = len(tries) + 1
    finding("lies", "Commands that write to a read-only disk: refused in one line that names the "
            "place and the remedy", f"{len(refused)} of {count}", bar="all",
            held=len(refused) == count)  # fmt: skip
    assert len(refused) == count, (
        refused,
        {k: v.stderr[-300:] for k, v in tries.items()},
        said.stderr,
    )


def test_a_quota_on_the_size_of_files(tmp_path, finding):
    """The portable form of a full disk: no root needed."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(
        [sys.executable, "-m", "medlib", *TRAIN, "--out", str(tmp_path / "run")],
        capture_output=True, text=True, preexec_fn=limited,
    )  # fmt: skip
    check_refusal(done, "File too large")


# ---------------------------------------------------------------- two at once, and the clock


def test_two_builds_at_once(book, finding):
    go = book.root / "go"
    wait = f"""
import time
from pathlib import Path

while not Path({str(go)!r}).exists():
    time.sleep(0.2)
"""
    book.write("01-01-slow", GOOD.format(stem="01-01-slow") + wait)
    first: list[subprocess.CompletedProcess] = []
    thread = threading.Thread(target=lambda: first.append(book.build()))
    thread.start()
    deadline = time.monotonic() + 1200
    while not book.path("logs/01-01-slow.log").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    refused = [book.build() for _ in range(3)]
    go.touch()
    thread.join()
    messages = {done.stderr.strip().splitlines()[-1] for done in refused}
    held = (
        first[0].returncode == 0
        and all(done.returncode == 2 for done in refused)
        and all("another build runs in this checkout (process " in text for text in messages)
    )
    finding("lies", "Three builds started beside a running one: each refused with the number of "
            "the process, and the first undisturbed", "yes" if held else "no", bar="yes",
            held=held)  # fmt: skip
    assert held, (messages, first[0].stdout, first[0].stderr)
    assert "Nothing to do" in book.build().stdout


def test_the_clock_goes_back_by_a_day(book, finding):
    _two_chapters(book)
    assert book.build().returncode == 0
    for path in book.path("").rglob("*"):
        then = path.stat().st_mtime + DAY
        os.utime(path, (then, then))
    before = _stamps(book)
    idle = "Nothing to do" in book.build().stdout and _stamps(book) == before
    book.write("01-01-one", GOOD.format(stem="01-01-one") + 'print("quite other words")')
    done = book.build()
    after = _stamps(book)
    page = book.path("html/notebooks/01-01-one.html").read_text("utf-8")
    once = after["01-01-one"] != before["01-01-one"] and after["01-02-two"] == before["01-02-two"]
    shown = "quite other words" in page and "first words of 01-01" not in page
    rest = "Nothing to do" in book.build().stdout and _stamps(book) == after
    held = done.returncode == 0 and idle and once and shown and rest
    finding("lies", "The clock goes back by a day after a build: nothing is executed; then a "
            "changed chapter, once, and its page shows it", "yes" if held else "no", bar="yes",
            held=held)  # fmt: skip
    assert (done.returncode, idle, once, shown, rest) == (0, True, True, True, True), done.stdout
