"""Figures of a test: ROC and precision-recall curves, confusion, calibration, intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from medlib.errors import MedlibError
from medlib.plots import theme

if TYPE_CHECKING:
    from medlib.evaluate import Scores

GRID = np.linspace(0, 1, 201)
RESAMPLES = 300


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


def roc(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    *,
    positive: int | None = None,
    interval: bool = True,
    title: str = "ROC curve, test split",
) -> theme.Figure:
    """Draw ROC curves, each labelled with its AUC; the band is a 95 % bootstrap interval.

    A curve is the mean over seeds at each false-positive rate; for more than two classes the
    mean over classes too (one against the rest). The band is pointwise: cases are resampled,
    the same ones for every seed.

    Parameters
    ----------
    scores : mapping of str to Scores or sequence of Scores
        By model name; one a seed.
    positive : int, optional
        Draw this class against the rest; in binary tasks class 1.
    interval : bool
        Whether the band is drawn.
    title : str
        Title of the figure.
    """
    models, published = prepared(scores)
    figure = theme.new_figure(4.1)
    axes = theme.panels(figure, 1, 1)[0, 0]
    axes.plot([0, 1], [0, 1], color=theme.MUTED, linewidth=1, linestyle=":")
    axes.annotate("guessing", (0.62, 0.57), rotation=0, color=theme.MUTED, fontsize=8.5)
    labels = _curves(axes, models, _tpr_on_grid, positive, interval)
    axes.set(
        xlabel="false-positive rate (1 - specificity)",
        ylabel="sensitivity",
        xlim=(0, 1),
        ylim=(0, 1.01),
        aspect="equal",
    )
    _label_beside(axes, labels, "AUC")
    axes.set_title(marked(title, published))
    return figure


def precision_recall(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    *,
    positive: int | None = None,
    interval: bool = True,
    title: str = "Precision and recall, test split",
) -> theme.Figure:
    """Draw precision against recall, labelled with the average precision.

    Parameters
    ----------
    scores, positive, interval, title
        As for `roc`. The dotted line is the share of positive cases: what guessing reaches.
    """
    models, published = prepared(scores)
    figure = theme.new_figure(4.1)
    axes = theme.panels(figure, 1, 1)[0, 0]
    base = float(np.mean(_one_vs_rest(next(iter(models.values()))[0], positive)[0]))
    axes.axhline(base, color=theme.MUTED, linewidth=1, linestyle=":")
    axes.annotate(
        f"share of positives: {base:.2f}",
        (0.02, base),
        xytext=(0, 3),
        textcoords="offset points",
        color=theme.MUTED,
        fontsize=8.5,
    )
    labels = _curves(axes, models, _precision_on_grid, positive, interval)
    axes.set(
        xlabel="recall (sensitivity)",
        ylabel="precision",
        xlim=(0, 1),
        ylim=(0, 1.01),
        aspect="equal",
    )
    _label_beside(axes, labels, "AP")
    axes.set_title(marked(title, published))
    return figure


def confusion(
    scores: "Scores | Sequence[Scores]",
    class_names: Sequence[str],
    *,
    title: str = "Confusion, test split",
) -> theme.Figure:
    """Draw counts and row percentages of predicted against true class.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        Of one model; several seeds are summed, and the figure then says so.
    class_names : sequence of str
        Names in the order of the classes.
    title : str
        Title of the figure.
    """
    models, published = prepared({"": scores})
    counts = sum(confusion_counts(s.labels, s.probabilities) for s in models[""])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(class_names)
    figure = theme.new_figure(min(1.6 + 0.55 * size, 6.5))
    axes = theme.panels(figure, 1, 1)[0, 0]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        axes.text(
            j,
            i,
            f"{count:,}\n{share[i, j]:.0%}",
            ha="center",
            va="center",
            fontsize=8.5,
            color=theme.PAPER if share[i, j] > 0.55 else theme.INK,
        )
    axes.set_xticks(range(size), labels=class_names)
    axes.set_yticks(range(size), labels=class_names)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.grid(False)
    axes.tick_params(length=0)
    seeds = len(models[""])
    axes.set_title(marked(title + (f", {seeds} seeds summed" if seeds > 1 else ""), published))
    return figure


def reliability(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    *,
    bins: int = 10,
    title: str = "Reliability, test split",
) -> theme.Figure:
    """Draw how often predictions of a stated confidence came true.

    Cases are sorted into bins of equal width by the probability of the predicted class (of
    class 1 in binary tasks); each dot carries a 95 % Wilson interval, its size the bin's share.

    Parameters
    ----------
    scores : mapping of str to Scores or sequence of Scores
        By model name; seeds are pooled.
    bins : int
        Number of bins.
    title : str
        Title of the figure.
    """
    models, published = prepared(scores)
    figure = theme.new_figure(3.8)
    axes = theme.panels(figure, 1, len(models), sharey=True)[0]
    for cell, (name, colour) in zip(axes, theme.colours(list(models)).items(), strict=True):
        stated, true = _stated_and_true(models[name])
        cell.plot([0, 1], [0, 1], ":", color=theme.MUTED, linewidth=1)
        _reliability_dots(cell, stated, true, bins, colour, len(models[name]))
        cell.set(
            xlabel="stated probability",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
            title=name,
        )
    axes[0].set_ylabel("share that was true")
    figure.suptitle(marked(title, published), x=0.01, ha="left", fontsize=10.5, weight="bold")
    return figure


def score_histogram(
    scores: "Scores | Sequence[Scores]",
    class_names: Sequence[str],
    *,
    positive: int = 1,
    threshold: float | None = 0.5,
    title: str = "Scores, test split",
) -> theme.Figure:
    """Draw the distribution of one class's probability, split by the true class.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        Of one model; seeds are pooled.
    class_names : sequence of str
        Names in the order of the classes.
    positive : int
        Class whose probability is drawn.
    threshold : float, optional
        Decision threshold to mark.
    title : str
        Title of the figure.
    """
    models, published = prepared({"": scores})
    labels, values = _pooled(models[""], positive)
    figure = theme.new_figure(3.0)
    axes = theme.panels(figure, 1, 1)[0, 0]
    rest = "others" if len(class_names) > 2 else class_names[1 - positive]
    edges = np.linspace(0, 1, 31)
    for is_positive, name, colour in (
        (0, rest, theme.PALETTE[0]),
        (1, class_names[positive], theme.PALETTE[1]),
    ):
        mine = values[labels == is_positive]
        heights, _ = np.histogram(mine, edges)
        heights = heights / max(len(mine), 1)
        axes.stairs(heights, edges, fill=True, alpha=0.3, color=colour)
        axes.stairs(heights, edges, color=colour, linewidth=1.5)
        peak = int(heights.argmax())
        axes.annotate(
            name,
            ((edges[peak] + edges[peak + 1]) / 2, heights[peak]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color=colour,
            fontsize=9,
        )
    if threshold is not None:
        axes.axvline(threshold, color=theme.MUTED, linewidth=1, linestyle=":")
    axes.margins(y=0.15)
    axes.set(
        xlabel=f"probability of {class_names[positive]}",
        ylabel="share of the true class",
        xlim=(0, 1),
        ylim=(0, None),
    )
    axes.set_title(marked(title, published))
    return figure


def dot_interval(
    rows: Sequence[Row],
    *,
    xlabel: str,
    reference: float | None = None,
    reference_label: str = "",
    title: str = "",
) -> theme.Figure:
    """Draw values with their intervals, one a line, beside published values.

    Parameters
    ----------
    rows : sequence of Row
        From top to bottom.
    xlabel : str
        What is drawn, with its unit.
    reference : float, optional
        A value common to all rows, such as the floor of a constant predictor.
    reference_label : str
        Its name.
    title : str
        Title of the figure.
    """
    figure = theme.new_figure(0.9 + 0.34 * len(rows) + (0.25 if title else 0))
    axes = theme.panels(figure, 1, 1)[0, 0]
    colour_of = theme.colours(list(dict.fromkeys(row.group for row in rows)))
    for y, row in enumerate(rows):
        _dot_row(axes, y, row, colour_of[row.group])
    axes.set_yticks(range(len(rows)), labels=[row.label for row in rows])
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=xlabel, title=title)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    if reference is not None:
        axes.axvline(reference, color=theme.MUTED, linewidth=1, linestyle=":")
        axes.annotate(
            reference_label,
            (reference, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -8),
            textcoords="offset points",
            color=theme.MUTED,
            fontsize=8.5,
        )
    return figure


def prepared(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
) -> "tuple[dict[str, list[Scores]], bool]":
    """Return the scores that may be shown, by model, and whether any is of the published run.

    In a run on phantoms, or in profile ``fast``, the published scores stand in (see
    `medlib.evaluate.shown`), so that no page draws a curve that is not a result.
    """
    models = {
        name: _shown(list(value) if isinstance(value, Sequence) else [value])
        for name, value in scores.items()
    }
    return models, any(s.published for many in models.values() for s in many)


def _shown(scores: "list[Scores]") -> "list[Scores]":
    """Pass scores through `medlib.evaluate.shown`; outside a chapter they stay as they are."""
    from medlib import run
    from medlib.evaluate import shown

    try:
        run.current()
    except MedlibError:
        return scores
    return shown(scores)


def marked(title: str, published: bool) -> str:
    """Return the title, marked where the figure draws the published run."""
    return f"{title} (published run)" if published else title


def confusion_counts(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return (K, K) counts: rows are true classes, columns predicted ones.

    Parameters
    ----------
    labels : (N,) int array
        True classes.
    probabilities : (N, K) array
        Predicted probabilities.
    """
    if labels.ndim != 1:
        raise MedlibError("a confusion matrix needs one label a case; draw one a finding instead")
    counts = np.zeros((probabilities.shape[1],) * 2, dtype=int)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def _curves(
    axes: Axes,
    models: "dict[str, list[Scores]]",
    curve: Callable[[np.ndarray, np.ndarray], np.ndarray],
    positive: int | None,
    interval: bool,
) -> dict[str, tuple[float, str]]:
    """Draw one mean curve a model with its band; return the areas and colours by name."""
    styles = theme.dashes(list(models))
    labels = {}
    for name, colour in theme.colours(list(models)).items():
        mean = _mean_curve(models[name], curve, positive, None)
        if interval:
            low, high = _band(models[name], curve, positive)
            axes.fill_between(GRID, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(GRID, mean, color=colour, linestyle=styles[name])
        labels[name] = (float(np.trapezoid(mean, GRID)), colour)
    return labels


def _mean_curve(models, curve, positive, cases):
    rows = []
    for scores in models:
        truth, values = _one_vs_rest(scores, positive)
        if cases is not None:
            truth, values = truth[cases], values[cases]
        rows += [
            curve(truth[:, k], values[:, k])
            for k in range(truth.shape[1])
            if 0 < truth[:, k].sum() < len(truth)
        ]
    return np.mean(rows, axis=0)


def _band(models, curve, positive):
    rng = np.random.default_rng(0)
    size = len(models[0].labels)
    drawn = [
        _mean_curve(models, curve, positive, rng.integers(0, size, size)) for _ in range(RESAMPLES)
    ]
    return np.percentile(drawn, [2.5, 97.5], axis=0)


def _one_vs_rest(scores: "Scores", positive: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return truth (N, K') and probabilities (N, K') of the classes that are drawn."""
    p = scores.probabilities
    truth = (
        scores.labels
        if scores.labels.ndim == 2
        else (scores.labels[:, None] == np.arange(p.shape[1])).astype(int)
    )
    if positive is None and scores.labels.ndim == 1 and p.shape[1] == 2:
        positive = 1
    return (truth, p) if positive is None else (truth[:, [positive]], p[:, [positive]])


def _tpr_on_grid(truth: np.ndarray, values: np.ndarray) -> np.ndarray:
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(truth, values)
    return np.interp(GRID, fpr, tpr)


def _precision_on_grid(truth: np.ndarray, values: np.ndarray) -> np.ndarray:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, values)
    return np.interp(GRID, recall[::-1], precision[::-1])


def _label_beside(axes: Axes, labels: dict[str, tuple[float, str]], area: str) -> None:
    """Write names and areas at the right of a square plot, best first."""
    order = sorted(labels, key=lambda name: -labels[name][0])
    for place, name in enumerate(order):
        value, colour = labels[name]
        axes.annotate(
            f"{name}\n{area} {value:.3f}",
            (1.03, 0.97 - 0.13 * place),
            xycoords="axes fraction",
            va="top",
            color=colour,
            fontsize=9,
            annotation_clip=False,
        )


def _stated_and_true(models: "list[Scores]") -> tuple[np.ndarray, np.ndarray]:
    stated, true = [], []
    for scores in models:
        p = scores.probabilities
        if scores.labels.ndim == 2 or p.shape[1] == 2:
            truth, values = _one_vs_rest(scores, None)
            stated.append(values.ravel())
            true.append(truth.ravel())
        else:
            stated.append(p.max(axis=1))
            true.append(p.argmax(axis=1) == scores.labels)
    return np.concatenate(stated), np.concatenate(true).astype(float)


def _pooled(models: "list[Scores]", positive: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = [_one_vs_rest(scores, positive) for scores in models]
    return (
        np.concatenate([t[:, 0] for t, _ in pairs]),
        np.concatenate([v[:, 0] for _, v in pairs]),
    )


def _reliability_dots(
    axes: Axes, stated: np.ndarray, true: np.ndarray, bins: int, colour: str, seeds: int
) -> None:
    place = np.minimum((stated * bins).astype(int), bins - 1)
    for b in range(bins):
        mine = place == b
        if not mine.any():
            continue
        cases = mine.sum() / seeds
        low, high = _wilson(true[mine].mean() * cases, cases)
        x = stated[mine].mean()
        axes.plot([x, x], [low, high], color=colour, linewidth=1.2)
        axes.plot(
            x,
            true[mine].mean(),
            "o",
            color=colour,
            markersize=3 + 12 * np.sqrt(mine.mean()),
            markeredgecolor=theme.PAPER,
        )


def _wilson(successes: float, cases: float) -> tuple[float, float]:
    z = 1.959964
    share = successes / cases
    centre = (share + z**2 / (2 * cases)) / (1 + z**2 / cases)
    half = z * np.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2)) / (1 + z**2 / cases)
    return centre - half, centre + half


def _dot_row(axes: Axes, y: int, row: Row, colour: str) -> None:
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(row.value, y, "o", color=colour, markersize=6, markeredgecolor=theme.PAPER)
    for name, value in row.references.items():
        axes.plot(value, y, "D", color=theme.PAPER, markeredgecolor=theme.INK, markersize=5)
        axes.annotate(
            name,
            (value, y),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=theme.MUTED,
        )
