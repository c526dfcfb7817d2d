"""`make new`: a chapter that can be run at once, and nothing that is overwritten."""

from pathlib import Path

import pytest
import yaml

from book.workflow import chapters, execute, lint, new, source, sync
from medlib import claims
from medlib.errors import MedlibError

TOC = """format: jb-book
root: book/index
parts:
  - caption: Front
    chapters:
      - file: book/trust
  - caption: Part 3 · Core algorithms
    chapters:
      - file: notebooks/03-01-before  # the first
      - file: notebooks/03-05-resnet
  - caption: Part 6 · Appendix
    chapters:
      - file: book/glossary
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
    (tmp_path / "_config.yml").write_text(
        "title: A book\nrepository:\n  url: https://github.com/a/b\n", encoding="utf-8"
    )
    (tmp_path / "book/claims.yml").write_text("# The claims.\n", encoding="utf-8")
    (tmp_path / "book/references.bib").write_text(
        "@article{yang2023medmnist, author={Yang, J}, title={T}, year={2023}}", encoding="utf-8"
    )
    return tmp_path


def documents(toc: str) -> list[list[str]]:
    return [[c["file"] for c in part["chapters"]] for part in yaml.safe_load(toc)["parts"]]


def test_a_new_chapter_is_on_the_map_in_the_contents_and_in_the_claims(checkout):
    written = new.new("03-02-lenet", "LeNet-5", checkout)
    names = {path.relative_to(checkout).as_posix() for path in written}
    assert names == {"notebooks/03-02-lenet.md", "book/claims.yml", "_toc.yml"}
    assert chapters.chapter("03-02-lenet", checkout).label == "3.2 LeNet-5"
    found = claims.read_claims(checkout / "book/claims.yml")
    assert found["lenet-breast-auc"].chapter == "03-02-lenet"
    entries = documents((checkout / "_toc.yml").read_text("utf-8"))[1]
    assert [entry[10:15] for entry in entries] == ["03-01", "03-02", "03-05"]


def test_a_new_chapter_has_what_every_chapter_has(checkout):
    new.new("03-02-lenet", "LeNet-5", checkout)
    notebook = source.read(checkout / "notebooks/03-02-lenet.md")
    execute.check_parameters(notebook, "03-02-lenet")
    text = source.text(notebook)
    for needed in (
        "What you will learn", "What this does not show", "Further reading", "{exercise}",
        "{solution}", "record('lenet-breast-auc'", "{claim}`lenet-breast-auc`",
        "medlib.begin('03-02-lenet'",
    ):  # fmt: skip
        assert needed in text.replace('"', "'"), needed
    figures = [c.metadata["mystnb"] for c in notebook.cells if "mystnb" in c.metadata]
    assert all(f["figure"]["name"] and f["figure"]["caption"] for f in figures)
    assert all(f["image"]["alt"] for f in figures)
    assert [c for c in notebook.cells if source.tagged(c, "results")]
    assert "@" not in text.replace("@property", "")
    for cell in source.code_cells(notebook):
        compile(cell.source, "cell", "exec")


def test_a_new_chapter_can_be_copied_for_colab(checkout):
    new.new("03-02-lenet", "LeNet-5", checkout)
    assert sync.write(checkout) == ["notebooks/03-02-lenet.ipynb"]


def test_a_new_chapter_passes_the_lint(checkout):
    new.new("03-02-lenet", "LeNet-5", checkout)
    assert [str(finding) for finding in lint.lint(checkout)] == []


def test_every_place_to_fill_is_marked(checkout):
    new.new("03-02-lenet", None, checkout)
    text = (checkout / "notebooks/03-02-lenet.md").read_text("utf-8")
    assert "# Lenet\n" in text
    assert text.count("WRITE:") >= 10
    assert "WRITE:" in (checkout / "book/claims.yml").read_text("utf-8")


@pytest.mark.parametrize(
    ("stem", "part", "place"),
    [
        ("03-01-a", 1, 0),
        ("03-09-z", 1, 2),
        ("00-03-a", 0, 0),
        ("06-01-a", 2, 0),
        ("05-01-vit", 2, 0),
        ("09-01-a", 3, 0),
    ],
)
def test_the_entry_stands_at_its_place(stem, part, place):
    toc = TOC
    after = documents(new.with_entry(toc, stem))
    assert after[part][place] == f"notebooks/{stem}"
    before = [entry for entries in documents(toc) for entry in entries]
    assert [e for entries in after for e in entries if not e.endswith(stem)] == before


def test_a_part_that_is_missing_gets_its_caption():
    text = new.with_entry(TOC, "05-01-vit")
    captions = [part["caption"] for part in yaml.safe_load(text)["parts"]]
    assert captions[2] == "Part 5 · Future directions and challenges"
    assert "# the first" in text


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ("resnet", "a chapter is named"),
        ("", "a chapter is named"),
        ("03-05-resnet", "exists already"),
        ("03-05-other", "the place 03-05 is taken by notebooks/03-05-resnet.md"),
        ("03-06-taken", "the claim taken-breast-auc exists already"),
    ],
)
def test_what_exists_or_is_ill_formed_is_refused_and_nothing_is_written(checkout, stem, message):
    (checkout / "notebooks/03-05-resnet.md").write_text("# ResNet\n", encoding="utf-8")
    (checkout / "book/claims.yml").write_text("- id: taken-breast-auc\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    with pytest.raises(MedlibError, match=message):
        new.new(stem, "Title", checkout)
    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before


def test_the_command_ends_with_one_line(capsys):
    assert new.main(["Nonsense"]) == 2
    assert capsys.readouterr().err.startswith("make new: a chapter is named")
