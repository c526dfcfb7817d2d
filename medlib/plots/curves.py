"""ROC and precision-recall curves with bands, labelled directly with their areas."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from medlib.errors import MedlibError
from medlib.plots import theme
from medlib.plots.shown import against_rest, estimate, marked, one_vs_rest, prepared, written

if TYPE_CHECKING:
    from medlib.evaluate import Scores

GRID = np.linspace(0, 1, 201)
DRAWS = 500  # of a band: its edge is a line, where 500 resamples and 2000 look alike

Curve = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@theme.drawn
def roc(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    *,
    positive: int | None = None,
    interval: bool = True,
    title: str = "ROC curve, test split",
) -> theme.Figure:
    """Draw ROC curves, each labelled with its AUC and a 95 % interval.

    A curve is the mean over seeds at each false-positive rate; for more than two classes, the
    mean over classes too (each against the rest). The band is pointwise: cases (patients, where
    known) and seeds are resampled, the same cases for every seed.

    Parameters
    ----------
    scores : mapping of str to Scores or sequence of Scores
        By model name; one a seed.
    positive : int, optional
        Draw this class against the rest; class 1 in binary tasks.
    interval : bool
        Whether the band is drawn.
    title : str
        Title of the figure.
    """
    models, note = prepared(scores)
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=theme.MUTED, linewidth=1, linestyle=":")
    axes.annotate("guessing", (0.62, 0.56), color=theme.MUTED, fontsize=8.5)
    _draw(axes, models, roc_on_grid, positive, interval, from_zero=True)
    axes.set(xlabel="false-positive rate (1 − specificity)", ylabel="sensitivity")
    _label_beside(axes, models, positive, "auc", "AUC")
    axes.set_title(marked(title, note))
    return figure


@theme.drawn
def precision_recall(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    *,
    positive: int | None = None,
    interval: bool = True,
    title: str = "Precision and recall, test split",
) -> theme.Figure:
    """Draw precision against recall, labelled with the average precision.

    Curves are steps, since precision may not be interpolated by straight lines (Davis and
    Goadrich, ICML 2006). The dotted line is the share of positive cases: what guessing reaches.

    Parameters
    ----------
    scores : mapping of str to Scores or sequence of Scores
        By model name; one a seed.
    positive : int, optional
        Draw this class against the rest; class 1 in binary tasks.
    interval : bool
        Whether the band is drawn.
    title : str
        Title of the figure.
    """
    models, note = prepared(scores)
    figure, axes = _square()
    base = float(one_vs_rest(next(iter(models.values()))[0], positive)[0].mean())
    axes.axhline(base, color=theme.MUTED, linewidth=1, linestyle=":")
    axes.annotate(
        f"guessing: {base:.2f}",
        (0.02, base),
        xytext=(0, -11),
        textcoords="offset points",
        color=theme.MUTED,
        fontsize=8.5,
    )
    _draw(axes, models, precision_on_grid, positive, interval)
    axes.set(xlabel="recall (sensitivity)", ylabel="precision")
    _label_beside(axes, models, positive, "average_precision", "average precision")
    axes.set_title(marked(title, note))
    return figure


def roc_on_grid(truth: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sensitivity at each false-positive rate of `GRID`.

    Parameters
    ----------
    truth : (N,) array
        1 for positive cases.
    values : (N,) array
        Their scores.
    weights : (B, N) array
        How often each case counts, in each of B resamples.

    Returns
    -------
    (B, 201) array
        NaN where a resample lacks a class.
    """
    hits, alarms = _cumulated(truth, values, weights)
    with np.errstate(invalid="ignore"):
        tpr, fpr = hits / hits[:, -1:], alarms / alarms[:, -1:]
    return np.stack([np.interp(GRID, x, y) for x, y in zip(fpr, tpr, strict=True)])


def precision_on_grid(truth: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the precision at each recall of `GRID`; parameters and result as `roc_on_grid`."""
    hits, alarms = _cumulated(truth, values, weights)
    with np.errstate(invalid="ignore"):
        recall, precision = hits / hits[:, -1:], hits / (hits + alarms)
    rows = []
    for r, p in zip(recall, precision, strict=True):
        first = np.searchsorted(r, np.maximum(GRID, 1e-6) - 1e-12)
        rows.append(p[np.minimum(first, len(p) - 1)])
    return np.stack(rows)


def _cumulated(
    truth: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return true and false positives at each threshold, from the highest down; (B, T) each."""
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    taken, positive = weights[:, order].astype(float), truth[order].astype(bool)
    start = np.zeros((len(weights), 1))
    hits = np.hstack([start, np.cumsum(taken * positive, axis=1)[:, ends]])
    return hits, np.hstack([start, np.cumsum(taken * ~positive, axis=1)[:, ends]])


def _square() -> tuple[theme.Figure, Axes]:
    figure = theme.new_figure(4.1)
    axes = theme.panels(figure, 1, 1)[0, 0]
    axes.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal", anchor="W")
    return figure, axes


def _draw(
    axes: Axes,
    models: "dict[str, list[Scores]]",
    curve: Curve,
    positive: int | None,
    interval: bool,
    from_zero: bool = False,
) -> None:
    """Draw one mean curve a model, and its band."""
    styles = theme.dashes(list(models))
    for name, colour in theme.colours(list(models)).items():
        many = models[name]
        everyone = np.ones((1, len(many[0].labels)))
        mean = np.nanmean(_seed_curves(many, curve, positive, everyone), axis=0)[0]
        if interval:
            low, high = _band(many, curve, positive)
            axes.fill_between(GRID, low, high, color=colour, alpha=0.14, linewidth=0)
        x, y = (np.append(0, GRID), np.append(0, mean)) if from_zero else (GRID, mean)
        axes.plot(x, y, color=colour, linestyle=styles[name])


def _seed_curves(
    many: "list[Scores]", curve: Curve, positive: int | None, weights: np.ndarray
) -> np.ndarray:
    """Return the curve of each seed and resample, the mean over classes: (S, B, 201)."""
    seeds = []
    for scores in many:
        truth, p = one_vs_rest(scores, positive)
        known = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
        if not known:
            raise MedlibError(f"the labels of {scores.data} hold one class: there is no curve")
        seeds.append(np.mean([curve(truth[:, k], p[:, k], weights) for k in known], axis=0))
    return np.stack(seeds)


def _band(many: "list[Scores]", curve: Curve, positive: int | None) -> np.ndarray:
    """Return the 2.5 and 97.5 percentiles over resampled cases and seeds: (2, 201)."""
    from medlib.intervals import case_weights

    generator = np.random.default_rng(0)
    chunks = case_weights(len(many[0].labels), many[0].groups, DRAWS, generator)
    means = []
    for weights in chunks:
        rows = _seed_curves(many, curve, positive, weights)
        seeds = generator.integers(0, len(many), size=(len(many), len(weights)))
        means.append(rows[seeds, np.arange(len(weights))].mean(axis=0))
    return np.nanpercentile(np.concatenate(means), [2.5, 97.5], axis=0)


def _label_beside(
    axes: Axes, models: "dict[str, list[Scores]]", positive: int | None, metric: str, words: str
) -> None:
    """Write names and areas at the right of a square plot, the best first."""
    colour = theme.colours(list(models))
    found = {name: estimate(against_rest(many, positive), metric) for name, many in models.items()}
    order = sorted(found, key=lambda name: -found[name].value if found[name] else 1.0)
    lines = [theme.DASHES[list(models).index(name) % len(theme.DASHES)] for name in order]
    for place, (name, style) in enumerate(zip(order, lines, strict=True)):
        y = 0.96 - 0.13 * place
        axes.plot(
            [1.04, 1.12],
            [y - 0.02] * 2,
            color=colour[name],
            linestyle=style,
            clip_on=False,
            transform=axes.transAxes,
        )
        axes.annotate(
            f"{name}\n{words} {written(found[name])}",
            (1.15, y + 0.02),
            xycoords="axes fraction",
            va="top",
            color=colour[name],
            fontsize=9,
            annotation_clip=False,
        )
