"""Values beside each other, each with its interval and with what others published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes

from medlib.plots import theme


@dataclass(frozen=True)
class Row:
    """One line of `dot_interval`.

    Attributes
    ----------
    label : str
        What the value belongs to.
    value : float
        The point.
    low, high : float or None
        The interval; None where a publication states none.
    references : mapping of str to float
        Published values to mark on the same line, by source.
    group : str
        Rows of one group share a colour.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    references: Mapping[str, float] = field(default_factory=dict)
    group: str = ""


@theme.drawn
def dot_interval(
    rows: Sequence[Row],
    *,
    xlabel: str,
    reference: float | None = None,
    reference_label: str = "",
    digits: int = 3,
    title: str = "",
) -> theme.Figure:
    """Draw values with their intervals, one a line, the number at the right.

    Parameters
    ----------
    rows : sequence of Row
        From top to bottom. A published value of a row is a diamond below its line.
    xlabel : str
        What is drawn, with its unit.
    reference : float, optional
        A value common to all rows, such as the floor of a constant predictor.
    reference_label : str
        Its name.
    digits : int
        Decimals of the numbers.
    title : str
        Title of the figure.
    """
    lines = len(rows) + 0.6 * sum(bool(row.references) for row in rows)
    figure = theme.new_figure(0.85 + 0.32 * lines + (0.25 if title else 0))
    axes = theme.panels(figure, 1, 1)[0, 0]
    colour_of = theme.colours(list(dict.fromkeys(row.group for row in rows)))
    heights = []
    y = 0.0
    for row in rows:
        heights.append(y)
        _dot_row(axes, y, row, colour_of[row.group], digits)
        y += 1.6 if row.references else 1.0
    axes.set_yticks(heights, labels=[row.label for row in rows])
    axes.set(ylim=(y - 0.4, -0.6), xlabel=xlabel, title=title)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    if reference is not None:
        _reference(axes, reference, reference_label)
    return figure


def _dot_row(axes: Axes, y: float, row: Row, colour: str, digits: int) -> None:
    words = f"{row.value:.{digits}f}"
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        words += f" ({row.low:.{digits}f} to {row.high:.{digits}f})"
    axes.plot(row.value, y, "o", color=colour, markersize=6.5, markeredgecolor=theme.PAPER)
    axes.annotate(
        words,
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=colour,
        annotation_clip=False,
    )
    for source, value in row.references.items():
        axes.plot(
            value, y + 0.55, "D", color=theme.PAPER, markeredgecolor=theme.INK, markersize=4.5
        )
        axes.annotate(
            f"{value:.{digits}f} {source}",
            (value, y + 0.55),
            xytext=(-7, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            color=theme.MUTED,
        )


def _reference(axes: Axes, value: float, words: str) -> None:
    axes.axvline(value, color=theme.MUTED, linewidth=1, linestyle=":")
    axes.annotate(
        words,
        (value, 0),
        xycoords=("data", "axes fraction"),
        xytext=(3, 4),
        textcoords="offset points",
        color=theme.MUTED,
        fontsize=8.5,
    )
