"""Saved models: one file with the weights of a network and all that is needed to use it.

The file holds tensors, numbers, strings, and lists and dicts of them. Reading it runs no code from
it (``weights_only=True``), so that a file from elsewhere can do no more than be refused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medlib.augment import to_unit
from medlib.checkpoint import FORMAT as CHECKPOINT_FORMAT
from medlib.checkpoint import write_checkpoint
from medlib.data.cards import TASKS
from medlib.errors import MedlibError
from medlib.models import SEGMENTERS
from medlib.models.inventory import build_model
from medlib.torch_files import read_torch_file
from medlib.train import normalise, predict_proba
from medlib.validation import probabilities

__all__ = [
    "ModelSpec",
    "SavedModel",
    "SavedModelError",
    "end_to_end",
    "export_onnx",
    "load_model",
    "save_model",
]

FORMAT = "medlib-model"
SCHEMA = 1
TRANSFER = "efficientnet_lite0_transfer"  # its size inside: the option inner_size
FILE = "model.pt"  # its name in the folder of a training
MOST_CHANNELS, MOST_SIDE = 64, 4096  # of the images that a saved model takes
NORMALISATION = {"mean": 0.5, "std": 0.5}  # what `medlib.train.normalise` does to [0, 1]


class SavedModelError(MedlibError):
    """A model file that cannot be used or written; the message says why and what to do."""


@dataclass(frozen=True)
class ModelSpec:
    """What a network is: everything but its weights.

    Attributes
    ----------
    name : str
        Its name in `medlib.models.MODELS`; or `TRANSFER`, a pretrained one with a new last layer.
    in_channels, num_classes, image_size : int
        Channels and side length of its images, number of its outputs.
    task : {"binary", "multi-class", "ordinal", "multi-label"}
        What its outputs mean.
    classes : tuple of str
        Names of the outputs.
    options : dict
        Further arguments of `medlib.models.create`, such as ``{"width": 16}``.
    """

    name: str
    in_channels: int
    num_classes: int
    image_size: int
    task: str
    classes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        self._check_sizes()
        if self.task not in TASKS:
            raise SavedModelError(f"task must be one of {', '.join(TASKS)}, got {self.task!r}")
        if len(self.classes) != self.num_classes:
            raise SavedModelError(
                f"{self.num_classes} outputs need as many class names, got {len(self.classes)}"
            )
        if self.name in SEGMENTERS:
            raise SavedModelError(f"{self.name} names pixels, not images: save a classifier")

    def _check_sizes(self) -> None:
        """Refuse sizes that no image has; a file may claim any, and memory is made for them."""
        if not isinstance(self.options, dict):
            raise SavedModelError(f"options must be a table, got {type(self.options).__name__}")
        sizes = {"in_channels": (self.in_channels, MOST_CHANNELS)}
        sizes |= {"image_size": (self.image_size, MOST_SIDE)}
        if "inner_size" in self.options:
            sizes |= {"inner_size": (self.options["inner_size"], MOST_SIDE)}
        for name, (value, most) in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise SavedModelError(
                    f"{name} must be a whole number from 1 to {most}, got {value!r}"
                )

    def build(self) -> nn.Module:
        """Return the network, freshly initialised.

        Raises
        ------
        ModelError
            Where there is no such network.
        """
        if self.name == TRANSFER:
            from medlib.pretrained import unlearned_classifier

            shape = {"in_channels": self.in_channels, "image_size": self.options.get("inner_size")}
            return unlearned_classifier("efficientnet_lite0", self.num_classes, **shape)
        return build_model(
            self.name,
            in_channels=self.in_channels,
            num_classes=self.num_classes,
            image_size=self.image_size,
            **self.options,
        )


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained network, ready for use.

    Attributes
    ----------
    module : nn.Module
        In eval mode; maps normalised images to logits.
    spec : ModelSpec
        What it is.
    provenance : mapping
        Where it comes from: ``data``, ``recipe``, ``seed``, ``versions``, ``date`` ...
    path : Path or None
        The file.
    """

    module: nn.Module
    spec: ModelSpec
    provenance: Mapping[str, Any]
    path: Path | None = None

    @property
    def task(self) -> str:
        """``binary``, ``multi-class``, ``ordinal`` or ``multi-label``."""
        return self.spec.task

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the columns of `predict_proba`."""
        return self.spec.classes

    @property
    def channels(self) -> int:
        """Channels of the images that it takes."""
        return self.spec.in_channels

    @property
    def size(self) -> int:
        """Side length, in pixels, of the images that it takes."""
        return self.spec.image_size

    @cached_property
    def digest(self) -> str:
        """The sha256 of the weights: the same for every copy of the file, whatever its name."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def predict_proba(self, images: np.ndarray, *, device: str = "cpu") -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        images : ndarray
            ``(N, C, H, W)`` uint8 of the model's channels and size; `medlib.pictures` makes them.
        device : {"cpu", "cuda"}
            Where to compute.

        Returns
        -------
        ndarray
            ``(N, K)`` float64; rows sum to 1 unless the task is multi-label.
        """
        wanted = (self.channels, self.size, self.size)
        if np.ndim(images) != 4 or np.shape(images)[1:] != wanted:
            raise SavedModelError(
                f"the model takes images (N, {', '.join(map(str, wanted))}), got "
                f"{np.shape(images)}: prepare them with medlib.pictures.read_pictures"
            )
        if len(images) == 0:
            return np.empty((0, len(self.class_names)))
        return predict_proba(self.module, images, task=self.task, device=device)


def save_model(
    model: nn.Module,
    path: Path | str,
    *,
    spec: ModelSpec,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a trained network; the file appears whole or not at all.

    Parameters
    ----------
    model : nn.Module
        The network, as ``spec.build()`` makes it.
    path : Path or str
        Where; the folder is made where it is missing.
    spec : ModelSpec
        What it is.
    provenance : mapping, optional
        Where it comes from: plain values, lists and dicts.

    Raises
    ------
    SavedModelError
        Where the weights do not belong to the network of `spec`, or cannot be written.
    """
    weights = {name: each.detach().cpu().contiguous() for name, each in model.state_dict().items()}
    _rebuilt(spec, weights, "the network")
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "network": asdict(spec) | {"classes": list(spec.classes)},
        "normalisation": NORMALISATION,
        "provenance": dict(provenance or {}),
        "weights": weights,
    }
    try:
        write_checkpoint(Path(path), content)
    except OSError as error:
        raise SavedModelError(
            f"cannot write {path}: {error.strerror or error}: choose a folder that you may write to"
        ) from error
    return Path(path)


def load_model(path: Path | str) -> SavedModel:
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    path : Path or str
        The file, or the folder of a training that holds ``model.pt``.

    Returns
    -------
    SavedModel
        With the network in eval mode, on the CPU.

    Raises
    ------
    SavedModelError
        Where there is no such file, or it is truncated, foreign, or of a newer medlib.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    content = _read(path)
    _check_format(path, content)
    try:
        known = {each.name for each in fields(ModelSpec)}
        spec = ModelSpec(**{k: v for k, v in content["network"].items() if k in known})
        weights, provenance = content["weights"], content["provenance"]
        _check_provenance(provenance)
    except (KeyError, TypeError, AttributeError, MedlibError) as error:
        raise SavedModelError(
            f"{path} lacks what a model needs ({error}): save or train it anew"
        ) from error
    return SavedModel(_rebuilt(spec, weights, str(path)), spec, provenance, path)


def export_onnx(saved: SavedModel, path: Path | str) -> Path:
    """Write a model as ONNX: images ``(N, C, H, W)`` uint8 in, probabilities ``(N, K)`` out.

    Scaling and softmax (or sigmoid) are inside, and the class names stand in the metadata
    (``classes``, one a line), so that another program can do nothing wrong before or after.

    Raises
    ------
    SavedModelError
        Where the packages of the extra ``export`` are missing.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SavedModelError("ONNX needs more packages: pip install 'medlib[export]'") from error
    images = torch.zeros(2, saved.channels, saved.size, saved.size, dtype=torch.uint8)
    program = torch.onnx.export(
        end_to_end(saved),
        (images,),
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        dynamo=True,
        verbose=False,
    )
    program.model.metadata_props["classes"] = "\n".join(saved.class_names)
    program.model.metadata_props["task"] = saved.task
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path)
    return path


def end_to_end(saved: SavedModel) -> nn.Module:
    """Return a network from images ``(N, C, H, W)`` uint8 to probabilities ``(N, K)``."""
    return _EndToEnd(saved).eval()


class _EndToEnd(nn.Module):
    """A network with the scaling before it and the probabilities behind it."""

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.network, self.multi_label = saved.module, saved.task == "multi-label"

    def forward(self, images: Tensor) -> Tensor:
        return probabilities(self.network(normalise(to_unit(images))), self.multi_label)


def _read(path: Path) -> object:
    """Return what a file holds, without running any code of it."""
    try:
        return read_torch_file(path)
    except FileNotFoundError as error:
        raise SavedModelError(
            f"there is no model {path}: give the {FILE} that 'medlib train' wrote, or its folder"
        ) from error
    except OSError as error:
        raise SavedModelError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a foreign file can fail in any way inside the unpickler
        raise SavedModelError(
            f"{path} is no model file, or is truncated or damaged: give the {FILE} that "
            "'medlib train' wrote, copy it again, or train anew"
        ) from error


def _check_format(path: Path, content: object) -> None:
    """Refuse what is not a model file of this version."""
    found = content.get("format") if isinstance(content, dict) else None
    if found == CHECKPOINT_FORMAT:
        raise SavedModelError(
            f"{path} is the checkpoint of a training that is not finished: go on with "
            f"'medlib train ... --resume', which writes {FILE}"
        )
    if found != FORMAT:
        raise SavedModelError(
            f"{path} was not written by medlib: give the {FILE} that 'medlib train' wrote"
        )
    schema = content.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise SavedModelError(
            f"{path} was written by a newer medlib (format {schema}, this one reads up to "
            f"{SCHEMA}): update medlib"
        )
    if content.get("normalisation") != NORMALISATION:
        raise SavedModelError(
            f"{path} expects another normalisation ({content.get('normalisation')}) than this "
            f"medlib does ({NORMALISATION}): use the version of medlib that wrote it"
        )


def _check_provenance(provenance: object) -> None:
    """Refuse a provenance that those who read it could stumble over."""
    wanted = {"data": dict, "recipe_values": dict, "seed": int}
    if not isinstance(provenance, dict):
        raise TypeError("its provenance is no table of entries")
    for key, kind in wanted.items():
        if key in provenance and not isinstance(provenance[key], kind):
            raise TypeError(f"{key} of its provenance is {type(provenance[key]).__name__}")


def _rebuilt(spec: ModelSpec, weights: Mapping[str, Tensor], where: str) -> nn.Module:
    """Return the network of a spec with given weights, or say that the two do not fit."""
    try:
        with torch.device("meta"):  # no time is spent on random numbers that are replaced
            module = spec.build()
        _check_weights(module.state_dict(), weights)
        module.load_state_dict({k: v.clone() for k, v in weights.items()}, assign=True)
    except (MedlibError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise SavedModelError(
            f"{where} does not hold the weights of {spec.name} as described ({reason}): "
            "save it with the arguments that the network was created with, or train anew"
        ) from error
    return module.eval()


def _check_weights(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and types of tensors; name the first difference."""
    differing: Sequence[str] = sorted(wanted.keys() ^ found.keys())
    if differing:
        raise ValueError(f"{differing[0]} is in only one of the two")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            have, want = ((tuple(t.shape), t.dtype) for t in (found[name], tensor))
            raise ValueError(f"{name} is {have}, expected {want}")
        if tensor.is_floating_point() and not found[name].isfinite().all():
            raise ValueError(f"{name} holds values that are no numbers")
