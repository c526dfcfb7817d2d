"""Servers that lie: the cache never holds a wrong file, and a bounded time ends in one sentence.

The lies themselves are in `tests.lying_server`. Each is told to ``medlib data get``; then the same
address tells the truth, and a second try must succeed whatever the first one left behind.
"""

import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medlib.cli import main
from medlib.data import origins
from medlib.data.cards import Card
from medlib.data.download import Patience, part_of
from tests.lying_server import Server

QUICK = Patience(connect=1.0, stall=0.4, attempts=2, pause=0.01)
BOUND = 5.0  # seconds of the clock; QUICK allows 2 s, the rest is for a busy machine

# What each word of the server comes to: the file all the same, or a refusal that says so.
LIES = {
    "a server that says nothing": ("hang:2.5", "not a byte for 0.4 s"),
    "a byte every 50 ms": ("trickle", "only"),
    "a byte a second": ("seconds", "not a byte for 0.4 s"),
    "a file that stalls": ("stall:30", "not a byte for 0.4 s"),
    "an end before the start": ("nothing", "the connection broke"),
    "an end in the middle": ("cut:700", "tries without progress"),
    "a reset": ("reset:700", "the connection"),
    "an end in the middle that nobody announced": ("cut_unannounced:700", "not the expected one"),
    "an end in a chunk": ("chunk_cut", "the connection broke"),
    "a chunk of nonsense": ("chunk_nonsense", "the connection broke"),
    "more than announced": ("longer", ""),
    "half of it announced": ("shorter", "not the expected one"),
    "no end": ("endless", "more than the"),
    "404": ("404", "answered 404"),
    "500": ("500", "answered 500"),
    "503 with a time to wait": ("busy:0", "answered 503"),
    "503 until the year 9999": ("busy:Fri, 31 Dec 9999 23:59:59 GMT", "answered 503"),
    "a web page": ("html", "a web page instead of a file"),
    "a web page that says it is a file": ("disguised", "not the expected one"),
    "a changed bit": ("changed", "not the expected one"),
    "compressed unasked": ("packed", "not the expected one"),
    "an empty file": ("empty", "not the expected one"),
    "half of it as a part": ("part", "not the expected one"),
    "a length below zero": ("says:Content-Length=-5", ""),
    "a length of words": ("says:Content-Length=many", ""),
    "an address to itself": ("circle", "redirect"),
    "addresses without end": ("spiral", "redirect"),
    "an address of a file here": ("to:file:///etc/hostname", "redirect"),
    "an address inside the message": ("to:data:text/plain,hello", "redirect"),
    "an address that is none": ("to:http://[::bad/f", "redirects to no address"),
    "a status line letter by letter": ("status_line:3", "no complete answer within 0.8 s"),
    "headers letter by letter": ("headers:3", "no complete answer within 0.8 s"),
    "the size of a chunk digit by digit": ("chunks:3", "no complete answer within 0.8 s"),
    "a length of a superscript": ("says:Content-Length=\xb2", ""),
    "a length of 5,000 digits": ("says:Content-Length=^", ""),
    "503 for a superscript of seconds": ("busy:\xb2", "answered 503"),
    "503 for 5,000 digits of seconds": ("busy:^", "answered 503"),
    "an address of nothing": ("to:http://127.0.0.1:9/f", "no connection"),
    "no address at all": ("to:", "answered 404"),
    "no HTTP": ("raw:SSH-2.0-OpenSSH_9\\r\\n", "the connection broke"),
    "HTTP of the future": ("raw:HTTP/9.9 abc\\r\\n\\r\\n", "the connection broke"),
    "a thousand headers": ("raw:HTTP/1.1 200 OK\\r\\n" + "a: b\\r\\n" * 1000, "connection broke"),
    "a header of 100 kB": ("raw:HTTP/1.1 200 OK\\r\\na: " + "b" * 100_000, "connection broke"),
}
SURVIVED = {
    "ignores ranges": ("cut:900", "whole"),
    "breaks off, then is back": ("reset:900", "ok"),
    "falls silent, then is back": ("stall:900", "ok"),
    "busy, then is back": ("busy:0", "ok"),
    "lies about the rest, then sends the whole": ("changed_tail", "changed_tail", "whole"),
    "an old server in front": ("to:/g", "to:/g"),
}


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Return a function that runs ``medlib data get``; it gives back what an error said."""
    quick = functools.partial(origins.obtain, patience=QUICK)
    monkeypatch.setattr(origins, "obtain", quick)

    def run(expected: int) -> str:
        started = time.monotonic()
        code = main(["data", "get", "breastmnist", "--json"])
        assert time.monotonic() - started < BOUND
        said = capsys.readouterr()
        assert code == expected, said.out + said.err
        assert "Traceback" not in said.err
        code = main(["data", "get", "breastmnist"]) if expected else 0
        return capsys.readouterr().err

    return run


def from_here(tiny: tuple[Card, bytes], cards_are: Callable[..., None], *urls: str) -> None:
    """Let the tiny set come from these addresses."""
    card, _ = tiny
    cards_are(replace(card, origins=tuple({"kind": "file", "url": url} for url in urls)))


def check_cache(folder: Path, content: bytes, here: bool) -> None:
    """Let nothing lie in the cache but the right file, or a beginning of it."""
    for path in folder.rglob("*"):
        if path.is_file():
            begun = path.name.endswith(".part") and content.startswith(path.read_bytes())
            assert begun or path.read_bytes() == content, f"{path} is wrong"
    assert (folder / "breastmnist.npz").exists() == here


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_in_one_sentence_and_leaves_nothing_wrong(
    lie: str, server: Server, cache: Path, tiny: tuple, cards_are: Callable, get: Callable
):
    word, said = LIES[lie]
    content = tiny[1]
    from_here(tiny, cards_are, server.put("/breastmnist.npz", content, word))
    message = get(1 if said else 0)
    check_cache(cache, content, here=not said)
    if said:
        assert said in message.replace("Redirection", "redirect")
        assert len(message.strip().splitlines()) == 1
        for part in ("127.0.0.1", "breastmnist.npz", " place "):
            assert part in message
    server.put("/breastmnist.npz", content)
    get(0)
    check_cache(cache, content, here=True)


@pytest.mark.parametrize("story", SURVIVED)
def test_a_server_that_recovers_is_forgiven(
    story: str, server: Server, cache: Path, tiny: tuple, cards_are: Callable, get: Callable
):
    content = tiny[1]
    server.put("/g", content)
    from_here(tiny, cards_are, server.put("/breastmnist.npz", content, *SURVIVED[story]))
    get(0)
    check_cache(cache, content, here=True)


def test_the_second_origin_is_asked_when_the_first_one_lies(
    server: Server, cache: Path, tiny: tuple, cards_are: Callable, get: Callable
):
    content = tiny[1]
    for number, word in enumerate(("changed", "404", "html", "circle", "reset:700", "changed")):
        lying, honest = (f"/{number}/{name}" for name in ("lying", "honest"))
        urls = server.put(lying, content, word), server.put(honest, content)
        from_here(tiny, cards_are, *urls)
        get(0)
        check_cache(cache, content, here=True)
        (cache / "breastmnist.npz").unlink()


def test_a_part_that_somebody_planted_is_not_believed(
    server: Server, cache: Path, tiny: tuple, cards_are: Callable, get: Callable
):
    content = tiny[1]
    from_here(tiny, cards_are, server.put("/breastmnist.npz", content))
    for planted in (content[:-1] + b"x", content * 2, b"\0" * 500):
        part_of(cache / "breastmnist.npz").write_bytes(planted)
        get(0)
        check_cache(cache, content, here=True)
        (cache / "breastmnist.npz").unlink()


def test_the_tiny_set_is_long_enough_for_these_lies(tiny: tuple):
    assert len(tiny[1]) > 2000
    assert hashlib.md5(tiny[1]).hexdigest() == tiny[0].digests["md5"]
