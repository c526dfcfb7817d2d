"""The weekly check of outside links, against a server of our own."""

import http.server
import socket
import threading
import time
import urllib.error
from typing import ClassVar

import pytest

from book.workflow import links

PAGE = """<a href="https://example.org/a#part">a</a> <a href="other.html">b</a>
<a href='https://example.org/a'>again</a> <link href="https://example.org/style.css">"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names; a path of two redirects from one to the other.

    ``/busy/N`` is busy once and then answers N; ``/hang`` and ``/drop`` do not answer.
    """

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        first, _, second = self.path.strip("/").partition("/")
        if first == "drop":
            self.connection.close()
        elif first == "hang":
            time.sleep(1)
        elif first == "busy":
            again = self.asked.count(self.path) > 1
            self.send_response(int(second) if again else 429)
            self.send_header("Retry-After", "0")
            self.end_headers()
        else:
            self.send_response(int(first[:3]))
            if second:
                self.send_header("Location", f"/{second}")
            self.end_headers()

    def log_message(self, *_):
        """Keep the test output quiet."""


@pytest.fixture(scope="module")
def host():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for seconds in ("WAIT", "PAUSE"):
        monkeypatch.setattr(links, seconds, 0)


def test_links_are_collected_once_with_their_pages(tmp_path):
    for name in ("one.html", "two.html"):
        (tmp_path / name).write_text(PAGE)
    assert links.collect(tmp_path) == {"https://example.org/a": ["one.html", "two.html"]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "ok"),
        (404, "broken: 404"),
        (410, "broken: 410"),
        (403, "cannot tell: 403"),
        (429, "cannot tell: 429"),
        (503, "cannot tell: 503"),
        ("302/200", "ok"),
        ("301/404", "broken: 404"),
        ("busy/200", "ok"),
        ("busy/404", "broken: 404"),
        ("200%20/%C3%A9?a=b", "ok"),
        ("200 /é?a=b", "ok"),
    ],
)
def test_an_answer_is_judged(host, status, expected):
    assert links.answer(f"{host}/{status}") == expected


def test_a_host_that_is_out_of_order_says_nothing_of_its_pages(host):
    assert links.answer(f"{host}/drop").startswith("cannot tell: ")
    assert links.answer(f"{host}/hang", timeout=0.1).startswith("cannot tell: ")
    assert links.answer("http://127.0.0.1:9/").startswith("cannot tell: ")
    assert links.answer("https://[broken/").startswith("broken: ")


def test_a_busy_host_is_asked_again_when_it_says_but_not_for_ever(host, monkeypatch):
    waited = []
    monkeypatch.setattr(links.time, "sleep", waited.append)
    assert links.answer(f"{host}/503") == "cannot tell: 503"
    assert waited == [links.WAIT]
    assert [links._seconds(told) for told in ("7", "9999", "Mon, 30 Nov 2026 12:00:00 GMT")] == [
        7, links.LONGEST, links.WAIT,
    ]  # fmt: skip


def test_a_host_is_asked_one_question_at_a_time_with_a_pause(host, monkeypatch):
    pauses = []
    monkeypatch.setattr(links, "PAUSE", 3)
    monkeypatch.setattr(links.time, "sleep", pauses.append)
    list(links.ask_all([f"{host}/200", f"{host}/404", f"{host}/410"]))
    assert pauses == [3, 3, 3]


def test_an_unknown_host_is_broken_after_a_second_try(monkeypatch):
    asked = []

    def refuse(*_, **__):
        asked.append(1)
        raise urllib.error.URLError(socket.gaierror("no such host"))

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert links.answer("http://nowhere.invalid/") == "broken: no such host"
    assert len(asked) == 2


def test_every_address_is_asked(host):
    addresses = [f"{host}/200", f"{host}/404"]
    assert dict(links.ask_all(addresses)) == {addresses[0]: "ok", addresses[1]: "broken: 404"}


def test_our_own_addresses_may_not_be_public_yet(monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    assert links.ours("https://github.com/a/b/issues")
    assert links.ours("https://a.github.io/b/book/index.html")
    assert links.ours("https://github.com/set--me/x")
    assert not links.ours("https://doi.org/10.1/1")
