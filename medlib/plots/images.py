"""Pictures: grids of images with their intensity range, examples of classes, confident mistakes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from medlib.errors import MedlibError
from medlib.plots import theme

if TYPE_CHECKING:
    from medlib.data import Dataset
    from medlib.evaluate import Scores


@theme.drawn
def image_grid(
    images: Sequence[ArrayLike] | np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    row_labels: Sequence[str] | None = None,
    intensity: tuple[float, float] | None = None,
    unit: str = "",
    title: str = "",
) -> theme.Figure:
    """Show images side by side, all on one intensity scale, with the scale drawn beside them.

    Parameters
    ----------
    images : sequence of array
        Each (H, W), (C, H, W) or (H, W, C) with 1 or 3 channels; also one (N, C, H, W) array.
    titles : sequence of str, optional
        One a picture, written above it.
    columns : int, optional
        Pictures in a row; at most 8 where omitted.
    row_labels : sequence of str, optional
        One a row, written at its left.
    intensity : (float, float), optional
        Values shown as black and white; 0 to 255 for uint8, else the range of all the images.
    unit : str
        Unit of the intensities, such as ``"HU"``.
    title : str
        Title of the figure.
    """
    pictures = [as_picture(image) for image in images]
    columns = columns or min(len(pictures), 8)
    limits = intensity or _range(pictures)
    height = _grid_height(pictures, columns, titles, row_labels) + (0.3 if title else 0)
    figure = theme.new_figure(height)
    axes = theme.panels(figure, -(-len(pictures) // columns), columns)
    for position, cell in enumerate(axes.flat):
        cell.set_axis_off()
        if position < len(pictures):
            cell.imshow(pictures[position], vmin=limits[0], vmax=limits[1], cmap="gray")
        if titles and position < len(pictures):
            cell.set_title(titles[position], fontsize=8.5, weight="normal", loc="center")
    _label_rows(axes, row_labels)
    _intensity_scale(figure, axes[0, -1], pictures[0].ndim == 2, limits, unit)
    theme.headline(figure, title)
    return figure


@theme.drawn
def class_examples(dataset: "Dataset", *, per_class: int = 8, seed: int = 0) -> theme.Figure:
    """Show training images of every class, drawn at random: one row a class, with its count.

    Parameters
    ----------
    dataset : Dataset
        Only its training split is read.
    per_class : int
        Pictures in a row.
    seed : int
        Which pictures are drawn.

    Raises
    ------
    MedlibError
        Where the pictures of the set may not be published.
    """
    check_publishable(dataset)
    rng = np.random.default_rng(seed)
    member = _membership(dataset.train.labels, dataset.num_classes)
    images, labels = [], []
    for k, name in enumerate(dataset.class_names):
        where = np.flatnonzero(member[:, k])
        drawn = rng.choice(where, size=min(per_class, len(where)), replace=False)
        row = [dataset.train.images[i] for i in sorted(drawn)]
        images += row + [np.full_like(dataset.train.images[0], 255)] * (per_class - len(row))
        labels.append(f"{name}\n{len(where)} of {len(member)}")
    title = f"{dataset.card.title}: training images" + (" (phantoms)" * bool(dataset.synthetic))
    return image_grid(images, columns=per_class, row_labels=labels, title=title)


@theme.drawn
def errors(scores: "Scores", dataset: "Dataset", *, count: int = 8) -> theme.Figure:
    """Show the test images that were misclassified with the greatest confidence.

    Parameters
    ----------
    scores : Scores
        One model's scores of the test split, of a single-label task.
    dataset : Dataset
        The set they were computed on.
    count : int
        Number of pictures.

    Raises
    ------
    MedlibError
        Where the pictures may not be published, or the scores are not of these images.
    """
    check_publishable(dataset)
    said = scores.probabilities.argmax(axis=1)
    sure = scores.probabilities.max(axis=1)
    wrong = np.flatnonzero(said != scores.labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    if len(worst) == 0:
        raise MedlibError(f"{scores.model_id} made no mistake on {dataset.name}: nothing to show")
    position = _positions(scores, dataset)
    names = dataset.class_names
    titles = [
        f"is {names[scores.labels[i]]}\nsaid {names[said[i]]}\nwith {sure[i]:.0%}" for i in worst
    ]
    images = [dataset.test.images[position[int(scores.index[i])]] for i in worst]
    title = f"{scores.model_id}: the surest of {len(wrong)} mistakes among {len(said)} test images"
    title += " (phantoms: no result)" * bool(scores.synthetic)
    return image_grid(images, titles, columns=min(count, 4), title=title)


def as_picture(image: ArrayLike) -> np.ndarray:
    """Return an image as matplotlib draws it: (H, W) for grey, (H, W, 3) for colour."""
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] in {1, 3} and array.shape[2] not in {1, 3}:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == 3):
        raise MedlibError(
            f"a picture is (H, W), (C, H, W) or (H, W, C) with 1 or 3 channels, got {array.shape}"
        )
    return array


def check_publishable(dataset: "Dataset") -> None:
    """Refuse to draw pictures whose licence does not let them be shown on a page."""
    if not (dataset.synthetic or dataset.card.publishable):
        raise MedlibError(
            f"the pictures of '{dataset.name}' may not be shown on a page (its licence was not "
            "read): show numbers and curves, or a set whose card says publishable: true"
        )


def _positions(scores: "Scores", dataset: "Dataset") -> dict[int, int]:
    """Map the source index of each test image to its place in the split."""
    position = {int(index): place for place, index in enumerate(dataset.test.index)}
    if not all(int(index) in position for index in scores.index):
        raise MedlibError(
            f"the scores of {scores.model_id} hold images that the test split of "
            f"'{dataset.name}' does not: pass the data set that they were computed on"
        )
    return position


def _membership(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return (N, K) booleans for single-label and multi-label tasks alike."""
    if labels.ndim == 2:
        return labels.astype(bool)
    return labels[:, None] == np.arange(num_classes)


def _range(pictures: list[np.ndarray]) -> tuple[float, float]:
    if pictures[0].dtype == np.uint8:
        return 0.0, 255.0
    return min(float(p.min()) for p in pictures), max(float(p.max()) for p in pictures)


def _grid_height(
    pictures: list[np.ndarray],
    columns: int,
    titles: Sequence[str] | None,
    row_labels: Sequence[str] | None,
) -> float:
    """Return the height in inches at which the pictures fill the width of the page."""
    beside = 0.75 + (0.085 * max(map(_longest, row_labels)) if row_labels else 0)
    wide = (theme.WIDTH - beside) / columns - 0.06
    ratio = max(p.shape[0] / p.shape[1] for p in pictures)
    lines = max((t.count("\n") + 1 for t in titles), default=0) if titles else 0
    rows = -(-len(pictures) // columns)
    return rows * (wide * ratio + 0.08 + 0.17 * lines) + 0.1


def _longest(words: str) -> int:
    return max(map(len, words.split("\n")))


def _label_rows(axes: np.ndarray, labels: Sequence[str] | None) -> None:
    for row, label in zip(axes, labels or (), strict=False):
        row[0].annotate(
            label,
            (0, 0.5),
            xycoords="axes fraction",
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            annotation_clip=False,
        )


def _intensity_scale(
    figure: theme.Figure, axes: Axes, grey: bool, limits: tuple[float, float], unit: str
) -> None:
    """Draw the grey scale at the right of one picture; say the range of colour pictures."""
    low, high = (f"{limit:.4g}" for limit in limits)
    if not grey:
        figure.supxlabel(f"RGB, {low} to {high} {unit}".rstrip(), fontsize=8, color=theme.MUTED)
        return
    bar = axes.inset_axes((1.07, 0, 0.07, 1))
    bar.imshow(np.linspace(1, 0, 64)[:, None], aspect="auto", cmap="gray", extent=(0, 1, 0, 1))
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([0, 1], labels=[low, f"{high} {unit}".rstrip()])
    bar.grid(False)
    bar.tick_params(length=0, labelsize=8)
    for side in bar.spines.values():
        side.set_edgecolor(theme.FAINT)
        side.set_visible(True)
