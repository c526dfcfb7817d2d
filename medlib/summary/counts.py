"""Counts and the table of layers, read from the trace of a network."""

from dataclasses import dataclass
from math import isinf

from torch import nn

from medlib import tables
from medlib.summary.trace import Layer, trace

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network with what each costs; a notebook shows it as a table.

    Attributes
    ----------
    layers : list of Layer
        In the order of execution.
    title : str
        Caption of the table.
    every : bool
        Whether the table lists layers that neither hold parameters nor change the shape.
    """

    layers: list[Layer]
    title: str
    every: bool = False

    @property
    def parameters(self) -> int:
        """Number of parameters in all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Number of multiply-adds for one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Memory of all outputs for one image in 32-bit floats."""
        return sum(layer.activation_bytes for layer in self.layers)

    def table(self) -> "tables.Table":
        """Return the table that a page shows."""
        rows = [_row(layer) for layer in self.layers if self.every or self._tells(layer)]
        total = [
            "total",
            "",
            "",
            self.parameters,
            self.multiply_adds,
            "",
            _kib(self.activation_bytes),
        ]
        columns = [
            "layer",
            "type",
            "output",
            "parameters",
            "multiply-adds",
            "receptive field (px)",
            "output (KiB)",
        ]
        return tables.table([*rows, total], columns, self.title, total=True)

    def _tells(self, layer: Layer) -> bool:
        """Tell whether a layer holds parameters, changes the shape or joins branches."""
        before = [self.layers[i].out_shape for i in layer.inputs if i >= 0]
        return bool(layer.parameters or len(layer.inputs) > 1 or layer.out_shape not in before)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()


def layer_table(
    model: nn.Module, input_shape: Shape, *, every: bool = False, title: str = ""
) -> LayerTable:
    """List the layers with its output, parameters, multiply-adds and receptive field.

    The receptive field is propagated through the operations as they are executed, branches
    included: it is the theoretical one, which may exceed the image.

    Parameters
    ----------
    model : nn.Module
        Any network of one image input.
    input_shape : (C, H, W)
        Shape of one image.
    every : bool
        Whether activations, dropout and the like are listed too; totals always hold them.
    title : str
        Caption; names the network and the shape where omitted.
    """
    shape = "×".join(map(str, input_shape))
    title = title or f"Layers of {type(model).__name__} for one image of {shape}"
    return LayerTable(trace(model, input_shape), title, every)


def parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """Count the parameters of a network, each shared one once.

    Parameters
    ----------
    model : nn.Module
        Any module.
    trainable : bool
        Count only those that training changes.
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def multiply_adds(model: nn.Module, input_shape: Shape) -> int:
    """Count the multiply-adds of one image: those of convolutions and matrix products.

    Parameters
    ----------
    model : nn.Module
        Any network of one image input.
    input_shape : (C, H, W)
        Shape of one image.
    """
    return sum(layer.multiply_adds for layer in trace(model, input_shape))


def receptive_field(model: nn.Module, input_shape: Shape) -> int:
    """Return the edge, in pixels, of what a unit of the last feature map sees.

    The last feature map is the one before global pooling, flattening or attention makes every
    unit see the whole image. The number may exceed the image: then borders are seen as padding.

    Parameters
    ----------
    model : nn.Module
        Any network of one image input.
    input_shape : (C, H, W)
        Shape of one image.
    """
    sizes = [layer.sees.size for layer in trace(model, input_shape)]
    return int(max((size for size in sizes if not isinf(size)), default=1))


def _row(layer: Layer) -> list[object]:
    size = layer.sees.size
    seen = "whole image" if isinf(size) else f"{size:.0f}"
    return [
        layer.name or "(forward)",
        layer.kind,
        "×".join(map(str, layer.out_shape)),
        layer.parameters,
        layer.multiply_adds,
        seen,
        _kib(layer.activation_bytes),
    ]


def _kib(size: int) -> str:
    """Return a size in KiB with one decimal, never a zero that is not one."""
    return "< 0.1" if 0 < size < 52 else f"{size / 1024:,.1f}"
