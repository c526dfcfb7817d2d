"""Multiply-adds and receptive fields: `medlib.summary` against numbers worked out by hand."""

import pytest
import torch
import torchvision
from torch import nn
from zoo import networks

from medlib.models import create
from medlib.models.googlenet import TABLE
from medlib.summary import multiply_adds, receptive_field, trace

COUNTED = [
    "alexnet",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    "googlenet",
    "inception_v3",
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *(f"densenet{depth}" for depth in (121, 169, 201)),
    "vit_base",
]
QUICK = {"alexnet", "vgg11", "googlenet", "inception_v3", "resnet18", "densenet121", "vit_base"}
VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
VGG16 += [(256, 512), *[(512, 512)] * 5]
VGG16_SIDES = [224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14]


def unbuilt(name: str, size: int = 224, num_classes: int = 1000, **options: object) -> nn.Module:
    """Create a network of full width without weights."""
    in_channels = options.pop("in_channels", 3)
    with torch.device("meta"):
        return create(
            name, in_channels=in_channels, num_classes=num_classes, image_size=size, **options
        )


def seen(*layers: tuple[int, int]) -> int:
    """Return what a unit sees after layers of (kernel, stride): each widens it by its jump."""
    size = jump = 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size


@pytest.mark.parametrize("name", networks(COUNTED, ordinary=QUICK))
def test_multiply_adds_are_those_that_torchvision_documents(name):
    size = 299 if name == "inception_v3" else 224
    weights = torchvision.models.get_model_weights("vit_b_16" if "vit" in name else name)
    found = multiply_adds(unbuilt(name, size), (3, size, size))
    assert round(found / 1e9, 3) == weights.DEFAULT.meta["_ops"]


def test_vgg11():
    sides = {224: [(3, 64)], 112: [(64, 128)], 56: [(128, 256), (256, 256)]}
    sides |= {28: [(256, 512), (512, 512)], 14: [(512, 512), (512, 512)]}
    by_hand = sum(9 * a * b * side**2 for side, pairs in sides.items() for a, b in pairs)
    by_hand += 512 * 7 * 7 * 4096 + 4096 * 4096 + 4096 * 1000
    model = unbuilt("vgg11")
    assert multiply_adds(model, (3, 224, 224)) == by_hand
    pool, conv = (2, 2), (3, 1)
    layers = [conv, pool, conv, pool, *2 * [conv], pool, *2 * [conv], pool, *2 * [conv], pool]
    assert receptive_field(model, (3, 224, 224)) == seen(*layers) == 150


def test_googlenet_has_the_operations_of_the_papers_table():
    # Millions, as its table 1 prints them. Two of its rows contradict the rest of the table: the
    # first convolution (34 for 7 * 7 * 3 * 64 * 112 * 112 = 118 M) and module 5a (54 for 51 M).
    printed = {"3a": 128, "3b": 304, "4a": 73, "4b": 88, "4c": 100, "4d": 119, "4e": 170, "5b": 71}
    layers = trace(unbuilt("googlenet", paper=True), (3, 224, 224))
    found = {
        name: sum(x.multiply_adds for x in layers if x.name.startswith(f"inception{name}."))
        for name in TABLE
    }
    sides = {"3": 28, "4": 14, "5": 7}
    channels = 192
    for name, (one, reduce3, three, reduce5, five, pool) in TABLE.items():
        by_hand = channels * (one + reduce3 + reduce5 + pool)
        by_hand += 9 * reduce3 * three + 25 * reduce5 * five
        assert found[name] == by_hand * sides[name[0]] ** 2
        if name in printed:
            assert abs(found[name] / 1e6 - printed[name]) < 1
        channels = one + three + five + pool
    second = [x.multiply_adds for x in layers if x.name.startswith(("conv2.", "conv3."))]
    assert sum(second) == 56**2 * (64 * 64 + 9 * 64 * 192)
    assert round(sum(second) / 1e6) == 360


def test_googlenet_field():
    module = (3, 1)  # torchvision's widest branch
    stem = [(7, 2), (3, 2), (3, 1), (3, 2)]
    layers = [*stem, *2 * [module], (3, 2), *5 * [module], (2, 2), *2 * [module]]
    assert receptive_field(unbuilt("googlenet"), (3, 224, 224)) == seen(*layers)
    wide = (5, 1)
    layers = [*stem, *2 * [wide], (3, 2), *5 * [wide], (3, 2), *2 * [wide]]
    assert receptive_field(unbuilt("googlenet", paper=True), (3, 224, 224)) == seen(*layers)


def test_inception_v3_field():
    stem = [(3, 2), (3, 1), (3, 1), (3, 2), (3, 1), (3, 2)]
    layers = [*stem, *3 * [(5, 1)]]  # 35 x 35
    layers += [(3, 1), (3, 2), *4 * [(7, 1), (7, 1)]]  # 17 x 17: rows and columns of 7, twice
    layers += [(7, 1), (3, 2), *2 * [(3, 1), (3, 1)]]  # 8 x 8
    model = unbuilt("inception_v3", 299)
    assert receptive_field(model, (3, 299, 299)) == seen(*layers) == 1311


def test_densenet121():
    by_hand, channels = 49 * 3 * 64 * 112**2, 64
    blocks = ((6, 56), (12, 28), (24, 14), (16, 7))
    layers = [(7, 2), (3, 2)]
    for depth, side in blocks:
        for _ in range(depth):
            by_hand += side**2 * (channels * 128 + 9 * 128 * 32)
            channels += 32
            layers.append((3, 1))
        if side > 7:
            by_hand += side**2 * channels * channels // 2
            channels //= 2
            layers.append((2, 2))
    model = unbuilt("densenet121")
    assert multiply_adds(model, (3, 224, 224)) == by_hand + 1024 * 1000
    assert receptive_field(model, (3, 224, 224)) == seen(*layers) == 2071


def test_vit_tiny():
    tokens, width = 14 * 14 + 1, 192
    patches = 14 * 14 * 16 * 16 * 3 * width
    attention = tokens * 3 * width**2 + 2 * tokens**2 * width + tokens * width**2
    network = 2 * tokens * width * 4 * width
    by_hand = patches + 12 * (attention + network) + width * 1000
    model = unbuilt("vit_tiny")
    assert multiply_adds(model, (3, 224, 224)) == by_hand
    assert receptive_field(model, (3, 224, 224)) == 16


def test_fcn8s():
    stages = sum(9 * a * b * n**2 for (a, b), n in zip(VGG16, VGG16_SIDES, strict=True))
    classifier = (49 * 512 * 4096 + 4096 * 4096 + 4096 * 21) * 7**2
    scores = 512 * 21 * 14**2 + 256 * 21 * 28**2
    enlarged = 16 * 21 * 21 * (7**2 + 14**2)
    model = unbuilt("fcn8s", num_classes=21)
    assert multiply_adds(model, (3, 224, 224)) == stages + classifier + scores + enlarged


def test_fcn32s_sees_the_papers_404_pixels():
    # "rf size" in the paper's table 1, before the scores are enlarged.
    conv, pool = (3, 1), (2, 2)
    vgg = [*2 * [conv], pool, *2 * [conv], pool, *3 * [*3 * [conv], pool]]
    layers = trace(unbuilt("fcn32s", num_classes=21), (3, 224, 224))
    by_name = {layer.name: layer.sees.size for layer in layers}
    assert by_name["classifier.6"] == seen(*vgg, (7, 1)) == 404


def test_unet_of_the_paper():
    sides = (570, 568, 282, 280, 138, 136, 66, 64, 30, 28, 54, 52, 102, 100, 198, 196, 390, 388)
    down = [1, 64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024]
    up = [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64)]
    pairs = [*zip(down, down[1:], strict=False), *up, (64, 64)]
    by_hand = sum(9 * a * b * n**2 for (a, b), n in zip(pairs, sides, strict=True))
    steps = ((1024, 28), (512, 52), (256, 100), (128, 196))
    by_hand += sum(4 * n * n // 2 * side**2 for n, side in steps) + 64 * 2 * 388**2
    model = unbuilt("unet", 572, 2, in_channels=1, norm=False, padded=False)
    assert multiply_adds(model, (1, 572, 572)) == by_hand
    # Down, each level's two convolutions and the pooling; up, two convolutions at each jump.
    bottom = seen(*4 * [(3, 1), (3, 1), (2, 2)], (3, 1), (3, 1))
    assert receptive_field(model, (1, 572, 572)) == bottom + 4 * (8 + 4 + 2 + 1)


def test_segnet_of_the_paper():
    # 360 x 480 pixels and 11 classes: CamVid, as in the paper. The decoder mirrors the encoder.
    scale = (360 / 224) * (480 / 224)
    sides = [n**2 * scale for n in VGG16_SIDES]  # positions, not edges
    sides[10:] = 3 * [23 * 30]  # 22.5 is rounded up
    encoder = sum(9 * a * b * n for (a, b), n in zip(VGG16, sides, strict=True))
    decoder = encoder + 9 * 64 * (11 - 3) * sides[0]  # 11 classes where the image has 3 channels
    model = unbuilt("segnet", 360, 11)
    assert multiply_adds(model, (3, 360, 480)) == round(encoder + decoder)
    conv, pool = (3, 1), (2, 2)
    bottom = seen(*2 * [conv], pool, *2 * [conv], pool, *3 * [*3 * [conv], pool])
    assert receptive_field(model, (3, 224, 224)) == bottom + 2 * (3 * (16 + 8 + 4) + 2 * (2 + 1))
