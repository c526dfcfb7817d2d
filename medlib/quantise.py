"""Models in ONNX Runtime: run one, and turn its convolutions from 32-bit to 8-bit numbers.

ONNX Runtime is in the extra ``export``; it is imported when something runs.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medlib.errors import MedlibError

__all__ = ["OnnxModel", "QuantiseError", "quantise"]

CONVOLUTIONS = ("Conv",)
SILENT = 4  # of ONNX Runtime's log: what it says of a file comes as an error
CALIBRATED = 50  # images at a time while ranges are measured


class QuantiseError(MedlibError):
    """A model that cannot be run or quantised here; the message says what to do."""


@dataclass(frozen=True)
class OnnxModel:
    """A model that `medlib.saved.export_onnx` wrote, run by ONNX Runtime without PyTorch.

    Attributes
    ----------
    path : Path
        The file.
    threads : int
        Threads that one prediction may use.
    batch_size : int
        Images at a time.
    """

    path: Path
    threads: int = 1
    batch_size: int = 64

    @cached_property
    def session(self) -> Any:
        """The `onnxruntime.InferenceSession`, opened when it is first used.

        Raises
        ------
        QuantiseError
            Where the file is no model that `medlib.saved.export_onnx` wrote, or is damaged.
        """
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = self.threads
        options.log_severity_level = SILENT
        try:
            session = runtime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
            takes = [(each.name, each.type, len(each.shape)) for each in session.get_inputs()]
        except Exception as error:  # ONNX Runtime has a class of its own for each complaint
            raise self._unusable(error) from error
        if takes != [("images", "tensor(uint8)", 4)]:
            raise self._unusable(f"it takes {takes or 'nothing'}, not images")
        return session

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the columns of `predict_proba`, from the file's metadata."""
        return tuple(self._known.get("classes", "").split("\n"))

    @property
    def _known(self) -> dict[str, str]:
        return self.session.get_modelmeta().custom_metadata_map

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return tuple(self.session.get_inputs()[0].shape[1:])

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        images : ndarray
            ``(N, C, H, W)`` uint8 of the model's channels and size.

        Returns
        -------
        ndarray
            ``(N, K)`` float64; rows sum to 1 unless the task is multi-label.

        Raises
        ------
        QuantiseError
            For images of another shape or type.
        """
        if images.shape[1:] != self.shape or images.dtype != np.uint8:
            raise QuantiseError(
                f"{self.path.name} takes uint8 images (N, {', '.join(map(str, self.shape))}), got "
                f"{images.dtype} {images.shape}: prepare them with medlib.pictures.read_pictures"
            )
        parts = np.split(images, range(self.batch_size, len(images), self.batch_size))
        try:
            found = np.concatenate(
                [self.session.run(None, {"images": np.ascontiguousarray(e)})[0] for e in parts]
            ).astype(np.float64)
        except Exception as error:
            raise self._unusable(error) from error
        if found.shape != (len(images), len(self.class_names)) or not np.isfinite(found).all():
            raise self._unusable("its outputs are no probabilities of its classes")
        several = self._known.get("task") == "multi-label"
        return found if several else found / found.sum(1, keepdims=True)  # rounding, 8 bits or 32

    def _unusable(self, why: object) -> QuantiseError:
        """Return the error of a file that cannot be run; ONNX carries no checksum of its own."""
        said = str(why).split(" : ")[-1].strip().split("\n")[0][:160]
        return QuantiseError(
            f"{self.path} cannot be run as an ONNX model of medlib, or is damaged ({said}): "
            "export it again"
        )


def quantise(
    path: Path | str,
    out: Path | str,
    images: np.ndarray | None,
    *,
    kinds: Sequence[str] | None = CONVOLUTIONS,
    unsigned: bool = False,
) -> OnnxModel:
    """Write a copy of an ONNX model that computes with 8-bit whole numbers.

    A number x becomes round(x / scale) + zero point. The weights of each filter have a scale of
    their own; they are int8. Jacob et al., "Quantization and
    training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018.

    Parameters
    ----------
    path, out : Path or str
        The model that `medlib.saved.export_onnx` wrote, and the new file.
    images : ndarray or None
        ``(N, C, H, W)`` uint8, training images: they are shown to the model once, and the range of
        each layer's input is fixed by what they give (static). None measures the range anew for
        each input (dynamic), which needs no images and costs time.
    kinds : sequence of str, optional
        Kinds of ONNX operations that are quantised. None takes all that ONNX Runtime can, softmax
        among them: a probability is then one of at most 256.
    unsigned : bool
        Whether what flows between layers is uint8, from 0 to 255, in place of int8, from -128 to
        127: the same number of steps. Processors may multiply one kind much faster than the other;
        dynamic ranges are always unsigned.

    Raises
    ------
    QuantiseError
        Where the packages of the extra ``export`` are missing.
    """
    _runtime()
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    settings: dict[str, Any] = {
        "per_channel": True,
        "weight_type": quantization.QuantType.QInt8,
        "op_types_to_quantize": None if kinds is None else list(kinds),
    }
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared))
        if images is None:
            quantization.quantize_dynamic(prepared, out, **settings)
        else:
            kind = quantization.QuantType.QUInt8 if unsigned else quantization.QuantType.QInt8
            settings["activation_type"] = kind
            quantization.quantize_static(prepared, out, _reader(images), **settings)
    _keep_metadata(Path(path), out)
    return OnnxModel(out)


def _reader(images: np.ndarray) -> Any:
    """Return what ONNX Runtime asks for the next images until there are none."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            parts = np.split(images, range(CALIBRATED, len(images), CALIBRATED))
            self.parts: Iterator[np.ndarray] = iter(parts)

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(self.parts, None)
            return None if part is None else {"images": np.ascontiguousarray(part)}

    return Reader()


def _keep_metadata(source: Path, target: Path) -> None:
    """Copy the class names into the new file; quantisation loses them."""
    import onnx

    model = onnx.load(target)
    known = {each.key: each.value for each in onnx.load(source).metadata_props}
    onnx.helper.set_model_props(model, known)
    onnx.save(model, target)


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise QuantiseError(
            "ONNX Runtime needs more packages: pip install 'medlib[export]'"
        ) from error
    return onnxruntime


class _quiet:
    """Leave out the advice that quantisation writes to the root logger."""

    def __enter__(self) -> None:
        self.before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self.before)
