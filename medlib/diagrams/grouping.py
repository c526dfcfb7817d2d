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

    Modules that add or concatenate in their own ``forward`` become one box. Where there are too
    many boxes, equal neighbours are merged; where that is not enough, the deepest modules are
    folded into their parents.

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
        if len(boxes) > limit:
            boxes = _merged(boxes)
        if len(boxes) <= limit:
            break
    return boxes


def _closed_modules(layers: Sequence[Layer]) -> set[str]:
    """Return the modules that are shown as one box: those that join branches themselves."""
    joins = {layer.name for layer in layers if layer.kind in JOINS and layer.name}
    inside = {name: sum(_within(layer.name, name) for layer in layers) for name in joins}
    return {name for name in joins if inside[name] <= max(len(layers) // 3, 6)}


def _grouped(model: nn.Module, layers: Sequence[Layer], closed: set[str], depth: int) -> list[Box]:
    boxes: list[Box] = []
    homes: dict[int, set[int]] = {-1: {-1}}  # layer -> boxes that its output comes from
    for place, layer in enumerate(layers):
        sources = set().union(*(homes.get(i, set()) for i in layer.inputs))
        path = _cut(layer.name, closed, depth)
        alone = path not in closed and _stands_alone(layer, path, depth)
        if not sources or (layer.kind == "concatenate" and alone):
            homes[place] = sources
            continue
        if not (alone and _follows(layer, layers) and boxes and sources - {-1}):
            if alone or not boxes or boxes[-1].path != path:
                boxes.append(Box(path))
            target = len(boxes) - 1
            boxes[target].inputs |= sources - {target}
        else:
            target = max(sources)
        _absorb(boxes, target, place, layer, sources)
        homes[place] = {target}
    for box in boxes:
        _describe(box, [layers[i] for i in box.layers], layers, model)
    return boxes


def _stands_alone(layer: Layer, path: str, depth: int) -> bool:
    """Tell whether a layer is a box of its own: a module, or a function between shown modules."""
    if layer.module is not None:
        return path == layer.name
    return not layer.name or layer.name.count(".") + 1 < depth


def _cut(name: str, closed: set[str], depth: int) -> str:
    """Return the ancestor of a module that its box shows."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        if ".".join(parts[:end]) in closed:
            return ".".join(parts[: min(end, depth)])
    return ".".join(parts[:depth])


def _follows(layer: Layer, layers: Sequence[Layer]) -> bool:
    """Tell whether a layer leaves the shape alone: then it belongs to the layer before it."""
    if layer.kind == "add" or FOLLOWERS.match(layer.kind):
        return True
    shapes = [layers[i].out_shape for i in layer.inputs if i >= 0]
    return layer.kind.startswith("Adaptive") and layer.out_shape in shapes


def _absorb(boxes: list[Box], target: int, place: int, layer: Layer, sources: set[int]) -> None:
    """Put a layer into a box; an addition is the box's own skip, or an edge between boxes."""
    box = boxes[target]
    box.layers.append(place)
    box.shape = layer.out_shape
    if layer.kind != "add":
        return
    if layer.name and box.path == layer.name:
        box.skip = True
    else:
        box.inputs |= sources - {target}


def _describe(box: Box, own: list[Layer], layers: Sequence[Layer], model: nn.Module) -> None:
    main = [x for x in own if x.kind not in JOINS and not _follows(x, layers)]
    if len(main) <= 1 and not box.skip:
        box.words, box.kind = _words_of(main[0] if main else own[0])
        return
    kernels = [_kernel(layer) for layer in main if _kernel(layer)]
    largest = max(kernels, key=_area, default="")
    residual = box.skip and kernels
    name = "residual block" if residual else _class_name(model, box.path)
    count = sum(kernel == largest for kernel in kernels)
    box.words = f"{name}\n{count} conv {largest}" if kernels else name
    box.kind = "block"


def _words_of(layer: Layer) -> tuple[str, str]:
    kind = layer.kind
    if "Transpose" in kind:
        return f"up-conv {_kernel(layer)}", "convolution"
    if kind.startswith("Conv"):
        stride = layer.module.stride[0] if layer.module is not None else 1
        return f"conv {_kernel(layer)}" + (
            f" stride\u00a0{stride}" if stride > 1 else ""
        ), "convolution"
    if "ool" in kind:
        word = "max" if "ax" in kind else "average"
        return f"{word} {'unpool' if 'npool' in kind.lower() else 'pool'}", "pooling"
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
