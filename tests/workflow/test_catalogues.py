"""Templates of all pages, and the committed translations: in step, complete, true."""

import json
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from book.workflow import catalogues, chapters, translation_lint
from medlib.claims import format_value
from medlib.errors import MedlibError

ROOT = chapters.ROOT
PAIRS = {"灵敏度": "sensitivity"}


@pytest.fixture(scope="module")
def templates() -> dict[str, Catalog]:
    return {domain: catalogues.template(domain) for domain in catalogues.domains()}


def ids(catalogue: Catalog) -> list[str]:
    found = [each.id for each in catalogue if each.id]
    return [text for each in found for text in ((each,) if isinstance(each, str) else each)]


def published() -> set[str]:
    """Return every published value with its interval, as the pages show it."""
    found = set()
    for path in (ROOT / "results").glob("*/*.json"):
        content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        claims = content.get("claims", {}) if isinstance(content, dict) else {}
        entries = claims.values() if isinstance(claims, dict) else claims
        found |= {format_value(e["value"], e["interval"]) for e in entries if e.get("interval")}
    return found


def test_every_page_of_the_contents_has_messages(templates: dict[str, Catalog]):
    pages = set(chapters.contents()) - set(catalogues.RESULTS)
    assert pages <= set(templates)
    assert len(pages) > 70
    assert [domain for domain, catalogue in templates.items() if not ids(catalogue)] == []


def test_no_message_holds_a_value_of_a_run(templates: dict[str, Catalog]):
    values = published()
    assert len(values) > 100
    said = "\n".join(text for catalogue in templates.values() for text in ids(catalogue))
    assert [value for value in sorted(values) if value in said] == []


def test_catalogues_have_neither_dates_nor_places_and_come_out_the_same(
    templates: dict[str, Catalog],
):
    for domain in ("book/glossary", "notebooks/03-05-resnet", catalogues.SITE):
        text = catalogues.written(templates[domain])
        assert catalogues.written(catalogues.template(domain)) == text
        assert "Date" not in text
        assert not re.search(r"^#", text, re.MULTILINE)


def test_no_marked_string_hides_in_a_formatted_one_where_babel_would_not_find_it():
    hidden = re.compile(r"""\{_\(["']""")
    files = [*ROOT.glob("book/_ext/*.py"), *ROOT.glob("book/workflow/*.py")]
    assert [path.name for path in files if hidden.search(path.read_text("utf-8"))] == []


def test_titles_of_generated_pages_are_those_that_their_pages_have():
    report = (ROOT / "book" / "workflow" / "report.py").read_text("utf-8")
    assert all(f'"# {title}"' in report for title in catalogues.RESULTS.values())
    assert catalogues.titles()["book/solutions"] == "Solutions"


def test_the_committed_translations_are_complete_and_in_step_with_the_pages():
    assert "zh_CN" in catalogues.languages()
    assert {"book/index", "book/glossary"} <= set(catalogues.translated("zh_CN"))
    assert translation_lint.findings() == []


@pytest.mark.parametrize(
    ("source", "said", "fault"),
    [
        ("See {claim}`a`.", "见{claim}`b`。", "claim"),
        ("See {term}`sensitivity`.", "见{term}`特异度`。", "term"),
        ("See [](trust.md).", "见[](outline.md)。", "link"),
        ("Mean $x$.", "平均值。", "math"),
        ("In 95 of cases.", "在59例中。", "number"),
        ("Of {works} works.", "共{work}部。", "field"),
        ("A word, a word.", "词,词。", "Western"),
        ("A sentence.", "句子", "full stop"),
    ],
)
def test_a_translation_that_loses_something_is_found(source: str, said: str, fault: str):
    found = list(translation_lint.faults(source, said, "zh_CN", PAIRS))
    assert any(fault in each for each in found)


def test_a_true_translation_has_no_fault():
    source = "Share of {term}`Sensitivity <sensitivity>`, 95 % of {n}, `code` {cite}`a2020`."
    said = "{term}`灵敏度`的比例，{n}的95%，`code`{cite}`a2020`。"
    assert list(translation_lint.faults(source, said, "zh_CN", PAIRS)) == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n", "utf-8")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text("# Title\n\nA sentence, at first.\n", "utf-8")
    (tmp_path / "book" / "glossary.md").write_text("# Glossary\n", "utf-8")
    catalogues.begin("zh_CN", "book/index", tmp_path)
    return tmp_path


def translate(root: Path) -> None:
    path = catalogues.file_of("zh_CN", "book/index", root)
    text = path.read_text("utf-8").replace('"Title"\nmsgstr ""', '"Title"\nmsgstr "标题"')
    path.write_text(text.replace('first."\nmsgstr ""', 'first."\nmsgstr "先有一句。"'), "utf-8")


def test_a_page_that_was_begun_is_not_complete(checkout: Path):
    found = translation_lint.findings(checkout)
    assert len(found) == 2
    assert all("not translated" in each for each in found)
    with pytest.raises(MedlibError, match="there already"):
        catalogues.begin("zh_CN", "book/index", checkout)
    with pytest.raises(MedlibError, match="no page 'book/lost'"):
        catalogues.begin("zh_CN", "book/lost", checkout)


def test_a_changed_page_fails_the_lint_until_its_translation_was_read_again(checkout: Path):
    translate(checkout)
    assert translation_lint.findings(checkout) == []
    page = checkout / "book" / "index.md"
    page.write_text(page.read_text("utf-8").replace("at first", "at last"), "utf-8")
    (found,) = translation_lint.findings(checkout)
    assert "1 messages of book/index are new" in found
    assert "make gettext" in found
    path = catalogues.file_of("zh_CN", "book/index", checkout)
    path.write_text(catalogues.updated("zh_CN", "book/index", checkout), "utf-8")
    (found,) = translation_lint.findings(checkout)
    assert "fuzzy" in found
    assert "at last" in found
    assert "先有一句" in path.read_text("utf-8")
