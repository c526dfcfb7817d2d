"""Reading times and levels: counted from the source, shown below titles, stated to the readers."""

import re
from pathlib import Path

import pytest

from book.workflow import chapters, fingerprint, reading, source, stage
from book.workflow.reading import Load
from medlib.errors import MedlibError

ROOT = Path(__file__).resolve().parents[2]
HEAD = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

"""
GLOSSARY = "# Glossary\n\n```{glossary}\nAUC\n面积\n  Text.\n\nloss\n损失\n  Text.\n```\n"


@pytest.fixture(scope="module")
def found() -> dict[str, reading.Reading]:
    """Count this checkout, once."""
    return reading.survey()


@pytest.fixture
def toy(tmp_path: Path):
    """Write a checkout of tiny chapters and return its root."""

    def write(**texts: str) -> Path:
        stems = {name: f"02-0{i}-{name}" for i, name in enumerate(texts, 1)}
        (tmp_path / "notebooks").mkdir()
        (tmp_path / "book").mkdir()
        (tmp_path / "book" / "glossary.md").write_text(GLOSSARY, encoding="utf-8")
        for name, text in texts.items():
            (tmp_path / "notebooks" / f"{stems[name]}.md").write_text(HEAD + text, "utf-8")
        entries = "".join(f"  - file: notebooks/{stem}\n" for stem in stems.values())
        (tmp_path / "_toc.yml").write_text(f"root: book/index\nchapters:\n{entries}", "utf-8")
        return tmp_path

    return write


def staged(document: str, found: dict[str, reading.Reading]) -> str:
    """Return a page as the stage writes it."""
    lines = reading.lines(found, linked=True)
    if document.startswith("notebooks/"):
        chapter = chapters.chapter(document.removeprefix("notebooks/"))
        notebook = stage.executed(chapter, "fast")
        return stage.notebook_page(notebook, chapter, "fast", lines[document]).decode()
    text = (ROOT / f"{document}.md").read_text("utf-8")
    return stage._timed(document, text, lines, found).decode()


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("Five words stand in here.", Load(words=5)),
        ("The AUC is {claim}`net-auc` {cite:p}`doe2020`.", Load(words=4)),
        ("A loss $L$ and [a map](../book/index.md).", Load(words=7, inline=1)),
        ("$$\nx = 1\n$$\n\n```{math}\n:label: eq-a\n\nx = 2\n```", Load(formulas=2)),
        ("| a | b |\n|---|--:|\n| one | two |", Load(words=4)),
        ("```python\na = 1\n\nb = 2\n```", Load(lines=2)),
        ("```{figure} a.svg\n:alt: Not counted.\n\nTwo words.\n```", Load(words=2, figures=1)),
        (":::{admonition} A title\nInside it.\n:::", Load(words=4)),
        ("```{exercise}\n:label: e\n\nWhy so?\n```", Load(exercise_words=2)),
        ("```{solution} e\nBy hand.\n```", Load(by_hand=1, exercise_words=2)),
        (
            "````{solution} e\nRun:\n\n```python\na = 1\n```\n````",
            Load(in_code=1, exercise_words=1),
        ),
    ],
)
def test_what_a_text_holds(text, load):
    assert reading.of_text(text) == load


@pytest.mark.parametrize(
    ("cell", "load"),
    [
        ("a = 1\n\nb = 2", Load(lines=2)),
        (":tags: [hide-input]\n\na = 1\na", Load(figures=1)),
        (":tags: [remove-cell]\n\na", Load()),
        ("record('a', value=1)", Load(lines=1)),
        ("draw();", Load(lines=1)),
        ("draw()", Load(lines=1, figures=1)),
    ],
)
def test_what_a_cell_holds(toy, cell, load):
    root = toy(one=f"```{{code-cell}}\n{cell}\n```\n")
    (found,) = reading.survey(root).values()
    assert found.load == load + Load(words=2), "the title is read too"


def test_minutes_follow_from_the_weights():
    text, code, all_of_it = Load(words=476, formulas=2, lines=30, figures=2, by_hand=1).minutes
    assert text == 2 + 2 * 30 / 60 + 2 * 30 / 60
    assert code == text + 30 * 4 / 60
    assert all_of_it == code + 10


def test_a_level_is_a_third_of_the_book(toy):
    hard = "The loss and the AUC: $L$.\n\n$$\nx\n$$\n\n```{code-cell}\na = 1\nb = 2\n```\n"
    root = toy(hard=hard, easy="Nothing but words.", middle="The loss, and $L$, in a text.")
    levels = {name: each.level for name, each in reading.survey(root).items()}
    assert list(levels.values()) == [3, 1, 2]


def test_levels_are_even_over_the_book(found):
    counts = [sum(each.level == level for each in found.values()) for level in (1, 2, 3)]
    assert max(counts) - min(counts) <= 1
    assert len(found) == sum(counts)


def test_a_term_is_found_in_its_plural_and_once(toy):
    root = toy(one="Losses: a loss, an AUC, AUCs; glossy.")
    assert next(iter(reading.survey(root).values())).terms == 2


def test_every_chapter_and_numbered_page_of_prose_is_counted(found):
    wanted = {chapter.document for chapter in chapters.chapters()}
    wanted |= {document for document, number in chapters.PROSE.items() if "." in number}
    assert set(found) == wanted


@pytest.mark.parametrize("document", ["notebooks/03-05-resnet", "book/trust"])
def test_the_line_stands_below_the_title_and_not_in_the_source(found, document):
    text = staged(document, found).replace("\\n", "\n").replace('",\n    "', "")
    below = re.search(r"^\W*# [^\n]*\n(.{0,400})", text, re.MULTILINE | re.DOTALL)[1]
    line = reading.line(found[document], linked=True).split("\n")[1]
    assert line.startswith("About ")
    assert line in below
    assert "to read ·" not in (ROOT / f"{document}.md").read_text("utf-8")


def test_no_execution_depends_on_it(monkeypatch):
    stem = "03-05-resnet"
    notebook = source.read(chapters.chapter(stem).source)
    assert "reading-line" not in source.text(notebook)
    assert "reading" not in Path(fingerprint.__file__).read_text("utf-8")


def test_a_line_leaves_out_what_a_page_does_not_have(found):
    assert "with the" not in reading.line(found["book/outline"], linked=False)
    full = reading.line(found["notebooks/03-05-resnet"], linked=False)
    assert re.search(
        r"About \d+ minutes to read · \d+ with the code · \d+ with the exercises · level \d of 3\n",
        full,
    )
    assert "{ref}" not in full


def test_places_of_the_landing_page_are_filled(found):
    page = staged("book/index", found)
    assert "{reading-" not in page
    assert len(re.findall(r"\d+ chapters · about \d+ hours? to read · ", page)) == 3
    assert all(f"](/{document}." in page for document in found)


def test_a_path_is_what_the_paragraph_links_and_what_the_option_adds(toy):
    root = toy(one="Words.", two="More words.", three="Still more words.")
    found = reading.survey(root)
    text = (
        "See [](../notebooks/02-03-three.ipynb#a), [](glossary.md).\n\n```{reading-time}\n%s```\n"
    )
    assert "1 chapter ·" in reading.fill(text % "", "book/index", found)
    assert "2 chapters" in reading.fill(text % ":with: 2.1\n", "book/index", found)
    assert "3 chapters" in reading.fill(text % ":with: 2\n", "book/index", found)
    with pytest.raises(MedlibError, match="no chapter has the number '9.9'"):
        reading.fill(text % ":with: 9.9\n", "book/index", found)


def test_the_page_that_explains_states_the_weights():
    text = " ".join((ROOT / f"{reading.PLACE}.md").read_text("utf-8").split())
    section = text.partition(f"({reading.LABEL})=")[2].partition(" ## What")[0]
    assert section
    for words in (
        f"{reading.WORDS_A_MINUTE} a minute",
        f"{reading.SECONDS_A_FORMULA} seconds for a formula that stands alone and for a figure",
        f"{reading.SECONDS_A_LINE} seconds for a line of code",
        f"{reading.MINUTES_BY_HAND} minutes for an exercise by hand and {reading.MINUTES_IN_CODE}",
        f"rounded to {reading.STEP} minutes",
        "brysbaert2019reading",
    ):
        assert words in section
    assert reading.SECONDS_A_FIGURE == reading.SECONDS_A_FORMULA


def test_code_that_does_not_parse_is_refused_by_name(toy):
    with pytest.raises(MedlibError, match=r"02-01-one\.md holds code that is no Python"):
        reading.survey(toy(one="```{code-cell}\na = (\n```\n"))
