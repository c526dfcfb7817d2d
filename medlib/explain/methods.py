"""The methods of explanation behind one function: images in, one map an image out."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from medlib.explain.attention import rollout
from medlib.explain.layers import find_layer, last_convolution
from medlib.explain.target import (
    ExplainError,
    check_images,
    inputs_of,
    score_of,
    targets_of,
)
from medlib.train import normalise
from medlib.training_checks import eval_mode

with warnings.catch_warnings():  # captum's progress bar would have a widget; nobody asks for it
    warnings.filterwarnings("ignore", message="IProgress not found")
    from captum import attr


@dataclass(frozen=True)
class Task:
    """What a method is given: the network, what to explain of it, and how much at a time."""

    model: nn.Module
    score: Callable[[Tensor], Tensor]
    output: str
    layer: str | None
    batch_size: int


@dataclass(frozen=True)
class Method:
    """A method of explanation.

    Attributes
    ----------
    compute : callable
        Maps `Task`, inputs ``(N, C, H, W)`` and targets ``(N,)`` to maps ``(N, H, W)``.
    signed : bool
        Whether negative values speak against the target; else a map is zero or more.
    source : str
        Key of the paper in the book's bibliography.
    """

    compute: Callable[..., Tensor]
    signed: bool
    source: str

    @property
    def options(self) -> dict[str, object]:
        """The options of the method and their defaults."""
        parameters = inspect.signature(self.compute).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def saliency(task: Task, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the steepness of the score at each pixel, the largest over the channels."""
    gradient = attr.Saliency(task.score).attribute(inputs, targets, abs=True)
    return gradient.amax(dim=1)


def smooth_grad(
    task: Task,
    inputs: Tensor,
    targets: Tensor,
    *,
    samples: int = 32,
    noise: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """Return the steepness of the mean gradient over noisy copies of each image.

    `noise` is the standard deviation as a share of the image's own range, as in the paper.
    """
    tunnel = attr.NoiseTunnel(attr.Saliency(task.score))
    maps = []
    for image, target in zip(inputs.split(1), targets.split(1), strict=True):
        low, high = image.detach().aminmax()
        spread = max(noise * float(high - low), 1e-6)
        with torch.random.fork_rng(devices=_cuda_of(image)):
            torch.manual_seed(seed)  # for each image, so that its neighbours change nothing
            mean = tunnel.attribute(
                image,
                nt_samples=samples,
                nt_samples_batch_size=min(samples, task.batch_size),
                stdevs=spread,
                target=target,
                abs=False,
            )
        maps.append(mean.abs().amax(dim=1))
    return torch.cat(maps)


def guided_backprop(task: Task, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the steepness that is left where each ReLU lets only positive gradients back.

    Sharp and often handsome, but known to depend little on what the network learned (Adebayo et
    al., NeurIPS 2018): here to be checked, not to be trusted.
    """
    gates = [m for m in task.model.modules() if isinstance(m, nn.ReLU)]
    if not gates:
        raise ExplainError("guided_backprop changes how nn.ReLU runs backwards: there is none")
    inplace = [gate.inplace for gate in gates]
    handles = [gate.register_full_backward_hook(_only_positive) for gate in gates]
    try:
        for gate in gates:
            gate.inplace = False
        return attr.Saliency(task.score).attribute(inputs, targets, abs=True).amax(dim=1)
    finally:
        for gate, was, handle in zip(gates, inplace, handles, strict=True):
            gate.inplace = was
            handle.remove()


def integrated_gradients(
    task: Task, inputs: Tensor, targets: Tensor, *, baseline: float = 0.0, steps: int = 64
) -> Tensor:
    """Return each pixel's share in the difference of the scores of the image and a plain one.

    `baseline` is the intensity of the plain image, from 0 (black) to 1.
    """
    shares = attr.IntegratedGradients(task.score).attribute(
        inputs,
        baselines=_normal(baseline),
        target=targets,
        n_steps=steps,
        internal_batch_size=max(task.batch_size, len(inputs)),
    )
    return shares.sum(dim=1)


def occlusion(
    task: Task,
    inputs: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    baseline: float = 0.5,
) -> Tensor:
    """Return how far the score falls where a square hides the pixel: the mean over such squares.

    `window` is its edge in pixels (a seventh of the image where None), `stride` the step between
    squares (half of the window), `baseline` its intensity from 0 to 1, grey as in the paper.
    """
    size = window or max(2, min(inputs.shape[2:]) // 7)
    step = stride or max(1, size // 2)
    if not 1 <= step <= size <= min(inputs.shape[2:]):
        raise ExplainError(
            f"occlusion needs 1 <= stride <= window <= {min(inputs.shape[2:])}, "
            f"got stride={step}, window={size}"
        )
    channels = inputs.shape[1]
    with torch.no_grad():
        falls = attr.Occlusion(task.score).attribute(
            inputs,
            sliding_window_shapes=(channels, size, size),
            strides=(channels, step, step),
            baselines=_normal(baseline),
            target=targets,
            perturbations_per_eval=max(1, task.batch_size // len(inputs)),
        )
    return falls[:, 0]  # one square hides all channels, so that they agree


def grad_cam(task: Task, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the maps of a layer, weighted by their mean gradients, where the sum is positive."""
    layer = find_layer(task.model, task.layer or _default_layer(task, inputs))
    maps = attr.LayerGradCam(task.score, layer).attribute(inputs, targets, relu_attributions=True)
    if maps.ndim != 4:
        raise ExplainError(f"layer {task.layer!r} puts out no maps: choose a convolution's")
    return _enlarged(maps, inputs)


def class_activation(task: Task, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the last maps, weighted as the linear layer weighs their means: signed evidence.

    Only for networks whose last maps are averaged and then read by one linear layer.
    """
    if task.output != "logit":
        raise ExplainError("class activation maps exist for output='logit' only")
    head = [m for m in task.model.modules() if isinstance(m, nn.Linear)][-1:]
    layer = find_layer(task.model, task.layer or _default_layer(task, inputs))
    maps, features = _seen(task.model, inputs, layer, head)
    averaged = maps.ndim == 4 and features is not None and features.shape == maps.shape[:2]
    if not averaged or not torch.allclose(maps.mean(dim=(2, 3)), features, rtol=1e-3, atol=1e-4):
        raise ExplainError(
            "the network does not end in global average pooling and one linear layer, which class "
            "activation maps need: use method='grad_cam'"
        )
    weights = head[0].weight[targets].to(maps.dtype)
    return _enlarged(torch.einsum("nc,nchw->nhw", weights, maps)[:, None], inputs)


def attention_rollout(task: Task, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return how much of each patch reaches the class token; no target has a part in it."""
    return _enlarged(rollout(task.model, inputs), inputs)


METHODS: dict[str, Method] = {
    "saliency": Method(saliency, False, "simonyan2014deep"),
    "smooth_grad": Method(smooth_grad, False, "smilkov2017smoothgrad"),
    "guided_backprop": Method(guided_backprop, False, "springenberg2015striving"),
    "integrated_gradients": Method(integrated_gradients, True, "sundararajan2017axiomatic"),
    "grad_cam": Method(grad_cam, False, "selvaraju2017gradcam"),
    "cam": Method(class_activation, True, "zhou2016learning"),
    "occlusion": Method(occlusion, True, "zeiler2014visualizing"),
    "attention_rollout": Method(attention_rollout, False, "abnar2020quantifying"),
}


def explain(
    model: nn.Module,
    images: np.ndarray,
    *,
    method: str,
    task: str,
    target: int | np.ndarray | None = None,
    layer: str | None = None,
    device: str = "cpu",
    output: str = "logit",
    batch_size: int = 64,
    **options: object,
) -> np.ndarray:
    """Map where a network finds what speaks for a class in each image.

    Parameters
    ----------
    model : nn.Module
        Maps ``(N, C, H, W)`` to logits ``(N, K)``; its mode and weights are left as they were.
    images : ndarray
        ``(N, C, H, W)`` uint8; normalised as in training.
    method : str
        A key of `METHODS`:

        - ``"saliency"``: zero or more (Simonyan et al., ICLR workshop 2014)
        - ``"smooth_grad"``: zero or more; options ``samples``, ``noise``, ``seed`` (Smilkov et
          al., preprint 2017)
        - ``"guided_backprop"``: zero or more; for networks of ``nn.ReLU`` (Springenberg et al.,
          ICLR workshop 2015)
        - ``"integrated_gradients"``: signed, sums to the difference of the scores of the image
          and of a plain one; options ``baseline``, ``steps`` (Sundararajan et al., ICML 2017)
        - ``"grad_cam"``: zero or more; uses `layer` (Selvaraju et al., ICCV 2017)
        - ``"cam"``: signed; uses `layer` (Zhou et al., CVPR 2016)
        - ``"occlusion"``: signed, positive where hiding the place lowers the score; options
          ``window``, ``stride``, ``baseline`` (Zeiler and Fergus, ECCV 2014)
        - ``"attention_rollout"``: zero or more, for transformers, the same for every target
          (Abnar and Zuidema, ACL 2020)
    task : str
        ``"multi-label"`` means a sigmoid for each logit, any other task a softmax over them.
    target : int, (N,) array or None
        The class or label to explain; the most probable one of each image where None.
    layer : str, optional
        Layer of ``"grad_cam"`` and ``"cam"``; `last_convolution` of the network where None.
    device : {"cpu", "cuda"}
        Where to compute; the network stays there.
    output : {"logit", "log_odds", "probability"}
        The number that is explained. With a softmax, a logit alone ignores what speaks for the
        other classes; the log odds do not.
    batch_size : int
        Images at a time; the maps do not depend on it beyond rounding.
    **options
        Those of the method.

    Returns
    -------
    ndarray
        ``(N, H, W)`` float32, in the units of `output` (gradients: of it per unit of input).

    Raises
    ------
    ExplainError
        For a method, option, target or layer that does not fit the network.
    """
    check_images(images)
    chosen = _method(method, layer, options)
    targets = targets_of(model, images, target, task=task, device=device)
    given = Task(model, score_of(model, task, output), output, layer, batch_size)
    maps = []
    with eval_mode(model.to(device)):
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            inputs = inputs_of(images[rows], device)
            wanted = torch.from_numpy(targets[rows]).to(device)
            maps.append(chosen.compute(given, inputs, wanted, **options).detach().cpu().float())
    return torch.cat(maps).numpy()


def completeness_gap(
    model: nn.Module,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    task: str,
    target: int | np.ndarray | None = None,
    baseline: float = 0.0,
    device: str = "cpu",
    output: str = "logit",
) -> np.ndarray:
    """Return by how much integrated gradients miss the sum that their theory promises, ``(N,)``.

    That is the sum of each map, less the difference of the scores of the image and of the plain
    one; it shrinks as `steps` grows. Parameters are those of `explain` for these maps.
    """
    targets = targets_of(model, images, target, task=task, device=device)
    score = score_of(model, task, output)
    plain = torch.full_like(inputs_of(images[:1], device), _normal(baseline))
    with eval_mode(model), torch.no_grad():
        start = score(plain)
        parts = np.array_split(images, -(-len(images) // 64))
        ends = torch.cat([score(inputs_of(part, device)) for part in parts])
    difference = (ends - start).cpu().numpy()[np.arange(len(images)), targets]
    return maps.sum(axis=(1, 2)) - difference


def _method(name: str, layer: str | None, options: dict[str, object]) -> Method:
    if name not in METHODS:
        raise ExplainError(f"unknown method {name!r}: choose one of {', '.join(METHODS)}")
    known = METHODS[name].options
    foreign = sorted(set(options) - set(known))
    if foreign:
        takes = ", ".join(known) or "none"
        raise ExplainError(f"{name} has no option {', '.join(foreign)}: it takes {takes}")
    if layer is not None and name not in {"grad_cam", "cam"}:
        raise ExplainError(f"{name} reads no layer: leave layer out, or use method='grad_cam'")
    return METHODS[name]


def _normal(intensity: float) -> float:
    """Return an intensity from 0 to 1 as the network sees it."""
    return float(normalise(torch.tensor(intensity)))


def _default_layer(task: Task, inputs: Tensor) -> str:
    return last_convolution(task.model, tuple(inputs.shape[2:]))


def _enlarged(maps: Tensor, inputs: Tensor) -> Tensor:
    """Enlarge maps ``(N, 1, h, w)`` linearly to the images' size, ``(N, H, W)``."""
    size = inputs.shape[2:]
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)[:, 0]


def _seen(
    model: nn.Module, inputs: Tensor, layer: nn.Module, head: list[nn.Linear]
) -> tuple[Tensor, Tensor | None]:
    """Return what a layer puts out and what the head takes in."""
    maps: list[Tensor] = []
    features: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda *call: maps.append(call[2].clone()))]
    handles += [
        m.register_forward_pre_hook(lambda *call: features.append(call[1][0])) for m in head
    ]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return maps[0], features[0] if features else None


def _only_positive(
    gate: nn.Module, arriving: tuple[Tensor, ...], leaving: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Cut the negative part of what goes back through a ReLU."""
    return tuple(each.clamp(min=0) for each in arriving)


def _cuda_of(tensor: Tensor) -> list[int]:
    return [tensor.device.index or 0] if tensor.is_cuda else []
