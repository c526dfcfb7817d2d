"""The generated pages: what they say of a run, of an edition, and of nothing."""

import shutil

import pytest
from toy_book import CHAPTER, CLAIMS, ToyBook

from book.workflow import report
from book.workflow.report import pipe_table, write_pages
from medlib import results
from medlib.publish import publish
from medlib.tolerance import measure_spread


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(report.chapters, "ROOT", tmp_path / "checkout")
    return ToyBook(tmp_path, monkeypatch)


def pages(folder, profile="cpu"):
    """Write the pages and return their texts by name."""
    return {path.name: path.read_text() for path in write_pages(profile, folder)}


def row(page, needle):
    """Return the cells of the only table row that holds a text."""
    (line,) = [line for line in page.splitlines() if line.startswith("|") and needle in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_without_any_run_both_pages_are_valid(book, tmp_path):
    book.write_claims([])
    found = pages(tmp_path / "out")
    assert list(found) == ["reproducibility.md", "status.md"]
    assert "There is no run to compare" in found["reproducibility.md"]
    assert "The book makes no claims yet" in found["reproducibility.md"]
    assert "No chapter was executed in profile `cpu` yet" in found["status.md"]
    for text in found.values():
        assert text.startswith("# ")
        assert text.endswith("\n")


def test_claims_without_a_run_stand_in_the_table(book, tmp_path):
    text = pages(tmp_path / "out")["reproducibility.md"]
    assert row(text, "`net-auc`")[1:3] == ["–", "–"]
    assert row(text, "`net-auc`")[5:] == ["cannot tell", "there is no run yet (make book)"]


def test_a_published_run_is_reported(book, tmp_path):
    book.execute()
    publish("cpu")
    text = pages(tmp_path / "out")["reproducibility.md"]
    assert "of 4 claims, 4 reproduced, 0 differs, 0 cannot tell" in text
    assert row(text, "`net-size`")[1:3] == ["61,706", "61,706"]
    assert row(text, "`net-auc`")[5:] == ["reproduced", "the same value"]
    assert "4 committed score files were read" in text
    assert "all agree" in text
    assert "make verify" in text


def test_each_look_at_the_test_split_is_listed_and_audits_with_their_reason(book, tmp_path):
    book.execute()
    results.log_access(model_id="net", data="toy", seed=1, door="audit", reason="shows | misuse")
    text = pages(tmp_path / "out")["reproducibility.md"]
    assert "It was called 4 times" in text
    assert "1 calls" in text
    looks, audits = text.split("### Audits")
    assert row(looks, "| net |") == [CHAPTER, "net", "toy", "plain", "0, 1, 2"]
    assert "| net | toy | plain | 1 | shows \\| misuse |" in audits


def test_the_tolerances_of_each_pool_are_listed(book, tmp_path):
    book.execute()
    base = shutil.copytree(book.build, tmp_path / "base") / "results"
    book.execute(shift=0.001)
    other = shutil.copytree(book.build, tmp_path / "avx2") / "results"
    measure_spread("cpu", {"base": base, "avx2": other})
    publish("cpu")
    text = pages(tmp_path / "out")["reproducibility.md"]
    assert "3 claims can move" in text
    assert row(text, "validation/accuracy/toy")[1:4] == ["1", "unknown", "unknown"]
    assert "environments: `avx2`, `base`" in text


def test_a_tampered_edition_is_reported(book, tmp_path):
    book.execute()
    publish("cpu")
    next((book.published / "scores" / CHAPTER).glob("*.csv")).write_text("index\n")
    text = pages(tmp_path / "out")["reproducibility.md"]
    assert "problems:" in text
    assert "changed after it was published" in text


def test_the_status_page_says_what_ran_where(book, tmp_path):
    (tmp_path / "checkout" / "notebooks").mkdir()
    (tmp_path / "checkout" / "notebooks" / f"{CHAPTER}.md").write_text("# A\n")
    book.execute()
    publish("cpu")
    book.stamp(chapter="03-06-other", status="failed", hardware={"cpu": "Other CPU"})
    text = pages(tmp_path / "out")["status.md"]
    assert row(text, CHAPTER) == [
        f"{{doc}}`/notebooks/{CHAPTER}`",
        "ok",
        "4 reproduced",
        "`abcdef012345`",
        "`0123456789ab`",
        "12",
        "321 MB",
        "1",
    ]
    assert row(text, "03-06-other")[:3] == ["`03-06-other`", "failed", "none"]
    assert row(text, "03-06-other")[-1] == "2"
    assert "1. cpu Toy CPU, cores 2; python 3.11.1, torch 2.9" in text
    assert "2. cpu Other CPU; python 3.11.1, torch 2.9" in text


def test_profile_fast_shows_no_verdicts(book, tmp_path):
    book.execute()
    publish("cpu")
    text = pages(tmp_path / "out", "fast")["reproducibility.md"]
    assert "a smoke test: its numbers are compared with nothing" in text
    assert row(text, "`net-auc`")[5:] == ["cannot tell", "profile fast gives no results"]
    assert row(text, "`net-size`")[2] == "61,706"


def test_the_same_run_gives_the_same_bytes(book, tmp_path):
    book.execute()
    publish("cpu")
    first, second = pages(tmp_path / "a"), pages(tmp_path / "b")
    assert first == second


def test_a_table_cell_stays_in_its_cell():
    lines = list(pipe_table(("a", "b"), [("x | y", "two\nlines")]))
    assert lines == ["| a | b |", "|---|---|", "| x \\| y | two lines |"]


def test_no_claim_goes_missing(book, tmp_path):
    text = pages(tmp_path / "out")["reproducibility.md"]
    assert all(f"`{claim['id']}`" in text for claim in CLAIMS)
