"""The prose pages: links, alternative texts, no typed results, a glossary in two languages."""

import re
from pathlib import Path

import pytest
import yaml

from medlib.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
OURS = (
    "index",
    "trust",
    "outline",
    "literature",
    "regulation",
    "conclusions",
    "explorer",
    "try",
    "glossary",
    "authors",
    "ethics",
    "errata",
    "releases",
    "references",
    "acknowledgements",
    *(f"quiz-{part}" for part in range(1, 6)),
)
# written by the workflow when the site is staged
GENERATED = {"reproducibility", "status", "data-cards", "solutions", "api"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
RESULT = re.compile(r"(?<![\w.])[01]?\.\d{2,}(?![\w.])|\d\.\d+ ?%")
TERM = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")
EMPTY_WORDS = (
    "obviously", "of course", "trivially", "revolutionary", "groundbreaking", "cutting-edge",
    "state-of-the-art", "unprecedented", "game-chang", "powerful",
)  # fmt: skip


def page(name: str) -> str:
    return (BOOK / f"{name}.md").read_text("utf-8")


def without_code(text: str) -> str:
    """Drop fenced blocks that are code, and inline code; keep figures, tables and roles."""
    text = re.sub(r"^```[a-z]*$.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<!\})`[^`]*`", "", text)


def glossary(text: str) -> list[list[str]]:
    """Return the glossary's entries, each as the lines of its terms."""
    inside = text.split("```{glossary}", 1)[1].split("```", 1)[0]
    blocks = [block.splitlines() for block in inside.strip("\n").split("\n\n")]
    return [[line for line in block if not line.startswith("  ")] for block in blocks]


def contents() -> list[str]:
    """Return every document of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


@pytest.mark.parametrize("name", OURS)
def test_a_page_has_one_title_without_a_number_and_a_place_in_the_contents(name):
    titles = re.findall(
        r"^# (.+)$", re.sub(r"```bash.*?```", "", page(name), flags=re.DOTALL), re.M
    )
    assert len(titles) == 1
    assert not re.match(r"\d", titles[0])
    assert f"book/{name}" in contents()


@pytest.mark.parametrize("name", OURS)
def test_every_link_inside_the_book_leads_to_a_page_of_the_contents(name):
    targets = [link for link in LINK.findall(page(name)) if "://" not in link]
    known = {document.removeprefix("book/") for document in contents()} | GENERATED
    lost = [
        t for t in targets if re.sub(r"^\.\./|\.(md|ipynb)$", "", t) not in known | {"tab-outline"}
    ]
    assert lost == []


def test_the_landing_page_and_the_outline_link_every_chapter():
    chapters = {document for document in contents() if document.startswith("notebooks/")}
    for name in ("index", "outline"):
        linked = {re.sub(r"^\.\./|\.ipynb$", "", link) for link in LINK.findall(page(name))}
        assert chapters <= linked, name


@pytest.mark.parametrize("name", OURS)
def test_every_picture_exists_and_has_an_alternative_text(name):
    figures = re.findall(r"```\{(?:figure|image)\} (\S+)\n(.*?)```", page(name), flags=re.DOTALL)
    for source, options in figures:
        assert (BOOK / source).is_file()
        assert re.search(r"^:alt: .{20,}", options, flags=re.MULTILINE), source
    assert "![](" not in page(name)


@pytest.mark.parametrize("name", OURS)
def test_no_result_is_typed_into_prose(name):
    assert RESULT.findall(without_code(page(name))) == []


def test_a_typed_result_would_be_found():
    assert RESULT.findall("an AUC of 0.897 and .91, or 89.7 %, in chapter 3.10 of Python 3.11")


@pytest.mark.parametrize("name", OURS)
def test_no_empty_words(name):
    assert [word for word in EMPTY_WORDS if word in page(name).lower()] == []


def test_the_table_of_profiles_is_that_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \|(.+)\|$", page("trust"), flags=re.MULTILINE)
    shown = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    assert shown == {
        p.name: [
            str(p.seeds),
            str(p.max_steps or "all"),
            str(p.max_images or "all"),
            str(p.bootstrap),
            "yes" if p.results else "no",
        ]
        for p in PROFILES.values()
    }


def test_the_choice_that_was_not_blind_is_disclosed():
    box = re.search(r":::\{admonition\} Disclosure.*?:::", page("trust"), flags=re.DOTALL)
    assert box
    assert all(word in box[0] for word in ("prototype", "BreastMNIST", "*test* score", "batch"))


def test_the_glossary_has_each_term_once_in_both_languages():
    entries = glossary(page("glossary"))
    assert len(entries) >= 80
    for entry in entries:
        assert len(entry) == 2, entry
        assert CHINESE.search(entry[1])
        assert not CHINESE.search(entry[0])
    english, chinese = zip(*entries, strict=True)
    assert list(english) == sorted(english, key=str.lower)
    assert len(set(map(str.lower, english))) == len(set(chinese)) == len(entries)


def test_every_term_that_is_used_is_explained():
    known = {line.lower() for entry in glossary(page("glossary")) for line in entry}
    pages = [*BOOK.glob("*.md"), *(ROOT / "notebooks").glob("*.md")]
    used = {(p.name, t) for p in pages for t in TERM.findall(p.read_text("utf-8"))}
    assert used
    assert {(name, t) for name, t in used if " ".join(t.lower().split()) not in known} == set()


def test_each_quotation_of_the_outline_is_followed_by_its_translation():
    quotations = re.findall(r"(?:^>.*\n)+", page("outline"), flags=re.MULTILINE)
    assert len(quotations) >= 12
    for quotation in quotations:
        original, _, translation = quotation.rpartition("\n>\n")
        assert CHINESE.search(original)
        assert re.match(r"> [A-Za-z]", translation)
        assert not CHINESE.search(translation)


def test_the_affiliation_is_quoted_as_it_stands():
    assert "> 单位：上海生物制药集团股份有限公司" in page("authors")
