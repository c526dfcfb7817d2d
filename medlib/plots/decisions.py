"""What a model decides, and how sure it is: confusion, reliability, distribution of scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from medlib.errors import MedlibError
from medlib.plots import theme
from medlib.plots.shown import marked, one_vs_rest, prepared

if TYPE_CHECKING:
    from medlib.evaluate import Scores


@theme.drawn
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
        Of one model; several seeds are summed, and the title then says so.
    class_names : sequence of str
        Names in the order of the classes.
    title : str
        Title of the figure.
    """
    models, note = prepared({"": scores})
    seeds = len(models[""])
    counts = np.sum([confusion_counts(s.labels, s.probabilities) for s in models[""]], axis=0)
    figure = theme.new_figure(min(1.7 + 0.52 * len(class_names), 6.5))
    axes = theme.panels(figure, 1, 1)[0, 0]
    _confusion_cells(axes, counts)
    axes.set_xticks(range(len(class_names)), labels=[_two_lines(name) for name in class_names])
    axes.set_yticks(range(len(class_names)), labels=[_two_lines(name) for name in class_names])
    axes.set(xlabel="predicted class", ylabel="true class", anchor="W")
    axes.tick_params(length=0)
    axes.set_title(marked(title + (f", {seeds} seeds summed" if seeds > 1 else ""), note))
    return figure


@theme.drawn
def reliability(
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    *,
    bins: int = 10,
    title: str = "Reliability, test split",
) -> theme.Figure:
    """Draw how often predictions of a stated confidence came true.

    Cases are sorted into bins of equal width by the probability of the predicted class (of
    class 1 in binary tasks, of every label in multi-label tasks). Each dot carries a 95 % Wilson
    interval for the number of cases in it; its area is the share of the cases.

    Parameters
    ----------
    scores : mapping of str to Scores or sequence of Scores
        By model name; seeds are pooled, and their number does not narrow the intervals.
    bins : int
        Number of bins.
    title : str
        Title of the figure.
    """
    models, note = prepared(scores)
    edge = min(theme.WIDTH / len(models) - 0.35, 2.9)
    figure = theme.new_figure(edge + 1.0)
    axes = theme.panels(figure, 1, len(models), sharey=True)[0]
    for cell, (name, colour) in zip(axes, theme.colours(list(models)).items(), strict=True):
        stated, true = _stated_and_true(models[name])
        cell.plot([0, 1], [0, 1], ":", color=theme.MUTED, linewidth=1)
        _reliability_dots(cell, stated, true, bins, colour, len(models[name]))
        cell.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", anchor="W")
        cell.set(xlabel="stated probability")
        cell.set_title(name, color=colour)
    axes[0].set_ylabel("share that was true")
    theme.headline(figure, marked(title, note))
    return figure


@theme.drawn
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
    models, note = prepared({"": scores})
    pairs = [one_vs_rest(each, positive) for each in models[""]]
    truth = np.concatenate([t[:, 0] for t, _ in pairs])
    values = np.concatenate([p[:, 0] for _, p in pairs])
    figure = theme.new_figure(2.9)
    axes = theme.panels(figure, 1, 1)[0, 0]
    rest = class_names[1 - positive] if len(class_names) == 2 else "others"
    _half(axes, values[truth == 0], rest, theme.PALETTE[0])
    _half(axes, values[truth == 1], class_names[positive], theme.PALETTE[1])
    if threshold is not None:
        axes.axvline(threshold, color=theme.MUTED, linewidth=1, linestyle=":")
    axes.margins(y=0.18)
    axes.set(xlabel=f"probability of {class_names[positive]}", ylabel="share of the true class")
    axes.set(xlim=(0, 1), ylim=(0, None), title=marked(title, note))
    return figure


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


def _confusion_cells(axes: Axes, counts: np.ndarray) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    for (i, j), count in np.ndenumerate(counts):
        colour = theme.PAPER if share[i, j] > 0.55 else theme.INK
        words = f"{count:,}\n{share[i, j]:.0%}"
        axes.text(j, i, words, ha="center", va="center", fontsize=8.5, color=colour)
    for side in axes.spines.values():
        side.set_visible(False)


def _two_lines(name: str) -> str:
    """Break a long class name near its middle."""
    if len(name) <= 12 or " " not in name:
        return name
    spaces = [i for i, letter in enumerate(name) if letter == " "]
    middle = min(spaces, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"


def _stated_and_true(many: "list[Scores]") -> tuple[np.ndarray, np.ndarray]:
    stated, true = [], []
    for scores in many:
        p = scores.probabilities
        if scores.labels.ndim == 2 or p.shape[1] == 2:
            truth, values = one_vs_rest(scores, None)
            stated.append(values.ravel())
            true.append(truth.ravel())
        else:
            stated.append(p.max(axis=1))
            true.append(p.argmax(axis=1) == scores.labels)
    return np.concatenate(stated), np.concatenate(true).astype(float)


def _reliability_dots(
    axes: Axes, stated: np.ndarray, true: np.ndarray, bins: int, colour: str, seeds: int
) -> None:
    from medlib.intervals import wilson

    place = np.minimum((stated * bins).astype(int), bins - 1)
    for b in range(bins):
        mine = place == b
        if not mine.any():
            continue
        x, y = stated[mine].mean(), true[mine].mean()
        cases = max(round(mine.sum() / seeds), 1)
        around = wilson(round(y * cases), cases)
        axes.plot([x, x], [around.low, around.high], color=colour, linewidth=1.2)
        size = 3 + 12 * np.sqrt(mine.mean())
        axes.plot(x, y, "o", color=colour, markersize=size, markeredgecolor=theme.PAPER)


def _half(axes: Axes, values: np.ndarray, name: str, colour: str) -> None:
    """Draw the histogram of one true class, its name over its peak."""
    edges = np.linspace(0, 1, 31)
    heights = np.histogram(values, edges)[0] / max(len(values), 1)
    axes.stairs(heights, edges, fill=True, alpha=0.3, color=colour)
    axes.stairs(heights, edges, color=colour, linewidth=1.5)
    peak = int(heights.argmax())
    side = "left" if peak < 6 else "right" if peak > 23 else "center"
    x = edges[peak + (side == "right")] if side != "center" else edges[peak : peak + 2].mean()
    axes.annotate(
        name,
        (x, heights[peak]),
        xytext=(0, 4),
        textcoords="offset points",
        ha=side,
        color=colour,
        fontsize=9,
    )
