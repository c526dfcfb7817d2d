"""Every network: sizes, learning, small stems, refusals."""

import numpy as np
import pytest
import torch
from torch import nn
from zoo import NARROW, ONE_A_FAMILY, answers, build, networks, shuffled

from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.models import (
    MODELS,
    SEGMENTERS,
    ModelError,
    count_parameters,
    create,
    densenet,
    fcn,
    googlenet,
    inception_v3,
    options_of,
    vgg,
)
from medlib.models.layers import StochasticDepth
from medlib.models.lenet import LeNet5
from medlib.recipe import Recipe
from medlib.train import fit, predict_proba


def test_every_model_has_a_narrow_version():
    assert set(NARROW) == set(MODELS)
    assert set(MODELS) >= ONE_A_FAMILY


def test_segmenters_are_those_that_answer_for_every_pixel():
    with torch.device("meta"):
        for name in MODELS:
            logits = build(name, num_classes=3).eval()(torch.zeros(1, 1, 28, 28))
            shape = (1, 3, 28, 28) if name in SEGMENTERS else (1, 3)
            assert logits.shape == shape, name


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(
    "image_size",
    [28, 64, *(pytest.param(n, marks=pytest.mark.proofs) for n in (128, 224))],
)
@pytest.mark.parametrize("name", networks())
def test_forward_and_backward(name, image_size, in_channels, batch):
    options = {"stem": "auto"} if "stem" in options_of(name) else {}
    model = build(name, in_channels, image_size, num_classes=5, **options)
    images = torch.randn(batch, in_channels, image_size, image_size)
    logits = model(images)
    assert logits.shape[:2] == (batch, 5)
    assert logits.shape[2:] == (images.shape[2:] if name in SEGMENTERS else ())
    nn.functional.cross_entropy(logits, answers(name, images, 5)).backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("image_size", [29, 50, 97])
@pytest.mark.parametrize("name", networks(n for n in MODELS if not n.startswith("vit")))
def test_odd_sizes(name, image_size):
    images = torch.randn(2, 1, image_size, image_size)
    logits = build(name, image_size=image_size, num_classes=3)(images)
    assert logits.shape == (2, 3, *(images.shape[2:] if name in SEGMENTERS else ()))


@pytest.mark.proofs
@pytest.mark.parametrize("name", MODELS)
def test_full_width_on_small_images(name):
    model = shuffled(create(name, in_channels=1, num_classes=2, image_size=28)).eval()
    logits = model(torch.randn(2, 1, 28, 28))
    assert logits.isfinite().all()
    assert logits.std() > 0


@pytest.mark.parametrize("name", sorted(ONE_A_FAMILY - SEGMENTERS))
def test_fit_trains_every_family_of_classifiers(name):
    torch.manual_seed(0)
    data = phantom_like(card("breastmnist")).subset(24)
    model = build(name)
    before = [p.clone() for p in model.parameters()]
    history = fit(model, data, Recipe(epochs=1, batch_size=8, learning_rate=1e-3, max_steps=2))
    assert history.steps == 2
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    probabilities = predict_proba(model, data.val.images, task=data.task)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("name", networks(ordinary={*ONE_A_FAMILY, "resnet_small"}))
def test_overfits_32_images(name):
    torch.manual_seed(0)
    images = torch.randn(32, 1, 28, 28)
    labels = answers(name, images, 4)
    model = build(name, num_classes=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    enough = 0.97 if name in SEGMENTERS else 1.0
    for _ in range(150):
        logits = model(images)
        if (logits.argmax(1) == labels).float().mean() >= enough:
            return
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    pytest.fail(f"{name} has not learned 32 images by heart in 150 steps")


def test_lenet_of_the_paper_has_its_60_000_numbers():
    # Section II.B of the paper, layer by layer: C1, S2, C3, S4, C5, F6.
    model = LeNet5(paper=True)
    numbers = [count_parameters(layer) for layer in (*model.features, *model.classifier)]
    assert [n for n in numbers if n] == [156, 12, 1516, 32, 48_120, 10_164, 850]
    assert sum(numbers) - 850 == 60_000
    assert count_parameters(LeNet5()) == 61_706


def test_lenet_shapes_of_the_paper():
    x, shapes = torch.zeros(1, 1, 32, 32), []
    for layer in LeNet5(paper=True).features:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    expected = [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1)]
    assert [s for i, s in enumerate(shapes) if i == 0 or s != shapes[i - 1]] == expected


def test_alexnet_small_stem_meets_the_standard_one_after_the_first_pool():
    small = create("alexnet", in_channels=1, num_classes=2, image_size=28, width=8, hidden=16)
    standard = create("alexnet", in_channels=1, num_classes=2, image_size=224, width=8, hidden=16)

    def last_shapes(model, size):
        x, shapes = torch.zeros(1, 1, size, size), []
        for layer in model.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                shapes.append(tuple(x.shape))
        return shapes[-2:]

    assert last_shapes(small, 28) == last_shapes(standard, 224) == [(1, 24, 13, 13), (1, 32, 6, 6)]


def test_resnet_small_has_the_size_of_resnet_20_on_cifar():
    # The paper's 0.27 M (table 6) hold for zero-padded shortcuts; ours project (2 x 1x1 + norm).
    model = create("resnet_small", in_channels=3, num_classes=10, image_size=32, width=16, blocks=3)
    projections = (16 * 32 + 64) + (32 * 64 + 128)
    assert count_parameters(model) - projections == 269_722
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(layers) + 1 == 20


def test_plain_network_has_the_depth_but_no_shortcut():
    residual, plain = (
        build("resnet_small", blocks=2, skip=skip, norm=norm)
        for skip, norm in ((True, True), (False, True))
    )
    convs = [sum(isinstance(m, nn.Conv2d) for m in net.modules()) for net in (residual, plain)]
    assert convs[0] - convs[1] == 2  # the two projections
    for parameter in plain.layer1[0].bn2.parameters():
        nn.init.zeros_(parameter)
    for parameter in residual.layer1[0].bn2.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(2, 8, 14, 14)
    torch.testing.assert_close(residual.layer1[0](x), x)  # H(x) = 0 + x
    assert plain.layer1[0](x).abs().max() == 0


def test_without_norm_there_are_biases_instead():
    model = build("resnet_small", norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(("stem", "side"), [("small", 28), ("half", 14), ("standard", 7)])
def test_stems_shrink_as_documented(stem, side):
    model = build("resnet_small", stem=stem)
    x = model.maxpool(model.conv1(torch.zeros(1, 1, 28, 28)))
    assert x.shape[-1] == side


@pytest.mark.parametrize(
    ("name", "size", "options", "words"),
    [
        ("lenet5", 27, {}, "at least 28 x 28 pixels, got 27"),
        ("alexnet", 20, {}, "small stem needs images of at least 28"),
        ("alexnet", 40, {"stem": "standard"}, "standard stem needs images of at least 63"),
        ("resnet18", 4, {}, "at least 8 x 8"),
        ("resnet18", 28, {"stem": "tiny"}, "unknown stem 'tiny'"),
        ("resnet_small", 28, {"blocks": 0}, "at least 1"),
        ("resnet_small", 28, {"wdith": 8}, "no option wdith: it takes width, blocks"),
        ("resnet_small", 28, {"stochastic_depth": 1.0}, "stochastic_depth must be in"),
        ("resnet_small", 28, {"stochastic_depth": 0.1, "skip": False}, "0 without shortcuts"),
        ("lenet5", 28, {"width": 8}, "it takes paper"),
        ("resnet51", 28, {}, "unknown model 'resnet51': choose one of lenet5"),
        ("vgg11", 15, {}, "vgg with the small stem needs images of at least 16"),
        ("vgg16_bn", 28, {"stem": "standard"}, "standard stem needs images of at least 32"),
        ("googlenet", 27, {"stem": "standard"}, "standard stem needs images of at least 28"),
        ("inception_v3", 64, {"stem": "standard"}, "standard stem needs images of at least 75"),
        ("densenet121", 14, {"stem": "half"}, "half stem needs images of at least 15"),
        ("densenet_small", 28, {"layers": 0}, "growth and layers must be at least 1"),
        ("vit_tiny", 50, {}, "choose patch=2 or 5 or 10 or 25, or resize the images to a mul"),
        ("vit_tiny", 31, {}, "31 x 31: resize the images to a multiple of 4"),
        ("vit_small", 28, {"heads": 5}, "multiple of heads, got width=384, heads=5"),
        ("vit_base", 28, {"patch": 32}, "patches of 32 pixels needs images of at least 32"),
        ("vit_tiny", 28, {"hybrid": True, "patch": 7}, "2, 4, 8 or 16 and width a multiple of"),
        ("vit_tiny", 32, {"hybrid": True, "patch": 8, "width": 54}, "got patch=8, width=54"),
        ("fcn8s", 28, {"stem": "standard"}, "fcn with the standard stem needs images of at least"),
        ("unet", 28, {"depth": 5}, "unet of depth 5 needs images of at least 32 x 32"),
        ("unet", 28, {"depth": 0}, "width and depth must be at least 1"),
        ("segnet", 28, {"depth": 6}, "segnet has 1 to 5 stages"),
        ("segnet", 15, {}, "segnet of depth 5 needs images of at least 16 x 16"),
    ],
)
def test_refusals_name_the_remedy(name, size, options, words):
    with pytest.raises(ModelError, match=words):
        create(name, in_channels=1, num_classes=2, image_size=size, **options)


@pytest.mark.parametrize(
    ("name", "stem", "size"),
    [
        *(("vgg11_bn", stem, size) for stem, size in vgg.SMALLEST.items()),
        *(("googlenet", stem, size) for stem, size in googlenet.SMALLEST.items()),
        *(("inception_v3", stem, size) for stem, size in inception_v3.SMALLEST.items()),
        *(("densenet121", stem, size) for stem, size in densenet.SMALLEST.items()),
        *(("fcn8s", stem, size) for stem, size in fcn.SMALLEST.items()),
    ],
)
def test_the_smallest_images_work(name, stem, size):
    model = build(name, image_size=size, stem=stem).eval()
    assert model(torch.zeros(1, 1, size, size)).isfinite().all()
    with pytest.raises(ModelError, match=f"the {stem} stem needs images of at least {size} x"):
        build(name, image_size=size - 1, stem=stem)


def test_refuses_no_channels_and_no_classes():
    with pytest.raises(ModelError, match="in_channels must be at least 1"):
        create("lenet5", in_channels=0, num_classes=2, image_size=28)
    with pytest.raises(ModelError, match="num_classes must be at least 1"):
        create("resnet18", in_channels=1, num_classes=0, image_size=28)


def test_options_are_listed():
    drops = ["dropout", "stochastic_depth"]
    assert options_of("resnet18") == ["stem", "width", "skip", "norm", *drops]
    assert options_of("resnet_small") == ["width", "blocks", "stem", "skip", "norm", *drops]
    assert options_of("vgg11") == ["stem", "width", "hidden", "dropout"]
    assert options_of("densenet_small") == ["growth", "layers", "stem", "dropout"]
    own = ["hybrid", "positions"]
    assert options_of("vit_tiny") == ["width", "heads", "depth", "stem", "patch", "dropout", *own]
    assert options_of("fcn8s") == ["stem", "width", "hidden", "norm", "dropout"]
    assert all(set(NARROW[name]) <= set(options_of(name)) for name in MODELS)


def test_stochastic_depth_rises_evenly_and_draws_for_each_image():
    model = build("resnet_small", blocks=2, stochastic_depth=0.6)
    drops = [m.drop for m in model.modules() if isinstance(m, StochasticDepth)]
    np.testing.assert_allclose(drops, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    torch.manual_seed(0)
    layer, ones = StochasticDepth(0.25).train(), torch.ones(4_000, 2, 1, 1)
    out = layer(ones)
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert torch.equal(out[:, 0], out[:, 1])  # an image is dropped whole
    assert out.mean().item() == pytest.approx(1, abs=0.03)  # the expectation stays
    assert torch.equal(layer.eval()(ones), ones)


def test_resnet_drops_only_in_training_and_costs_no_weights():
    images = torch.randn(4, 1, 28, 28)
    torch.manual_seed(0)
    plain = build("resnet_small").eval()
    torch.manual_seed(0)
    dropping = build("resnet_small", dropout=0.5, stochastic_depth=0.5).eval()
    assert list(plain.state_dict()) == list(dropping.state_dict())
    assert torch.equal(plain(images), dropping(images))
    for option in ("dropout", "stochastic_depth"):
        model = build("resnet_small", **{option: 0.5}).train()
        assert not torch.equal(model(images), model(images))
    # without the options there is nothing that draws: same modules, same random numbers
    assert not any(isinstance(m, nn.Dropout | StochasticDepth) for m in plain.modules())
    before = torch.get_rng_state()
    plain.train()(images)
    assert torch.equal(torch.get_rng_state(), before)
