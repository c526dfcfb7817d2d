"""One pass through a network, written down: every layer, what it costs, and what it reads.

The network runs once on the ``meta`` device: shapes are computed, numbers are not, so that the
trace of a large network takes no memory. Every tensor operation is seen, also those that a
``forward`` calls as plain functions, so branches and skips are followed as they are executed.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medlib.errors import MedlibError
from medlib.summary.costs import KINDS, VIEWS, field_after, multiply_adds_of
from medlib.summary.field import Field


@dataclass
class Layer:
    """One executed layer: a module without children, or a function that joins or resizes maps.

    Attributes
    ----------
    name : str
        The module's path in the network, such as ``layer1.0.conv1``.
    kind : str
        Class of the module, or the function's name.
    module : nn.Module or None
        The module; None for a function.
    out_shape : tuple of int
        Shape of the output without the batch axis.
    parameters : int
        Trainable and fixed parameters, counted where the module runs first.
    multiply_adds : int
        Multiplications of its convolutions and matrix products, for one image.
    sees : Field
        What a unit of the output sees of the image.
    inputs : set of int
        Positions, in the trace, of the layers whose outputs it reads; -1 is the image.
    computes : bool
        Whether it makes new values; flattening and, in use, dropout only pass them on.
    """

    name: str
    kind: str
    module: nn.Module | None = None
    out_shape: tuple[int, ...] = ()
    parameters: int = 0
    multiply_adds: int = 0
    sees: Field = field(default_factory=Field)
    inputs: set[int] = field(default_factory=set)
    computes: bool = False

    @property
    def activation_bytes(self) -> int:
        """Memory of the output for one image in 32-bit floats."""
        return 4 * prod(self.out_shape) if self.computes else 0


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> list[Layer]:
    """Run a copy of the network once and list its layers in the order of execution.

    Parameters
    ----------
    model : nn.Module
        Any network of one image input; it is left as it is.
    input_shape : (C, H, W)
        Shape of one image.

    Raises
    ------
    MedlibError
        Where the network does not take such images.
    """
    if len(input_shape) != 3:
        raise MedlibError(f"input_shape is (channels, height, width), got {tuple(input_shape)}")
    twin = copy.deepcopy(model).to("meta").eval()
    image = torch.empty(1, *input_shape, device="meta")
    recorder = _Recorder(twin, image)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operation would hide its products
    try:
        with recorder:
            twin(image)
    except RuntimeError as error:
        raise MedlibError(
            f"the network cannot take images of shape {input_shape}: {error}"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return recorder.layers


class _Recorder(TorchDispatchMode):
    """Sees every tensor operation and books it on the layer that is running."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self.running: list[tuple[str, nn.Module, Layer | None]] = []
        self.seen: set[nn.Module] = set()
        self.fields: dict[int, Field] = {id(image): Field(channels=image.shape[1])}
        self.sources: dict[int, set[int]] = {id(image): {-1}}
        self.alive: list[Tensor] = [image]  # an id is unique only while its tensor lives
        for name, module in model.named_modules():
            module.register_forward_pre_hook(self._enter(name))
            module.register_forward_hook(self._leave)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self._book(name, args, tensors, results)
        return out

    def _book(self, name: str, args: tuple, tensors: list[Tensor], results: list[Tensor]) -> None:
        """Follow field and sources through one operation."""
        known = [t for t in tensors if id(t) in self.fields]
        if not known or not results:
            return
        joined = self.fields[id(known[0])]
        for other in known[1:]:
            joined = joined.join(self.fields[id(other)])
        after = field_after(name, args, joined, known[0], results[0])
        layer = self._layer_of(name)
        sources = set().union(*(self.sources[id(t)] for t in known))
        if layer is not None:
            place = next(i for i, item in enumerate(self.layers) if item is layer)
            layer.inputs |= sources - {place}
            layer.multiply_adds += multiply_adds_of(name, args, results[0])
            layer.out_shape = tuple(results[0].shape[1:])
            layer.sees = after
            layer.computes |= name not in VIEWS
            sources = {place}
        for result in results:
            self.fields[id(result)], self.sources[id(result)] = after, sources
            self.alive.append(result)

    def _layer_of(self, name: str) -> Layer | None:
        """Return the layer that an operation belongs to; a joining function is its own."""
        path, _, layer = self.running[-1] if self.running else ("", None, None)
        if layer is None and name in KINDS:
            layer = Layer(path, KINDS[name])
            self.layers.append(layer)
        return layer

    def _enter(self, name: str) -> Callable[[nn.Module, tuple], None]:
        def hook(module: nn.Module, _: tuple) -> None:
            layer = None
            if is_leaf(module) and not isinstance(module, nn.Identity):
                layer = Layer(name, type(module).__name__, module, parameters=self._own(module))
                self.layers.append(layer)
            elif not is_leaf(module):
                self._own_parameters(name, module)
            self.running.append((name, module, layer))

        return hook

    def _leave(self, module: nn.Module, _: tuple, out: object) -> None:
        _, _, layer = self.running.pop()
        if layer is not None and isinstance(out, Tensor):
            layer.out_shape = tuple(out.shape[1:])
            layer.sees = self.fields.get(id(out), layer.sees)

    def _own(self, module: nn.Module) -> int:
        """Count a module's parameters, the first time that it runs."""
        if module in self.seen:
            return 0
        self.seen.add(module)
        return sum(p.numel() for p in module.parameters())

    def _own_parameters(self, name: str, module: nn.Module) -> None:
        """List parameters that a container holds itself, such as a position embedding."""
        own = [p for p in module.parameters(recurse=False)]
        if own and module not in self.seen:
            self.seen.add(module)
            shape = tuple(own[0].shape[1:]) if len(own) == 1 else ()
            count = sum(p.numel() for p in own)
            self.layers.append(Layer(name, "Parameter", None, shape, count))


def is_leaf(module: nn.Module) -> bool:
    """Tell whether a module is one layer: it has no children, or it hides how it uses them."""
    return isinstance(module, nn.MultiheadAttention) or not any(True for _ in module.children())
