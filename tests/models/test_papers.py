"""What the papers state of their networks: shapes, counts, tables, and what makes them work."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from zoo import build, shuffled

from medlib.models import FCN, ModelError, UNet, count_parameters, create
from medlib.models.fcn import doubling
from medlib.models.googlenet import TABLE, GoogLeNet


def unbuilt(name: str, size: int = 224, num_classes: int = 1000, **options: object) -> nn.Module:
    """Create a network of full width without weights."""
    in_channels = options.pop("in_channels", 3)
    with torch.device("meta"):
        return create(
            name, in_channels=in_channels, num_classes=num_classes, image_size=size, **options
        )


def outputs_of(model: nn.Module, layers: list[str], images: torch.Tensor) -> list[torch.Tensor]:
    """Run a network and return what the named layers put out."""
    kept: list[torch.Tensor] = []
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda *given: kept.append(given[2]))
        for name in layers
    ]
    model.eval()(images)
    for hook in hooks:
        hook.remove()
    return kept


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d)]


# VGG


@pytest.mark.parametrize(
    ("name", "millions", "convs"),
    [("vgg11", 133, 8), ("vgg13", 133, 10), ("vgg16", 138, 13), ("vgg19", 144, 16)],
)
def test_vgg_has_the_parameters_of_its_table_2(name, millions, convs):
    model = unbuilt(name)
    assert round(count_parameters(model) / 1e6) == millions
    assert len(convolutions(model)) == convs
    assert {conv.kernel_size for conv in convolutions(model)} == {(3, 3)}


def test_vgg_keeps_maps_in_small_images():
    sides = []
    for size in (28, 224):
        model = build("vgg16", image_size=size)
        pools = [
            f"features.{i}" for i, m in enumerate(model.features) if isinstance(m, nn.MaxPool2d)
        ]
        sides.append([x.shape[-1] for x in outputs_of(model, pools, torch.zeros(1, 1, size, size))])
    assert sides == [[14, 7, 3, 1], [112, 56, 28, 14, 7]]


# GoogLeNet and Inception v3


def test_googlenet_has_the_shapes_of_its_table_1():
    modules = [f"inception{name}" for name in TABLE]
    found = outputs_of(unbuilt("googlenet"), modules, torch.zeros(1, 3, 224, 224, device="meta"))
    channels = [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    sides = [28, 28, 14, 14, 14, 14, 14, 7, 7]
    assert [tuple(x.shape[1:]) for x in found] == [
        (n, side, side) for n, side in zip(channels, sides, strict=True)
    ]


def test_googlenet_small_stem_shows_28_pixels_as_the_standard_one_shows_224():
    modules = [f"inception{name}" for name in TABLE]
    shapes = [
        [tuple(x.shape) for x in outputs_of(model, modules, torch.zeros(1, 1, size, size))]
        for size in (28, 224)
        for model in (build("googlenet", image_size=size),)
    ]
    assert shapes[0] == shapes[1]


def test_googlenet_of_the_paper_has_its_layers_and_counts():
    model = unbuilt("googlenet", paper=True)
    # Thousands (of 1024) in the rows of table 1 that agree with their own numbers of channels.
    printed = {"3a": 159, "3b": 380}
    for name, thousands in printed.items():
        convs = convolutions(model.get_submodule(f"inception{name}"))
        assert sum(c.weight.numel() for c in convs) // 1024 - thousands in (0, -1)
    assert (model.conv2.conv.weight.numel() + model.conv3.conv.weight.numel()) == 112 * 1024
    assert model.fc.weight.numel() == 1000 * 1024
    assert all(c.bias is not None for c in convolutions(model))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert sum(c.kernel_size == (5, 5) for c in convolutions(model)) == 9
    assert sum(isinstance(m, nn.LocalResponseNorm) for m in model.modules()) == 2


def test_inception_v3_has_the_shapes_of_its_table_1_and_keeps_maps_in_small_images():
    modules = ["Mixed_5d", "Mixed_6e", "Mixed_7c"]
    shapes = {}
    for size in (299, 28):
        images = torch.zeros(1, 3, size, size, device="meta")
        found = outputs_of(unbuilt("inception_v3", size), modules, images)
        shapes[size] = [tuple(x.shape[1:3]) for x in found]
    assert shapes == {
        299: [(288, 35), (768, 17), (2048, 8)],
        28: [(288, 28), (768, 13), (2048, 6)],
    }


@pytest.mark.parametrize(("name", "heads"), [("googlenet", 2), ("inception_v3", 1)])
def test_auxiliary_heads_answer_in_training_only(name, heads):
    model = build(name, num_classes=3, aux=True)
    images = torch.randn(2, 1, 28, 28)
    trained = model.train()(images)
    assert [tuple(logits.shape) for logits in trained] == [(2, 3)] * (1 + heads)
    assert model.eval()(images).shape == (2, 3)
    sum(logits.square().sum() for logits in model.train()(images)).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert count_parameters(build(name, num_classes=3)) < count_parameters(model)


# DenseNet


@pytest.mark.parametrize(
    ("depth", "growth", "millions"), [(100, 12, 0.8), (250, 24, 15.3), (190, 40, 25.6)]
)
def test_densenet_small_has_the_parameters_of_the_papers_table_2(depth, growth, millions):
    layers = (depth - 4) // 6
    model = unbuilt("densenet_small", 32, 10, growth=growth, layers=layers, stem="small")
    assert len(convolutions(model)) + 1 == depth
    assert round(count_parameters(model) / 1e6, 1) == millions


def test_densenet_layers_keep_what_came_before():
    block = build("densenet_small", layers=3).eval().features.denseblock1
    x = torch.randn(1, 16, 14, 14)
    out = block(x)
    assert out.shape[1] == 16 + 3 * 8
    assert torch.equal(out[:, :16], x)
    assert torch.equal(out[:, :24], block.denselayer1(x))


# Vision transformers


@pytest.mark.parametrize(
    ("name", "millions"), [("vit_tiny", 5), ("vit_small", 22), ("vit_base", 86)]
)
def test_vit_has_the_parameters_of_its_table(name, millions):
    assert int(count_parameters(unbuilt(name)) / 1e6) == millions


@pytest.mark.parametrize(
    ("size", "tokens"), [(28, 7 * 7 + 1), (64, 16 * 16 + 1), (224, 14 * 14 + 1)]
)
def test_vit_cuts_small_images_into_small_patches(size, tokens):
    assert build("vit_tiny", image_size=size).encoder.pos_embedding.shape[1] == tokens


def test_vit_knows_places_by_their_embedding_alone():
    model = shuffled(build("vit_tiny")).eval()
    images = torch.randn(1, 1, 28, 28)
    swapped = torch.cat([images[..., 4:8], images[..., :4], images[..., 8:]], dim=-1)
    assert (model(images) - model(swapped)).abs().max() > 1e-5
    nn.init.zeros_(model.encoder.pos_embedding)
    torch.testing.assert_close(model(images), model(swapped))


def test_vit_refuses_other_sizes():
    with pytest.raises(ModelError, match="positions for 28x28 pixels, got 32x28"):
        build("vit_tiny")(torch.zeros(1, 1, 32, 28))


# FCN


def test_fcn_has_the_layers_and_parameters_of_the_papers_table_1():
    model = unbuilt("fcn32s", num_classes=21)
    assert len(convolutions(model)) == 16
    assert int(count_parameters(model) / 1e6) == 134


def test_fcn_is_the_classifier_at_every_position():
    torch.manual_seed(0)
    narrow = {"image_size": 224, "num_classes": 5, "width": 4, "hidden": 16}
    vgg = shuffled(build("vgg16", in_channels=3, **narrow)).eval()
    fcn = build("fcn32s", in_channels=3, **narrow, norm=False).eval()
    fcn.load_vgg(vgg)
    images = torch.randn(1, 3, 224, 224)
    everywhere = fcn.classifier[:6](fcn.late(fcn.middle(fcn.early(images))))  # (1, 16, 7, 7)
    once = vgg.classifier[:6](vgg.avgpool(vgg.features(images)).flatten(1))
    torch.testing.assert_close(everywhere[:, :, 3, 3], once, atol=1e-5, rtol=1e-5)


def test_fcn_doubles_by_bilinear_interpolation_at_first():
    x = torch.randn(1, 3, 6, 6)
    found = doubling(3)(x)
    wanted = functional.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1])
    assert doubling(3).weight.requires_grad


@pytest.mark.parametrize(("name", "scores"), [("fcn32s", 1), ("fcn16s", 2), ("fcn8s", 3)])
def test_fcn_starts_without_an_opinion(name, scores):
    model = build(name, num_classes=4).eval()
    assert torch.equal(model(torch.randn(1, 1, 28, 28)), torch.zeros(1, 4, 28, 28))
    zero = [c for c in convolutions(model) if not c.weight.any()]
    assert len(zero) == scores
    assert all(c.out_channels == 4 for c in zero)


def test_fcn_gains_detail_from_finer_maps():
    # How far apart two answers must be to differ: the stride of the finest scores.
    edges = {}
    for name in ("fcn32s", "fcn16s", "fcn8s"):
        torch.manual_seed(0)
        model = shuffled(build(name, image_size=224, width=4)).eval()
        logits = model(torch.randn(1, 1, 224, 224))[0, 0]
        bends = (logits[:, 2:] - 2 * logits[:, 1:-1] + logits[:, :-2]).abs().amax(0)
        edges[name] = int((bends > 1e-4 * bends.max()).sum())
    assert edges["fcn32s"] < edges["fcn16s"] < edges["fcn8s"]


def test_fcn_names_its_strides():
    with pytest.raises(ModelError, match="32, 16 or 8 times, got stride=4"):
        FCN(4)


# U-Net


def test_unet_of_the_paper():
    model = unbuilt("unet", 572, 2, in_channels=1, norm=False, padded=False)
    images = torch.zeros(1, 1, 572, 572, device="meta")
    blocks = [f"{side}.{i}" for side, n in (("down", 5), ("merge", 4)) for i in range(n)]
    found = [tuple(x.shape[1:3]) for x in outputs_of(model, blocks, images)]
    assert found == [
        *((64, 568), (128, 280), (256, 136), (512, 64), (1024, 28)),
        *((512, 52), (256, 100), (128, 196), (64, 388)),
    ]  # figure 1
    assert model(images).shape == (1, 2, 388, 388)
    ups = [m for m in model.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(convolutions(model)) + len(ups) == 23
    pairs = [(c.in_channels, c.out_channels) for c in convolutions(model)]
    assert pairs[-1] == (64, 2)
    by_hand = sum(9 * a * b + b for a, b in pairs[:-1]) + 64 * 2 + 2
    by_hand += sum(4 * 2 * n * n + n for n in (512, 256, 128, 64))
    assert count_parameters(model) == by_hand == 31_030_658


def test_unet_takes_any_size_it_has_room_for():
    model = build("unet").eval()
    for height, width in ((16, 16), (28, 28), (29, 31), (50, 63), (97, 40)):
        assert model(torch.zeros(1, 1, height, width)).shape == (1, 2, height, width)


def test_unet_without_padding_names_its_smallest_image():
    narrow = {"in_channels": 1, "num_classes": 2, "width": 2, "norm": False, "padded": False}
    assert UNet(image_size=188, **narrow)(torch.zeros(1, 1, 188, 188)).shape[-2:] == (4, 4)
    with pytest.raises(ModelError, match="without padding needs images of at least 188 x 188"):
        UNet(image_size=187, **narrow)


def test_unet_bridges_carry_the_place():
    model = shuffled(build("unet")).eval()
    images = torch.randn(1, 1, 32, 32)
    answer = model(images)
    for up in model.up:  # cut the way through the bottom: only the bridges are left
        nn.init.zeros_(up.weight)
    images.requires_grad_()
    only_bridges = model(images)
    assert (only_bridges - answer).abs().max() > 1e-3
    (gradient,) = torch.autograd.grad(only_bridges[0, 0, 16, 16], images)
    seen = gradient[0, 0].abs().sum(0).nonzero()
    assert seen.max() - seen.min() + 1 <= 200  # the bottom would see the whole image
    assert gradient[0, 0, 16, 16] != 0


# SegNet


def test_segnet_of_the_paper():
    model = unbuilt("segnet", 360, 11)
    assert len(convolutions(model.encoder)) == len(convolutions(model.decoder)) == 13
    weights = sum(c.weight.numel() for c in convolutions(model.encoder))
    assert round(weights / 1e6, 1) == 14.7  # section 3
    assert int(4 * count_parameters(model) / 1e6) == 117  # table 6: MB on disk
    images = torch.zeros(1, 3, 360, 480, device="meta")
    stages = [f"decoder.{i}" for i in range(5)]
    found = [tuple(x.shape[1:]) for x in outputs_of(model, stages, images)]
    assert found == [(512, 23, 30), (256, 45, 60), (128, 90, 120), (64, 180, 240), (11, 360, 480)]


def test_segnet_encoder_is_vgg16_with_batch_normalisation():
    torch.manual_seed(0)
    vgg = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True)
    encoder = create("segnet", in_channels=3, num_classes=2, image_size=64).encoder
    ours = [m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    theirs = [m for m in shuffled(vgg) if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for a, b in zip(ours, theirs, strict=True):
        a.load_state_dict(b.state_dict())
    x = images = torch.randn(1, 3, 64, 64)
    for stage in encoder.eval():
        x = functional.max_pool2d(stage(x), 2)
    torch.testing.assert_close(x, vgg.eval()(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [28, 32, 45])
def test_segnet_puts_values_back_where_they_came_from(size):
    model = shuffled(build("segnet", image_size=size)).eval()
    pooled, unpooled = [], []
    model.pool.register_forward_hook(lambda _, given, out: pooled.append((given[0], *out)))
    model.unpool.register_forward_hook(
        lambda _, given, kwargs, out: unpooled.append((*given, out)), with_kwargs=True
    )
    model(torch.randn(2, 1, size, size))
    assert len(pooled) == len(unpooled) == 5
    for (maps, _, places), (values, used, out) in zip(pooled, reversed(unpooled), strict=True):
        assert torch.equal(places, used)  # the decoder reads the places of its own encoder stage
        assert out.shape == maps.shape
        assert torch.equal(out.flatten(2).gather(2, used.flatten(2)), values.flatten(2))
        assert (out != 0).sum() == (values != 0).sum()  # and zeros everywhere else


def test_unpooling_what_was_pooled_keeps_the_largest_of_each_window():
    model = build("segnet")
    maps = torch.randn(1, 3, 7, 7)  # rounded up: the last windows are cut off
    values, places = model.pool(maps)
    back = model.unpool(values, places, output_size=maps.shape[-2:])
    padded = functional.pad(maps, (0, 1, 0, 1), value=-torch.inf)
    windows = padded.unfold(2, 2, 2).unfold(3, 2, 2)  # (1, 3, 4, 4, 2, 2)
    largest = windows.amax((4, 5)).repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :7, :7]
    assert torch.equal(back, torch.where(maps == largest, maps, 0.0))


def test_segnet_depth_suits_small_images():
    model = build("segnet", depth=3)
    assert len(model.encoder) == len(model.decoder) == 3
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 2, 28, 28)


def test_googlenet_width_scales_every_layer():
    half, full = (GoogLeNet(width=width) for width in (32, 64))
    pairs = zip(convolutions(half), convolutions(full), strict=True)
    assert all(2 * a.out_channels == b.out_channels for a, b in pairs)
