"""The one look of all figures: colours, sizes, direct labels, and a figure that redraws alike."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as BaseFigure

WIDTH = 7.5  # inches: the width of a book column at 100 pixels an inch
DPI = 192
INK = "#1a1a1a"
MUTED = "#5f6368"
FAINT = "#d5d8dc"
PAPER = "#ffffff"
# Dark enough to be read as text on white (contrast >= 4.5), apart for colour-blind eyes.
PALETTE = ("#0069b4", "#c24a00", "#00755a", "#a03a83", "#7a6000", "#4b4b4b", "#6a51d0", "#a8232b")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))

Parameters = ParamSpec("Parameters")
Drawn = TypeVar("Drawn")


class Figure(BaseFigure):
    """A matplotlib figure outside pyplot: shown once, whole, and with the same bytes each time.

    pyplot's inline figures are cropped to their content, so that their scale varies on the page;
    this one keeps its size. A notebook shows it where it is the value of a cell.
    """

    _kept: bytes = b""

    def png(self) -> bytes:
        """Return the figure as PNG, without the metadata that name versions or dates.

        It is drawn once until something changes: a second layout pass can move things by a pixel.
        """
        if self.stale or not self._kept:
            buffer = io.BytesIO()
            with mpl.rc_context(settings()):
                self.draw_without_rendering()  # the layout settles only at its second pass
                self.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
            self._kept = buffer.getvalue()
            self.stale = False
        return self._kept

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"image/png": self.png(), "text/plain": repr(self)}


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """Return an empty figure of the theme.

    Parameters
    ----------
    height, width : float
        Size in inches; the width of a book column where omitted.
    """
    size = (width, height)
    with mpl.rc_context(settings()):
        figure = Figure(figsize=size, layout="constrained", facecolor=PAPER, dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


@cache
def settings() -> dict[str, Any]:
    """Return the matplotlib settings of the theme: seaborn's "ticks" style, with our own on top."""
    import seaborn as sns

    return {**sns.plotting_context("notebook"), **sns.axes_style("ticks"), **_own_settings()}


def drawn(function: Callable[Parameters, Drawn]) -> Callable[Parameters, Drawn]:
    """Let a function draw in the theme, whatever the settings of the process are."""

    @wraps(function)
    def in_theme(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Drawn:
        with mpl.rc_context(settings()):
            return function(*args, **kwargs)

    return in_theme


def _own_settings() -> dict[str, Any]:
    return {
        "figure.figsize": (WIDTH, 3.6),
        "figure.dpi": DPI,
        "savefig.dpi": DPI,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "figure.constrained_layout.use": True,
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9.5,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": mpl.cycler(color=PALETTE),
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.major.size": 4,
        "ytick.major.size": 4,
        "xtick.major.width": 0.8,
        "ytick.major.width": 0.8,
        "axes.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.8,
        "image.cmap": "gray",
        "image.interpolation": "nearest",
        "svg.hashsalt": "medlib",
        "svg.fonttype": "none",
    }


def set_theme() -> None:
    """Make every figure of this process, seaborn's and pyplot's too, look like the book's."""
    import seaborn as sns

    sns.set_theme(context="notebook", style="ticks", palette=list(PALETTE), rc=settings())
    _keep_inline_figures_whole()


def headline(figure: BaseFigure, title: str) -> None:
    """Write the title of a whole figure, at its left; nothing where it is empty."""
    if title:
        figure.suptitle(title, x=0.008, ha="left", fontsize=10.5, weight="bold")


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, in the order of the palette."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def dashes(names: Sequence[str]) -> dict[str, Any]:
    """Return a line style for each name, so that colour is never the only difference."""
    return {name: DASHES[i % len(DASHES)] for i, name in enumerate(names)}


def panels(figure: Figure, rows: int, columns: int, **options: Any) -> np.ndarray:
    """Return a (rows, columns) array of axes in the theme."""
    with mpl.rc_context(settings()):
        return figure.subplots(rows, columns, squeeze=False, **options)


def label_right(axes: Axes, ends: Mapping[str, tuple[float, str]], *, gap: float = 0.065) -> None:
    """Write names at the right edge, at the height where their lines end, without overlap.

    Parameters
    ----------
    axes : Axes
        Where the lines are drawn.
    ends : mapping of str to (float, str)
        For each name the y value of its line's end, and its colour.
    gap : float
        Smallest distance of two names, as a share of the axes' height.
    """
    to_share = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    shares = {name: float(to_share.transform((x, y))[1]) for name, (y, _) in ends.items()}
    for name, share in spread(shares, gap).items():
        axes.annotate(
            name,
            (1.0, share),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=ends[name][1],
            fontsize=8.5,
            annotation_clip=False,
        )


def spread(positions: Mapping[str, float], gap: float) -> dict[str, float]:
    """Move positions apart until neighbours are at least `gap` away, keeping their order."""
    order = sorted(positions, key=positions.__getitem__)
    placed = np.array([positions[name] for name in order], dtype=float)
    for _ in range(200):
        short = gap - np.diff(placed)
        if not (short > 1e-9).any():
            break
        push = np.clip(short, 0, None) / 2
        placed[:-1] -= push
        placed[1:] += push
    return dict(zip(order, placed.tolist(), strict=True))


def _keep_inline_figures_whole() -> None:
    """Stop the notebook backend from cropping figures: their scale on the page would vary."""
    try:
        from matplotlib_inline.config import InlineBackend
    except ImportError:
        return
    backend = InlineBackend.instance()
    backend.print_figure_kwargs = {"bbox_inches": None, "metadata": {"Software": None}}
