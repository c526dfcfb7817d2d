"""Prediction: the probabilities and the masks that a trained network gives to images."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from medlib.augment import to_unit
from medlib.models.heads import Heads
from medlib.training_checks import TrainingError, check_images, eval_mode, refusals
from medlib.validation import probabilities


@torch.inference_mode()
def predict_proba(
    model: nn.Module,
    images: np.ndarray,
    *,
    task: str,
    device: str = "cpu",
    batch_size: int = 512,
) -> np.ndarray:
    """Return the probabilities that a network gives to images.

    Parameters
    ----------
    model : nn.Module
        Maps ``(N, C, H, W)`` to logits ``(N, K)``; its mode (train or eval) is left as it was.
    images : ndarray
        ``(N, C, H, W)`` uint8; normalised as in `fit`.
    task : str
        ``"multi-label"`` asks for a sigmoid of each logit, any other task for their softmax.
    device : {"cpu", "cuda"}
        Where to compute.
    batch_size : int
        Images at a time; the result does not depend on it beyond rounding.

    Returns
    -------
    ndarray
        ``(N, K)`` float64; rows sum to 1 unless the task is multi-label. For a segmenter
        ``(N, M, H, W)``, the probabilities of each pixel; of two heads those of the label.

    Raises
    ------
    TrainingError
        For images that the network cannot take, and where it gives no numbers.
    """
    logits = torch.from_numpy(predict_logits(model, images, device=device, batch_size=batch_size))
    return probabilities(logits, multi_label=task == "multi-label").numpy()


@torch.inference_mode()
def predict_logits(
    model: nn.Module, images: np.ndarray, *, device: str = "cpu", batch_size: int = 512
) -> np.ndarray:
    """Return the logits ``(N, K)``, float64; arguments and errors as in `predict_proba`."""
    logits = torch.cat(
        [_label(each).double().cpu() for each in _outputs(model, images, device, batch_size)]
    )
    if not torch.isfinite(logits).all():
        raise TrainingError(
            f"{type(model).__name__} gives NaN or infinity: its weights are damaged or its "
            "training diverged; train it again with a lower learning_rate"
        )
    return logits.numpy()


@torch.inference_mode()
def predict_masks(
    model: nn.Module, images: np.ndarray, *, device: str = "cpu", batch_size: int = 64
) -> np.ndarray:
    """Return the class that a network gives to each pixel.

    Parameters
    ----------
    model : nn.Module
        Maps ``(N, C, H, W)`` to logits ``(N, M, H, W)``, or to `medlib.models.Heads`.
    images, device, batch_size
        As in `predict_proba`.

    Returns
    -------
    ndarray
        ``(N, H, W)`` uint8: 0 for the background, else the number of the class in `mask_classes`.

    Raises
    ------
    TrainingError
        For images that the network cannot take, and for a network that gives no masks.
    """
    found = []
    for outputs in _outputs(model, images, device, batch_size):
        logits = outputs.mask if isinstance(outputs, Heads) else outputs
        if logits.ndim != 4 or not torch.isfinite(logits).all():
            raise TrainingError(
                f"{type(model).__name__} gives no map of numbers (N, M, H, W) but "
                f"{tuple(logits.shape)}, or NaN: use a segmenter that fit has trained on masks"
            )
        found.append(logits.argmax(1).to(torch.uint8).cpu())
    return torch.cat(found).numpy()


def normalise(images: Tensor, out: Tensor | None = None) -> Tensor:
    """Map intensities from [0, 1] to [-1, 1], as MedMNIST's published networks do.

    With ``out=images`` they are changed in place, which saves more time than one would think:
    fresh memory of a few megabytes costs more than the arithmetic.
    """
    return torch.mul(images, 2, out=out).sub_(1)


def _outputs(
    model: nn.Module, images: np.ndarray, device: str, batch_size: int
) -> Iterator[Tensor | Heads]:
    """Yield what a network in eval mode gives to each batch of images."""
    check_images(model, images)
    if len(images) == 0:
        raise TrainingError("there are no images to predict: give at least one")
    with eval_mode(model.to(device)), refusals(model, images.shape):
        for batch in torch.from_numpy(np.ascontiguousarray(images)).split(batch_size):
            yield model(as_input(batch.to(device), model))


def _label(outputs: Tensor | Heads) -> Tensor:
    return outputs.label if isinstance(outputs, Heads) else outputs


def as_input(images: Tensor, model: nn.Module) -> Tensor:
    """Normalise images, in the precision of the network."""
    return normalise(to_unit(images)).to(precision(model))


def precision(model: nn.Module) -> torch.dtype:
    """Return the type of a network's weights; float32 where it has none."""
    return next((p.dtype for p in model.parameters()), torch.float32)
