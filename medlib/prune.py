"""Pruning: networks with weights set to zero, and networks with fewer channels.

A zero among the weights is multiplied like any other number; a channel that is gone is not.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from medlib.models.checks import ModelError
from medlib.models.resnet import BasicBlock, ResNet

__all__ = ["narrowed", "share_of_zeros", "sparse", "with_zeros"]


class Kept(nn.Module):
    """Sets the weights that are not kept to zero, in training too.

    Parameters
    ----------
    mask : Tensor
        Bool, in the shape of the weights.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights with zeros."""
        return weight * self.mask


def sparse(model: nn.Module, share: float) -> nn.Module:
    """Return a copy without the smallest weights of all its convolutions and linear layers.

    Han et al., "Learning both weights and connections for efficient neural networks", NIPS 2015;
    the threshold is one for all layers. A training leaves the zeros zero; `with_zeros` then makes
    the copy a plain network again.

    Parameters
    ----------
    model : nn.Module
        A trained network.
    share : float
        Share of the weights that become zero, in [0, 1).
    """
    if not 0 <= share < 1:
        raise ModelError(f"the share of zeros must be in [0, 1), got {share}")
    model = copy.deepcopy(model)
    layers = _layers(model)
    sizes = torch.cat([each.weight.detach().abs().flatten() for each in layers])
    gone = round(share * len(sizes))
    limit = sizes.kthvalue(gone).values if gone else sizes.new_tensor(-1.0)
    for layer in layers:
        kept = Kept(layer.weight.detach().abs() > limit)
        parametrize.register_parametrization(layer, "weight", kept)
    return model


def with_zeros(model: nn.Module) -> nn.Module:
    """Make what `sparse` returned a plain network again, in place; its zeros stay."""
    for layer in _layers(model):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
    return model


def share_of_zeros(model: nn.Module) -> float:
    """Return the share of zeros among the weights of convolutions and linear layers."""
    weights = [each.weight.detach() for each in _layers(model)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


@torch.no_grad()
def narrowed(wide: ResNet, narrow: ResNet) -> ResNet:
    """Give a narrow residual network the strongest channels of a wide one of the same depths.

    A channel is as strong as the sum of the absolute weights of the filters that make it, times
    what its normalisation makes of them; what is added up in a residual stream stays or goes
    together. Li et al., "Pruning filters for efficient ConvNets", ICLR 2017, without the scales.

    Parameters
    ----------
    wide : ResNet
        A trained network of basic blocks with normalisation.
    narrow : ResNet
        The same with fewer channels; changed in place.

    Returns
    -------
    ResNet
        `narrow`, which a short training should follow.
    """
    _check_alike(wide, narrow)
    stem = (wide.conv1, wide.bn1)
    stream = _strongest([stem, *_writers(wide.layer1)], narrow.conv1.out_channels)
    _take(stem, (narrow.conv1, narrow.bn1), torch.arange(wide.conv1.in_channels), stream)
    for name in wide.stages:
        old, new = getattr(wide, name), getattr(narrow, name)
        going = stream
        if old[0].downsample is not None:
            going = _strongest(_writers(old), new[-1].conv2.out_channels)
        for wide_block, narrow_block in zip(old, new, strict=True):
            _take_block(wide_block, narrow_block, stream, going)
            stream = going
    narrow.fc.weight.copy_(wide.fc.weight[:, stream])
    narrow.fc.bias.copy_(wide.fc.bias)
    return narrow


def _writers(stage: nn.Sequential) -> list[tuple]:
    """Return the convolutions, with their normalisation, that add to a stage's stream."""
    projections = [tuple(each.downsample) for each in stage if each.downsample is not None]
    return [*((each.conv2, each.bn2) for each in stage), *projections]


def _take_block(old: BasicBlock, new: BasicBlock, coming: Tensor, going: Tensor) -> None:
    inner = _strongest([(old.conv1, old.bn1)], new.conv1.out_channels)
    _take((old.conv1, old.bn1), (new.conv1, new.bn1), coming, inner)
    _take((old.conv2, old.bn2), (new.conv2, new.bn2), inner, going)
    if old.downsample is not None:
        _take(tuple(old.downsample), tuple(new.downsample), coming, going)


def _take(old: tuple, new: tuple, coming: Tensor, going: Tensor) -> None:
    """Copy a convolution and its normalisation, some channels of each."""
    new[0].weight.copy_(old[0].weight[going][:, coming])
    for name, tensor in new[1].state_dict().items():
        theirs = old[1].state_dict()[name]
        tensor.copy_(theirs[going] if theirs.ndim else theirs)


def _strongest(writers: list[tuple], count: int) -> Tensor:
    """Return the numbers of the strongest channels, in their order."""
    strength = sum(
        conv.weight.abs().sum((1, 2, 3)) * norm.weight.abs() / (norm.running_var + norm.eps).sqrt()
        for conv, norm in writers
    )
    return strength.topk(count).indices.sort().values


def _check_alike(wide: ResNet, narrow: ResNet) -> None:
    """Refuse networks whose layers do not correspond, or that lack normalisation."""
    depths = [[len(getattr(net, name)) for name in net.stages] for net in (wide, narrow)]
    blocks = [m for net in (wide, narrow) for m in net.modules() if isinstance(m, BasicBlock)]
    plain = all(isinstance(each.bn1, nn.BatchNorm2d) and each.skip for each in blocks)
    same = wide.fc.out_features == narrow.fc.out_features
    fits = narrow.conv1.out_channels <= wide.conv1.out_channels
    if depths[0] != depths[1] or not blocks or not plain or not same or not fits:
        raise ModelError(
            "narrowed needs two residual networks of basic blocks with shortcuts and "
            "normalisation, of the same depths and outputs, the second with fewer channels"
        )


def _layers(model: nn.Module) -> list[nn.Module]:
    return [each for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
