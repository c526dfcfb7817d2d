"""Augmentation: against torchvision on the same numbers, replay, ranges, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from medlib.augment import Augment, Draw
from medlib.errors import MedlibError

EVERYTHING = Augment(
    flip_horizontal=True,
    flip_vertical=True,
    rotation=20,
    shear=8,
    scale=0.2,
    shift=0.1,
    contrast=0.3,
    brightness=0.1,
    noise=0.02,
    erase=0.5,
)


def images(count=6, channels=1, height=28, width=28):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, channels, height, width), dtype=np.uint8))


def still(count=1, **changed):
    """Return a draw that changes nothing but what is named."""
    zeros, no = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
    neutral = Draw(
        mirrored=no, upended=no, angle=zeros, shear=zeros, zoom=zeros + 1, right=zeros,
        down=zeros, contrast=zeros + 1, brightness=zeros, noise_seed=0, box=torch.zeros(count, 4),
    )  # fmt: skip
    return replace(neutral, **changed)


def test_neutral_draw_changes_nothing():
    batch = images(3)
    out = Augment(rotation=1).apply(batch, still(3))
    torch.testing.assert_close(out, batch / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (24, 40)])
def test_every_sample_equals_torchvision_on_the_same_numbers(height, width):
    batch = images(8, 2, height, width)
    augment = replace(EVERYTHING, contrast=0, brightness=0, noise=0, erase=0, fill="zeros")
    draw = augment.draw(8, generator=torch.Generator().manual_seed(3))
    # torchvision shifts by whole pixels.
    right, down = (draw.right * width).round(), (draw.down * height).round()
    draw = replace(draw, right=right / width, down=down / height)
    got = augment.apply(batch, draw)
    for i in range(8):
        x = batch[i : i + 1].float() / 255
        x = x.flip(-1) if draw.mirrored[i] else x
        x = x.flip(-2) if draw.upended[i] else x
        expected = reference.affine(
            x,
            angle=-float(draw.angle[i]),  # torchvision turns clockwise
            translate=[int(right[i]), int(down[i])],
            scale=float(draw.zoom[i]),
            shear=[-float(draw.shear[i]), 0.0],
            interpolation=reference.InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(got[i : i + 1], expected, atol=2e-4, rtol=0)


def test_flips_are_exact_and_rotation_turns_counter_clockwise():
    batch, augment = images(1), Augment(flip_horizontal=True)
    yes = torch.tensor([True])
    flipped = augment.apply(batch, still(mirrored=yes))
    torch.testing.assert_close(flipped, batch.flip(-1) / 255, atol=1e-5, rtol=0)
    turned = augment.apply(batch, still(angle=torch.tensor([90.0])))
    torch.testing.assert_close(turned, torch.rot90(batch / 255, 1, (2, 3)), atol=1e-4, rtol=0)


def test_contrast_and_brightness_by_the_formula():
    x = torch.full((2, 1, 4, 4), 0.4)
    x[:, :, :2] = 0.6
    draw = still(2, contrast=torch.tensor([0.5, 1.0]), brightness=torch.tensor([0.0, 0.1]))
    out = Augment(contrast=0.5, brightness=0.1).apply(x, draw)
    assert out[0, 0, 0, 0] == pytest.approx(0.55)
    assert out[0, 0, 3, 0] == pytest.approx(0.45)
    assert out[1, 0, 0, 0] == pytest.approx(0.7)


def test_erasing_fills_the_rectangle_with_the_mean_and_leaves_the_rest():
    batch = images(1).float() / 255
    out = Augment(erase=1.0).apply(batch, still(box=torch.tensor([[0.25, 0.5, 0.5, 1.0]])))
    assert torch.all(out[0, 0, 7:14, 14:] == batch.mean())
    outside = torch.ones(28, 28, dtype=torch.bool)
    outside[7:14, 14:] = False
    torch.testing.assert_close(out[0, 0][outside], batch[0, 0][outside])


def test_erasing_hits_its_share_and_stays_in_the_image():
    draw = Augment(erase=0.3).draw(4000, generator=torch.Generator().manual_seed(0))
    top, left, bottom, right = draw.box.T
    hit = bottom > top
    assert 0.27 < hit.float().mean() < 0.33
    area = ((bottom - top) * (right - left))[hit]
    assert area.min() > 0.0199
    assert area.max() < 0.2001
    assert draw.box.min() >= 0
    assert draw.box.max() <= 1


def test_noise_has_its_deviation():
    x = torch.full((4, 1, 64, 64), 0.5)
    out = Augment(noise=0.05).apply(x, still(4, noise_seed=1))
    assert (out - x).std() == pytest.approx(0.05, rel=0.05)


def test_a_draw_replays_exactly_and_samples_differ():
    batch = images(1).repeat(5, 3, 1, 1)
    draw = EVERYTHING.draw(5)
    first, second = EVERYTHING.apply(batch, draw), EVERYTHING.apply(batch, draw)
    assert torch.equal(first, second)
    assert all(not torch.equal(first[0], first[i]) for i in range(1, 5))
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_seed_gives_the_same_batch():
    batch = images(4)
    torch.manual_seed(5)
    first = EVERYTHING(batch)
    torch.manual_seed(5)
    assert torch.equal(first, EVERYTHING(batch))


def test_draws_stay_in_their_ranges():
    draw = EVERYTHING.draw(5000, generator=torch.Generator().manual_seed(0))
    assert 19 < draw.angle.abs().max() <= 20
    assert 7.5 < draw.shear.abs().max() <= 8
    assert draw.zoom.max() <= 1.2 + 1e-6
    assert draw.zoom.min() >= 1 / 1.2 - 1e-6
    assert 0.095 < draw.right.abs().max() <= 0.1
    assert 0.45 < draw.mirrored.float().mean() < 0.55
    assert draw.contrast.min() >= 0.7 - 1e-6
    assert draw.brightness.abs().max() <= 0.1


def test_what_is_not_asked_for_is_not_drawn():
    draw = Augment().draw(50)
    for name, value in vars(still(50)).items():
        if name != "box":
            assert np.all(np.asarray(getattr(draw, name)) == np.asarray(value)), name
    assert torch.equal(Augment().apply(images(2), Augment().draw(2)), images(2) / 255)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rotation": -1}, "rotation must be 0 or more, got -1"),
        ({"fill": "wrap"}, "fill must be one of"),
        ({"erase": 1.5}, "erase is a probability"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(MedlibError, match=words):
        Augment(**options)
