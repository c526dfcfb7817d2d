"""The lint of chapters: each kind of finding is planted and found, with its file and line."""

import subprocess
import sys
from pathlib import Path

import pytest

from book.workflow import lint as lint_module
from book.workflow.lint import lint

CLAIMS = """
- id: net-auc
  chapter: 03-05-net
  sentence: It is so.
  kind: score
  metric: auc
  data: toy
  seeds: 3
- {id: net-size, chapter: 03-05-net, sentence: So big., kind: count, metric: parameters}
"""
CHAPTER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A net

```{code-cell}
:tags: [parameters]

profile = "cpu"
seed = 0
device = "auto"
```

```{code-cell}
import medlib
from medlib import plots, record

rate = 0.003
record("net-auc", scores=[])
medlib.results.record("net-size", value=1)
```

```{code-cell}
---
mystnb:
  figure:
    name: fig-net
    caption: A curve.
  image:
    alt: A curve that rises and then stays flat.
---
plots.roc([]);
```

+++ {"tags": ["results"]}

## Results

The AUC is {claim}`net-auc` and took {measured}`03-05-net seconds`.

+++

## What this does not show

Anything else.

```{exercise} A question
:label: ex-net

How?
```

```{solution} ex-net
:class: dropdown

So.
```
"""


@pytest.fixture
def book(tmp_path):
    """Return a function that writes a checkout with one chapter and lints it."""
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()

    def check(chapter=CHAPTER, claims=CLAIMS, page="# Page\n"):
        (tmp_path / "notebooks" / "03-05-net.md").write_text(chapter)
        (tmp_path / "book" / "claims.yml").write_text(claims)
        (tmp_path / "book" / "page.md").write_text(page)
        return [str(item) for item in lint(tmp_path)]

    return check


def results(text):
    """Put a paragraph into the results cell of the chapter."""
    return CHAPTER.replace("The AUC is", f"{text}\n\nThe AUC is")


def line_of(chapter, needle):
    return chapter[: chapter.index(needle)].count("\n") + 1


def test_a_good_chapter_has_no_finding(book):
    assert book() == []


# Claim ids, in each direction


def test_a_recorded_id_that_no_claim_names(book):
    chapter = CHAPTER.replace('record("net-auc"', 'record("net-auk"')
    found = book(chapter)
    line = line_of(chapter, "net-auk")
    assert f"notebooks/03-05-net.md:{line}: claim 'net-auk' is recorded, but" in found[1]
    assert "claim 'net-auc' is never recorded" in found[0]


def test_a_claim_that_nobody_records(book):
    more = CLAIMS + "- {id: net, chapter: 03-05-net, sentence: S., kind: count, metric: p}\n"
    assert book(claims=more) == [
        f"book/claims.yml:{line_of(more, '{id: net, ')}: claim 'net' is never recorded in "
        "notebooks/03-05-net.md"
    ]


def test_a_claim_of_a_chapter_that_does_not_exist(book):
    claims = CLAIMS + "- {id: b, chapter: 03-06-gone, sentence: S., kind: count, metric: p}\n"
    assert "names chapter 03-06-gone, which does not exist" in book(claims=claims)[0]


def test_a_claim_of_another_chapter(book):
    claims = CLAIMS.replace("{id: net-size, chapter: 03-05-net", "{id: net-size, chapter: 03-01-x")
    assert any(
        "claim 'net-size' belongs to chapter 03-01-x" in line for line in book(claims=claims)
    )


@pytest.mark.parametrize("call", ['record(f"net-{1}", scores=[])', "record(name)", "record()"])
def test_an_id_that_is_no_literal(book, call):
    chapter = CHAPTER.replace("rate = 0.003", call)
    line = line_of(chapter, call)
    assert [f"notebooks/03-05-net.md:{line}: record needs its claim id as a literal"] == [
        item.partition(": record('")[0] for item in book(chapter)
    ]


def test_a_record_behind_a_magic_is_still_found(book):
    assert book(CHAPTER.replace("import medlib\n", "%matplotlib inline\nimport medlib\n")) == []


@pytest.mark.parametrize("role", ["{claim}`net-auk`", "{claim}`net-auk value`"])
def test_a_role_that_shows_no_claim(book, role):
    chapter = CHAPTER.replace("{claim}`net-auc`", role)
    line = line_of(chapter, role)
    assert f"notebooks/03-05-net.md:{line}: claim 'net-auk' is shown" in book(chapter)[0]
    assert book(page=f"# Page\n\nIt is {role}.\n")[0].startswith("book/page.md:3: claim 'net-auk'")


def test_a_role_of_another_form(book):
    assert "write {claim}`id`" in book(page="{claim}`net-auc mean`")[0]
    assert "write {measured}`chapter key`" in book(page="{measured}`seconds`")[0]


def test_a_line_that_myst_takes_for_a_comment(book):
    text = "We ask for 90\n% of the cases.\n\n```\n% quoted\n```\n"
    (found,) = book(page=f"# Page\n\n{text}")
    assert found.startswith("book/page.md:4: begins with %")
    chapter = CHAPTER.replace("# A net\n", "# A net\n\nThe share is 9\n% here.\n")
    (found,) = book(chapter)
    assert "begins with %" in found


def test_a_quoted_role_is_no_role(book):
    page = "Write `` {claim}`x` ``.\n\n```\n{claim}`y`\n```\n\n    {claim}`z`\n"
    assert book(page=page) == []


def test_broken_claims_are_one_finding(book):
    assert book(claims="- {id: a}") == [
        "book/claims.yml:1: claim 'a': the field 'chapter' is missing"
    ]


# Bare decimals


@pytest.mark.parametrize(
    "text",
    [
        "The AUC is 0.91 here.",
        "It gained -0.02 points.",
        "It reached .91 in the end.",
        "Up to 91.2 % of them.",
        "From 0.91, that is more.",
        "```{note}\nThe AUC is 0.91.\n```",
        ":::{admonition} Title\n:class: tip\n\nThe AUC is 0.91.\n:::",
        "````{dropdown} More\n```{tip}\nThe AUC is 0.91.\n```\n````",
        "- The AUC is 0.91.",
        "> The AUC is 0.91.",
        "**0.91** is the AUC.",
        "The AUC is 0.91 (see {claim}`net-auc`).",
    ],
)
def test_a_bare_decimal_in_a_results_paragraph(book, text):
    chapter = results(text)
    (found,) = book(chapter)
    number = next(n for n in ("0.91", "0.02", ".91", "91.2") if n in text)
    assert found.startswith(f"notebooks/03-05-net.md:{line_of(chapter, number)}: bare decimal ")


@pytest.mark.parametrize(
    "text",
    [
        "Run `0.91` and ``0.91``.",
        "```python\nx = 0.91\n```",
        "```\n0.91\n```",
        "The level is $p < 0.91$.",
        "$$\nx = 0.91\n$$",
        "```{math}\nx = 0.91\n```",
        "| a | b |\n|---|---|\n| 0.91 | 0.92 |",
        "```{list-table}\n* - 0.91\n```",
        "As in {cite:p}`a0.91`.",
        "See [the page](https://example.org/0.91).",
        "See <https://example.org/0.91>.",
        "In 2023 there were 156 images, and 95 % of them.",
        "With a rate of 0.003 it learns.",
        "See chapter 3.5, figure 2.1 and section 4.6.",
        "It ran with version 2.14.1, on Python 3.11.",
        "The pictures are CC BY 4.0.",
        "It has {claim}`net-auc value` points.",
    ],
)
def test_what_is_no_result_is_exempt(book, text):
    assert book(results(text)) == []


def test_decimals_outside_results_are_free(book):
    assert book(CHAPTER.replace("Anything else.", "Anything else than 0.91.")) == []


# Figures


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (
            "    alt: A curve that rises and then stays flat.\n",
            "figure cell without mystnb: image: alt",
        ),
        ("    caption: A curve.\n", "figure cell without mystnb: figure: caption"),
        ("    name: fig-net\n", "figure cell without mystnb: figure: name"),
    ],
)
def test_a_figure_cell_needs_name_caption_and_alt_text(book, drop, message):
    chapter = CHAPTER.replace(drop, "")
    line = line_of(chapter, "plots.roc")
    assert book(chapter) == [f"notebooks/03-05-net.md:{line}: {message}"]


def test_a_drawing_call_makes_a_figure_cell(book):
    chapter = CHAPTER.replace("rate = 0.003", "figure = plots.confusion([])")
    missing = {line.rpartition(": ")[2] for line in book(chapter)}
    assert missing == {"alt", "caption", "name"}
    assert book(CHAPTER.replace("rate = 0.003", "plots.set_theme()\nrate = plots.PALETTE")) == []


SEEN = "A cell with a dark nucleus."


def test_pictures_of_the_text_need_alt_text_and_a_caption(book):
    assert "picture without alt text" in book(results("![](a.png)"))[0]
    assert book(results(f"![{SEEN}](a.png)")) == []
    found = book(results("```{figure} a.png\n:name: fig-a\n```"))
    assert [line.partition(": ")[2] for line in found] == [
        "figure a.png has no :alt: text",
        "figure a.png has no caption",
    ]
    assert book(results(f"```{{figure}} a.png\n:alt: {SEEN}\n\nOne cell of many.\n```")) == []


@pytest.mark.parametrize(
    ("alt", "fault"),
    [
        ("figures/cell_under_a_lens_1.PNG shows a cell", "is a file name"),
        ("A dark cell.", "is too short"),
        ("A picture of a cell with a dark nucleus.", "what screen readers say anyway"),
        ("The image shows a cell with a dark nucleus.", "what screen readers say anyway"),
        ("a stained cell, with ITS nucleus", "repeats the caption"),
    ],
)
def test_an_alt_text_says_what_is_to_be_seen(book, alt, fault):
    caption = "A stained cell with its nucleus, at 40 times."
    chapter = CHAPTER.replace("A curve that rises and then stays flat.", alt)
    assert fault in book(chapter.replace("caption: A curve.", f"caption: {caption}"))[0]
    directive = f"```{{figure}} a.png\n:alt: {alt}\n\n{caption}\n```"
    assert fault in book(results(directive))[0]


def test_the_alt_texts_of_the_pages_are_checked_too(book):
    (found,) = book(page="# Page\n\n![plot.svg](plot.svg)\n")
    assert found.startswith("book/page.md:3: picture: the alt text 'plot.svg' is a file name")


# The parts of a chapter


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":tags: [parameters]\n", "", "the first code cell must be tagged parameters"),
        ('device = "auto"\n', "", "the parameters cell does not set device"),
        ("## What this does not show", "## Limits", "no section 'What this does not show'"),
        ("```{exercise} A question\n:label: ex-net", "```{note}", "no exercise"),
        ("```{solution} ex-net", "```{note}", "no solution"),
    ],
)
def test_a_missing_part_is_found(book, old, new, message):
    assert old in CHAPTER
    found = book(CHAPTER.replace(old, new))
    assert len(found) == 1
    assert message in found[0]


def test_a_chapter_without_figure_or_claim(book):
    start, end = CHAPTER.index("```{code-cell}\n---"), CHAPTER.index("+++ {")
    assert "no figure" in book(CHAPTER[:start] + CHAPTER[end:])[0]
    assert any("no claim in book/claims.yml names this chapter" in f for f in book(claims="[]"))


# The command


def test_the_command_exits_1_and_prints_file_and_line(book, tmp_path, monkeypatch, capsys):
    book(results("The AUC is 0.91."))
    monkeypatch.setattr(lint_module, "lint", lambda: lint(tmp_path))
    assert lint_module.main() == 1
    assert capsys.readouterr().out.startswith("notebooks/03-05-net.md:43: bare decimal 0.91")
    book()
    assert lint_module.main() == 0


def test_the_module_runs_on_this_checkout():
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "book.workflow.lint"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert done.stderr == ""
    assert all(line.count(":") >= 2 for line in done.stdout.splitlines())
