"""Values beside each other, with their intervals, with what others published, and with costs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

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


@dataclass(frozen=True)
class Point:
    """One model of `pareto`.

    Attributes
    ----------
    label : str
        Its name.
    cost : float
        What it takes; less is better, and it must be above zero.
    value : float
        What it gives; more is better.
    low, high : float or None
        The interval of the value.
    """

    label: str
    cost: float
    value: float
    low: float | None = None
    high: float | None = None


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats: none is at most as costly and at least as good.

    Parameters
    ----------
    points : sequence of Point
        Of equal points all stay.

    Returns
    -------
    list of Point
        By rising cost.
    """

    def beaten(point: Point) -> bool:
        mine = (point.cost, -point.value)
        rivals = ((other.cost, -other.value) for other in points)
        return any(r != mine and r[0] <= mine[0] and r[1] <= mine[1] for r in rivals)

    return sorted((p for p in points if not beaten(p)), key=lambda p: (p.cost, p.label))


@theme.drawn
def pareto(
    panels: Mapping[str, Sequence[Point]], *, xlabel: str, ylabel: str, title: str = ""
) -> theme.Figure:
    """Draw value against cost, a panel a data set, with the front of each and a name at each dot.

    Parameters
    ----------
    panels : mapping of str to sequence of Point
        Points by the title of their panel; from top to bottom, on one axis of costs.
    xlabel, ylabel : str
        What cost and value are, with units. Costs are drawn on a logarithmic scale.
    title : str
        Title of the figure.
    """
    figure = theme.new_figure(0.6 + 2.55 * len(panels) + (0.25 if title else 0))
    cells = theme.panels(figure, len(panels), 1, sharex=True)[:, 0]
    for cell, (name, points) in zip(cells, panels.items(), strict=True):
        _pareto_panel(cell, points)
        cell.set(ylabel=ylabel, title=name)
    cells[-1].set_xlabel(xlabel)
    theme.headline(figure, title)
    figure.draw_without_rendering()  # names are placed where the dots have come to lie
    for cell, points in zip(cells, panels.values(), strict=True):
        _name_dots(cell, points)
    return figure


def _pareto_panel(axes: Axes, points: Sequence[Point]) -> None:
    front = pareto_front(points)
    corners = [(p.cost, p.value) for p in front]
    axes.step(*zip(*corners, strict=True), where="post", color=theme.PALETTE[0], linewidth=1.2)
    for point in points:
        colour = theme.PALETTE[0] if point in front else theme.MUTED
        if point.low is not None and point.high is not None:
            axes.plot([point.cost] * 2, [point.low, point.high], color=colour, lw=1, alpha=0.35)
        axes.plot(point.cost, point.value, "o", color=colour, markeredgecolor=theme.PAPER)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.margins(x=0.08, y=0.06)


def _name_dots(axes: Axes, points: Sequence[Point]) -> None:
    """Write each name beside its dot, those of the front first, where it covers least."""
    front = pareto_front(points)
    scale = axes.figure.dpi / 72
    dots = {p.label: axes.transData.transform((p.cost, p.value)) / scale for p in points}
    taken = [np.array([*(at - 3), *(at + 3)]) for at in dots.values()]
    taken += _treads([dots[point.label] for point in front])
    frame = np.array(axes.get_window_extent().extents) / scale
    for point in [*front, *(p for p in points if p not in front)]:
        step, box = _free_place(dots[point.label], 5.2 * len(point.label), taken, frame)
        taken.append(box)
        colour = theme.PALETTE[0] if point in front else theme.MUTED
        far = abs(step[1]) > 8  # a thin line then says whose name it is
        axes.annotate(
            point.label,
            (point.cost, point.value),
            xytext=step,
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6} if far else None,
            weight="bold" if point in front else "normal",
            path_effects=[withStroke(linewidth=2.5, foreground=theme.PAPER)],
        )


def _treads(dots: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return flat boxes around the level parts of the front."""
    return [
        np.array([left[0], left[1] - 1, right[0], left[1] + 1])
        for left, right in itertools.pairwise(dots)
    ]


def _free_place(
    dot: np.ndarray, width: float, taken: Sequence[np.ndarray], frame: np.ndarray
) -> tuple[tuple[float, float], np.ndarray]:
    """Return the step from a dot to its name, in points, and the box that the name fills."""
    heights = sorted(range(-36, 37, 4), key=abs)
    steps = [(x, y) for y, x in itertools.product(heights, (6.0, -6.0 - width))]
    boxes = [np.array([x, y - 5, x + width, y + 5]) + np.tile(dot, 2) for x, y in steps]
    costs = [
        sum(_shared(box, other) for other in taken) + 9 * _outside(box, frame) + abs(y)
        for box, (_, y) in zip(boxes, steps, strict=True)
    ]
    best = int(np.argmin(costs))
    return steps[best], boxes[best]


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    """Return the area that two boxes share."""
    return float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())


def _outside(box: np.ndarray, frame: np.ndarray) -> float:
    """Return how far a box sticks out of a frame."""
    over = np.concatenate([frame[:2] - box[:2], box[2:] - frame[2:]])
    return float(np.clip(over, 0, None).sum())


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
