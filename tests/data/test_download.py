"""Downloads from a local server that stalls, breaks off, lies and sends web pages."""

import errno
import hashlib
import socket
import threading
import time
from pathlib import Path

import pytest

from medlib.data import download
from medlib.data.download import DownloadFailed, Offline, Patience, fetch, part_of
from medlib.errors import DigestMismatch, MedlibError

CONTENT = bytes(range(256)) * 1200  # 300 kB: several blocks
DIGEST = ("sha256", hashlib.sha256(CONTENT).hexdigest())
QUICK = Patience(connect=2.0, stall=0.4, attempts=3, pause=0.01)


def get(url: str, folder: Path, **options: object) -> Path:
    return fetch(url, folder / "f.npz", digest=DIGEST, patience=QUICK, **options)


def test_a_file_arrives_whole_and_leaves_no_part(server, cache):
    seen: list[tuple[int, int | None]] = []
    path = get(server.put("/f", CONTENT), cache, progress=lambda *at: seen.append(at))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in cache.iterdir()] == ["f.npz"]


def test_a_file_that_is_there_is_not_asked_for_again(server, cache):
    url = server.put("/f", CONTENT)
    get(url, cache)
    get(url, cache)
    assert len(server.asked) == 1


def test_a_broken_connection_is_resumed_where_it_broke(server, cache):
    path = get(server.put("/f", CONTENT, "cut:100000", "cut:100000", "ok"), cache)
    assert path.read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == [None, "bytes=100000-", "bytes=200000-"]


def test_an_older_part_is_continued_by_the_next_call(server, cache):
    part_of(cache / "f.npz").write_bytes(CONTENT[:70_000])
    assert get(server.put("/f", CONTENT), cache).read_bytes() == CONTENT
    assert server.asked == [("/f", "bytes=70000-")]


def test_a_complete_part_needs_no_server(server, cache):
    part_of(cache / "f.npz").write_bytes(CONTENT)
    assert get(server.put("/f", CONTENT, "500"), cache).read_bytes() == CONTENT
    assert server.asked == []


def test_a_part_of_another_file_is_thrown_away_and_the_download_starts_anew(server, cache):
    part_of(cache / "f.npz").write_bytes(b"another edition" * 1000)
    assert get(server.put("/f", CONTENT), cache).read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == ["bytes=15000-", None]


def test_a_part_longer_than_the_file_is_thrown_away(server, cache):
    part_of(cache / "f.npz").write_bytes(bytes(len(CONTENT) + 5))
    assert get(server.put("/f", CONTENT), cache).read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_gets_a_fresh_start(server, cache):
    path = get(server.put("/f", CONTENT, "cut:100000", "whole"), cache)
    assert path.read_bytes() == CONTENT


def test_a_length_that_is_not_announced_is_no_obstacle(server, cache):
    assert get(server.put("/f", CONTENT, "unannounced"), cache).read_bytes() == CONTENT


@pytest.mark.parametrize("word", ["stall:70000", "500", "503", "429", "trickle"])
def test_trouble_that_passes_is_retried(server, cache, word):
    assert get(server.put("/f", CONTENT, word, "ok"), cache).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("word", "said"),
    [("stall:70000", "not a byte for 0.4 s"), ("500", "answered 500"), ("cut:0", "ended after 0")],
)
def test_trouble_that_stays_ends_after_a_bounded_time_and_keeps_what_came(
    server, cache, word, said
):
    started = time.monotonic()
    with pytest.raises(DownloadFailed, match=f"{said}.*gave up after 3 tries"):
        get(server.put("/f", CONTENT, word), cache)
    assert time.monotonic() - started < 5
    assert not (cache / "f.npz").exists()
    kept = part_of(cache / "f.npz")
    assert not kept.exists() or CONTENT.startswith(kept.read_bytes())


@pytest.mark.parametrize("code", ["404", "403", "410"])
def test_a_refusal_is_not_retried(server, cache, code):
    with pytest.raises(DownloadFailed, match=f"answered {code}"):
        get(server.put("/f", CONTENT, code), cache)
    assert len(server.asked) == 1
    assert list(cache.iterdir()) == []


def test_a_web_page_in_place_of_a_file_is_refused(server, cache):
    with pytest.raises(DownloadFailed, match="a web page instead of a file"):
        get(server.put("/f", CONTENT, "html"), cache)
    assert list(cache.iterdir()) == []


def test_wrong_bytes_are_refused_with_both_digests_the_address_and_the_remedy(server, cache):
    url = server.put("/f", b"x" * 5000)
    with pytest.raises(DigestMismatch) as caught:
        get(url, cache)
    message = str(caught.value)
    found = hashlib.sha256(b"x" * 5000).hexdigest()
    assert all(text in message for text in (url, DIGEST[1], found, str(cache / "f.npz")))
    assert "\n" not in message
    assert list(cache.iterdir()) == []


def test_more_than_allowed_is_refused_announced_or_not(server, cache):
    with pytest.raises(DownloadFailed, match="300,000|307,200 bytes, more than the 1,000"):
        get(server.put("/f", CONTENT), cache, max_bytes=1000)
    with pytest.raises(DownloadFailed, match="more than the 100,000"):
        get(server.put("/g", CONTENT, "endless"), cache, max_bytes=100_000)


def test_a_full_disk_is_noticed_before_and_during_the_download(server, cache, monkeypatch):
    url = server.put("/f", CONTENT)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("D", (), {"free": 9}))
    with pytest.raises(MedlibError, match="disk is too full.*9 free.*MEDLIB_CACHE"):
        get(url, cache)
    monkeypatch.undo()

    def full(self: object, block: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download._Part, "write", full)
    with pytest.raises(MedlibError, match="the disk is full.*run the same command again"):
        get(url, cache)
    assert not (cache / "f.npz").exists()


def test_a_folder_that_cannot_be_written_is_named_with_a_remedy(server, cache):
    (cache / "file").write_text("not a folder")
    with pytest.raises(MedlibError, match="cannot be written.*set MEDLIB_CACHE"):
        get(server.put("/f", CONTENT), cache / "file")


def test_a_server_that_is_not_there_fails_at_once_and_is_not_asked_twice(cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/f"
    with pytest.raises(Offline, match=r"127\.0\.0\.1 cannot be reached"):
        get(url, cache)
    started = time.monotonic()
    with pytest.raises(Offline):
        get(url, cache)
    assert time.monotonic() - started < 0.1


def test_a_name_look_up_that_hangs_costs_no_more_than_the_patience(cache, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(download, "_connect", lambda *a, **k: never.wait(2))
    started = time.monotonic()
    with pytest.raises(Offline, match="no answer within 0.3 s"):
        fetch("http://nowhere.invalid/f", cache / "f", patience=Patience(connect=0.3))
    assert time.monotonic() - started < 1


def test_a_proxy_from_the_environment_is_used(server, cache, monkeypatch):
    server.put("http://data.invalid/f", CONTENT)
    monkeypatch.setenv("http_proxy", server.url(""))
    assert get("http://data.invalid/f", cache).read_bytes() == CONTENT
    assert server.asked == [("http://data.invalid/f", None)]


def test_two_at_once_download_once(server, cache):
    url = server.put("/f", CONTENT, "stall:70000", "ok")
    done: list[Path] = []
    threads = [threading.Thread(target=lambda: done.append(get(url, cache))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [path.read_bytes() == CONTENT for path in done] == [True, True]
    assert len(server.asked) == 2  # the stalled try and its continuation, by one of the two


def test_interrupted_by_ctrl_c_the_part_stays(server, cache):
    def stop(done: int, total: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server.put("/f", CONTENT), cache, progress=stop)
    kept = part_of(cache / "f.npz").read_bytes()
    assert len(kept) > 100_000
    assert CONTENT.startswith(kept)
    assert get(server.url("/f"), cache).read_bytes() == CONTENT
