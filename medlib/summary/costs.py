"""What one tensor operation costs, and how it changes the receptive field.

Operations are named as PyTorch's dispatcher names them (``aten``): there are few of them, and
every layer and function ends in them.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor

from medlib.summary.field import Field, Pair

# Functions that deserve a line of their own where no layer runs them.
KINDS = {
    "add": "add",
    "add_": "add",
    "cat": "concatenate",
    "max_pool2d_with_indices": "max pooling",
    "avg_pool2d": "average pooling",
    "_adaptive_avg_pool2d": "average pooling",
    "mean": "mean",
    "max_unpool2d": "max unpooling",
    "upsample_nearest2d": "upsampling",
    "upsample_bilinear2d": "upsampling",
    "convolution": "convolution",
    "addmm": "linear",
    "mm": "linear",
    "bmm": "matrix product",
    "_scaled_dot_product_flash_attention_for_cpu": "attention",
    "_scaled_dot_product_attention_math": "attention",
}
VIEWS = {"view", "_unsafe_view", "permute", "transpose", "t", "unsqueeze", "squeeze", "expand"}
PRODUCTS = {"addmm", "mm", "bmm", "baddbmm"}
WHOLE = {"bmm", "baddbmm"} | {name for name in KINDS if name.startswith("_scaled_dot")}


def multiply_adds_of(name: str, args: Sequence[Any], result: Tensor) -> int:
    """Return the multiply-adds of one operation; only products count, not additions.

    Parameters
    ----------
    name : str
        The operation.
    args : sequence
        Its arguments.
    result : Tensor
        Its (first) result.
    """
    if name == "convolution":
        weight, transposed = args[1], args[6]
        positions = prod((args[0] if transposed else result).shape[2:]) * result.shape[0]
        return weight.numel() * positions
    if name in PRODUCTS:
        left = args[1] if name in {"addmm", "baddbmm"} else args[0]
        return result.numel() * left.shape[-1]
    if name.startswith("_scaled_dot"):
        query, key = args[0], args[1]
        return 2 * query.numel() * key.shape[-2]
    return 0


def field_after(name: str, args: Sequence[Any], seen: Field, source: Tensor, out: Tensor) -> Field:
    """Return the receptive field after one operation.

    Parameters
    ----------
    name : str
        The operation.
    args : sequence
        Its arguments.
    seen : Field
        What its inputs see, joined.
    source, out : Tensor
        Its first traced input and its first result.
    """
    if name in WHOLE or _mixes_positions(name, args, seen):
        return replace(seen, whole=True, channels=out.shape[-1])
    if name == "convolution":
        seen = _convolved(args, seen)
    elif name in {"max_pool2d_with_indices", "avg_pool2d"}:
        seen = _pooled(args, seen)
    elif name in {"_adaptive_avg_pool2d", "mean"}:
        seen = _averaged(name, seen, source, out)
    elif name.startswith("upsample") or name == "max_unpool2d":
        seen = _enlarged(name, seen, source, out)
    elif name in PRODUCTS:
        return replace(seen, channels=out.shape[-1])
    return replace(seen, channels=out.shape[1]) if out.dim() == 4 else seen


def _mixes_positions(name: str, args: Sequence[Any], seen: Field) -> bool:
    """A product over more features than the map has channels adds up several positions."""
    if name not in {"addmm", "mm"}:
        return False
    left = args[1] if name == "addmm" else args[0]
    return left.shape[-1] > seen.channels


def _convolved(args: Sequence[Any], seen: Field) -> Field:
    weight, stride, padding, dilation, transposed = args[1], args[3], args[4], args[5], args[6]
    kernel = tuple(weight.shape[2:])
    if transposed:
        return seen.spread(kernel, pair(stride))
    return seen.slide(kernel, pair(stride), pair(padding), pair(dilation))


def _pooled(args: Sequence[Any], seen: Field) -> Field:
    kernel = pair(args[1])
    stride = pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = pair(args[3]) if len(args) > 3 else (0, 0)
    return seen.slide(kernel, stride, padding)


def _averaged(name: str, seen: Field, source: Tensor, out: Tensor) -> Field:
    if name == "mean" or out.shape[-2:].numel() == 1:
        return replace(seen, whole=seen.whole or source.shape[2:].numel() > 1)
    sizes = list(zip(source.shape[-2:], out.shape[-2:], strict=True))
    stride = tuple(given // wanted for given, wanted in sizes)
    kernel = tuple(given - (wanted - 1) * (given // wanted) for given, wanted in sizes)
    return seen.slide(kernel, stride, (0, 0))


def _enlarged(name: str, seen: Field, source: Tensor, out: Tensor) -> Field:
    scale = tuple(o / s for s, o in zip(source.shape[-2:], out.shape[-2:], strict=True))
    kernel = tuple(2 * s for s in scale) if "bilinear" in name else scale
    return seen.spread(kernel, scale)


def pair(value: int | Sequence[int]) -> Pair:
    """Return one number for each axis, as PyTorch allows one for both."""
    numbers = [value] if isinstance(value, int) else list(value)
    return (numbers[0], numbers[-1])
