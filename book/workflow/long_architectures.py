"""What the long runs of Part 3 train: every architecture under one recipe and one budget.

Classifiers see the three small sets at 28 pixels: `Recipe.small` for all of them, at least 1,000
steps of 32 images, at widths that two cores can train. Nothing is tuned for a single network. The
ablation varies depth, shortcut and batch normalisation of one plain network. Segmenters and the
classifiers made of them see busi128 at 64 pixels. Stock sizes at 224 pixels wait for a GPU. All
settings stand here before any score.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from book.workflow.long_jobs import (
    AtFullSize,
    Baseline,
    Classical,
    Job,
    MaskOfMaps,
    MaskOfTwoHeads,
    MaskThenClassify,
    Segmentation,
    Training,
    TrivialMask,
)
from medlib.recipe import Recipe

COMPARISON, MASKS = "03-10-side-by-side", "03-08-unet"
SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
SEEDS = range(3)

# model id: network, options, wrappers, processor minutes
ARMS: dict[str, tuple[str, dict[str, object], tuple[str, ...], float]] = {
    "lenet5": ("lenet5", {}, (), 0.2),
    "alexnet-w8": ("alexnet", {"width": 8, "hidden": 512}, (), 0.8),
    "vgg11-w8": ("vgg11", {"width": 8, "hidden": 128}, (), 0.5),
    "vgg16-w8": ("vgg16", {"width": 8, "hidden": 128}, (), 0.8),
    "vgg16-bn-w8": ("vgg16_bn", {"width": 8, "hidden": 128}, (), 0.9),
    "googlenet-w8": ("googlenet", {"width": 8, "stem": "half"}, (), 1.5),
    "inception-v3-w4": ("inception_v3", {"width": 4, "stem": "half"}, (), 2.0),
    "plain-small": ("resnet_small", {"skip": False}, (), 0.5),
    "resnet18-w16": ("resnet18", {"width": 16, "stem": "half"}, (), 0.6),
    "densenet-small": ("densenet_small", {}, (), 1.0),
    "fcn8s-w8": ("fcn8s", {"width": 8, "hidden": 64}, ("pooled",), 1.5),
    "unet-w8": ("unet", {"width": 8, "depth": 3}, ("pooled",), 0.8),
    "segnet-w8": ("segnet", {"width": 8, "depth": 3}, ("pooled",), 0.6),
}
CLASSICAL = {
    "decision-tree": 0.3,
    "logistic-regression": 0.5,
    "nearest-neighbours": 0.3,
    "random-forest": 0.4,
    "svm": 1.5,
}
BLOCKS = {8: 1, 20: 3}  # layers with weights: blocks in each of the three stages

# 600 steps of 16 images; the masks' own loss, Dice and cross-entropy, takes no smoothing of labels
MASK_RECIPE = replace(Recipe.small(), batch_size=16, min_steps=600, label_smoothing=0.0)
SEGMENTERS: dict[str, tuple[str, dict[str, object], float]] = {
    "fcn8s": ("fcn8s", {"width": 16, "hidden": 256, "stem": "standard", "norm": True}, 1.6),
    "unet": ("unet", {"width": 16}, 2.9),
    "segnet": ("segnet", {"width": 16}, 2.7),
}


# stock sizes as published, on native images of 224 pixels
STOCK = ("alexnet", "vgg16_bn", "googlenet", "inception_v3", "resnet18", "resnet50", "densenet121")
STOCK_RECIPE = replace(Recipe.small(), amp=True)


def stock_jobs() -> Iterator[Job]:
    """Yield the stock networks at 224 pixels, three seeds; a machine without a GPU leaves them."""
    for name, network, seed in product(SETS, STOCK, SEEDS):
        model_id = f"{network.replace('_', '-')}-224"
        yield AtFullSize(model_id, name, seed, 5.0, COMPARISON, STOCK_RECIPE, network)


def architecture_jobs() -> Iterator[Job]:
    """Yield every classifier on every small set, three seeds; `resnet-small` has jobs already."""
    for name, seed in product(SETS, SEEDS):
        for model_id, (network, options, around, minutes) in ARMS.items():
            yield Training(
                model_id, name, seed, minutes, COMPARISON, Recipe.small(), network, options, around
            )


def classical_jobs() -> Iterator[Job]:
    """Yield the classifiers on hand-made features, three seeds, and the trivial baselines, one."""
    for name in SETS:
        for family, minutes in CLASSICAL.items():
            for seed in SEEDS:
                yield Classical(family, name, seed, minutes, COMPARISON)
        for baseline in ("constant", "histogram", "pixel-neighbours"):
            yield Baseline(baseline, name, 0, 0.1, COMPARISON)


def ablation_jobs() -> Iterator[Job]:
    """Yield the plain network with and without depth, shortcut and batch normalisation."""
    for name, seed in product(SETS, SEEDS):
        for layers, skip, norm in product(BLOCKS, (False, True), (False, True)):
            words = ["skip" if skip else "plain", *(["norm"] if norm else [])]
            options = {"width": 16, "blocks": BLOCKS[layers], "skip": skip, "norm": norm}
            yield Training(
                f"cnn{layers}-{'-'.join(words)}",
                name,
                seed,
                0.2 * BLOCKS[layers],
                COMPARISON,
                Recipe.small(),
                "resnet_small",
                options,
            )


def mask_jobs() -> Iterator[Job]:
    """Yield the segmenters on busi128, and the classifiers that stand beside or on them."""
    for seed in SEEDS:
        finders = {
            model_id: Segmentation(
                model_id, "busi128", seed, minutes, MASKS, MASK_RECIPE, network, options,
                ("reduced",),
            )
            for model_id, (network, options, minutes) in SEGMENTERS.items()
        }  # fmt: skip
        yield from finders.values()
        yield MaskThenClassify("segnet-shapes", "busi128", seed, 0.3, MASKS, finders["segnet"])
        yield Training(
            "plain", "busi128", seed, 0.6, MASKS, MASK_RECIPE, "resnet_small", {}, ("reduced",)
        )
        pooled = SEGMENTERS["fcn8s"]
        maps = Training(
            "fcn8s-pooled", "busi128", seed, 1.6, MASKS, MASK_RECIPE, pooled[0], pooled[1],
            ("pooled", "reduced"),
        )  # fmt: skip
        yield maps
        yield MaskOfMaps(maps.model_id, "busi128", seed, 0.1, MASKS, maps)
        both = Training(
            "unet-two-heads", "busi128", seed, 3.0, MASKS, MASK_RECIPE, "unet",
            SEGMENTERS["unet"][1], ("two heads", "reduced"), "label_and_mask",
        )  # fmt: skip
        yield both
        yield MaskOfTwoHeads(both.model_id, "busi128", seed, 0.1, MASKS, both)
    for trivial in ("empty-mask", "mean-mask"):
        yield TrivialMask(trivial, "busi128", 0, 0.1, MASKS)
