"""Every network: sizes, torchvision's weights, gradients, learning, refusals."""

import pytest
import torch
import torchvision
from torch import nn

from medlib.models import MODELS, ModelError, count_parameters, create, options_of
from medlib.models.lenet import LeNet5

# torchvision's own counts for 1000 classes and 3 channels (its documentation's "num_params").
TORCHVISION_PARAMETERS = {
    "alexnet": 61_100_840,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}
# Narrow versions where the full network would make the test slow.
LIGHT = {
    "lenet5": {},
    "alexnet": {"width": 8, "hidden": 32, "dropout": 0.0},
    "resnet18": {"width": 8},
    "resnet34": {"width": 8},
    "resnet50": {"width": 4},
    "resnet101": {"width": 2},
    "resnet152": {"width": 2},
    "resnet_small": {"width": 8},
}
COMPARED = ("alexnet", "resnet18", "resnet50")


def build(name, in_channels=1, image_size=28, num_classes=2, **options):
    return create(
        name,
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=image_size,
        **{**LIGHT[name], **options},
    )


def test_every_model_is_listed_in_the_light_versions():
    assert set(LIGHT) == set(MODELS)


@pytest.mark.parametrize("name", TORCHVISION_PARAMETERS)
def test_parameters_equal_torchvision(name):
    with torch.device("meta"):
        ours = create(name, in_channels=3, num_classes=1000, image_size=224)
        theirs = getattr(torchvision.models, name)()
    assert count_parameters(ours) == TORCHVISION_PARAMETERS[name]
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


@pytest.mark.parametrize("name", COMPARED)
def test_outputs_and_gradients_equal_torchvision(name):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(num_classes=10).eval()
    ours = create(name, in_channels=3, num_classes=10, image_size=224).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 224, 224)
    logits = {}
    for key, model in (("ours", ours), ("theirs", theirs)):
        logits[key] = model(images)
        logits[key].square().sum().backward()
    torch.testing.assert_close(logits["ours"], logits["theirs"], atol=1e-5, rtol=0)
    theirs_by_name = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        expected = theirs_by_name[key].grad
        scale = expected.abs().max().clamp(min=1e-12)
        torch.testing.assert_close(parameter.grad / scale, expected / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("image_size", "in_channels", "batch"),
    [(28, 1, 1), (28, 3, 8), (64, 3, 1), (64, 1, 8), (128, 1, 1), (224, 3, 1)],
)
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet18", "resnet50", "resnet_small"])
def test_forward_and_backward(name, image_size, in_channels, batch):
    stem = {"stem": "auto"} if name == "resnet_small" else {}
    model = build(name, in_channels, image_size, num_classes=5, **stem)
    logits = model(torch.randn(batch, in_channels, image_size, image_size))
    assert logits.shape == (batch, 5)
    logits.square().sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet18", "resnet50", "resnet_small"])
def test_overfits_32_images(name):
    torch.manual_seed(0)
    images, labels = torch.randn(32, 1, 28, 28), torch.arange(32) % 4
    model = build(name, num_classes=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
    assert (model(images).argmax(1) == labels).all()


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
        ("lenet5", 28, {"width": 8}, "it takes paper"),
        ("resnet51", 28, {}, "unknown model 'resnet51': choose one of lenet5"),
    ],
)
def test_refusals_name_the_remedy(name, size, options, words):
    with pytest.raises(ModelError, match=words):
        create(name, in_channels=1, num_classes=2, image_size=size, **options)


def test_refuses_no_channels_and_no_classes():
    with pytest.raises(ModelError, match="in_channels must be at least 1"):
        create("lenet5", in_channels=0, num_classes=2, image_size=28)
    with pytest.raises(ModelError, match="num_classes must be at least 1"):
        create("resnet18", in_channels=1, num_classes=0, image_size=28)


def test_options_are_listed():
    assert options_of("resnet18") == ["stem", "width", "skip", "norm"]
    assert options_of("resnet_small") == ["width", "blocks", "stem", "skip", "norm"]
