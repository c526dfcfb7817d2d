"""From the trace of a network to the few boxes that a diagram can show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from torch import nn

from medlib.summary.trace import Layer

JOINS = {"add", "concatenate"}
# Layers that change values, not shapes: they belong to the layer before them.
FOLLOWERS = re.compile(
    r".*(Norm|ReLU|Sigmoid|Tanh|GELU|SiLU|Hardswish|Hardtanh|Softmax|Dropout|DropPath|Flatten|Stoch)"
)


@dataclass
class Box:
    """One box of a diagram.

    Attributes
    ----------
    path : str
        Path of the module it shows.
    words : str
        What is written below it.
    kind : str
        ``convolution``, ``pooling``, ``linear``, ``block`` or ``other``: its colour.
    shape : tuple of int
        Shape of its output.
    layers : list of int
        Positions of its layers in the trace.
    inputs : set of int
        Boxes that it reads; -1 is the image.
    skip : bool
        Whether it adds its input to its output.
    times : int
        How many equal boxes it stands for.
    """

    path: str
    words: str = ""
    kind: str = "other"
    shape: tuple[int, ...] = ()
    layers: list[int] = field(default_factory=list)
    inputs: set[int] = field(default_factory=set)
    skip: bool = False
    times: int = 1


def boxes_of(model: nn.Module, layers: Sequence[Layer], limit: int = 13) -> list[Box]:
    """Group the layers of a network into at most about `limit` boxes.

    Modules that add or concatenate in their own ``forward`` become one box; deeper modules are
    folded into their parents until few enough boxes are left; equal neighbours are merged.

    Parameters
    ----------
    model : nn.Module
        The network.
    layers : sequence of Layer
        Its trace.
    limit : int
        Number of boxes that fit.
    """
    closed = _closed_modules(layers)
    deepest = max((layer.name.count(".") + 1 for layer in layers), default=1)
    boxes: list[Box] = []
    for depth in range(deepest, 0, -1):
        boxes = _grouped(model, layers, closed, depth)
        if len(boxes) <= limit:
            return boxes
    return _merged(boxes)


def _closed_modules(layers: Sequence[Layer]) -> set[str]:
    """Return the modules that are shown as one box: those that join branches themselves."""
    joins = {layer.name for layer in layers if layer.kind in JOINS and layer.name}
    inside = {name: sum(_within(layer.name, name) for layer in layers) for name in joins}
    return {name for name in joins if inside[name] <= max(len(layers) // 3, 6)}


def _grouped(model: nn.Module, layers: Sequence[Layer], closed: set[str], depth: int) -> list[Box]:
    boxes: list[Box] = []
    home: dict[int, int] = {-1: -1}
    for place, layer in enumerate(layers):
        if layer.kind == "Parameter":
            continue
        path = _cut(layer.name, closed, depth)
        is_alone = path == layer.name and path not in closed
        sources = {home[i] for i in layer.inputs if i in home}
        if is_alone and _follows(layer) and boxes and sources - {-1}:
            _absorb(boxes[max(sources)], place, layer)
            home[place] = max(sources)
            _note_skip(boxes, max(sources), sources, layer)
            continue
        if not boxes or boxes[-1].path != path or is_alone:
            boxes.append(Box(path))
        home[place] = len(boxes) - 1
        _absorb(boxes[-1], place, layer)
        boxes[-1].inputs |= sources - {len(boxes) - 1}
        _note_skip(boxes, len(boxes) - 1, sources, layer)
    for box in boxes:
        _describe(box, [layers[i] for i in box.layers], model)
    return boxes


def _cut(name: str, closed: set[str], depth: int) -> str:
    """Return the ancestor of a module that its box shows."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        if ".".join(parts[:end]) in closed:
            return ".".join(parts[: min(end, depth)])
    return ".".join(parts[:depth])


def _follows(layer: Layer) -> bool:
    return layer.kind == "add" or bool(
        FOLLOWERS.fullmatch(layer.kind + "_") or FOLLOWERS.match(layer.kind)
    )


def _absorb(box: Box, place: int, layer: Layer) -> None:
    box.layers.append(place)
    box.shape = layer.out_shape


def _note_skip(boxes: list[Box], target: int, sources: set[int], layer: Layer) -> None:
    """Remember an addition: inside one box as its skip, between boxes as an edge."""
    if layer.kind != "add":
        return
    others = sources - {target}
    if boxes[target].path == layer.name and layer.name:
        boxes[target].skip = True
    else:
        boxes[target].inputs |= others


def _describe(box: Box, layers: list[Layer], model: nn.Module) -> None:
    main = [layer for layer in layers if not _follows(layer) and layer.kind not in JOINS]
    if len(main) <= 1 and not box.skip:
        box.words, box.kind = _words_of(main[0] if main else layers[0])
        return
    kernels = [_kernel(layer) for layer in main if _kernel(layer)]
    largest = max(kernels, key=_area, default="")
    name = "residual block" if box.skip else _class_name(model, box.path)
    count = sum(kernel == largest for kernel in kernels)
    box.words = f"{name}\n{count} conv {largest}" if kernels else name
    box.kind = "block"


def _words_of(layer: Layer) -> tuple[str, str]:
    kind = layer.kind
    if "Transpose" in kind:
        return f"up-conv {_kernel(layer)}", "convolution"
    if kind.startswith("Conv"):
        stride = layer.module.stride[0] if layer.module is not None else 1
        return f"conv {_kernel(layer)}" + (f" stride {stride}" if stride > 1 else ""), "convolution"
    if "ool" in kind:
        word = "max" if "ax" in kind else "average"
        return ("un" * ("npool" in kind.lower())) + f"{word} pool", "pooling"
    if kind == "mean":
        return "average pool", "pooling"
    if "inear" in kind:
        return "linear", "linear"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower(), "other"


def _kernel(layer: Layer) -> str:
    size = getattr(layer.module, "kernel_size", None)
    if not layer.kind.startswith("Conv") or size is None:
        return ""
    return "×".join(map(str, size))


def _area(kernel: str) -> int:
    high, wide = kernel.split("×")
    return int(high) * int(wide)


def _class_name(model: nn.Module, path: str) -> str:
    module = model.get_submodule(path) if path else model
    name = type(module).__name__.strip("_")
    if name in {"Sequential", "ModuleList"}:
        return path.rsplit(".", 1)[-1].replace("_", " ")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _merged(boxes: list[Box]) -> list[Box]:
    """Merge neighbours that look alike into one box that says how many they are."""
    kept: list[Box] = []
    place: dict[int, int] = {-1: -1}
    start = 0
    for _, run in groupby(boxes, key=lambda b: (b.words, b.shape, b.skip)):
        alike = list(run)
        for offset in range(len(alike)):
            place[start + offset] = len(kept)
        kept.append(replace(alike[0], times=len(alike)))
        start += len(alike)
    for here, box in enumerate(kept):
        box.inputs = {place[i] for i in box.inputs} - {here}
    return kept


def _within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + ".")
