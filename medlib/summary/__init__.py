"""What a network is made of and what it costs: its layers, their size, what a unit sees."""

from medlib.summary.counts import (
    LayerTable,
    layer_table,
    multiply_adds,
    parameters,
    receptive_field,
)
from medlib.summary.field import Field
from medlib.summary.trace import Layer, trace

__all__ = [
    "Field",
    "Layer",
    "LayerTable",
    "layer_table",
    "multiply_adds",
    "parameters",
    "receptive_field",
    "trace",
]
