"""The whole build on a tiny book: what runs, what does not run again, what a failure leaves."""

import json
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

GOOD = "import medlib\n\nrun = medlib.begin('{stem}', profile=profile, seed=seed, device=device)\n"
RAISES = "raise ValueError('the sky fell in')"


def good(stem: str, more: str = "print('done', 6 * 7)") -> str:
    return GOOD.format(stem=stem) + more


def stamps(book) -> dict[str, dict]:
    return {p.stem: json.loads(p.read_text()) for p in book.path("stamps").glob("*.json")}


@pytest.mark.slow
def test_build_then_nothing_then_one_chapter(tiny_book):
    for stem in ("01-01-one", "01-02-two"):
        tiny_book.write(stem, good(stem))
    first = tiny_book.build("--cores", "2")
    assert first.returncode == 0, first.stdout + first.stderr
    assert {s["status"] for s in stamps(tiny_book).values()} == {"ok"}
    page = tiny_book.path("html/notebooks/01-01-one.html").read_text()
    assert "done 42" in page
    assert "Not results" in page  # profile fast says so on every page
    assert "How this page was made" in page
    assert "s of processor time) with at most" in page
    assert re.search(r"elapsed \d+:\d\d, about \d+:\d\d left", first.stdout)
    assert tiny_book.path("logs/01-01-one.log").exists()

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = tiny_book.build("--cores", "2")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 3  # of processor time: a wall clock measures the machine's other work
    assert "Nothing to do" in second.stdout

    before = stamps(tiny_book)
    tiny_book.write("01-02-two", good("01-02-two", "print('changed')"))
    third = tiny_book.build("--cores", "2")
    assert third.returncode == 0, third.stdout + third.stderr
    after = stamps(tiny_book)
    assert after["01-01-one"] == before["01-01-one"]
    assert after["01-02-two"]["source_hash"] != before["01-02-two"]["source_hash"]
    assert "changed" in tiny_book.path("html/notebooks/01-02-two.html").read_text()


@pytest.mark.slow
def test_a_chapter_that_raises_stops_nothing_else(tiny_book):
    tiny_book.write("01-01-bad", RAISES)
    tiny_book.write("01-02-good", good("01-02-good"))
    done = tiny_book.build()
    assert done.returncode == 1
    assert stamps(tiny_book)["01-02-good"]["status"] == "ok"
    assert "chapter 01-01-bad: ValueError: the sky fell in" in done.stdout
    page = tiny_book.path("html/notebooks/01-01-bad.html").read_text()
    assert "This chapter failed" in page
    assert "the sky fell in" in page

    tiny_book.write("01-01-bad", good("01-01-bad"))
    again = tiny_book.build()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "This chapter failed" not in tiny_book.path("html/notebooks/01-01-bad.html").read_text()


@pytest.mark.slow
def test_missing_data_are_said_and_the_build_goes_on(tiny_book):
    stem = "01-01-needs-data"
    tiny_book.write(stem, good(stem, "run.load('busi128', phantom=False)"))
    empty = str(tiny_book.root / "empty")
    done = tiny_book.build(MEDLIB_MIRROR="", MEDLIB_CACHE=empty, MEDLIB_OFFLINE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stamps(tiny_book)[stem]["status"] == "missing-data"
    page = tiny_book.path(f"html/notebooks/{stem}.html").read_text()
    assert "Data missing" in page
    assert "busi128" in page
    assert "Traceback" not in page


@pytest.mark.slow
def test_a_failed_gate_fails_the_build_after_the_site_is_written(tiny_book):
    tiny_book.write("01-01-one", good("01-01-one"))
    gate = tiny_book.root / "book" / "workflow" / "lint.py"
    gate.write_text("print('claims.yml: no chapter records x')\nraise SystemExit(1)\n")
    done = tiny_book.build()
    assert done.returncode == 1
    assert "FAILED: gate 'lint'" in done.stdout
    assert tiny_book.path("html/notebooks/01-01-one.html").exists()


def test_unknown_profile_and_unknown_chapter_get_a_sentence(tiny_book):
    tiny_book.write("01-01-one", good("01-01-one"))
    wrong = tiny_book.build("--profile", "huge")
    assert wrong.returncode == 2
    assert "unknown profile 'huge': choose one of fast, cpu, gpu" in wrong.stderr
    missing = tiny_book.build("--only", "09-09-nothing")
    assert missing.returncode == 2
    assert "01-01-one" in missing.stderr
    assert "Traceback" not in wrong.stderr + missing.stderr


def test_a_chapter_with_another_parameter_fails_by_name(tiny_book):
    tiny_book.write("01-01-one", good("01-01-one"))
    path = tiny_book.root / "notebooks" / "01-01-one.md"
    path.write_text(path.read_text().replace("seed = 0\n", "sede = 0\n"), encoding="utf-8")
    done = tiny_book.build()
    assert done.returncode == 1
    assert "must define profile, seed, device; found 1 such cells, defining" in done.stdout


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_a_second_build_is_refused(tiny_book):
    tiny_book.write("01-01-quick", good("01-01-quick"))
    tiny_book.write("01-02-slow", good("01-02-slow", "import time; time.sleep(60)"))
    command = [sys.executable, "-m", "book.workflow.build", "--profile", "fast", "--cores", "2"]
    process = subprocess.Popen(
        command,
        cwd=tiny_book.root,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell that runs the tests in the background lets its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while "01-01-quick" not in stamps(tiny_book) and time.monotonic() < deadline:
        time.sleep(0.3)
    refused = tiny_book.build()
    assert refused.returncode == 2
    assert f"another build runs in this checkout (process {process.pid})" in refused.stderr
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by you" in output
    assert list(stamps(tiny_book)) == ["01-01-quick"]
