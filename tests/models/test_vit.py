"""Vision transformers: tokens, positions, the convolutional stem."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.vision_transformer import ConvStemConfig
from zoo import build, shuffled

from medlib.models import ModelError, create, patches
from medlib.models.vit import stem_channels


def test_patches_are_cut_row_by_row_and_joined_again():
    images = np.arange(2 * 3 * 8 * 12).reshape(2, 3, 8, 12)
    cells = patches.cut(images, 4)
    assert cells.shape == (2, 6, 3, 4, 4)
    np.testing.assert_array_equal(cells[1, 4], images[1, :, 4:, 4:8])
    np.testing.assert_array_equal(patches.join(cells, 3), images)


def test_patches_are_shuffled_in_each_image_and_keep_their_pixels():
    images = np.arange(4 * 28 * 28).reshape(4, 1, 28, 28)
    dealt = patches.shuffled(images, 7, seed=1)
    places = [
        [int(cell.min()) - 784 * n for cell in row] for n, row in enumerate(patches.cut(dealt, 7))
    ]
    assert len({tuple(each) for each in places}) == 4
    assert len({tuple(sorted(each)) for each in places}) == 1
    np.testing.assert_array_equal(np.sort(dealt, axis=None), np.sort(images, axis=None))
    np.testing.assert_array_equal(dealt, patches.shuffled(images, 7, seed=1))


def test_patches_that_do_not_fill_are_refused():
    with pytest.raises(ModelError, match="divides both"):
        patches.cut(np.zeros((1, 1, 28, 28)), 5)
    with pytest.raises(ModelError, match="49 patches do not fill rows of 6"):
        patches.join(np.zeros((1, 49, 1, 4, 4)), 6)


def test_tokens_of_vit_are_the_patches_in_the_order_of_cut():
    model = build("vit_tiny")
    images = np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32)
    cells = torch.from_numpy(patches.cut(images, 4)).flatten(2)
    linear = model.conv_proj.weight.flatten(1)
    tokens = model.conv_proj(torch.from_numpy(images)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens, cells @ linear.T + model.conv_proj.bias)


@pytest.mark.parametrize("patch", [4, 7])
def test_vit_without_positions_cannot_tell_shuffled_patches(patch):
    images = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    dealt = torch.from_numpy(patches.shuffled(images, patch))
    plain = torch.from_numpy(images)
    for positions in (True, False):
        model = shuffled(build("vit_tiny", patch=patch, positions=positions)).double().eval()
        gap = float((model(plain.double()) - model(dealt.double())).detach().abs().max())
        assert (gap < 1e-12) is not positions, gap


def test_hybrid_of_vit_is_that_of_torchvision():
    torch.manual_seed(0)
    channels = stem_channels(48, 16)
    assert channels == [6, 12, 24, 48]
    theirs = torchvision.models.VisionTransformer(
        64, 16, 2, 3, 48, 192, num_classes=5,
        conv_stem_configs=[ConvStemConfig(c, 3, 2) for c in channels],
    )  # fmt: skip
    shuffled(theirs)
    ours = create(
        "vit_tiny", in_channels=3, num_classes=5, image_size=64, width=48, heads=3, depth=2,
        patch=16, hybrid=True,
    )  # fmt: skip
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(4, 3, 64, 64)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(images), theirs.train(mode)(images))


def test_hybrid_of_vit_has_as_many_tokens_and_sees_beyond_the_patch():
    hybrid, plain = (build("vit_tiny", hybrid=each).eval() for each in (True, False))
    assert hybrid.conv_proj(torch.zeros(1, 1, 28, 28)).shape == (1, 48, 7, 7)
    images = torch.zeros(1, 1, 28, 28, requires_grad=True)
    for model, side in ((plain, 4), (hybrid, 7)):
        (seen,) = torch.autograd.grad(model.conv_proj(images + 1)[0, :, 3, 3].sum(), images)
        rows = seen[0, 0].abs().sum(1).nonzero()
        assert int(rows.max() - rows.min()) + 1 == side


def test_hybrid_of_vit_trains():
    model = build("vit_tiny", hybrid=True)
    loss = nn.functional.cross_entropy(model(torch.randn(8, 1, 28, 28)), torch.arange(8) % 2)
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.conv_proj.parameters() if p.ndim > 1)
