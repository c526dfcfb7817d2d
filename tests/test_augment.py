"""Augmentation: against torchvision, SciPy and loops on the same numbers; replay, refusals."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional
from torchvision.transforms import functional as reference

from medlib import train
from medlib.augment import OPERATIONS, Augment, Draw, pipeline
from medlib.augment import trivial as trivial_policy
from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.errors import MedlibError
from medlib.models import create
from medlib.recipe import Recipe, build_loss
from medlib.train import fit

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
    blur=1.0,
    trivial=1.0,
    mixup=0.4,
    cutmix=1.0,
)
GEOMETRY = Augment(
    flip_horizontal=True, flip_vertical=True, rotation=20, shear=8, scale=0.2, shift=0.1,
    fill="zeros",
)  # fmt: skip


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
    augment = GEOMETRY
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
    assert torch.equal(batch, images(1).repeat(5, 3, 1, 1))
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_seed_gives_the_same_batch():
    batch = images(4)
    labels = torch.tensor([0, 1, 1, 0])
    torch.manual_seed(5)
    first = EVERYTHING.with_labels(batch, labels, 2)
    torch.manual_seed(5)
    second = EVERYTHING.with_labels(batch, labels, 2)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


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
        ({"trivial": 1.5}, "trivial is a share, at most 1, got 1.5"),
        ({"mixed": 2.0}, "mixed is a share"),
        ({"mixup": -0.1}, "mixup must be 0 or more"),
        ({"hue": 0.6}, "hue is a share of the colour circle, at most 0.5"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(MedlibError, match=words):
        Augment(**options)


def test_refuses_a_blur_wider_than_the_image_and_a_mix_without_labels():
    with pytest.raises(MedlibError, match="choose a smaller blur"):
        Augment(blur=4.0)(images(2, height=12, width=12))
    with pytest.raises(MedlibError, match="with_labels"):
        Augment(mixup=0.2)(images(2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"noise": 0.02, "erase": 0.5, "contrast": 0.2}])
def test_chunks_give_what_the_whole_batch_gives(monkeypatch, channels, options):
    augment = replace(GEOMETRY, **options)
    for count in (1, 33, 49):
        batch = images(count, channels)
        draw = augment.draw(count)
        monkeypatch.setattr(pipeline, "CHUNK", 2**40)
        whole = augment.apply(batch, draw)
        monkeypatch.setattr(pipeline, "CHUNK", 1)
        assert torch.equal(augment.apply(batch, draw), whole)


def test_new_options_leave_the_draws_of_the_old_ones_alone():
    old = replace(EVERYTHING, blur=0, trivial=0, mixup=0, cutmix=0)
    torch.manual_seed(2)
    before = old.draw(9)
    torch.manual_seed(2)
    after = EVERYTHING.draw(9)
    for name in ("mirrored", "angle", "zoom", "contrast", "box"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert before.noise_seed == after.noise_seed
    assert before.sigma is before.operation is before.partner is None


# --- blur: to 1e-6 of torchvision's and SciPy's --------------------------------------------------


def test_blur_equals_torchvision_and_scipy():
    batch, augment = images(6, 2), Augment(blur=1.5)
    draw = augment.draw(6, generator=torch.Generator().manual_seed(1))
    got = augment.apply(batch, draw)
    assert draw.sigma.max() <= 1.5
    for i, sigma in enumerate(draw.sigma.tolist()):
        x = batch[i] / 255
        expected = reference.gaussian_blur(x, [11, 11], [sigma, sigma])  # 2 * ceil(3 * 1.5) + 1
        torch.testing.assert_close(got[i], expected, atol=1e-6, rtol=0)
        slow = ndimage.gaussian_filter(
            x.double().numpy(), sigma, mode="mirror", radius=5, axes=(1, 2)
        )
        np.testing.assert_allclose(got[i].numpy(), slow, atol=1e-6)


def test_no_blur_is_exact():
    batch = images(2)
    out = Augment(blur=1.0).apply(batch, still(2, sigma=torch.zeros(2)))
    torch.testing.assert_close(out, batch / 255, atol=1e-7, rtol=0)


# --- hue: to 1e-6 of torchvision's and of Python's colorsys ---------------------------------------


def test_hue_equals_torchvision_and_colorsys():
    batch, augment = images(8, 3), Augment(hue=0.5)
    batch[0, 1:] = batch[0, :1]  # grey: no hue
    batch[1] //= 2  # dark
    batch[2, 2] = 0  # from red to green
    draw = augment.draw(8, generator=torch.Generator().manual_seed(1))
    got = augment.apply(batch, draw)
    for i, turn in enumerate(draw.turn.tolist()):
        expected = reference.adjust_hue(batch[i] / 255, turn)
        torch.testing.assert_close(got[i], expected, atol=1e-5, rtol=0)
        for y, x in ((0, 0), (13, 5), (27, 27)):
            h, s, v = colorsys.rgb_to_hsv(*(batch[i, :, y, x] / 255).tolist())
            slow = torch.tensor(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
            torch.testing.assert_close(got[i, :, y, x], slow, atol=1e-6, rtol=0)


def test_a_turn_of_nothing_and_pure_colours_and_a_turn_and_its_opposite():
    batch, augment = images(2, 3) / 255, Augment(hue=0.5)
    out = augment.apply(batch, still(2, turn=torch.zeros(2)))
    torch.testing.assert_close(out, batch, atol=1e-6, rtol=0)
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    green = augment.apply(red, still(1, turn=torch.tensor([1 / 3])))
    torch.testing.assert_close(green, red.roll(1, 1), atol=1e-6, rtol=0)
    there = augment.apply(batch, still(2, turn=torch.full((2,), 0.2)))
    back = augment.apply(there, still(2, turn=torch.full((2,), -0.2)))
    torch.testing.assert_close(back, batch, atol=1e-5, rtol=0)


def test_hue_keeps_value_and_saturation_and_reaches_as_far_as_asked_for():
    batch, augment = images(4, 3) / 255, Augment(hue=0.1)
    out = augment(batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(out.amax(1), batch.amax(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.amin(1), batch.amin(1), atol=1e-6, rtol=0)
    turn = augment.draw(5000, generator=torch.Generator().manual_seed(0)).turn
    assert 0.099 < turn.abs().max() <= 0.1
    assert abs(float(turn.mean())) < 0.003


def test_hue_needs_colour():
    with pytest.raises(MedlibError, match="these images have 1 channel"):
        Augment(hue=0.1)(images(2))


def test_hue_changes_no_other_draw():
    coloured = replace(EVERYTHING, hue=0.3)
    torch.manual_seed(2)
    before, state = EVERYTHING.draw(9), torch.random.get_rng_state()
    torch.manual_seed(2)
    after = coloured.draw(9)
    for name, value in vars(before).items():
        if name != "turn":
            assert np.array_equal(np.asarray(value), np.asarray(getattr(after, name))), name
    assert before.turn is None
    torch.manual_seed(2)
    replace(coloured, hue=0.0).draw(9)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_hue_in_chunks_gives_what_the_whole_batch_gives(monkeypatch):
    augment, batch = Augment(hue=0.5, contrast=0.2, rotation=10), images(49, 3)
    draw = augment.draw(49)
    monkeypatch.setattr(pipeline, "CHUNK", 2**40)
    whole = augment.apply(batch, draw)
    monkeypatch.setattr(pipeline, "CHUNK", 1)
    assert torch.equal(augment.apply(batch, draw), whole)


# --- one operation an image: to 1e-5 of torchvision's, exactly where it works on 8 bits ----------


def moved(x, **numbers):
    neutral = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    bilinear = reference.InterpolationMode.BILINEAR
    return reference.affine(x, **(neutral | numbers), interpolation=bilinear)


def slow_operation(name, x, s):
    """Apply torchvision's function to one uint8 image ``(C, H, W)``; strength s, float result."""
    unit, factor = x / 255, 1 + trivial_policy.WIDEST_FACTOR * s
    shear = float(np.degrees(np.arctan(trivial_policy.WIDEST_SHEAR * s)))
    return {
        "identity": lambda: unit,
        "shear_x": lambda: moved(unit, shear=[shear, 0.0]),
        "shear_y": lambda: moved(unit, shear=[0.0, shear]),
        "shift_x": lambda: moved(unit, translate=[round(0.45 * s * x.shape[2]), 0]),
        "shift_y": lambda: moved(unit, translate=[0, round(0.45 * s * x.shape[1])]),
        "rotate": lambda: moved(unit, angle=-135.0 * s),
        "brightness": lambda: reference.adjust_brightness(unit, factor),
        "contrast": lambda: reference.adjust_contrast(unit, factor),
        "sharpness": lambda: reference.adjust_sharpness(unit, factor),
        "posterize": lambda: reference.posterize(x, 8 - round(6 * abs(s))) / 255,
        "solarize": lambda: reference.solarize(unit, 1 - abs(s)),
        "autocontrast": lambda: reference.autocontrast(unit),
        "equalize": lambda: reference.equalize(x) / 255,
    }[name]()


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 40)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_equals_torchvision(name, height, width):
    pixels = [round(f * (width if name == "shift_x" else height)) for f in (-0.4, 0.1, 0.3)]
    whole = torch.tensor(pixels) / (0.45 * (width if name == "shift_x" else height))
    strength = whole if name.startswith("shift") else torch.tensor([-0.9, 0.2, 0.7])
    batch = images(3, 1, height, width)
    batch[1] = batch[1] // 3 + 20  # with a narrow range
    code = torch.full((3,), OPERATIONS.index(name))
    augment = Augment(trivial=1.0, fill="zeros")
    got = augment.apply(batch, still(3, operation=code, strength=strength))
    for i, s in enumerate(strength.tolist()):
        expected = slow_operation(name, batch[i], s)
        tolerance = 2e-4 if name in ("rotate", "shear_x", "shear_y") else 1e-5
        torch.testing.assert_close(got[i], expected, atol=tolerance, rtol=0)


def test_a_mixed_batch_of_operations_equals_one_image_at_a_time():
    batch, augment = images(40, 3), Augment(trivial=1.0)
    draw = augment.draw(40, generator=torch.Generator().manual_seed(0))
    assert len(draw.operation.unique()) > 9
    together = augment.apply(batch, draw)
    for i in range(40):
        alone = augment.apply(batch[i : i + 1], draw.rows(slice(i, i + 1)))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


def test_operations_are_drawn_evenly_and_no_stronger_than_asked_for():
    draw = Augment(trivial=0.5).draw(13_000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(draw.operation)
    assert len(counts) == len(OPERATIONS) == 13
    assert counts.min() > 880
    assert counts.max() < 1120
    assert 0.49 < draw.strength.abs().max() <= 0.5


def test_flat_images_survive_every_operation():
    flat = torch.full((13, 1, 28, 28), 77, dtype=torch.uint8)
    draw = still(13, operation=torch.arange(13), strength=torch.full((13,), 0.5))
    out = Augment(trivial=1.0).apply(flat, draw)
    assert torch.isfinite(out).all()
    for name in ("autocontrast", "equalize"):
        assert torch.equal(out[OPERATIONS.index(name)], flat[0] / 255)


# --- mixup and cutmix: to 1e-6 of plain loops ----------------------------------------------------


def slow_mix(x, labels, draw, num_classes):
    """Mix float images one pixel at a time, and count the pixels."""
    mixed, targets = x.clone(), torch.zeros(len(x), num_classes)
    height, width = x.shape[-2:]
    for i, j in enumerate(draw.partner.tolist()):
        own, taken = float(draw.share[i]), 0
        top, left, bottom, right = draw.patch[i].tolist()
        for row in range(height):
            for col in range(width):
                y, z = (row + 0.5) / height, (col + 0.5) / width
                pasted = top <= y < bottom and left <= z < right
                taken += pasted
                kept = 0.0 if pasted else own
                mixed[i, :, row, col] = kept * x[i, :, row, col] + (1 - kept) * x[j, :, row, col]
        own *= 1 - taken / (height * width)
        targets[i, labels[i]] += own
        targets[i, labels[j]] += 1 - own
    return mixed, targets


@pytest.mark.parametrize(
    "options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}]
)
def test_mixing_equals_a_loop_over_pixels(options):
    batch, labels = images(12, 2, 14, 18), torch.arange(12) % 3
    augment = Augment(**options)
    torch.manual_seed(4)
    got, targets = augment.with_labels(batch, labels, 3)
    torch.manual_seed(4)
    draw = augment.draw(12)
    expected, truth = slow_mix(batch / 255, labels, draw, 3)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(targets, truth, atol=1e-6, rtol=0)
    assert (targets.max(1).values < 1).any()


def test_several_findings_are_mixed_one_by_one():
    labels = torch.tensor([[1, 0, 1], [0, 0, 1]])
    draw = still(2, partner=torch.tensor([1, 0]), share=torch.tensor([0.75, 1.0]),
                 patch=torch.zeros(2, 4))  # fmt: skip
    got = Augment(mixup=1.0).mix_labels(labels, draw, 3, (28, 28))
    assert torch.allclose(got, torch.tensor([[0.75, 0.0, 1.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_loss_of_mixed_labels_is_the_mix_of_the_losses(multi_label):
    logits, partner = torch.randn(6, 3), torch.randperm(6)
    labels = torch.randint(2, (6, 3)) if multi_label else torch.randint(3, (6,))
    share = torch.full((6,), 0.7)
    draw = still(6, partner=partner, share=share, patch=torch.zeros(6, 4))
    targets = Augment(mixup=1.0).mix_labels(labels, draw, 3, (28, 28))
    loss = build_loss(Recipe(), labels, 3)
    expected = 0.7 * loss(logits, labels) + 0.3 * loss(logits, labels[partner])
    torch.testing.assert_close(loss(logits, targets), expected)


def test_shares_follow_the_beta_distribution_and_patches_their_area():
    generator = torch.Generator().manual_seed(0)
    mixup = Augment(mixup=0.4, mixed=0.5).draw(8000, generator=generator)
    hit = mixup.share[mixup.share < 1]
    assert 0.47 < len(hit) / 8000 < 0.53
    assert float(hit.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(hit.var()) == pytest.approx(1 / (4 * 1.8), rel=0.05)  # 1 / (4 (2 alpha + 1))
    top, left, bottom, right = Augment(cutmix=1.0).draw(8000, generator=generator).patch.T
    assert min(top.min(), left.min()) >= 0
    assert max(bottom.max(), right.max()) <= 1
    # Uniform area of a square before the border cuts it: mean side 2/3, less what is cut.
    inner = (left > 0) & (right < 1) & (top > 0) & (bottom < 1)
    torch.testing.assert_close((bottom - top)[inner], (right - left)[inner], atol=1e-6, rtol=0)
    both = Augment(mixup=1.0, cutmix=1.0).draw(8000, generator=generator)
    pasted = both.patch[:, 2] > both.patch[:, 0]
    assert 0.47 < pasted.float().mean() < 0.53
    assert not ((both.share < 1) & pasted).any()


def test_fit_learns_from_mixed_labels_and_smooths_them():
    data = phantom_like(card("breastmnist")).subset(64)
    recipe = Recipe(
        epochs=8, batch_size=16, learning_rate=3e-3, augment=Augment(mixup=0.4, cutmix=1.0),
        label_smoothing=0.05, class_weights="balanced", select="last",
    )  # fmt: skip
    torch.manual_seed(0)
    network = create("lenet5", in_channels=1, num_classes=2, image_size=28)
    losses = [e["train_loss"] for e in fit(network, data, recipe, progress=False).epochs]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_unmixed_labels_are_handed_back_as_they_are():
    labels = torch.arange(3)
    assert Augment(blur=1.0).with_labels(images(3), labels, 3)[1] is labels
    soft = functional.one_hot(labels, 3).float()
    drawn = Augment(mixup=1.0, mixed=0.0)
    assert torch.equal(drawn.with_labels(images(3), labels, 3)[1], soft)


def test_an_interrupted_training_with_mixed_labels_resumes_to_the_last_bit(tmp_path, monkeypatch):
    data = phantom_like(card("breastmnist")).subset(48)
    recipe = Recipe(epochs=4, batch_size=16, augment=replace(EVERYTHING, trivial=0.3))
    save, calls = train._Training.save, []

    def trained(checkpoint=None):
        torch.manual_seed(0)
        model = create("lenet5", in_channels=1, num_classes=2, image_size=28)
        fit(model, data, recipe, progress=False, checkpoint=checkpoint)
        return torch.cat([v.flatten() for v in model.state_dict().values()])

    def interrupted(training, path):
        save(training, path)
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt

    whole = trained()
    monkeypatch.setattr(train._Training, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "c.pt")
    assert torch.equal(whole, trained(tmp_path / "c.pt"))
    assert len(calls) == 4


# --- masks ---------------------------------------------------------------------------------------


def test_masks_move_with_their_images():
    masks = torch.zeros(3, 28, 28, dtype=torch.uint8)
    masks[:, 3:9, 5:20] = 2
    yes, rotate = torch.tensor([True, False, False]), OPERATIONS.index("rotate")
    draw = still(
        3,
        mirrored=yes,
        angle=torch.tensor([0.0, 90.0, 0.0]),
        operation=torch.tensor([0, OPERATIONS.index("solarize"), rotate]),
        strength=torch.tensor([0.0, 0.9, -90 / 135]),
    )
    moved = Augment(rotation=90, noise=0.1, erase=1.0, trivial=1.0).apply_to_masks(masks, draw)
    assert moved.dtype == torch.uint8
    assert torch.equal(moved[0], masks[0].flip(1))
    assert torch.equal(moved[1], torch.rot90(masks[1]))
    assert torch.equal(moved[2], torch.rot90(masks[2], -1))


def test_masks_follow_every_random_map():
    masks = (images(1).float().repeat(30, 1, 1, 1) * 0)[:, 0]
    masks[:, 8:20, 10:22] = 1.0
    augment = replace(GEOMETRY, trivial=0.4)
    draw = augment.draw(30, generator=torch.Generator().manual_seed(0))
    draw = replace(draw, operation=draw.operation % 6)  # those that move
    seen = augment.apply(masks[:, None], draw)[:, 0]
    moved = augment.apply_to_masks(masks.long(), draw)
    assert ((seen > 0.5) == (moved == 1)).float().mean() > 0.97


def test_masks_are_not_mixed():
    with pytest.raises(MedlibError, match="train masks without them"):
        Augment(mixup=0.2).apply_to_masks(torch.zeros(2, 8, 8), still(2))
