"""Masks: metrics, moving with their images, training, and the one door to the test masks."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, directed_hausdorff
from torch import nn
from toy_book import CHAPTER, ToyBook

from medlib import cases, intervals, paths, publish, results, segmentation
from medlib import run as run_module
from medlib.augment import Augment
from medlib.data import card, locked
from medlib.data.dataset import Dataset, Split
from medlib.errors import MedlibError, TestSplitUsed
from medlib.evaluate import evaluate_masks_once, evaluate_once, read_scores, shown
from medlib.models import Heads, MaskFromMaps, ModelError, PooledMaps, Reduced, TwoHeads, create
from medlib.profiles import PROFILES
from medlib.results import record
from medlib.tables import score_table
from medlib.train import (
    Recipe,
    TrainingError,
    fit,
    mask_classes,
    predict_masks,
    predict_proba,
    seed_everything,
)
from medlib.verify import verify

SIZE = 16
BUSI = card("busi128")


def lesions(count, seed, size=SIZE):
    """Make images: class 0 without a lesion, 1 with a grey square, 2 with a bright one."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, 1, size, size), dtype=np.uint8)
    masks, labels = np.zeros((count, size, size), bool), rng.permutation(np.arange(count) % 3)
    for i in np.flatnonzero(labels):
        top, left, side = rng.integers(1, size // 2, 3)
        masks[i, top : top + side + 2, left : left + side + 2] = True
        images[i, 0][masks[i]] += 70 * labels[i].astype(np.uint8)
    return Split(images, labels.astype(np.int64), np.arange(count) + 100 * seed, masks=masks)


def lesion_set(train=48, val=24, test=12, **changes):
    sealed, source = locked.seal(lesions(test, 2))
    changed = replace(BUSI, name="toy", **changes)
    return Dataset(changed, lesions(train, 0), lesions(val, 1), sealed, source=source)


def unet(classes=2, seed=0, **options):
    seed_everything(seed)
    options = {"width": 8, "depth": 2, **options}
    return create("unet", in_channels=1, num_classes=classes, image_size=SIZE, **options)


QUICK = Recipe(epochs=8, batch_size=8, learning_rate=1e-2, augment=Augment(flip_horizontal=True))


# Metrics


def blobs(count, seed, size=11):
    noise = np.random.default_rng(seed).random((count, size, size))
    return noise > np.linspace(0.3, 0.95, count)[:, None, None]


def outline(mask):
    """Return the places of a mask with a neighbour outside of it or of the image."""
    padded = np.pad(mask, 1)
    around = [np.roll(padded, step, axis)[1:-1, 1:-1] for step in (-1, 1) for axis in (0, 1)]
    return np.argwhere(mask & ~np.logical_and.reduce(around))


def test_overlap_equals_sets_of_places():
    truth, found = blobs(20, 0), blobs(20, 1)
    for i in range(20):
        a, b = ({tuple(p) for p in np.argwhere(m)} for m in (truth[i], found[i]))
        assert segmentation.dice(truth, found)[i] == 2 * len(a & b) / (len(a) + len(b))
        assert segmentation.iou(truth, found)[i] == len(a & b) / len(a | b)


def test_hausdorff_equals_scipy_and_brute_force():
    truth, found = blobs(20, 0), blobs(20, 1)
    largest = segmentation.hausdorff(truth, found)
    usual = segmentation.hausdorff(truth, found, 95)
    for i in range(20):
        a, b = outline(truth[i]), outline(found[i])
        both = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
        assert largest[i] == pytest.approx(both)
        apart = cdist(a, b)
        directed = [np.percentile(apart.min(axis), 95) for axis in (0, 1)]
        assert usual[i] == pytest.approx(max(directed))
    assert (usual <= largest).all()


def test_empty_masks_follow_the_stated_convention():
    empty, full = np.zeros((1, 4, 5), bool), np.ones((1, 4, 5), bool)
    for metric, nothing, one_side in (
        (segmentation.dice, 1, 0),
        (segmentation.iou, 1, 0),
        (segmentation.class_dice, 1, 0),
        (segmentation.hausdorff, 0, math.hypot(3, 4)),
    ):
        assert metric(empty, empty) == nothing
        assert metric(full, empty) == metric(empty, full) == one_side


def test_class_dice_asks_for_the_right_class():
    truth = np.array([[[0, 1, 2, 2]]])
    found = np.array([[[1, 1, 2, 1]]])
    assert segmentation.class_dice(truth, found) == 2 * 2 / (3 + 4)
    binary = blobs(9, 0), blobs(9, 1)
    assert (segmentation.class_dice(*map(np.uint8, binary)) == segmentation.dice(*binary)).all()


@pytest.mark.parametrize(
    ("truth", "found", "words"),
    [
        (np.ones((2, 4, 4)), np.ones((3, 4, 4)), "one shape"),
        (np.ones((4, 4)), np.ones((4, 4)), "one shape"),
        (np.ones((1, 2, 2)), np.full((1, 2, 2), 0.4), "compare first"),
    ],
)
def test_what_is_no_mask_is_refused(truth, found, words):
    with pytest.raises(MedlibError, match=words):
        segmentation.dice(truth, found)


# Masks move with images


def test_masks_move_exactly_with_their_images():
    """An image that is its own mask stays so, at all pixels but those on a moved edge."""
    split = lesions(32, 3, size=40)
    pictures = torch.from_numpy(split.masks[:, None].astype(np.uint8) * 255)
    masks = torch.from_numpy(split.masks.astype(np.uint8))
    augment = Augment(
        flip_horizontal=True, flip_vertical=True, rotation=30, shear=10, scale=0.3, shift=0.2
    )
    draw = augment.draw(32, generator=torch.Generator().manual_seed(0))
    moved, drawn = augment.apply(pictures, draw)[:, 0], augment.apply_to_masks(masks, draw)
    assert drawn.dtype == torch.uint8
    sure = (moved < 0.05) | (moved > 0.95)
    assert sure.float().mean() > 0.9
    assert torch.equal(drawn[sure].bool(), moved[sure] > 0.5)
    assert not torch.equal(drawn, masks)


def test_flips_are_exact_and_intensities_leave_masks_alone():
    masks = torch.from_numpy(lesions(8, 0).masks.astype(np.int64))
    flips = Augment(flip_horizontal=True)
    draw = flips.draw(8, generator=torch.Generator().manual_seed(1))
    expected = torch.where(draw.mirrored[:, None, None], masks.flip(2), masks)
    assert torch.equal(flips.apply_to_masks(masks, draw), expected)
    light = Augment(contrast=0.5, noise=0.2, erase=1.0)
    assert torch.equal(light.apply_to_masks(masks, light.draw(8)), masks)


# Training


def test_fit_learns_masks_and_selects_by_dice():
    data, model = lesion_set(), unet()
    history = fit(model, data, QUICK, target="mask")
    values = [epoch["val_dice"] for epoch in history.epochs]
    assert history.best["val_dice"] == max(values) > 0.9
    found = predict_masks(model, data.val.images)
    assert found.shape == (24, SIZE, SIZE)
    assert found.dtype == np.uint8
    assert segmentation.dice(data.val.masks, found > 0).mean() == history.best["val_dice"]
    assert predict_proba(model, data.val.images, task="binary").shape == (24, 2, SIZE, SIZE)


@pytest.mark.parametrize(
    ("name", "loss", "options"),
    [
        ("fcn8s", "cross_entropy", {"width": 8, "hidden": 16, "norm": True}),
        ("segnet", "tversky", {"width": 8, "depth": 2}),
        ("unet", "lovasz", {"width": 8, "depth": 2}),
        ("unet", "dice", {"width": 8, "depth": 2}),
    ],
)
def test_every_segmenter_learns_with_every_loss(name, loss, options):
    data = lesion_set()
    seed_everything(0)
    model = create(name, in_channels=1, num_classes=2, image_size=SIZE, **options)
    history = fit(model, data, replace(QUICK, loss=loss), target="mask")
    assert history.epochs[-1]["train_loss"] < 0.8 * history.epochs[0]["train_loss"]
    assert history.best["val_dice"] > 0.5


def test_masks_by_class_of_the_lesion():
    data = lesion_set()
    names = mask_classes(data, "class_mask")
    assert names == ("background", "benign", "malignant")
    model = unet(classes=len(names))
    history = fit(model, data, replace(QUICK, epochs=10), target="class_mask")
    assert history.best["val_dice"] > 0.75
    found, lesion = predict_masks(model, data.val.images), data.val.masks
    assert (found == data.val.labels[:, None, None])[lesion].mean() > 0.8


def test_two_heads_learn_label_and_mask():
    data = lesion_set()
    model = TwoHeads(unet(), num_classes=3)
    recipe = replace(QUICK, label_smoothing=0.05, class_weights="balanced", label_share=0.4)
    history = fit(model, data, recipe, target="label_and_mask")
    assert {"val_auc", "val_accuracy", "val_dice", "val_loss"} <= set(history.best)
    assert history.best["val_auc"] > 0.9
    assert history.best["val_dice"] > 0.8
    chances = predict_proba(model, data.val.images, task=data.task)
    assert (chances.argmax(1) == data.val.labels).mean() == history.best["val_accuracy"]
    assert segmentation.dice(
        data.val.masks, predict_masks(model, data.val.images) > 0
    ).mean() == pytest.approx(history.best["val_dice"])


def test_two_heads_weigh_their_losses():
    data = lesion_set(train=8)
    recipe = Recipe(epochs=1, batch_size=8, select="val_dice", schedule="constant")
    model = TwoHeads(unet(), num_classes=3).eval()
    losses = {}
    for share in (0.0, 0.25, 1.0):
        start = TwoHeads(unet(), num_classes=3)
        losses[share] = fit(
            start, data, replace(recipe, label_share=share), target="label_and_mask"
        )
    first = {share: history.epochs[0]["train_loss"] for share, history in losses.items()}
    assert first[0.25] == pytest.approx(0.25 * first[1.0] + 0.75 * first[0.0], rel=1e-5)
    outputs = model(torch.zeros(2, 1, SIZE, SIZE))
    assert isinstance(outputs, Heads)
    assert torch.equal(outputs.mask, model.segmenter(torch.zeros(2, 1, SIZE, SIZE)))
    with pytest.raises(ModelError, match="such as a unet; Linear has not all"):
        TwoHeads(nn.Linear(2, 2), num_classes=3)


def test_a_fully_convolutional_classifier_learns_labels():
    data = lesion_set(train=96)
    model = PooledMaps(unet(classes=3))
    history = fit(model, data, replace(QUICK, epochs=12))
    assert history.best["val_auc"] > 0.85
    assert model.maps(torch.zeros(1, 1, SIZE, SIZE)).shape == (1, 3, SIZE, SIZE)


def test_a_reduced_network_answers_for_every_pixel():
    data, images = lesion_set(), torch.zeros(2, 1, SIZE, SIZE)
    model = Reduced(unet(), factor=2)
    assert fit(model, data, QUICK, target="mask").best["val_dice"] > 0.6
    assert model(images).shape == (2, 2, SIZE, SIZE)
    both = Reduced(TwoHeads(unet(), num_classes=3))(images)
    assert (both.label.shape, both.mask.shape) == ((2, 3), (2, 2, SIZE, SIZE))
    assert Reduced(PooledMaps(unet()))(images).shape == (2, 2)
    with pytest.raises(ModelError, match="factor must be at least 1"):
        Reduced(unet(), factor=0)


def test_masks_come_from_the_map_of_the_named_class():
    maps = torch.zeros(3, 3, 8, 8)
    maps[0, 1] = torch.linspace(0, 14, 8)  # named 1: the map rises to the right
    maps[1, 0] = 5.0  # named 0, which has no lesion
    maps[2, 2] = 3.0  # named 2, the same everywhere
    pooled = PooledMaps(torch.nn.Identity())
    model = MaskFromMaps(pooled, lesions=(1, 2), threshold=0.6)
    heat = model.heat(maps)
    assert torch.allclose(heat[0, 0], torch.linspace(0, 1, 8))
    assert heat[1:].eq(0).all()
    found = model(maps).argmax(1)
    assert found[0, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert not found[1:].any()
    assert Reduced(pooled).maps(maps).shape == maps.shape
    assert torch.allclose(Reduced(pooled).maps(maps).mean((2, 3)), Reduced(pooled)(maps))


def test_the_threshold_with_the_largest_dice_is_chosen():
    heat = np.tile(np.linspace(0.02, 0.92, 10), (2, 4, 1))
    assert segmentation.choose_threshold(heat > 0.65, heat) == 0.65
    assert segmentation.choose_threshold(np.zeros(heat.shape, bool), heat) == 0.95


def test_augmentation_moves_masks_in_training():
    """Squares that are shifted far must not be learned where they were."""
    data = lesion_set()
    moving = Augment(flip_horizontal=True, flip_vertical=True, shift=0.3, rotation=20, fill="zeros")
    history = fit(unet(), data, replace(QUICK, epochs=10, augment=moving), target="mask")
    assert history.best["val_dice"] > 0.8


def test_resuming_masks_gives_the_same_bits(tmp_path):
    data, path = lesion_set(), tmp_path / "c.pt"
    recipe = replace(QUICK, epochs=2)
    whole, again = unet(), unet(seed=9)
    fit(whole, data, recipe, target="mask", checkpoint=path)
    fit(again, data, recipe, target="mask", checkpoint=path)
    pairs = zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(MedlibError, match=r"another training .*target: mask there, label here"):
        fit(PooledMaps(unet(3)), data, recipe, checkpoint=path)


def without_masks(data):
    return replace(data, train=replace(data.train, masks=None))


def emptied(split):
    return replace(split, masks=np.zeros_like(split.masks))


@pytest.mark.parametrize(
    ("change", "target", "model", "words"),
    [
        (None, "maks", unet, "unknown target 'maks': choose one of label, mask"),
        (without_masks, "mask", unet, "has no masks: choose target='label', or a set"),
        (
            lambda d: replace(d, val=replace(d.val, masks=d.val.masks[:, 1:])),
            "mask",
            unet,
            r"bool masks of shape \(24, 16, 16\), got bool \(24, 15, 16\)",
        ),
        (
            lambda d: replace(d, train=replace(d.train, masks=d.train.masks * 255)),
            "mask",
            unet,
            "needs bool masks",
        ),
        (lambda d: replace(d, val=emptied(d.val)), "mask", unet, "masks of the val .* are empty"),
        (lambda d: replace(d, train=emptied(d.train)), "mask", unet, "masks of the train .* empty"),
        (None, "class_mask", unet, r"mask \(1, 3, 16, 16\), this UNet gives mask \(1, 2, 16, 16\)"),
        (None, "label", unet, "create a classifier with num_classes=3"),
        (None, "label_and_mask", unet, "wrap a unet in medlib.models.TwoHeads"),
        (None, "mask", lambda: PooledMaps(unet()), "create a padded segmenter"),
    ],
)
def test_bad_masks_and_networks_are_named_before_training(change, target, model, words):
    data = lesion_set() if change is None else change(lesion_set())
    with pytest.raises(TrainingError, match=words):
        fit(model(), data, QUICK, target=target)


def test_masks_come_from_segmenters_only():
    with pytest.raises(TrainingError, match="gives no map of numbers"):
        predict_masks(PooledMaps(unet()), lesions(3, 0).images)
    with pytest.raises(TrainingError, match="val_dice' needs masks"):
        fit(PooledMaps(unet(3)), lesion_set(), replace(QUICK, select="val_dice"))


# The door


@pytest.fixture
def open_run(tmp_path, monkeypatch):
    run = run_module.Run("03-08-unet", PROFILES["cpu"], (0, 1), "cpu", tmp_path / "b")
    monkeypatch.setattr(run_module, "_active", run)
    results.open_results(run)
    return run


def noisy(seed):
    """Return a model that finds what is bright, and some noise."""
    rng = np.random.default_rng(seed)
    return lambda images: (images[:, 0] > 60) ^ (rng.random(images[:, 0].shape) < 0.02 * (seed + 1))


def test_masks_are_judged_once_and_logged(open_run):
    data = lesion_set()
    made = evaluate_masks_once(noisy(0), data, model_id="unet", seed=0)
    assert made.path == open_run.build / "scores/03-08-unet/unet__toy__seed0__masks.csv"
    truth = locked.read_test_masks(data)
    expected = segmentation.dice(truth, noisy(0)(data.test.images))
    assert made.table["dice"] == pytest.approx(expected, rel=1e-5)
    assert made.value("dice") == pytest.approx(expected.mean(), rel=1e-5)
    lesion = truth.any((1, 2))
    assert made.value("lesion_dice") == pytest.approx(expected[lesion].mean(), rel=1e-5)
    assert (made.labels == locked.read_test_labels(data)).all()
    assert (made.index == data.test.index).all()
    [access] = json.loads(results.results_file(open_run).read_text())["accesses"]
    assert (access["door"], access["variant"], access["model_id"]) == ("once", "masks", "unet")
    with pytest.raises(TestSplitUsed, match="already scored .* unet, toy, seed 0"):
        evaluate_masks_once(noisy(0), data, model_id="unet", seed=0)
    other = evaluate_masks_once(noisy(0), data, model_id="unet", seed=0, variant="noise-2")
    assert other.path.name == "unet__toy__seed0__masks-noise-2.csv"


def test_cases_survive_their_file(open_run):
    made = evaluate_masks_once(noisy(1), lesion_set(), model_id="unet", seed=1)
    read = read_scores(made.path)
    assert isinstance(read, cases.Cases)
    assert all((read.table[c] == made.table[c]).all() for c in cases.COLUMNS)
    assert (read.filename, read.seed, read.synthetic) == (made.filename, 1, False)
    made.path.write_text(made.path.read_text().replace("area", "erea", 1))
    with pytest.raises(MedlibError, match="cannot be read as scores"):
        read_scores(made.path)


def test_a_trained_network_and_both_doors(open_run):
    data = lesion_set()
    model = TwoHeads(unet(), num_classes=3)
    fit(model, data, QUICK, target="label_and_mask")
    scores = evaluate_once(model, data, model_id="two", seed=0)
    made = evaluate_masks_once(model, data, model_id="two", seed=0)
    assert scores.path.parent == made.path.parent
    assert made.value("lesion_dice") > 0.6
    assert shown([scores, made]) == [scores, made]


def test_phantoms_stay_marked(open_run):
    made = evaluate_masks_once(
        noisy(0), replace(lesion_set(), synthetic=True), model_id="unet", seed=0
    )
    assert made.path.name.endswith("__masks__phantom.csv")
    assert made.path.read_text().startswith("phantom_index,label,area")
    assert read_scores(made.path).synthetic


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (lambda images: images[:, 0] / 255.0, {}, "compare probabilities with a threshold"),
        (lambda images: images[:, 0] > 9, {"masks": False}, "no masks with one label an image"),
        (lambda images: images > 9, {}, r"\(12, 1, 16, 16\), expected masks \(12, 16, 16\)"),
        ("unet", {}, "cannot get masks from a str"),
    ],
)
def test_a_refused_model_does_not_use_up_the_look(open_run, model, changes, words):
    with pytest.raises(MedlibError, match=words):
        evaluate_masks_once(model, lesion_set(**changes), model_id="unet", seed=0)
    evaluate_masks_once(noisy(0), lesion_set(), model_id="unet", seed=0)


def test_the_variant_of_masks_is_reserved(open_run):
    with pytest.raises(MedlibError, match="'masks-x' is reserved"):
        evaluate_once(noisy(0), lesion_set(), model_id="unet", seed=0, variant="masks-x")


# Intervals and claims


def three(open_run, noise=0, model_id="unet"):
    data = lesion_set(test=60)
    return [
        evaluate_masks_once(noisy(noise + seed), data, model_id=model_id, seed=seed)
        for seed in range(3)
    ]


def test_intervals_resample_cases_as_the_mean_asks(open_run):
    several = three(open_run)
    found = intervals.bootstrap(several[0], "lesion_iou", 2000)
    values = several[0].table["iou"][several[0].table["area"] > 0]
    assert found.value == pytest.approx(values.mean())
    by_formula = 3.92 * values.std(ddof=1) / math.sqrt(len(values))
    assert found.high - found.low == pytest.approx(by_formula, rel=0.15)
    assert intervals.bootstrap(several, "hausdorff", 200).low >= 0
    gap = intervals.paired_difference(several[0], several[2], "dice", 500)
    assert 0 < gap.low < gap.value < gap.high
    with pytest.raises(MedlibError, match="unknown metric of masks 'auc'"):
        intervals.bootstrap(several, "auc", 50)
    with pytest.raises(MedlibError, match="named by a text"):
        intervals.bootstrap(several, lambda labels, found: 0.0, 50)


def test_cases_stand_in_a_table_of_scores(open_run):
    several = three(open_run)
    text = score_table({"U-Net": several}, ["lesion_dice", "hausdorff95"], caption="Masks")
    assert text.columns == (
        "model", "Dice, lesions", "Hausdorff 95 % (px)", "seeds", "test images"
    )  # fmt: skip
    mean = np.mean([made.value("lesion_dice") for made in several])
    assert text.rows[0][1].startswith(f"{mean:.3f} (")
    with pytest.raises(MedlibError, match="unknown metric 'auc'"):
        score_table({"U-Net": several}, ["auc"], caption="Masks")


def test_resampling_is_a_weighted_mean(open_run):
    [made, *_] = three(open_run)
    weights = np.random.default_rng(0).integers(0, 3, (4, 60))
    for metric in cases.CASE_METRICS:
        values, area = made.table[metric.removeprefix("lesion_")], made.table["area"]
        for row, value in zip(weights, made.value(metric, weights), strict=True):
            kept = np.repeat(np.arange(60), row)
            kept = kept[area[kept] > 0] if metric.startswith("lesion_") else kept
            assert value == pytest.approx(values[kept].mean())


CLAIMS = (
    {"id": "unet-dice", "kind": "score", "metric": "lesion_dice", "data": "toy", "seeds": 3},
    {"id": "unet-gain", "kind": "difference", "metric": "hausdorff95", "data": "toy", "seeds": 3},
)


def test_claims_about_masks_are_published_and_rescored(tmp_path, monkeypatch):
    book = ToyBook(tmp_path, monkeypatch)
    book.write_claims(CLAIMS)
    run = book.open_run()
    clean, rough = three(run), three(run, noise=5, model_id="rough")
    recorded = record("unet-dice", scores=clean)
    assert recorded.value == pytest.approx(np.mean([c.value("lesion_dice") for c in clean]))
    assert recorded.interval[0] < recorded.value < recorded.interval[1]
    record("unet-gain", scores=clean, minus=rough)
    book.stamp()
    publish.publish("cpu")
    names = {path.name for path in (book.published / "scores" / CHAPTER).iterdir()}
    assert "unet__toy__seed0__masks.csv" in names
    assert book.edition["files"]["unet__toy__seed0__masks.csv"]["dice"] == pytest.approx(
        clean[0].value("dice")
    )
    report = verify("cpu")
    assert (report.problems, report.rescored) == ((), 6)
    assert {v.status for v in report.verdicts} == {"reproduced"}
    path = book.published / "scores" / CHAPTER / "unet__toy__seed1__masks.csv"
    path.write_text(path.read_text().replace(",0.", ",0.0", 1))
    assert any("unet__toy__seed1__masks.csv" in problem for problem in verify("cpu").problems)
    assert paths.root() == book.root
