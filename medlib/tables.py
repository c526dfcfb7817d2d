"""Tables that a page shows and a screen reader reads: a caption, header cells, aligned numbers."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

    from medlib.evaluate import Scores

NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "f1": "F1",
    "brier": "Brier score",
    "dice": "Dice",
    "iou": "IoU",
    "hausdorff": "Hausdorff (px)",
    "hausdorff95": "Hausdorff 95 % (px)",
    "lesion_dice": "Dice, lesions",
    "lesion_iou": "IoU, lesions",
    "lesion_hausdorff": "Hausdorff, lesions (px)",
    "lesion_hausdorff95": "Hausdorff 95 %, lesions (px)",
}


@dataclass(frozen=True)
class Link:
    """A cell that leads to another page.

    Attributes
    ----------
    words : str
        What the cell shows.
    address : str
        Where it leads.
    """

    words: str
    address: str

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Table:
    """A table with a caption; a notebook shows it.

    Attributes
    ----------
    columns : tuple of str
        Column headers, none of them empty.
    rows : tuple of tuple of str
        Cells as they are shown; the first one heads its row.
    caption : str
        What the table shows.
    numeric : tuple of bool
        Which columns are aligned to the right.
    total : bool
        Whether the last row is a sum.
    sortable : bool
        Whether the book's pages let a reader sort the rows; elsewhere it is a plain table.
    links : mapping of (int, int) to str
        Addresses that cells lead to, by row and column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    numeric: tuple[bool, ...]
    total: bool = False
    sortable: bool = False
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        heads = [self._cell("th", ' scope="col"', *pair) for pair in self._aligned(self.columns)]
        body = [self._row(i, row) for i, row in enumerate(self.rows)]
        kind = "dataframe medlib-table" + (" medlib-sortable" if self.sortable else "")
        return (
            f'<table class="{kind}" style="font-size:0.9em">'
            f'<caption style="caption-side:top;text-align:left">{html.escape(self.caption)}'
            f"</caption>\n<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n"
            + "\n".join(body)
            + "\n</tbody></table>"
        )

    def _repr_markdown_(self) -> str:
        rule = ["---:" if number else ":---" for number in self.numeric]
        rows = [[self._linked(*place) for place in self._places(i)] for i in range(len(self.rows))]
        lines = [self.columns, rule, *rows]
        text = ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]
        return f"{self.caption}\n\n" + "\n".join(text)

    def _row(self, i: int, row: tuple[str, ...]) -> str:
        places = [self.links.get(place, "") for place in self._places(i)]
        (first, side), *cells = self._aligned(row)
        text = self._cell("th", ' scope="row"', first, side, places[0])
        for (words, side), address in zip(cells, places[1:], strict=True):
            text += self._cell("td", "", words, side, address)
        last = self.total and i == len(self.rows) - 1
        style = ' style="border-top:2px solid;font-weight:bold"' if last else ""
        return f"<tr{style}>{text}</tr>"

    def _places(self, i: int) -> list[tuple[int, int]]:
        return [(i, column) for column in range(len(self.columns))]

    def _linked(self, i: int, column: int) -> str:
        """Return a cell as Markdown."""
        words, address = self.rows[i][column], self.links.get((i, column))
        return f"[{words}]({address})" if address else words

    def _aligned(self, cells: tuple[str, ...]) -> list[tuple[str, str]]:
        sides = ["right" if number else "left" for number in self.numeric]
        return list(zip(cells, sides, strict=True))

    @staticmethod
    def _cell(tag: str, scope: str, words: str, side: str, address: str = "") -> str:
        style = f"text-align:{side};padding:0.2rem 0.5rem"
        text = html.escape(_unbroken(words))
        if address:
            text = f'<a href="{html.escape(address)}">{text}</a>'
        return f'<{tag}{scope} style="{style}">{text}</{tag}>'


def table(
    rows: Sequence[Sequence[object] | Mapping[str, object]],
    columns: Sequence[str] | None = None,
    caption: str = "",
    *,
    digits: int = 3,
    total: bool = False,
    sortable: bool = False,
) -> Table:
    """Build a table from rows.

    Parameters
    ----------
    rows : sequence of sequence or of mapping
        Cells; the first one heads its row. Whole numbers get thousands separators, other
        numbers `digits` decimals; text stays as it is, and a `Link` leads to its address.
    columns : sequence of str, optional
        Headers; the keys of the first row where rows are mappings.
    caption : str
        What the table shows; required, since a reader may meet the table alone.
    digits : int
        Decimals of numbers that are not whole.
    total : bool
        Whether the last row is a sum, set apart by a line.
    sortable : bool
        Whether the book's pages let a reader sort the rows.

    Raises
    ------
    ValueError
        Where the caption or a header is empty, a row has another length than the header, or a
        table with a sum is to be sorted.
    """
    if columns is None:
        columns = list(rows[0]) if rows and isinstance(rows[0], Mapping) else []
    if not caption or not columns or not all(columns):
        raise ValueError("a table needs a caption and a header without empty names")
    if total and sortable:
        raise ValueError(
            "a table whose last row is a sum cannot be sorted: leave out one of the two"
        )
    cells = [[row[c] for c in columns] if isinstance(row, Mapping) else list(row) for row in rows]
    for row in cells:
        if len(row) != len(columns):
            raise ValueError(f"expected {len(columns)} cells ({', '.join(columns)}), got {row}")
    numeric = tuple(any(_is_number(row[c]) for row in cells) for c in range(len(columns)))
    text = tuple(tuple(shown_as(cell, digits) for cell in row) for row in cells)
    links = {
        (r, c): cell.address
        for r, row in enumerate(cells)
        for c, cell in enumerate(row)
        if isinstance(cell, Link)
    }
    return Table(tuple(columns), text, caption, numeric, total, sortable, links)


def score_table(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    metrics: Sequence[str] = ("auc", "accuracy"),
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
    caption: str = "",
    resamples: int | None = None,
    split: str = "test",
) -> Table:
    """Compare models by their scores: mean over seeds with a 95 % interval.

    Parameters
    ----------
    scores : mapping of str to Scores or sequence of Scores
        By model name; one a seed. Or `Cases`, the masks that were judged.
    metrics : sequence of str
        Names in `medlib.metrics.METRICS`, or in `medlib.cases.CASE_METRICS`, one column each.
    references : mapping of str to mapping of str to float, optional
        Published rows to add: by source, for each metric a value, and ``seeds`` and ``images``
        where the publication gives them.
    caption : str
        What the table shows; the data set and the split where omitted.
    resamples : int, optional
        Bootstrap resamples; those of the run's profile where omitted.
    split : str
        The split that was scored, as the table names it.
    """
    from medlib.plots.shown import estimate, marked, prepared, written

    models, note = prepared(scores)
    rows = [
        [
            name,
            *(written(estimate(many, m, resamples)) for m in metrics),
            len(many),
            len(many[0].labels),
        ]
        for name, many in models.items()
    ]
    for source, values in (references or {}).items():
        cells = [f"{values[m]:.3f}" if m in values else "not given" for m in metrics]
        rows.append([source, *cells, values.get("seeds"), values.get("images")])
    names = [NAMES.get(m, m.replace("_", " ")) for m in metrics]
    data = _title(next(iter(models.values()))[0].data)
    words = f"{split.capitalize()} split of {data}: mean over seeds (95 % interval)"
    columns = ["model", *names, "seeds", f"{split} images"]
    return table(rows, columns, marked(caption or words, note))


def model_table(
    models: "Mapping[str, nn.Module]", input_shape: tuple[int, int, int], *, caption: str = ""
) -> Table:
    """Compare networks by what they cost.

    Parameters
    ----------
    models : mapping of str to nn.Module
        By name.
    input_shape : (C, H, W)
        Shape of one image.
    caption : str
        What the table shows; names the image's shape where omitted.
    """
    from medlib import summary

    rows = []
    for name, model in models.items():
        layers = summary.layer_table(model, input_shape)
        seen = summary.receptive_field(model, input_shape)
        rows.append(
            [
                name,
                summary.parameters(model),
                layers.multiply_adds,
                seen,
                f"{layers.activation_bytes / 2**20:,.2f}",
            ]
        )
    shape = "×".join(map(str, input_shape))
    columns = ["model", "parameters", "multiply-adds", "receptive field (px)", "outputs (MiB)"]
    return table(rows, columns, caption or f"What one image of {shape} costs")


def shown_as(value: object, digits: int = 3) -> str:
    """Return a cell's text: 61,706 for whole numbers, 0.913 for others, text unchanged."""
    if value is None:
        return "not given"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        return f"{float(value):,.{digits}f}"
    return str(value)


def _title(name: str) -> str:
    """Return the title of a data set, or its name where no card has it."""
    from medlib import data

    return data.cards()[name].title if name in data.cards() else name


def _unbroken(words: str) -> str:
    """Keep an interval on one line: ``0.91 (0.87 to 0.94)`` may break only before its bracket."""
    return re.sub(r"\([^)]*\)|not given", lambda found: found.group().replace(" ", "\u00a0"), words)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value[:1].isdigit() and not value[-1:].isalpha()
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
