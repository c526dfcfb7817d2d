"""Two executions of a chapter: what is compared, what is left out, and that nothing differs."""

import json
import shutil

import pytest

from book.workflow import chapters, fingerprint, source, twice
from medlib import paths

AGAIN = ("04-04-training", "04-08-benchmark")  # short ones: a training, a page of long results
BOOK = "01-01-one"


def written(folder, *cells, claims=1.0, seconds=1.0, book=BOOK):
    """Write an executed notebook of (source, outputs) and a document of results."""
    (folder / "executed").mkdir(parents=True)
    (folder / "results").mkdir()
    notebook = {"cells": [{"source": text, "outputs": outputs} for text, outputs in cells]}
    (folder / "executed" / f"{book}.ipynb").write_text(json.dumps(notebook))
    document = {"claims": {"auc": claims}, "measured": {"seconds": seconds}}
    (folder / "results" / f"{book}.json").write_text(json.dumps(document))
    return folder


def printed(*texts):
    return [{"output_type": "stream", "name": "stdout", "text": text} for text in texts]


def test_times_and_the_cuts_of_printed_text_are_no_difference(tmp_path):
    first = written(tmp_path / "a", ("print(1)", printed("one ", "two")), seconds=1.0)
    second = written(tmp_path / "b", ("print(1)", printed("one two")), seconds=2.0)
    assert twice.compare(first, second) == twice.Report((), (), 2)


def test_a_difference_is_named_with_its_cell(tmp_path):
    first = written(tmp_path / "a", ("a = 1", []), ("print(a)", printed("1")))
    second = written(tmp_path / "b", ("a = 1", []), ("print(a)", printed("2")), claims=1.1)
    found = twice.compare(first, second)
    assert found.lines == (f"executed/{BOOK}.ipynb: cell 1, 'print(a)'", f"results/{BOOK}.json")
    assert found.chapters == {BOOK}
    assert twice.compare(first, second, ["01-02-two"]).lines == ()


def test_streams_of_two_names_are_not_joined(tmp_path):
    error = [{"output_type": "stream", "name": "stderr", "text": "two"}]
    first = written(tmp_path / "a", ("x", printed("one") + error))
    second = written(tmp_path / "b", ("x", printed("onetwo")))
    assert len(twice.compare(first, second).lines) == 1


def test_a_file_of_one_execution_only_is_a_difference(tmp_path):
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    left = first / "artefacts" / BOOK / "model.pt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"weights")
    assert twice.compare(first, second).lines == (
        f"artefacts/{BOOK}/model.pt: written by one execution only",
    )


def test_cells_that_show_times_are_counted_not_compared(tmp_path):
    stem, (begins, *_) = next(iter(twice.TIMED.items()))
    pair = [
        written(tmp_path / name, (f"{begins}...", printed(name)), book=stem) for name in ("a", "b")
    ]
    assert twice.compare(*pair) == twice.Report((), (f"{stem} (1)",), 2)


@pytest.mark.parametrize("stem", twice.TIMED)
def test_the_cells_that_show_times_are_there(stem):
    cells = source.code_cells(source.read(chapters.chapter(stem).source))
    for begins in twice.TIMED[stem]:
        assert sum(cell.source.startswith(begins) for cell in cells) == 1


@pytest.mark.slow
def test_chapters_executed_again_are_the_same(tmp_path):
    """Those of the book that `make test` has executed, side by side, before it came here."""
    book = paths.build_dir("fast")
    for stem in AGAIN:
        known = book / "fingerprints" / f"{stem}.json"
        now = json.dumps(fingerprint.fingerprint(stem, "fast", 0, "auto"), indent=1, sort_keys=True)
        if not known.exists() or known.read_text("utf-8") != now:
            pytest.skip(f"{stem} was not executed in profile fast as it is now: make fast")
    if (book / "artefacts").exists():  # what other chapters of the book left for these
        shutil.copytree(book / "artefacts", tmp_path / "fast" / "artefacts")
    assert not twice.execute(tmp_path, list(AGAIN), "fast", 1)
    found = twice.compare(book, tmp_path / "fast", list(AGAIN))
    assert found.compared >= 2 * len(AGAIN)
    assert not found.lines, "\n".join(found.lines)
