"""Pages that say what other files hold: counts of the bibliography, the changelog as notes."""

import re

from book.workflow import chapters, completed

BIBLIOGRAPHY = """
@article{one2001work, author = {One, Ann}, title = {Work}, year = {2001}, doi = {10.1000/1},
  checked_how = {a stored copy: title, author}, checked_date = {2026-11-23}}
@misc{two2002work, author = {Two, Bo}, title = {Work}, year = {2002}, eprint = {2002.00001},
  checked_how = {five independent citations: title, author}, checked_date = {2026-11-24}}
@book{three1999work, author = {Three, Cy}, title = {Work}, year = {1999}, isbn = {1},
  checked_how = {five independent citations: title, author}, checked_date = {2026-11-24}}
"""
CHANGELOG = """# Changelog

About it.

## [0.2.0] - unreleased

### Fixed

- A number.

## [0.1.0] - 2026-12-01

### Added

- Everything.
"""


def checkout(root):
    (root / "book").mkdir()
    (root / "book" / "references.bib").write_text(BIBLIOGRAPHY, encoding="utf-8")
    (root / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    return root


def test_the_bibliography_is_counted(tmp_path):
    text = completed.counts(checkout(tmp_path))
    assert text.startswith("There are 3 works, from 1999 to 2002. 1 have a DOI, 1 an arXiv number")
    assert "between 2026-11-23 and 2026-11-24. For 1 of them" in text


def test_the_changelog_becomes_sections(tmp_path):
    text = completed.notes(checkout(tmp_path))
    assert text.startswith("## Edition 0.2.0, not yet released\n\n### Fixed")
    assert "## Edition 0.1.0, 2026-12-01" in text
    assert "About it" not in text


def test_only_pages_with_a_marker_are_completed(tmp_path):
    root = checkout(tmp_path)
    pages = {"book/references": f"a\n{completed.MARKER}\nb", "book/releases": "no marker"}
    done = completed.completed(pages, root)
    assert list(done) == ["book/references"]
    assert done["book/references"].startswith("a\nThere are 3 works")


def test_the_pages_of_this_book_have_their_marker_and_type_no_count():
    for name in ("references", "releases"):
        text = (chapters.ROOT / "book" / f"{name}.md").read_text("utf-8")
        assert text.count(completed.MARKER) == 1
        assert not re.search(r"\b\d{3} (?:works|entries)", text)
    assert completed.notes().startswith("## Edition ")
