"""Hand-made features: against plain loops, names for columns, scikit-learn's habits."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.feature import graycomatrix, graycoprops
from skimage.feature import hog as skimage_hog
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medlib.features import (
    FEATURES,
    FeatureError,
    ImageFeatures,
    cooccurrence,
    hog,
    intensity_histogram,
    local_binary_patterns,
    pixels,
    sharpness,
)


def pictures(count=5, channels=1, height=28, width=28):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, channels, height, width), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", FEATURES)
def test_one_named_column_a_feature_and_images_do_not_mix(kind, channels):
    images = pictures(channels=channels, height=24)
    table = FEATURES[kind](images)
    assert table.values.shape == (5, len(table.names))
    assert table.values.dtype == np.float64
    assert np.isfinite(table.values).all()
    assert len(set(table.names)) == len(table.names)
    alone = np.concatenate([FEATURES[kind](images[i : i + 1]).values for i in range(5)])
    np.testing.assert_array_equal(table.values, alone)


def test_pixels_are_the_intensities():
    images = pictures(2, 2)
    table = pixels(images)
    assert table.names[28 * 28 + 3] == "pixel channel 1 row 0 column 3"
    assert table.values[1, 28 * 28 + 3] == images[1, 1, 0, 3] / 255


@pytest.mark.parametrize("bins", [1, 10, 32, 256])
def test_histogram_equals_counting(bins):
    images = pictures(3, 2)
    table = intensity_histogram(images, bins=bins)
    column = 0
    for channel in range(2):
        for k in range(bins):
            expected = [(i[channel].astype(int) * bins // 256 == k).mean() for i in images]
            np.testing.assert_allclose(table.values[:, column], expected)
            name = table.names[column].removeprefix("intensity ").split(", ")[0]
            low, high = (int(v) for v in name.split(" to "))
            inside = (images[:, channel] >= low) & (images[:, channel] <= high)
            np.testing.assert_allclose(inside.mean((1, 2)), expected)
            column += 1


def test_histogram_does_not_see_places():
    images = pictures(1)
    shuffled = np.random.default_rng(1).permuted(images.reshape(1, 1, -1), axis=2)
    same = intensity_histogram(shuffled.reshape(images.shape)).values
    np.testing.assert_array_equal(intensity_histogram(images).values, same)


def test_sharpness_equals_a_convolution_and_falls_with_blur():
    images = pictures(3, 2)
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    expected = [[convolve2d(c, kernel, "valid").std() for c in i.astype(int)] for i in images]
    np.testing.assert_allclose(sharpness(images).values, expected)
    blurred = gaussian_filter(images, (0, 0, 1, 1))
    assert (sharpness(blurred).values < sharpness(images).values).all()
    assert sharpness(np.full_like(images, 7)).values.max() == 0


def test_hog_equals_scikit_image_and_names_the_angle():
    images = pictures(2)
    expected = skimage_hog(
        images[0, 0], orientations=9, pixels_per_cell=(7, 7), cells_per_block=(2, 2)
    )
    np.testing.assert_allclose(hog(images).values[0], expected)
    # A ramp from left to right: the gradient lies at 0 degrees everywhere.
    ramp = np.tile(np.arange(28, dtype=np.uint8) * 9, (28, 1))[None, None]
    table = hog(ramp)
    strongest = {table.names[i].split(" at ")[1] for i in np.flatnonzero(table.values[0] > 0.1)}
    assert strongest == {"0 degrees"}


def test_patterns_are_shares_and_ignore_turning_and_brightness():
    images = pictures(3)
    table = local_binary_patterns(images)
    assert table.values.shape == (3, 20)
    np.testing.assert_allclose(table.values.reshape(3, 2, 10).sum(axis=2), 1)
    turned = local_binary_patterns(np.rot90(images, axes=(2, 3)).copy()).values
    np.testing.assert_allclose(turned, table.values, atol=0.01)
    dark = images // 3 + 1
    brighter = local_binary_patterns(dark + 50).values  # the comparisons stay the same
    np.testing.assert_allclose(brighter, local_binary_patterns(dark).values, atol=1e-12)
    flat = np.full((1, 1, 28, 28), 7, dtype=np.uint8)
    values = dict(zip(table.names, local_binary_patterns(flat).values[0], strict=True))
    assert values["pattern radius 1 with 8 brighter"] == 1


def test_cooccurrence_equals_a_plain_loop():
    images = pictures(3, 2)
    table = cooccurrence(images, distances=(1, 3), levels=16)
    angles = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
    for channel in range(2):
        grey = images[1, channel] // 16
        matrix = graycomatrix(grey, (1, 3), angles, levels=16, symmetric=True, normed=True)
        for name in ("contrast", "homogeneity", "correlation"):
            at_3 = graycoprops(matrix, name)[1]
            for kind, expected in (("mean", at_3.mean()), ("range", np.ptp(at_3))):
                column = table.names.index(f"{name} distance 3 {kind}, channel {channel}")
                assert table.values[1, column] == pytest.approx(expected)
        p = matrix[:, :, 0]
        p = np.where(p > 0, p, 1)
        entropy = -(p * np.log2(p)).sum((0, 1)).mean()
        column = table.names.index(f"entropy distance 1 mean, channel {channel}")
        assert table.values[1, column] == pytest.approx(entropy)


def test_many_images_cross_the_chunks():
    images = pictures(131, height=8, width=8)
    whole = cooccurrence(images, levels=8).values
    np.testing.assert_array_equal(whole[125:], cooccurrence(images[125:], levels=8).values)


def test_pipelines_take_images():
    images = pictures(40)
    labels = np.arange(40) % 2
    images[labels == 1] //= 2
    model = make_pipeline(ImageFeatures("histogram"), StandardScaler(), LogisticRegression())
    assert cross_val_score(model, images, labels, cv=4).mean() > 0.95
    model.fit(images, labels)
    assert list(model[:-1].get_feature_names_out())[0] == "intensity 0 to 7"


def test_transformer_parameters_are_set_and_cloned():
    from sklearn.base import clone

    transformer = clone(ImageFeatures("glcm", {"levels": 8}))
    assert transformer.get_params() == {"kind": "glcm", "options": {"levels": 8}}
    assert transformer.set_params(kind="histogram", options=None).fit_transform(
        pictures()
    ).shape == (5, 32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pixels(pictures() / 255), "must be uint8 .* got float64"),
        (lambda: hog(pictures()[0]), "shape .N, C, H, W., got uint8"),
        (lambda: pixels(pictures()[:0]), "no images"),
        (lambda: hog(pictures(), cells=40), "block <= cells <= 28"),
        (lambda: intensity_histogram(pictures(), bins=0), "from 1 to 256"),
        (lambda: cooccurrence(pictures(), distances=(30,)), "distances below 28"),
        (lambda: local_binary_patterns(pictures(), radii=(14,)), "below half of 28"),
        (lambda: ImageFeatures("sift").fit(pictures()), "choose one of .'pixels'"),
        (lambda: ImageFeatures("hog", {"bins": 3}).fit(pictures()), "it takes .'orientations'"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(FeatureError, match=words):
        call()
