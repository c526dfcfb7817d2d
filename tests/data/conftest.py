"""A cache of its own for each test, tiny data sets, a local server that misbehaves on demand."""

import contextlib
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_helpers import medmnist_arrays, packed

from medlib.data import card, download
from medlib.data.cards import Card


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("MEDLIB_CACHE", str(folder))
    monkeypatch.setenv("MEDLIB_MIRROR", "")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_unreachable", {})
    return folder


@pytest.fixture
def tiny() -> tuple[Card, bytes]:
    """A BreastMNIST of 12 images: its card and the bytes of its file."""
    counts = {"train": 6, "val": 2, "test": 4}
    content = packed(medmnist_arrays(counts))
    digest = hashlib.md5(content).hexdigest()
    return replace(card("breastmnist"), counts=counts, digests={"md5": digest}), content


class Server:
    """What the local server holds, how it behaves, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def put(self, path: str, content: bytes, *script: str) -> str:
        """Offer a file; one word of the script is used up by each request, the last one stays."""
        self.files[path], self.script[path] = content, list(script) or ["ok"]
        return self.url(path)

    def next(self, path: str) -> str:
        words = self.script.get(path, ["404"])
        return words.pop(0) if len(words) > 1 else words[0]


class Handler(BaseHTTPRequestHandler):
    """Serve the files of a `Server` as its script says."""

    def do_GET(self) -> None:
        state: Server = self.server.state  # type: ignore[attr-defined]
        state.asked.append((self.path, self.headers.get("Range")))
        word, _, argument = state.next(self.path).partition(":")
        content = state.files.get(self.path, b"")
        getattr(self, f"_{word}", self._status)(content, argument or word)

    def _ok(self, content: bytes, argument: str) -> None:
        start = self._start(content)
        if start is None:
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self._send(content[start:], len(content) - start)

    def _whole(self, content: bytes, argument: str) -> None:
        """Ignore a request for a range."""
        self.send_response(200)
        self._send(content, len(content))

    def _cut(self, content: bytes, argument: str) -> None:
        """Break off after some bytes."""
        start = self._start(content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self._send(content[start : start + int(argument)], len(content) - start)

    def _stall(self, content: bytes, argument: str) -> None:
        """Send some bytes, then nothing for a while."""
        self.send_response(200)
        self._send(content[: int(argument)], len(content))
        time.sleep(1.5)

    def _trickle(self, content: bytes, argument: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for k in range(40):
            self.wfile.write(content[k : k + 1])
            self.wfile.flush()
            time.sleep(0.05)

    def _html(self, content: bytes, argument: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self._send(b"<html>please log in</html>", 26)

    def _endless(self, content: bytes, argument: str) -> None:
        """Announce no length and never end."""
        self.send_response(200)
        self.end_headers()
        for _ in range(200):
            self.wfile.write(bytes(1 << 14))

    def _unannounced(self, content: bytes, argument: str) -> None:
        """Send all, but do not say how much it is (as archives made on demand)."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def _status(self, content: bytes, argument: str) -> None:
        self.send_error(int(argument))

    def _start(self, content: bytes) -> int | None:
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        if int(wanted) < len(content):
            return int(wanted)
        self.send_error(416)
        return None

    def _send(self, content: bytes, announced: int) -> None:
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on 127.0.0.1."""
    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.daemon_threads = True
    service.state = Server(service.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield service.state  # type: ignore[attr-defined]
    service.shutdown()
    service.server_close()


@pytest.fixture
def cards_are(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the cards that medlib knows."""

    def replace_cards(*these: Card) -> None:
        module = sys.modules["medlib.data.cards"]  # its name in the package is the function
        known = {one.name: one for one in these}
        monkeypatch.setattr(module, "_cards_in", lambda folder: known)

    return replace_cards
