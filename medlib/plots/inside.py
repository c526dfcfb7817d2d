"""Looking into a network: the filters of a layer and the maps it makes of one image."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from medlib.errors import MedlibError
from medlib.plots import theme
from medlib.plots.images import as_picture

if TYPE_CHECKING:
    import torch
    from torch import nn


@theme.drawn
def filters(
    weights: "ArrayLike | torch.Tensor | nn.Module", *, count: int = 32, title: str = ""
) -> theme.Figure:
    """Draw the kernels of a convolution: blue weighs negatively, red positively, white not.

    Parameters
    ----------
    weights : (F, C, k, k) array or tensor, or a convolution
        The kernels; only the mean over input channels is drawn where there are several.
    count : int
        Number of kernels drawn.
    title : str
        Title of the figure.
    """
    kernels = _array(getattr(weights, "weight", weights))
    if kernels.ndim != 4:
        raise MedlibError(f"filters are (F, C, k, k), got {kernels.shape}: pass a convolution")
    kernels = kernels.mean(axis=1)[:count]
    limit = float(np.abs(kernels).max()) or 1.0
    return _tiles(kernels, (-limit, limit), "RdBu_r", "weight", title)


@theme.drawn
def feature_maps(
    model: "nn.Module", image: ArrayLike, layer: str, *, count: int = 16, title: str = ""
) -> theme.Figure:
    """Draw what one layer makes of one image, beside the image.

    Parameters
    ----------
    model : nn.Module
        A network; it is run once, in evaluation mode, and left as it was.
    image : (C, H, W) uint8 array
        One picture, normalised as in training.
    layer : str
        Name of a module in the network, as ``model.named_modules`` lists it.
    count : int
        Number of maps drawn.
    title : str
        Title of the figure.
    """
    maps = _activations(model, np.asarray(image), layer)[: count - 1]
    return _maps_figure(as_picture(image), maps, title or f"Output of {layer}")


def _activations(model: "nn.Module", image: np.ndarray, layer: str) -> np.ndarray:
    from medlib.train import predict_proba

    modules = dict(model.named_modules())
    if layer not in modules:
        raise MedlibError(f"no layer {layer!r} in the model: choose one of {', '.join(modules)}")
    kept: list[np.ndarray] = []
    handle = modules[layer].register_forward_hook(lambda *a: kept.append(_array(a[2])))
    try:
        predict_proba(model, image[None], task="multi-class")
    finally:
        handle.remove()
    if kept[0].ndim != 4:
        raise MedlibError(f"layer {layer!r} puts out {kept[0].shape}: choose a convolution's")
    return kept[0][0]


def _maps_figure(picture: np.ndarray, maps: np.ndarray, title: str) -> theme.Figure:
    columns = min(len(maps) + 1, 8)
    rows = -(-(len(maps) + 1) // columns)
    figure = theme.new_figure(rows * 0.95 + 0.4)
    axes = theme.panels(figure, rows, columns)
    for cell in axes.flat:
        cell.set_axis_off()
    axes.flat[0].imshow(picture, cmap="gray")
    axes.flat[0].set_title("image", fontsize=8.5, weight="normal", loc="center")
    drawn = None
    for place, (cell, values) in enumerate(zip(axes.flat[1:], maps, strict=False)):
        drawn = cell.imshow(values, cmap="magma", vmin=maps.min(), vmax=maps.max())
        cell.set_title(f"map {place}", fontsize=8.5, weight="normal", loc="center")
    _scale(figure, axes, drawn, "activation")
    theme.headline(figure, title)
    return figure


def _tiles(
    tiles: np.ndarray, limits: tuple[float, float], cmap: str, unit: str, title: str
) -> theme.Figure:
    columns = min(len(tiles), 8)
    rows = -(-len(tiles) // columns)
    figure = theme.new_figure(rows * 0.85 + (0.35 if title else 0.1))
    axes = theme.panels(figure, rows, columns)
    drawn = None
    for cell in axes.flat:
        cell.set_axis_off()
    for cell, values in zip(axes.flat, tiles, strict=False):
        drawn = cell.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1])
    _scale(figure, axes, drawn, unit)
    theme.headline(figure, title)
    return figure


def _scale(figure: theme.Figure, axes: np.ndarray, drawn: object, unit: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, shrink=0.9, aspect=18, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label(unit, fontsize=8)


def _array(values: object) -> np.ndarray:
    detach = getattr(values, "detach", None)
    return np.asarray(detach().cpu().float().numpy() if detach else values, dtype=float)
