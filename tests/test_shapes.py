"""Signs of a lesion, on shapes small enough to count by hand."""

import math

import numpy as np
import pytest

from medlib import shapes
from medlib.errors import MedlibError
from medlib.metrics import auc


def mask_of(picture):
    """Make a mask from rows of dots and x."""
    return np.array([[letter == "x" for letter in row] for row in picture.split()])


BOX = mask_of("........ ..xx.... ..xx.... ..xx.... ..xx.... ........ ........ ........")
CROSS = mask_of("....... ...x... ...x... .xxxxx. ...x... ...x... .......")


def disc(radius=20, stretch=1.0, tilt=0.0, size=80):
    """Make an ellipse whose long axis is turned from the horizontal."""
    down, right = np.mgrid[:size, :size] - size / 2
    along = right * math.cos(tilt) - down * math.sin(tilt)
    across = right * math.sin(tilt) + down * math.cos(tilt)
    return np.hypot(along / stretch, across) < radius


def test_a_box_by_hand():
    assert shapes.area_share(BOX) == 8 / 64
    assert shapes.depth_to_width(BOX) == 4 / 2
    assert shapes.extent(BOX) == 1
    assert shapes.solidity(BOX) == 1
    assert shapes.roughness(BOX) == 0
    assert shapes.steepness(BOX) == pytest.approx(90)
    assert shapes.steepness(BOX.T) == pytest.approx(0)
    assert shapes.circularity(BOX) == pytest.approx(4 * math.pi * 8 / 8**2)  # pixel centres: 8


def test_a_cross_by_hand():
    assert shapes.extent(CROSS) == 9 / 25
    assert shapes.solidity(CROSS) == 9 / 13  # the hull is a diamond of 13 pixels
    assert shapes.depth_to_width(CROSS) == 1
    assert shapes.roughness(CROSS) != 0


def test_a_disc_is_round_and_an_ellipse_has_an_axis():
    assert shapes.circularity(disc()) == pytest.approx(1, abs=0.06)
    assert shapes.extent(disc()) == pytest.approx(math.pi / 4, abs=0.04)
    tilted = disc(radius=10, stretch=2, tilt=math.radians(30))
    assert shapes.steepness(tilted) == pytest.approx(30, abs=1)
    assert shapes.steepness(tilted[:, ::-1]) == pytest.approx(30, abs=1)
    assert shapes.circularity(tilted) < 0.9


def test_a_star_is_rougher_than_a_disc():
    down, right = np.mgrid[:80, :80] - 40
    angle = np.arctan2(down, right)
    star = np.hypot(down, right) < 20 * (1 + 0.3 * np.cos(8 * angle))
    assert shapes.roughness(disc()) == pytest.approx(0, abs=0.02)
    assert shapes.roughness(star) > 0.2
    assert shapes.solidity(star) < shapes.solidity(disc())


def test_echo_and_margin_by_hand():
    image = np.full((64, 64), 0.6)
    image[20:30, 20:30] = 0.2
    mask = image == 0.2
    assert shapes.echo(image, mask) == pytest.approx(-0.4)
    assert shapes.margin_contrast(image, mask) == pytest.approx(0.4)
    assert shapes.unevenness(image, mask) == pytest.approx(0)
    shifted = np.roll(mask, 10, axis=1)  # beside the lesion there is no step
    assert shapes.margin_contrast(image, shifted) < 0.15
    image[20:25, 20:30] = 0.4
    assert shapes.unevenness(image, mask) == pytest.approx(0.1)


def test_a_shadow_is_dark_below_and_an_enhancement_bright():
    image = np.full((40, 40), 0.5)
    mask = np.zeros((40, 40), bool)
    mask[5:15, 15:25] = True
    image[15:25, 15:25] = 0.2
    assert shapes.posterior(image, mask) == pytest.approx(-0.3)
    image[15:25, 15:25] = 0.9
    assert shapes.posterior(image, mask) == pytest.approx(0.4)
    image[25:] = 0  # deeper than the lesion is high: not looked at
    assert shapes.posterior(image, mask) == pytest.approx(0.4)
    assert math.isnan(shapes.posterior(image, mask[::-1] | np.roll(mask, 25, axis=0)))


def test_only_the_largest_part_counts():
    two = BOX.copy()
    two[7, 7] = True
    assert np.array_equal(shapes.largest(two), BOX)
    assert not shapes.largest(np.zeros((4, 4), bool)).any()


def images_with(masks):
    rng = np.random.default_rng(0)
    noise = rng.integers(100, 140, (len(masks), 1, *masks.shape[1:]))
    return (noise - 60 * masks[:, None]).astype(np.uint8)


def test_an_empty_mask_has_no_shape():
    masks = np.stack([disc(), np.zeros((80, 80), bool)])
    table = shapes.describe(images_with(masks), masks)
    assert table.names == list(shapes.SIGNS)
    assert np.isfinite(table.values[0]).all()
    assert table.values[1, :2].tolist() == [0, 0]
    assert np.isnan(table.values[1, 2:]).all()


@pytest.mark.parametrize("picture", ["x... .... ....", "xxxx .... ....", "x... .x.. ..x."])
def test_a_lesion_of_few_pixels_has_numbers(picture):
    mask = mask_of(picture)[None]
    table = shapes.describe(images_with(mask), mask)
    assert np.isfinite(table.values[:, :-1]).all()


def test_masks_of_other_images_are_refused():
    masks = np.stack([disc()])
    with pytest.raises(MedlibError, match="one shape"):
        shapes.describe(images_with(masks), masks[:, :40])
    with pytest.raises(MedlibError, match="bool or 0 and 1"):
        shapes.describe(images_with(masks), masks * 255)


def test_every_sign_of_the_lexicon_is_measured():
    named = [sign for signs in shapes.LEXICON.values() for sign in signs]
    assert set(named) | {"found", "area"} == set(shapes.SIGNS)


def test_the_classifier_takes_lesions_that_were_missed():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    table = rng.normal(size=(60, len(shapes.SIGNS))) + labels[:, None]
    table[labels == 0, 2:] = math.nan
    model = shapes.shape_classifier().fit(table, labels)
    assert auc(labels, model.predict_proba(table)) > 0.9
