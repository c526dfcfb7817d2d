"""torchvision's networks: the same names, shapes and counts, outputs and gradients."""

import pytest
import torch
import torchvision
from torch import nn
from zoo import networks, shuffled

from medlib.models import count_parameters, create

# torchvision's own counts for 1000 classes and 3 channels (its documentation's "num_params").
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,  # without its auxiliary heads
    "inception_v3": 27_161_264,  # with its auxiliary head
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "vit_base": 86_567_656,
}
# torchvision has ViT-B; its class builds the two that are narrower (width, heads).
TRANSFORMERS = {"vit_tiny": (192, 3), "vit_small": (384, 6), "vit_base": (768, 12)}
AUXILIARY = {"googlenet", "inception_v3"}
NAMES = list(dict.fromkeys([*PARAMETERS, *TRANSFORMERS]))
QUICK = {"alexnet", "googlenet", "resnet18", "resnet50", "densenet121", "vit_tiny"}


def size_of(name: str) -> int:
    return 299 if name == "inception_v3" else 224


def twins(name: str, num_classes: int = 1000) -> tuple[nn.Module, nn.Module]:
    """Return our network and torchvision's at the paper's size."""
    own = {"aux": True} if name in AUXILIARY else {}
    ours = create(name, in_channels=3, num_classes=num_classes, image_size=size_of(name), **own)
    if name in TRANSFORMERS:
        width, heads = TRANSFORMERS[name]
        theirs = torchvision.models.VisionTransformer(
            224, 16, 12, heads, width, 4 * width, num_classes=num_classes
        )
    else:
        own = {"init_weights": False} if name in AUXILIARY else {}
        theirs = torchvision.models.get_model(name, num_classes=num_classes, **own)
    return ours, theirs


def assert_same_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    """Compare the gradients of all parameters, each on the scale of its largest."""
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if expected[name].grad is None:
            assert parameter.grad is None, name
            continue
        scale = expected[name].grad.abs().max().clamp(min=1e-12)
        got, wanted = parameter.grad / scale, expected[name].grad / scale
        torch.testing.assert_close(
            got, wanted, atol=1e-4, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_names_shapes_and_counts(name):
    with torch.device("meta"):
        ours, theirs = twins(name)
    assert count_parameters(ours) == count_parameters(theirs)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_that_torchvision_documents(name):
    own = {"aux": True} if name == "inception_v3" else {}
    with torch.device("meta"):
        ours = create(name, in_channels=3, num_classes=1000, image_size=size_of(name), **own)
    weights = torchvision.models.get_model_weights("vit_b_16" if "vit" in name else name)
    assert count_parameters(ours) == PARAMETERS[name] == weights.DEFAULT.meta["num_params"]


@pytest.mark.parametrize("name", networks(NAMES, ordinary=QUICK))
def test_outputs_and_gradients(name):
    torch.manual_seed(0)
    ours, theirs = twins(name, num_classes=10)
    shuffled(theirs)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, size_of(name), size_of(name))
    logits = []
    for model in (ours.eval(), theirs.eval()):
        logits.append(model(images))
        logits[-1].square().sum().backward()
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)
    assert logits[0].std() > 1e-3
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("norm", ["", "_bn"])
def test_features_of_vgg(norm):
    # The whole networks, most of whose 133 million numbers are in two linear layers, are proofs.
    torch.manual_seed(0)
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"], bool(norm))
    ours = create(f"vgg11{norm}", in_channels=3, num_classes=2, image_size=224, hidden=8).features
    ours.load_state_dict(shuffled(theirs).state_dict())
    images = torch.randn(1, 3, 224, 224)
    maps = []
    for model in (ours.eval(), theirs.eval()):
        maps.append(model(images))
        maps[-1].square().sum().backward()
    torch.testing.assert_close(*maps, atol=1e-5, rtol=0)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("name", networks(sorted(AUXILIARY), ordinary=()))
def test_auxiliary_heads_in_training(name):
    torch.manual_seed(0)
    ours, theirs = twins(name, num_classes=10)
    shuffled(theirs)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, size_of(name), size_of(name))
    outputs = []
    for model in (ours.train(), theirs.train()):
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        outputs.append(model(images))
        sum(each.square().sum() for each in outputs[-1]).backward()
    logits, *heads = outputs[1]
    for got, wanted in zip(outputs[0], (logits, *reversed(heads)), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    assert_same_gradients(ours, theirs)
