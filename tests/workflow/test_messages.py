"""The walk over a page: what is translated, what is left, and how it is put back."""

import jupytext
import pytest

from book.workflow import messages

PAGE = """---
title: no message
---
(a-label)=
# A heading

A paragraph over
two lines with {claim}`some-claim` in it.

- an item
  goes on
- `code_alone`

> A quotation
> goes on.

| Head | $x$ |
|---|---|
| a word \\| a word | 12 |

```python
code = "stays"
```

$$ \\text{a formula} $$

````{admonition} A title
:class: dropdown

Inside is

```{figure} picture.png
:name: fig-a
:alt: What there is to see.

A caption.
```
````

% a comment
```{claims-table} all
:caption: Every claim.
```

```{glossary}
term
术语
  Its definition
  {cite}`someone2020`.
```
"""

FOUND = [
    "A heading",
    "A paragraph over two lines with {claim}`some-claim` in it.",
    "an item goes on",
    "A quotation goes on.",
    "Head",
    "a word | a word",
    "A title",
    "Inside is",
    "What there is to see.",
    "A caption.",
    "Every claim.",
    "Its definition {cite}`someone2020`.",
]


def test_the_words_of_a_page_are_its_messages_and_nothing_else_is():
    assert messages.of_text(PAGE) == FOUND


def test_a_walk_that_changes_nothing_leaves_the_page_as_it_is_but_for_the_line_ends():
    same = messages.rewrite(PAGE, lambda message: message)
    assert same.replace("\n> goes", " goes").split() == PAGE.replace("\n> goes", " goes").split()


def test_each_message_is_replaced_where_it_stands():
    said = messages.rewrite(PAGE, lambda message: f"<{FOUND.index(message)}>")
    assert messages.of_text(said.replace("<", "w").replace(">", "w")) == []
    assert "# <0>" in said
    assert "- <2>\n- `code_alone`" in said
    assert "> <3>" in said
    assert "| <5> | 12 |" in said
    assert "````{admonition} <6>\n:class: dropdown\n\n<7>\n" in said
    assert ":name: fig-a\n:alt: <8>\n\n<9>\n```" in said
    assert "term\n术语\n  <11>\n```" in said
    assert 'code = "stays"' in said
    assert "% a comment" in said


def test_a_bar_in_a_cell_stays_one_cell():
    table = "| a |\n|---|\n| left \\| right |"
    assert messages.rewrite(table, lambda message: message.upper()) == (
        "| a |\n|---|\n| LEFT \\| RIGHT |"
    )


def test_a_chapter_gives_text_and_captions_and_keeps_its_code():
    notebook = jupytext.reads(
        "# T\n\nWords.\n\n```{code-cell}\n---\nmystnb:\n  figure:\n    caption: A caption.\n"
        "  image:\n    alt: A picture.\n---\nprint('words')\n```\n",
        fmt="md:myst",
    )
    notebook.cells[0].source = "Words."
    assert messages.of_notebook(notebook) == ["Words.", "A caption.", "A picture."]
    messages.rewrite_notebook(notebook, str.upper)
    assert notebook.cells[1].source == "print('words')"
    assert notebook.cells[1].metadata["mystnb"]["image"]["alt"] == "A PICTURE."


@pytest.mark.parametrize("silent", ["{claim}`auc value`", "`make book`", "$x^2$", "0.5", "{eq}`a`"])
def test_values_code_and_formulas_alone_are_no_message(silent: str):
    assert messages.of_text(silent) == []
