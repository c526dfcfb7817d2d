"""Files that one chapter leaves for another: written, taken, published and verified."""

import os
from pathlib import Path

import pytest

from book.workflow import build, source
from medlib import artefacts, begin, paths
from medlib.errors import MedlibError
from medlib.publish import NotPublishable, publish
from medlib.verify import rescore
from tests.toy_book import CHAPTER, ToyBook

OTHER = "04-02-next"


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ToyBook(tmp_path, monkeypatch)


def left(book: ToyBook) -> Path:
    """Return the file that the chapter's run leaves."""
    return artefacts.path_to_leave(book.build, CHAPTER, "model.pt")


def published(book: ToyBook, content: bytes = b"weights") -> Path:
    """Execute the chapter, leave one file, publish, and return the published copy."""
    book.execute()
    left(book).write_bytes(content)
    publish("cpu")
    return book.published / "artefacts" / CHAPTER / "model.pt"


def test_a_chapter_takes_what_another_left_in_the_same_build(book):
    first = book.open_run()
    first.leave("kept.json").write_text("[1, 2]")
    second = book.open_run(chapter=OTHER)
    assert second.take(CHAPTER, "kept.json").read_text() == "[1, 2]"


def test_what_nobody_made_is_a_sentence_that_says_what_to_run(book):
    with pytest.raises(MedlibError, match=f"run notebooks/{CHAPTER}.md first"):
        book.open_run(chapter=OTHER).take(CHAPTER, "kept.json")


@pytest.mark.parametrize("name", ["", "../kept.json", "a/b.json", ".hidden"])
def test_an_artefact_is_a_plain_file(book, name):
    with pytest.raises(MedlibError, match="plain file name"):
        book.open_run().leave(name)


def test_begin_forgets_what_the_chapters_last_run_left(book):
    old = artefacts.path_to_leave(paths.build_dir("fast"), CHAPTER, "old.json")
    old.write_text("old")
    begin(CHAPTER, profile="fast", device="cpu")
    assert not old.exists()


def test_the_edition_stands_in_where_this_machine_made_none(book, capsys):
    copy = published(book)
    left(book).unlink()
    assert book.open_run(chapter=OTHER).take(CHAPTER, "model.pt") == copy
    assert copy.read_bytes() == b"weights"
    assert "taken as published" in capsys.readouterr().out


def test_a_changed_or_missing_copy_is_found(book):
    copy = published(book)
    assert rescore(book.published)[1] == []
    copy.write_bytes(b"other")
    assert any("model.pt: changed" in line for line in rescore(book.published)[1])
    copy.unlink()
    assert any("model.pt: missing" in line for line in rescore(book.published)[1])


def test_publishing_again_removes_what_is_no_longer_left(book):
    copy = published(book)
    left(book).unlink()
    publish("cpu")
    assert not copy.exists()
    assert rescore(book.published)[1] == []


def test_too_large_a_file_is_not_published(book):
    with pytest.raises(NotPublishable, match="leaves .* bytes for other chapters"):
        published(book, b"0" * (artefacts.LIMIT + 1))


CHAIN = """
```{code-cell}
run.take("04-01-first", "a.json")
other.take("04-09-not", "b.json")
np.take(x, 1)
run.take(somewhere, "c.json")
%matplotlib inline
```
"""


def test_the_workflow_reads_what_a_chapter_takes_from_its_code(tmp_path):
    header = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n"
    (tmp_path / "x.md").write_text(header + CHAIN)
    assert source.needs(source.read(tmp_path / "x.md")) == ["04-01-first"]


def test_a_chapter_is_outdated_with_what_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "build_dir", lambda profile: tmp_path)
    for folder in ("stamps", "fingerprints"):
        (tmp_path / folder).mkdir()
    needs = {"04-01-a": [], "04-02-b": ["04-01-a"], "04-03-c": ["04-02-b"], "04-04-d": []}
    for at, stem in enumerate(needs):
        for folder in ("fingerprints", "stamps"):
            path = tmp_path / folder / f"{stem}.json"
            path.touch()
            os.utime(path, (1000 + at, 1000 + at + (folder == "stamps")))
    assert build.outdated(needs, "cpu") == []
    os.utime(tmp_path / "fingerprints/04-01-a.json", (2000, 2000))
    assert build.outdated(needs, "cpu") == ["04-01-a", "04-02-b", "04-03-c"]
    os.utime(tmp_path / "stamps/04-01-a.json", (3000, 3000))
    assert build.outdated(needs, "cpu") == ["04-02-b", "04-03-c"]
