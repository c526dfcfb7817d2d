"""SIGKILL at chosen moments: the same command again ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from book.workflow import site
from medlib import cli, paths, results
from medlib.leftovers import leftovers, sweep
from tests import kills

ROOT = Path(__file__).resolve().parents[1]

KILLED = """
import os, signal, sys
from medlib import checkpoint, cli, project

def die():
    os.kill(os.getpid(), signal.SIGKILL)

moment, words = sys.argv[1], sys.argv[2:]
if moment == "in the second checkpoint":
    save, calls = checkpoint.torch.save, []
    def half(content, file):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half a checkpoint")
            file.flush()
            die()
        save(content, file)
    checkpoint.torch.save = half
elif moment == "after the model":
    project._tidy = lambda folder: die()
cli.main(words)
"""


def command(folder):
    words = ("train", "breastmnist", "--phantom", "--model", "lenet5", "--epochs", "3")
    return [*words, "--device", "cpu", "--resume", "--out", str(folder)]


@pytest.fixture
def undisturbed(tmp_path_factory, one_thread):
    """What a training ends with that nobody kills."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medlib.run._active", None)
        assert cli.main(command(folder)) == 0
    return kills.trained(folder)


@pytest.mark.parametrize("moment", ["in the second checkpoint", "after the model"])
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path, undisturbed, moment, one_thread):
    out = tmp_path / "out"
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, moment, *command(out)], env=env)
    assert done.returncode == -signal.SIGKILL
    assert list(leftovers(out)) or (out / "checkpoint.pt").exists()
    assert cli.main(command(out)) == 0
    assert kills.trained(out) == undisturbed
    assert kills.unfinished(tmp_path) == []


def test_a_killed_download_is_continued(tmp_path):
    with kills.slow_server(pause=0.06) as server:  # so that a busy machine looks in time
        get, size = kills.download(tmp_path, server, images=1500)
        cache = tmp_path / "cache"
        part = cache / "breastmnist.npz.part"
        for share in (0.2, 0.6):
            assert get.kill_when(kills.at_size(part, share * size), kills.alone)
            assert share * size <= part.stat().st_size < size
        get.run()
        assert kills.cached(cache) == {"cache/breastmnist.npz": kills.digest(cache / part.stem)}
        assert (cache / "breastmnist.npz").read_bytes() == server.files["/toy.npz"]
    assert kills.unfinished(tmp_path) == []


TIED = """
import sys, time
from book.workflow import tied
inner = "import os, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
tied.call([sys.executable, "-c", "import sys; " + inner, sys.argv[1]])
"""


def test_what_a_build_started_ends_with_it(tmp_path):
    note = tmp_path / "pid"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    build = subprocess.Popen([sys.executable, "-c", TIED, str(note)], env=env)
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(note.read_text())
    build.kill()
    build.wait()
    while kills.tree(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not kills.tree(child)


def test_the_exit_code_of_what_is_tied_is_handed_on():
    words = [sys.executable, str(ROOT / "book/workflow/tied.py"), sys.executable, "-c"]
    for code in (0, 3):
        process = subprocess.Popen([*words, f"raise SystemExit({code})"], stdin=subprocess.PIPE)
        assert process.wait(60) == code
        process.stdin.close()


# ---------------------------------------------------------------- what is left, and swept


def test_only_unfinished_files_are_swept(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    left = [f"model.pt.{ended.pid}.part", ".training.json.a1b2c3d_", ".writable"]
    kept = ["model.pt", "data.npz.part", ".digests.json", ".gitignore", ".lock", "notes.2.part.md",
            f"model.pt.{os.getpid()}.part"]  # fmt: skip
    for name in (*left, *kept):
        (tmp_path / name).touch()
        results.write_text(tmp_path / "inner" / name, "")
    assert sorted(path.name for path in sweep(tmp_path)) == sorted(left)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(kept)
    assert len(list((tmp_path / "inner").iterdir())) == len(left) + len(kept)
    assert len(sweep(tmp_path, deep=True)) == len(left)
    assert sweep(tmp_path / "nowhere") == []


def write_text(path):
    results.write_text(path, "{}")


def whole_file(path):
    with paths.whole_file(path) as draft:
        draft.touch()


@pytest.mark.parametrize("write", [write_text, whole_file])
def test_a_sweep_knows_what_the_writers_leave(tmp_path, monkeypatch, write):
    """The names are those of the writers, not of this test."""
    seen = []
    monkeypatch.setattr(results.os, "replace", lambda *names: seen.extend(tmp_path.iterdir()))
    monkeypatch.setattr(Path, "replace", lambda *names: seen.extend(tmp_path.iterdir()))
    write(tmp_path / "document.json")
    (draft,) = seen
    draft.touch()
    monkeypatch.setattr("medlib.leftovers._runs", lambda process: False)
    assert sweep(tmp_path) == [draft]


def test_a_site_that_was_killed_is_made_anew(tmp_path):
    results.write_text(tmp_path / "html" / "page.html", "<html>half a pa")
    site.forget_unfinished(tmp_path)
    assert (tmp_path / "html" / "page.html").exists()  # the build before it ended well
    site.forget_unfinished(tmp_path)  # and this one did not
    assert not (tmp_path / "html").exists()
    assert (tmp_path / site.UNFINISHED).exists()


def test_times_are_left_out_of_comparisons():
    one = {"claims": {"a": {"value": 1}}, "stamp": {"seconds": 2}, "list": [{"date": 3, "n": 4}]}
    other = {"claims": {"a": {"value": 1}}, "measured": {"b": 5}, "list": [{"seconds": 6, "n": 4}]}
    assert kills.timeless(one) == kills.timeless(other)
    assert kills.timeless(one) != kills.timeless(one | {"claims": {}})
