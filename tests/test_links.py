"""The weekly check of outside links, against a server of our own."""

import http.server
import threading

import pytest

from book.workflow import links

PAGE = """<a href="https://example.org/a#part">a</a> <a href="other.html">b</a>
<a href='https://example.org/a'>again</a> <link href="https://example.org/style.css">"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
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
    monkeypatch.setattr(links, "WAIT", 0)


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
    ],
)
def test_an_answer_is_judged(host, status, expected):
    assert links.answer(f"{host}/{status}") == expected


def test_an_unknown_host_is_broken_after_a_second_try(monkeypatch):
    asked = []

    def refuse(*_, **__):
        asked.append(1)
        raise OSError("no such host")

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
