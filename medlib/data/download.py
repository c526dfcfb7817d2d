"""Download one file: resumed where it broke off, checked while it streams, whole or not there.

The bytes go to ``<name>.part``, which a second try continues; only a file whose digest is right is
renamed to its name. Proxies are taken from the environment, as everywhere in Python.
"""

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from medlib import __version__
from medlib.errors import DigestMismatch, MedlibError

BLOCK = 1 << 16
MAX_BYTES = 40 << 30
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Patience:
    """How long a download may keep somebody waiting, in seconds.

    Attributes
    ----------
    connect : float
        For a server to answer at all; afterwards the machine counts as offline.
    stall : float
        Without a byte, or below one KiB a second, before the connection is given up; twice as long
        for an answer that begins letter by letter.
    attempts : int
        Tries without progress, one after the other.
    pause : float
        Before the second try; doubled before each further one, at most 20 s.
    """

    connect: float = 8.0
    stall: float = 30.0
    attempts: int = 5
    pause: float = 1.0


HASTY = Patience(connect=1.5, stall=10.0, attempts=2, pause=0.2)  # nobody asked for a download
PATIENT = Patience()  # somebody typed `medlib data get`


class DownloadFailed(MedlibError):
    """A file could not be had from one address; the message says why."""


class Offline(DownloadFailed):
    """The server cannot be reached from this machine."""


class _Interrupted(Exception):
    """A try failed in a way that a further try may mend."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def fetch(
    url: str,
    target: Path,
    *,
    digest: tuple[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
    patience: Patience = PATIENT,
    progress: Progress | None = None,
) -> Path:
    """Download a file to `target`.

    Parameters
    ----------
    url : str
        Where it is.
    target : Path
        Where it goes; a file that is already there is left as it is.
    digest : tuple of str, optional
        Algorithm and expected hexadecimal digest, such as ``("md5", "7506...")``.
    max_bytes : int
        Refuse anything larger.
    patience : Patience
        How long to wait and how often to try.
    progress : callable, optional
        Called with the bytes so far, and the total or None.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    DigestMismatch
        Where the bytes are not the expected ones; nothing is left behind.
    DownloadFailed
        Where the server cannot be reached, refuses, or keeps breaking off. What has come so far
        stays in ``<target>.part`` for the next call.
    MedlibError
        Where the disk is full or the folder cannot be written.
    """
    algorithm = digest[0] if digest else "sha256"
    with disk_errors(target), _Part.open(target, algorithm) as part:
        if not target.is_file():
            if digest is None or part.digest != digest[1]:
                _download(url, part, max_bytes, patience, progress or _silent)
            _accept(url, part, digest, lambda: _download(url, part, max_bytes, patience, _silent))
            part.commit(target)
    return target


def _accept(
    url: str, part: "_Part", digest: tuple[str, str] | None, again: Callable[[], None]
) -> None:
    """Compare digests; a wrong file that continued an old part gets one fresh start."""
    if digest is None or part.digest == digest[1]:
        return
    if part.resumed:
        part.restart()
        again()
    if part.digest != digest[1]:
        found = part.digest
        part.discard()
        raise DigestMismatch(
            f"{url} sent a file that is not the expected one: {digest[0]} expected {digest[1]}, "
            f"found {found}; it was thrown away, nothing else was touched. Should the publisher "
            f"have changed the file, get the right one elsewhere and place it at {part.target}"
        )


def _download(
    url: str, part: "_Part", max_bytes: int, patience: Patience, progress: Progress
) -> None:
    """Try until the file is whole, or `patience.attempts` tries in a row brought nothing."""
    probe(url, patience)
    failures, pause = 0, patience.pause
    while True:
        before = part.size
        try:
            return _attempt(url, part, max_bytes, patience, progress)
        except _Interrupted as interruption:
            if isinstance(interruption, _RestartNeeded):
                part.restart()
            if part.size > before + BLOCK:
                failures, pause = 0, patience.pause
            failures += 1
            if failures >= patience.attempts:
                raise DownloadFailed(
                    f"{url}: {interruption}; gave up after {failures} tries without progress "
                    f"({part.size:,} bytes are kept for the next call)"
                ) from interruption
            time.sleep(max(min(pause, 20.0), min(interruption.wait, 30.0)))
            pause *= 2


def _attempt(
    url: str, part: "_Part", max_bytes: int, patience: Patience, progress: Progress
) -> None:
    """Ask once, from where the part ends, and read to the end."""
    watch = _Watch(2 * patience.stall)
    with watch, _opened(url, part.size, patience, watch) as response:
        watch.check()
        _check_kind(url, response)
        if _continues(response, part):
            part.resumed = part.size > 0
        else:
            part.restart()
        total = _total(response, part)
        _check_room(url, part, total, max_bytes)
        for block in _blocks(response, patience, watch):
            part.write(block)
            if part.size > max_bytes:
                part.restart()
                raise DownloadFailed(f"{url} sends more than the {max_bytes:,} bytes allowed")
            progress(part.size, total)
        watch.check()
    if total is not None and part.size < total:
        raise _Interrupted(f"the connection ended after {part.size:,} of {total:,} bytes")


@contextlib.contextmanager
def _opened(
    url: str, offset: int, patience: Patience, watch: "_Watch"
) -> Iterator[http.client.HTTPResponse]:
    """Open the address and sort what goes wrong into what a further try may mend, or not."""
    headers = {"User-Agent": f"medlib/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        opener = urllib.request.build_opener(*watch.handlers())  # reads the proxies set now
        with opener.open(request, timeout=patience.stall) as response:
            yield response
    except urllib.error.HTTPError as error:
        raise _sorted_answer(url, error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadFailed(f"{url}: its certificate is not trusted ({error})") from error
        raise _Interrupted(f"no connection ({error.reason})") from error
    except TimeoutError as error:
        raise _Interrupted(f"not a byte for {patience.stall:g} s") from error
    except (ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        why = watch.why or f"the connection broke ({_one_line(error) or type(error).__name__})"
        raise _Interrupted(why) from error
    except ValueError as error:  # of urllib, over an address that it was redirected to
        raise DownloadFailed(f"{url} redirects to no address ({_one_line(error)})") from error


def _sorted_answer(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code == 416:
        return _RestartNeeded("the server has less than we hold")
    if error.code in {408, 425, 429} or error.code >= 500:
        wait = _whole_number(error.headers.get("Retry-After", "")) or 0
        return _Interrupted(f"the server answered {error.code} {_one_line(error.reason)}", wait)
    return DownloadFailed(f"{url}: the server answered {error.code} {_one_line(error.reason)}")


def _one_line(text: object) -> str:
    """Put an answer of urllib, which has several lines for a redirect, into one."""
    return " ".join(str(text).split())


def _whole_number(text: str) -> int | None:
    """Return the number in a header; None for anything else, and for one beyond all sense."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class _RestartNeeded(_Interrupted):
    """The part cannot be continued and must go."""


def _check_kind(url: str, response: http.client.HTTPResponse) -> None:
    """Refuse a web page: a login, a captive portal, a notice."""
    if response.headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
        raise DownloadFailed(
            f"{url} sent a web page instead of a file (a login page, a proxy's notice, a captive "
            f"portal?): open it in a browser to see"
        )


def _continues(response: http.client.HTTPResponse, part: "_Part") -> bool:
    """Tell whether the answer goes on where the part ends; a server may ignore the request."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return response.status == 206 and start == str(part.size)


def _total(response: http.client.HTTPResponse, part: "_Part") -> int | None:
    length = _whole_number(response.headers.get("Content-Length", ""))
    return None if length is None else part.size + length


def _check_room(url: str, part: "_Part", total: int | None, max_bytes: int) -> None:
    if total is None:
        return
    if total > max_bytes:
        raise DownloadFailed(f"{url} is {total:,} bytes, more than the {max_bytes:,} allowed")
    free = shutil.disk_usage(part.path.parent).free
    if total - part.size > free:
        raise MedlibError(
            f"the disk is too full for {url}: {total - part.size:,} bytes to come, {free:,} free "
            f"in {part.path.parent}; free some space, or set MEDLIB_CACHE to another disk"
        )


def _blocks(
    response: http.client.HTTPResponse, patience: Patience, watch: "_Watch"
) -> Iterator[bytes]:
    """Read blocks until the end; give up on a server that trickles."""
    since, received = time.monotonic(), 0
    while block := response.read1(BLOCK):
        yield block
        watch.restart()
        received += len(block)
        elapsed = time.monotonic() - since
        if elapsed > patience.stall:
            if received < 1024 * elapsed:
                raise _Interrupted(f"only {received:,} bytes in {elapsed:.0f} s")
            since, received = time.monotonic(), 0


class _Watch:
    """Ends a connection on which nothing was finished for too long.

    The time limit of a socket is for one byte. A server that sends one letter of a header now and
    then would keep `http.client` waiting for hours, so a thread shuts the socket down.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.why = ""
        self._connections: list[http.client.HTTPConnection] = []
        self._sockets: list[socket.socket] = []
        self._over = threading.Event()
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._until = time.monotonic() + self.seconds

    def check(self) -> None:
        """Refuse what was read of a connection that was ended: its end was ours."""
        if self.why:
            raise _Interrupted(self.why)

    def handlers(self) -> list[urllib.request.BaseHandler]:
        """Return handlers for urllib whose connections are watched."""
        return [_WatchedHTTP(self), _WatchedHTTPS(self)]

    def connection(self, kind: type[http.client.HTTPConnection], *where: Any, **how: Any) -> Any:
        """Make a connection and remember its socket, which urllib hands on to the response."""
        made = kind(*where, **how)
        connect = made.connect

        def remembered() -> None:
            connect()
            self._sockets.append(made.sock)

        made.connect = remembered  # type: ignore[method-assign]
        self._connections.append(made)
        return made

    def __enter__(self) -> "_Watch":
        threading.Thread(target=self._wait, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _wait(self) -> None:
        while not self._over.wait(max(0.01, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.why = f"no complete answer within {self.seconds:g} s"
                return self._shut_down()

    def _shut_down(self) -> None:
        """Wake whoever waits for the socket; also one that is still in the middle of TLS."""
        for each in (*self._sockets, *(c.sock for c in self._connections if c.sock)):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)


class _WatchedHTTP(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._watch.connection, http.client.HTTPConnection), req)


class _WatchedHTTPS(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._watch.connection, http.client.HTTPSConnection), req)


class _Part:
    """The unfinished file: locked against other processes, and hashed as it grows."""

    def __init__(self, target: Path, stream: IO[bytes], algorithm: str) -> None:
        self.target, self.path, self.stream = target, part_of(target), stream
        self.algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self.size = 0
        while block := stream.read(BLOCK):
            self._count(block)
        self.resumed = self.size > 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, target: Path, algorithm: str) -> Iterator["_Part"]:
        """Open or create the part; wait while another process downloads the same file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked_stream(target) as stream:
            part = cls(target, stream, algorithm)
            try:
                yield part
            finally:
                part.leave()

    @property
    def digest(self) -> str:
        """Digest of all bytes so far."""
        return self._hash.hexdigest()

    def write(self, block: bytes) -> None:
        """Append bytes."""
        self.stream.write(block)
        self._count(block)

    def restart(self) -> None:
        """Throw away what has come so far."""
        self.stream.seek(0)
        self.stream.truncate()
        self._hash, self.size, self.resumed = hashlib.new(self.algorithm), 0, False

    def discard(self) -> None:
        """Remove the part: its bytes are wrong."""
        self.restart()
        self.path.unlink(missing_ok=True)

    def commit(self, target: Path) -> None:
        """Give the whole file its name, in one step."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.path.replace(target)

    def leave(self) -> None:
        """Keep bytes that may be continued; remove an empty part."""
        with contextlib.suppress(OSError):
            self.stream.flush()
        if self.size == 0 and _is_at(self.stream, self.path):
            self.path.unlink(missing_ok=True)

    def _count(self, block: bytes) -> None:
        self._hash.update(block)
        self.size += len(block)


def part_of(target: Path) -> Path:
    """Return the name under which an unfinished download lies."""
    return target.with_name(target.name + ".part")


@contextlib.contextmanager
def _locked_stream(target: Path) -> Iterator[IO[bytes]]:
    """Open the part and lock it; once more where its last owner threw it away meanwhile."""
    while True:
        descriptor = os.open(part_of(target), os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "r+b") as stream:
            _wait_for_lock(stream, target)
            if target.is_file() or _is_at(stream, part_of(target)):
                yield stream
                return


def _is_at(stream: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _wait_for_lock(stream: IO[bytes], target: Path, seconds: float = 900.0) -> None:
    """Wait for another process that downloads the same file."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DownloadFailed(f"another process has been downloading {target}") from None
            time.sleep(0.1)
        except OSError:
            return None  # a file system without locks: two downloads at once, each still whole


# ---------------------------------------------------------------- is there a network?

_unreachable: dict[tuple[str, int], tuple[str, float]] = {}
REMEMBERED = 60.0  # seconds for which a server found unreachable is not asked again


def probe(url: str, patience: Patience) -> None:
    """Find out quickly whether the server (or the proxy in front of it) can be reached.

    A name look-up has no time limit of its own, so it runs in a thread. A server found
    unreachable is not asked again for a minute, so that fifteen data sets cost one wait.

    Raises
    ------
    Offline
    """
    place = _first_hop(url)
    why, until = _unreachable.get(place, ("", 0.0))
    if time.monotonic() > until:
        why = _try_to_reach(place, patience.connect)
        _unreachable[place] = (why, time.monotonic() + REMEMBERED if why else 0.0)
    if why:
        raise Offline(f"{place[0]} cannot be reached ({why})")


def _try_to_reach(place: tuple[str, int], seconds: float) -> str:
    """Return why a place cannot be reached, or nothing where it can."""
    found: list[str] = []
    thread = threading.Thread(target=_connect, args=(place, seconds, found), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else f"no answer within {seconds:g} s"


def _connect(place: tuple[str, int], seconds: float, found: list[str]) -> None:
    try:
        socket.create_connection(place, timeout=seconds).close()
        found.append("")
    except OSError as error:
        found.append(error.strerror or str(error) or type(error).__name__)


def _first_hop(url: str) -> tuple[str, int]:
    """Return host and port that the first connection goes to: a proxy's, where one is set."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


# ---------------------------------------------------------------- trouble with the disk


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the file system into a sentence with a remedy."""
    try:
        yield
    except OSError as error:
        raise MedlibError(_in_words(path, error)) from error


def _in_words(path: Path, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"the disk is full: {path} could not be written; free some space and run the same "
            f"command again (what was downloaded is kept), or set MEDLIB_CACHE to another disk"
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
        return (
            f"{path} cannot be written ({error.strerror}): set MEDLIB_CACHE to a folder that you "
            f"may write to"
        )
    return f"{path} could not be written: {error.strerror or error}"


def _silent(done: int, total: int | None) -> None:
    """Show nothing."""
