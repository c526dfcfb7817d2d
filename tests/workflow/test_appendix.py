"""The generated appendix: every card, every exercise, every public name; the same bytes."""

import ast
import re
import shutil
from pathlib import Path

import pytest
import yaml

from book.workflow import api_pages, appendix, cards_page, chapters, imports, solutions_page, stage
from medlib import data
from medlib.errors import MedlibError

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{{code-cell}}
set_name = "{data}"
```

## Exercises

{exercises}
"""
EXERCISE = """```{exercise} A short title
:label: ex-toy-hand

What does {eq}`eq-toy` say of [the map](../book/index.md)? See {doc}`04-06-testing-once`.
```

````{solution} ex-toy-hand
:class: dropdown

$$
1 + 1 = 2
$$ (eq-toy-answer)

```python
print("{eq}`not-a-role`")
```
````"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The pages of this checkout, by name."""
    folder = tmp_path_factory.mktemp("appendix")
    return {path.stem: path.read_text("utf-8") for path in appendix.write_pages(folder)}


@pytest.fixture
def book(tmp_path):
    """A checkout with one chapter."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "_config.yml", tmp_path)

    def write(exercises: str = EXERCISE, name: str = "breastmnist") -> Path:
        text = CHAPTER.format(data=name, exercises=exercises)
        (tmp_path / "notebooks" / "03-05-toy.md").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_the_contents_name_every_page_in_the_order_of_its_letter(pages):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    part = next(each for each in toc["parts"] if "Appendix" in each["caption"])
    letters = [chapters.document_number(entry["file"]) for entry in part["chapters"]]
    assert [each for each in letters if each] == sorted(each for each in letters if each)
    assert {"B", "C", "D", "E", "F", "G"} <= set(letters)
    below = next(e["sections"] for e in part["chapters"] if e["file"] == api_pages.DOCUMENT)
    groups = [f"{api_pages.DOCUMENT}-{group.slug}" for group in api_pages.GROUPS]
    assert [entry["file"] for entry in below] == groups
    assert {"data-cards", "solutions", "api"} < set(pages)
    assert len(pages) == 3 + len(groups)


def test_a_page_that_the_contents_do_not_name_is_not_made(tmp_path, book):
    root = book()
    (root / "_toc.yml").write_text("root: book/index\nchapters:\n- file: book/solutions\n")
    assert [p.name for p in appendix.write_pages(tmp_path / "out", root)] == ["solutions.md"]


def test_the_pages_are_the_same_bytes_each_time_and_hold_no_path(pages, tmp_path):
    again = {path.stem: path.read_text("utf-8") for path in appendix.write_pages(tmp_path)}
    assert again == pages
    assert not [name for name, text in pages.items() if str(ROOT) in text]


def test_every_card_has_its_section_with_all_that_a_reader_must_know(pages):
    parts = re.split(r"^\(card-(\w+)\)=$", pages["data-cards"], flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(sections) == list(data.cards())
    for name, card in data.cards().items():
        text = sections[name]
        assert f"medlib data get {name}" in text
        assert card.licence["url"] in text
        assert ("were read" in text) == bool(card.licence["read"]), name
        assert ("may be shown" in text) == card.publishable, name
        assert all(str(origin["url"]) in text for origin in card.origins)
        assert all(value in text for value in card.digests.values())
        assert f"{{cite:t}}`{card.citation}`" in text
        for split in ("train", "val", "test"):
            assert f"{card.counts[split]:,}" in text
        for flaw in card.flaws:
            assert flaw["source"] in text or "measured by us" in text
        flaws = text.split("**Known flaws**")[1].split("**How to get it**")[0]
        assert len(re.findall("^- ", flaws, re.MULTILINE)) == len(card.flaws), name


def test_no_card_tells_how_a_test_split_falls_into_classes(pages):
    rows = re.findall(r"^\| .+ \| [\d,]+ \| [\d,]+ \| (\S+) \|$", pages["data-cards"], re.MULTILINE)
    classes = sum(card.num_classes for card in data.cards().values() if card.class_counts)
    assert rows.count("sealed") == classes


def test_a_new_card_and_its_chapter_appear_by_themselves(tmp_path, book, monkeypatch):
    folder = tmp_path / "cards"
    folder.mkdir()
    entries = yaml.safe_load((ROOT / "data" / "breastmnist.yml").read_text("utf-8"))
    new = entries | {"name": "newset", "title": "New_set", "flaws": []}
    (folder / "newset.yml").write_text(yaml.safe_dump(new), encoding="utf-8")
    monkeypatch.setattr(data.cards.__globals__["paths"], "package_file", lambda name: folder)
    text = "\n".join(cards_page.data_cards(book(name="newset")))
    assert "(card-newset)=\n## New\\_set\n" in text
    assert "{doc}`3.5 A chapter </notebooks/03-05-toy>`" in text
    assert "no proof that there is none" in text


def test_every_exercise_of_every_chapter_is_there_once_with_its_solution(pages):
    text = pages["solutions"]
    for chapter in chapters.chapters():
        source = chapter.source.read_text("utf-8")
        labels = re.findall(r"^`{3,}\{exercise\}[^\n]*\n:label: (\S+)", source, re.MULTILINE)
        assert labels, chapter.stem
        assert f"({solutions_page.anchor(chapter)})=" in text
        found = solutions_page.exercises(chapter)
        assert [each.label for each in found] == labels
        for each in found:
            assert text.count(f"(all-{each.label})=\n### {each.heading}\n") == 1
            assert text.count(f"](#{each.label})") == 1
            assert len(each.solutions) == 1, f"{each.label} has no solution"
            assert each.solutions[0] in text


def test_solutions_stay_hidden_and_define_no_label_of_a_chapter(pages):
    text = pages["solutions"]
    closed = re.findall(r"^(:+)\{admonition\} Solution .*\n:class: dropdown$", text, re.MULTILINE)
    assert len(closed) == len(re.findall("^### ", text, re.MULTILINE))
    labels = re.findall(r"^\((\S+)\)=$|^:(?:label|name): *(\S+)|\$\$ \((\S+)\)", text, re.MULTILINE)
    assert all(first.startswith("all-") for first, *_ in labels)


def test_an_exercise_moves_to_another_page_without_labels_and_with_links_that_hold(book):
    (chapter,) = chapters.chapters(book())
    (exercise,) = solutions_page.exercises(chapter)
    assert exercise.heading == "Exercise 3.5.1: A short title"
    assert "[the map](/book/index.md)" in exercise.text
    assert "{doc}`/notebooks/04-06-testing-once`" in exercise.text
    assert "eq-toy-answer" not in exercise.solutions[0]
    assert 'print("{eq}`not-a-role`")' in exercise.solutions[0]


def test_a_chapter_leads_to_its_solutions(book):
    (chapter,) = chapters.chapters(book())
    text = solutions_page.with_link("Text\n\n## Exercises\n\nMore", chapter)
    assert text.startswith("Text\n\n## Exercises\n\n*Every exercise")
    assert "{ref}`appendix D <all-exercises-03-05-toy>`" in text
    first = chapters.chapters()[0]
    staged = stage.notebook_page(stage.executed(first, "fast"), first, "fast").decode()
    assert staged.count("all-exercises-") == 1


@pytest.mark.parametrize(
    ("exercises", "message"),
    [
        ("```{solution} ex-none\nWhy?\n```", "ex-none"),
        ("```{exercise-start}\n:label: ex-a\n```", "spans cells"),
    ],
)
def test_what_the_page_cannot_show_is_named(book, exercises, message):
    (chapter,) = chapters.chapters(book(exercises))
    with pytest.raises(MedlibError, match=message):
        solutions_page.exercises(chapter)


def test_every_module_stands_on_one_page():
    listed = [name for group in api_pages.GROUPS for name in api_pages.modules_of(group)]
    assert sorted(listed) == sorted(set(imports.modules()) - {"medlib"})


def test_every_public_name_is_listed_and_described(pages):
    for group in api_pages.GROUPS:
        page = pages[f"api-{group.slug}"]
        for module in api_pages.modules_of(group):
            names = api_pages.names_of(module)
            tree = ast.parse(imports.modules()[module].read_text("utf-8"))
            defined = {
                node.name
                for node in tree.body
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"
            }
            assert defined <= {each.name for each in names}
            assert not names or f".. automodule:: {module}\n" in page
            assert all(each.summary for each in names)
            assert all(each.link in pages["api"] for each in names)


def test_every_exported_name_leads_to_its_definition():
    known = {each.target for name in imports.modules() for each in api_pages.names_of(name)}
    for module, names in api_pages.exports().items():
        for name, target in names.items():
            is_module = f"{module}.{name}" in imports.modules()
            assert target in known or is_module or name == "__version__", f"{module}.{name}"


def test_the_shorter_import_is_told():
    lines = api_pages.import_lines()
    assert lines["medlib.data.loading.load"] == "from medlib import load"
    assert lines["medlib.data.cards.card"] == "from medlib.data import card"
    assert "medlib.metrics.auc" not in lines


def test_a_colour_is_not_taken_for_a_comment():
    palette = next(n for n in api_pages.names_of("medlib.plots.theme") if n.name == "PALETTE")
    assert palette.summary.startswith("Dark enough to be read as text on white")
