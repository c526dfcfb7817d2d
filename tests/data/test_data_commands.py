"""``medlib data``: list, get, where, check, as text and as JSON; the status for the workflow."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from medlib import data
from medlib.data import cli, commands, data_status, status


@pytest.fixture
def known(cache, tiny, server, cards_are):
    """Two small sets: one that the server has, one that it has not."""
    card, content = tiny
    good = {"kind": "file", "url": server.put("/good.npz", content)}
    gone = {"kind": "file", "url": server.put("/gone.npz", b"", "404")}
    other = replace(card, name="othermnist", file="othermnist.npz", origins=(gone,), opt_in=True)
    cards_are(replace(card, origins=(good,)), other)
    return card


def test_list_shows_every_set_and_where_it_is(cache, capsys):
    assert cli(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "task", "classes", "size", "cases", "licence", "here"]
    assert sum(line.startswith(tuple(data.cards())) for line in lines) == len(data.cards())
    assert any("breastmnist" in line and "no: default" in line for line in lines)
    assert any("chestmnist" in line and "no: get" in line for line in lines)
    assert f"cache:  {cache}" in lines
    assert max(map(len, lines)) <= 100


def test_list_as_json(cache, capsys):
    assert cli(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert {one["name"] for one in listing} == set(data.cards())
    assert {one["here"] for one in listing} == {"no: get", "no: default", "installed"}


def test_get_downloads_what_is_missing_and_reports_what_fails(known, cache, capsys):
    assert cli(["get", "breastmnist"]) == 0
    assert capsys.readouterr().out == f"breastmnist: {cache / 'breastmnist.npz'}\n"
    assert cli(["get", "--all"]) == 1
    said = capsys.readouterr()
    assert "breastmnist: " in said.out
    assert "othermnist: the data set 'othermnist' is not here" in said.err
    assert "answered 404" in said.err


def test_get_without_names_takes_the_default_sets_only(known, cache, capsys):
    assert cli(["get", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [{"name": "breastmnist", "path": str(cache / "breastmnist.npz")}]


def test_where_prints_the_path_there_or_to_be(known, cache, capsys):
    assert cli(["where", "breastmnist"]) == 1
    said = capsys.readouterr()
    assert said.out.strip() == str(cache / "breastmnist.npz")
    assert "medlib data get breastmnist" in said.err
    cli(["get"])
    capsys.readouterr()
    assert cli(["where", "breastmnist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "breastmnist",
        "path": str(cache / "breastmnist.npz"),
        "here": True,
    }


def test_check_reads_what_is_here_and_finds_damage(known, cache, capsys):
    assert cli(["check"]) == 0
    assert "2 data sets are not here" in capsys.readouterr().out
    cli(["get", "breastmnist"])
    capsys.readouterr()
    assert cli(["check"]) == 0
    assert "breastmnist: good" in capsys.readouterr().out
    (cache / "breastmnist.npz").write_bytes(b"damaged")
    assert cli(["check", "--json"]) == 1
    assert "md5 expected" in json.loads(capsys.readouterr().out)[0]["error"]
    assert cli(["check", "othermnist"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get", "nosuch"], "unknown data set 'nosuch': choose one of"),
        (["where", "nosuch"], "unknown data set"),
        (["get", "--all", "breastmnist"], "give names or --all, not both"),
    ],
)
def test_mistakes_get_one_line_and_code_2(cache, capsys, arguments, said):
    assert cli(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("medlib: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["get", "--help"], ["check", "--help"]])
def test_help_is_helpful(cache, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli(arguments)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "usage: medlib data" in text
    assert "data set" in text


def test_an_action_is_needed(cache, capsys):
    with pytest.raises(SystemExit) as caught:
        cli([])
    assert caught.value.code == 2
    assert "ACTION" in capsys.readouterr().err


def test_the_default_sets_are_tried_before_a_book_and_nothing_raises(known, cache, capsys):
    assert commands.ensure_default() == []
    assert "breastmnist: downloaded to" in capsys.readouterr().out
    assert commands.ensure_default() == []
    assert capsys.readouterr().out == ""


def test_offline_all_default_sets_together_cost_no_more_than_one_wait(cache, capsys):
    started = time.monotonic()
    missing = commands.ensure_default()
    assert time.monotonic() - started < 2.5
    assert missing == ["breastmnist", "pneumoniamnist", "retinamnist"]
    assert capsys.readouterr().err.count("is not here") == 3


def test_the_command_runs_as_a_program_without_a_traceback(cache):
    environment = {**os.environ, "MEDLIB_CACHE": str(cache), "MEDLIB_MIRROR": ""}
    code = "import sys; from medlib.data import cli; sys.exit(cli(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "get", "breastmnist"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "breastmnist: the data set 'breastmnist' is not here" in done.stderr


# ---------------------------------------------------------------- status


def test_status_tells_digest_missing_or_phantom(known, cache):
    cli(["get", "breastmnist", "--json"])
    assert data_status(["breastmnist", "othermnist", "phantom"]) == {
        "breastmnist": known.digests["md5"],
        "othermnist": "missing",
        "phantom": "phantom",
    }


def test_status_remembers_until_the_file_changes(known, cache, monkeypatch):
    cli(["get", "breastmnist", "--json"])
    data_status(["breastmnist"])
    computed = []
    real = status._digest
    monkeypatch.setattr(status, "_digest", lambda *a: computed.append(a) or real(*a))
    assert data_status(["breastmnist"])["breastmnist"] == known.digests["md5"]
    assert computed == []
    (cache / "breastmnist.npz").write_bytes(b"changed")
    assert data_status(["breastmnist"])["breastmnist"] not in {known.digests["md5"], "missing"}
    assert len(computed) == 1


def test_status_sees_a_file_that_was_replaced_under_its_old_date(known, cache):
    """As after a clock that went back, or a copy that keeps dates."""
    cli(["get", "breastmnist", "--json"])
    data_status(["breastmnist"])
    path = cache / "breastmnist.npz"
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert data_status(["breastmnist"])["breastmnist"] != known.digests["md5"]


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": 1}'])
def test_status_survives_a_damaged_memory(known, cache, content):
    cli(["get", "breastmnist", "--json"])
    (cache / ".digests.json").write_text(content)
    assert data_status(["breastmnist"])["breastmnist"] == known.digests["md5"]


def test_status_needs_no_writable_cache(known, cache, monkeypatch):
    cli(["get", "breastmnist", "--json"])

    def denied(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.write_text", denied)
    assert data_status(["breastmnist"])["breastmnist"] == known.digests["md5"]


def test_wisconsin_is_there_as_soon_as_scikit_learn_is(cache):
    assert data_status(["wisconsin"])["wisconsin"] == data.card("wisconsin").digests["arrays"]
