"""A server on 127.0.0.1 that misbehaves on demand, as servers, proxies and networks do."""

import contextlib
import gzip
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a server while the block runs."""
    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.daemon_threads = True
    service.block_on_close = False
    service.state = Server(service.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service.state  # type: ignore[attr-defined]
    finally:
        service.shutdown()
        service.server_close()


class Handler(BaseHTTPRequestHandler):
    """Serve the files of a `Server` as its script says: a word, and behind a colon its argument."""

    def do_GET(self) -> None:
        state: Server = self.server.state  # type: ignore[attr-defined]
        state.asked.append((self.path, self.headers.get("Range")))
        word, _, argument = state.next(self.path).partition(":")
        content = state.files.get(self.path, b"")
        getattr(self, f"_{word}", self._status)(content, argument or word)

    # ---- as it should be, more or less

    def _ok(self, content: bytes, argument: str) -> None:
        start = self._start(content)
        if start is not None:
            self._send(content[start:], len(content) - start, start, len(content))

    def _whole(self, content: bytes, argument: str) -> None:
        """Ignore a request for a range."""
        self._send(content, len(content))

    def _unannounced(self, content: bytes, argument: str) -> None:
        """Send all, but do not say how much it is (as archives made on demand)."""
        self._send(content, None)

    def _status(self, content: bytes, argument: str) -> None:
        self.send_error(int(argument))

    # ---- slow

    def _stall(self, content: bytes, argument: str) -> None:
        """Send some bytes, then nothing for a while."""
        self._send(content[: int(argument)], len(content))
        time.sleep(1.5)

    def _hang(self, content: bytes, argument: str) -> None:
        """Say nothing at all for so many seconds."""
        time.sleep(float(argument))

    def _trickle(self, content: bytes, argument: str) -> None:
        self._drip(b"", content[:40])

    def _drip(self, whole: bytes, slowly: bytes, pause: float = 0.05) -> None:
        """Send a head at once, then byte by byte."""
        if not whole:
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 20))
            self.end_headers()
        else:
            self.wfile.write(whole)
        for byte in slowly:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(pause)

    def _seconds(self, content: bytes, argument: str) -> None:
        """Send one byte a second, for longer than anybody waits."""
        self._drip(b"", content[:200], pause=1.0)

    def _status_line(self, content: bytes, argument: str) -> None:
        """Send the status line letter by letter, and never end it."""
        self._drip(b"HTTP/1.1 200 ", b"O" * int(float(argument) * 20))

    def _headers(self, content: bytes, argument: str) -> None:
        """Send headers letter by letter, without end."""
        line = b"X-Patience: " + b"a" * 60 + b"\r\n"
        self._drip(b"HTTP/1.1 200 OK\r\n", line * int(float(argument) / 3.5 + 1))

    def _chunks(self, content: bytes, argument: str) -> None:
        """Announce the size of a chunk digit by digit, and never end it."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._drip(head, b"0" * int(float(argument) * 20))

    # ---- cut short, or too long

    def _cut(self, content: bytes, argument: str) -> None:
        """Break off after some bytes."""
        start = self._start(content)
        if start is not None:
            piece = content[start : start + int(argument)]
            self._send(piece, len(content) - start, start, len(content))

    def _cut_unannounced(self, content: bytes, argument: str) -> None:
        """Break off without having said how much it is: nobody can tell but by the digest."""
        self._send(content[: int(argument)], None)

    def _reset(self, content: bytes, argument: str) -> None:
        """Send some bytes and reset the connection (RST)."""
        self._send(content[: int(argument)], len(content))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _nothing(self, content: bytes, argument: str) -> None:
        """Close the connection without a word."""

    def _longer(self, content: bytes, argument: str) -> None:
        """Send more than was announced."""
        self._send(content * 2, len(content))

    def _shorter(self, content: bytes, argument: str) -> None:
        """Announce less than the file has, and send so much."""
        self._send(content, len(content) // 2)

    def _endless(self, content: bytes, argument: str) -> None:
        """Announce no length and never end."""
        self._send(b"", None)
        for _ in range(200):
            self.wfile.write(bytes(1 << 14))

    def _chunk_cut(self, content: bytes, argument: str) -> None:
        """Break off in the middle of a chunk."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.wfile.write(b"%x\r\n" % len(content) + content[: len(content) // 2])

    def _chunk_nonsense(self, content: bytes, argument: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc")

    # ---- not the file

    def _html(self, content: bytes, argument: str) -> None:
        self._send(b"<html>please log in</html>", 26, kind="text/html; charset=utf-8")

    def _disguised(self, content: bytes, argument: str) -> None:
        """Send a web page and call it a file."""
        self._send(b"<html>please log in</html>", 26)

    def _changed(self, content: bytes, argument: str) -> None:
        """Change one bit of the file."""
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        self._send(bytes(changed), len(changed))

    def _changed_tail(self, content: bytes, argument: str) -> None:
        """Answer a request for the rest with other bytes; without one, break off in the middle."""
        start = self._start(content) or 0
        half = len(content) // 2
        if start:
            self._send(bytes(len(content) - start), len(content) - start, start, len(content))
        else:
            self._send(content[:half], len(content))

    def _packed(self, content: bytes, argument: str) -> None:
        """Compress although nobody asked for it."""
        packed = gzip.compress(content)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self._finish(packed, len(packed))

    def _empty(self, content: bytes, argument: str) -> None:
        self._send(b"", 0)

    # ---- lies about ranges and lengths

    def _range(self, content: bytes, argument: str) -> None:
        """Answer with part of the file: another one than was asked for."""
        start = self._start(content) or 0
        half = len(content) // 2
        if not start:
            return self._send(content[:half], len(content))
        self.send_response(206)
        self.send_header("Content-Range", argument.format(start=start, total=len(content)))
        return self._finish(content[: len(content) - start], len(content) - start)

    def _part(self, content: bytes, argument: str) -> None:
        """Send the first half as if that had been asked for."""
        half = len(content) // 2
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 0-{half - 1}/{len(content)}")
        self._finish(content[:half], half)

    def _says(self, content: bytes, argument: str) -> None:
        """Answer 200 with a header line of one's own: ``Name=value`` (``^`` many times a 9)."""
        name, _, value = argument.partition("=")
        value = value.replace("^", "9" * 5000)
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{name}: {value}\r\n\r\n".encode("latin-1") + content)

    def _busy(self, content: bytes, argument: str) -> None:
        """Answer 503 with a Retry-After."""
        self.wfile.write(
            f"HTTP/1.1 503 Busy\r\nRetry-After: {argument.replace('^', '9' * 5000)}\r\n"
            "Content-Length: 0\r\n\r\n".encode("latin-1")
        )

    def _raw(self, content: bytes, argument: str) -> None:
        """Send something that is no HTTP."""
        self.wfile.write(argument.encode("latin-1").decode("unicode_escape").encode("latin-1"))

    # ---- elsewhere

    def _to(self, content: bytes, argument: str) -> None:
        """Redirect to an address."""
        self.send_response(302)
        self.send_header("Location", argument)
        self.end_headers()

    def _circle(self, content: bytes, argument: str) -> None:
        """Redirect to the same address."""
        self._to(content, self.path)

    def _spiral(self, content: bytes, argument: str) -> None:
        """Redirect to ever new addresses."""
        state: Server = self.server.state  # type: ignore[attr-defined]
        new = f"{self.path}x"
        state.put(new, content, "spiral")
        self._to(content, new)

    # ---- parts

    def _start(self, content: bytes) -> int | None:
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        if int(wanted) < len(content):
            return int(wanted)
        self.send_error(416)
        return None

    def _send(
        self,
        content: bytes,
        announced: int | None,
        start: int = 0,
        total: int = 0,
        kind: str = "application/octet-stream",
    ) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", kind)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self._finish(content, announced)

    def _finish(self, content: bytes, announced: int | None) -> None:
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other side has gone
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
