"""What opens and closes a page: verdicts on its claims, day of its last change, citation."""

import shutil

import pytest
from git_runs import git
from pybtex.database import parse_string

from book.workflow import banners, changed, chapters, citing

BOOK = citing.Work(
    title="Deep learning: an executable book",
    authors="{The contributors}",
    version="1.2.0",
    year="2026",
    url="https://ann.github.io/book",
)


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose second commit changes one of two pages."""
    root = tmp_path / "checkout"
    (root / "book").mkdir(parents=True)
    git(root, "init", "-q")
    for day, files in {"2026-11-01": ("one", "two"), "2026-11-09": ("two",)}.items():
        for name in files:
            (root / "book" / f"{name}.md").write_text(f"# {name} {day}\n", encoding="utf-8")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "A change", day=day)
    return root


def test_the_day_of_the_last_change_comes_from_the_history(checkout):
    assert changed.days(checkout) == {"book/one.md": "2026-11-01", "book/two.md": "2026-11-09"}


def test_without_a_full_history_there_is_no_day(checkout, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{checkout}", "shallow")
    assert changed.days(tmp_path / "shallow") == {}
    inside = checkout / "book"
    assert changed.days(inside) == {}, "the history of a folder around the checkout is not ours"
    shutil.rmtree(checkout / ".git")
    assert changed.days(checkout) == {}


def test_bibtex_can_be_read():
    text = citing.bibtex("notebooks/03-05-resnet", "ResNet & friends: 100 % `net_1`", BOOK)
    entry = parse_string(text, "bibtex").entries["compendium2026-03-05-resnet"]
    assert entry.fields["title"] == r"{ResNet \& friends: 100 \% net\_1}"
    assert entry.fields["howpublished"] == "Chapter 3.5 of: Deep learning: an executable book"
    assert entry.fields["url"] == "https://ann.github.io/book/notebooks/03-05-resnet.html"
    assert (entry.fields["year"], entry.fields["version"]) == ("2026", "1.2.0")
    assert str(entry.persons["author"][0]) == "{The contributors}"
    assert "Appendix C of" in citing.bibtex("book/glossary", "Glossary", BOOK)


def test_the_work_is_the_one_of_the_citation_file(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    (tmp_path / "_config.yml").write_text(
        "copyright: '2026'\nrepository: {url: https://github.com/Ann/book}\n", encoding="utf-8"
    )
    people = "[{family-names: One, given-names: Ann}, {name: A & B}]"
    (tmp_path / "CITATION.cff").write_text(
        f"title: A book\nauthors: {people}\nversion: 1.2.0\ndate-released: 2027-01-02\n",
        encoding="utf-8",
    )
    assert citing.work(tmp_path) == citing.Work(
        "A book", r"One, Ann and {A \& B}", "1.2.0", "2027", "https://ann.github.io/book"
    )
    for notes, url in {"unreleased": "book", "2027-01-02": "book/v1.2"}.items():
        changelog = f"## [1.2.0] - {notes}\n\n## [1.1.0] - 2026-11-30\n"
        (tmp_path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
        assert citing.work(tmp_path).url == f"https://ann.github.io/{url}"
    assert citing.work().title.startswith("Deep learning in medical image classification")


def test_a_page_closes_with_what_is_known_of_it():
    days = {"book/errata.md": "2026-11-09"}
    assert citing.closing("book/errata", "Errata", days, BOOK) == (
        ":::{container} page-line\nText last changed on 2026-11-09.\n:::"
    ), "a page without a number is not cited by itself"
    assert citing.closing("book/index", "A book", {}, BOOK) == ""
    chapter = citing.closing("notebooks/03-05-resnet", "ResNet", days, BOOK)
    assert chapter.startswith(":::{admonition} Cite this chapter\n:class: dropdown")
    assert "last changed" not in chapter


def test_every_chapter_can_be_cited():
    book = citing.work()
    entries = [citing.bibtex(c.document, c.title, book) for c in chapters.chapters()]
    found = parse_string("\n".join(entries), "bibtex").entries
    assert len(found) == len(entries)
    assert len({entry.fields["url"] for entry in found.values()}) == len(entries)


def test_verdicts_are_counted_below_the_title():
    line = banners.badge({"reproduced": 14, "cannot tell": 2})
    assert "[\N{CHECK MARK} 14 reproduced]{.verdict .verdict-reproduced}" in line
    assert "[? 2 cannot tell]{.verdict .verdict-unknown}" in line
    assert "differs" not in line
    assert "/book/reproducibility" in line
    assert banners.badge({}) == ""
