"""Checkpoints: written whole or not at all, read without running foreign code."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from medlib.errors import MedlibError
from medlib.paths import whole_file
from medlib.torch_files import read_torch_file

FORMAT = "medlib-checkpoint-1"


class CheckpointError(MedlibError):
    """A checkpoint that cannot be used; the message says why and what to do."""


def write_checkpoint(path: Path, content: dict[str, object]) -> None:
    """Write a checkpoint through a neighbouring file, so that a kill leaves the old one whole.

    Parameters
    ----------
    path : Path
        Where; its folder is made where it is missing.
    content : dict
        Tensors, numbers, strings, and lists and dicts of them.

    Raises
    ------
    OSError
        Where it cannot be written; it names the file.
    """
    with whole_file(path) as draft:
        try:
            _write(draft, {"format": FORMAT, **content})
        except (OSError, RuntimeError) as error:
            # PyTorch's writer hides behind an error of its own why a write failed
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from error


def _write(path: Path, content: dict[str, object]) -> None:
    with path.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: Path, *, device: str = "cpu") -> dict[str, object]:
    """Read a checkpoint that `write_checkpoint` wrote.

    Raises
    ------
    CheckpointError
        Where the file is truncated, is no checkpoint, or is one of another program.
    """
    try:
        content = read_torch_file(path, device=device)
    except OSError:
        raise
    except Exception as error:  # a damaged file can fail in any way inside the unpickler
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint (damaged, truncated or of another kind: "
            f"{_first_line(error)}): delete it, and the training starts anew"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} was not written by medlib's fit (expected the format {FORMAT!r}): "
            "give another path, or delete it if it is not needed"
        )
    return content


def check_same_training(path: Path, found: dict[str, str], expected: dict[str, str]) -> None:
    """Refuse a checkpoint of another training; name what differs.

    Raises
    ------
    CheckpointError
        Where any of the described parts (recipe, seed, network, data) is another one.
    """
    if not isinstance(found, dict):
        raise TypeError(f"its description is {type(found).__name__}")
    differing = [key for key in expected if found.get(key) != expected[key]]
    if differing:
        details = "; ".join(f"{k}: {found.get(k)} there, {expected[k]} here" for k in differing)
        raise CheckpointError(
            f"{path} belongs to another training ({details}): give another path, or delete it"
        )


def describe_network(model: nn.Module) -> str:
    """Name a network by its class, its size, and a digest of its tensors' names and shapes."""
    shapes = [f"{name}{tuple(tensor.shape)}" for name, tensor in model.state_dict().items()]
    digest = hashlib.sha256("\n".join(shapes).encode()).hexdigest()[:12]
    return f"{type(model).__name__} with {len(shapes)} tensors ({digest})"


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn what a checkpoint lacks, or holds in another form, into a sentence.

    Raises
    ------
    CheckpointError
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # PyTorch trusts what it is told to load
        raise CheckpointError(
            f"{path} lacks what a checkpoint needs ({type(error).__name__}: {_first_line(error)}): "
            "delete it, and the training starts anew"
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:120] or type(error).__name__
