"""Counts against numbers worked out by hand, and receptive fields against measured gradients."""

import pytest
import torch
import torchvision
from torch import nn

from medlib import models, summary
from medlib.errors import MedlibError


def lenet_1998() -> nn.Sequential:
    """LeNet-5 with full connections in C3, on 32 x 32 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """A block with a skip around two convolutions, and one that halves the map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.last = nn.Conv2d(4, 2, 3, padding=2, dilation=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = x + self.second(x)
        return self.last(self.down(x))


class Hourglass(nn.Module):
    """Down, up again, and joined with the map from before."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.down = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.last(torch.cat([x, self.up(self.down(x))], dim=1))


def measured_field(model: nn.Module, size: int) -> int:
    """Measure what output units see: the largest extent of a gradient, positive weights."""
    model = model.double().eval()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    out = model(image)
    middle = out.shape[-1] // 2
    widths = []
    for row in (middle - 1, middle):
        (gradient,) = torch.autograd.grad(out[0, 0, row, row], image, retain_graph=True)
        seen = gradient[0, 0].abs().sum(dim=1).nonzero()
        widths.append(int(seen.max() - seen.min()) + 1)
    return max(widths)


def test_lenet_has_the_numbers_worked_out_by_hand():
    layers = summary.layer_table(lenet_1998(), (1, 32, 32))
    convolutions = 6 * 25 * 28 * 28 + 16 * 6 * 25 * 10 * 10 + 120 * 16 * 25
    assert layers.multiply_adds == convolutions + 120 * 84 + 84 * 10
    assert layers.parameters == summary.parameters(lenet_1998()) == 61_706
    assert summary.receptive_field(lenet_1998(), (1, 32, 32)) == 32
    by_name = {layer.name: layer for layer in layers.layers}
    assert [by_name[n].sees.size for n in "0236"] == [5, 6, 14, 16 + 4 * 4]
    assert by_name["3"].out_shape == (16, 10, 10)
    assert by_name["3"].activation_bytes == 4 * 1600


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds", "field"),
    [
        ("alexnet", 61_100_840, 714_188_480, 195),
        ("resnet18", 11_689_512, 1_814_073_344, 435),
        ("vgg11", 132_863_336, 7_609_090_048, 150),
    ],
)
def test_known_networks(name, parameters, multiply_adds, field):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    assert summary.parameters(model) == parameters
    assert summary.multiply_adds(model, (3, 224, 224)) == multiply_adds
    assert summary.receptive_field(model, (3, 224, 224)) == field


def test_resnet_multiply_adds_by_hand():
    stem = 64 * 3 * 49 * 112**2
    block = 2 * 9 * 64 * 64 * 56**2  # every block costs the same: maps halve, channels double
    halving = 9 * 64 * 128 * 28**2 + 9 * 128 * 128 * 28**2 + 64 * 128 * 28**2
    by_hand = stem + 2 * block + 3 * (halving + block) + 512 * 1000
    model = torchvision.models.resnet18(weights=None)
    assert summary.multiply_adds(model, (3, 224, 224)) == by_hand


@pytest.mark.parametrize(
    ("model", "size"), [(Residual(), 41), (Residual(), 40)], ids=["odd", "even"]
)
def test_receptive_field_is_what_a_gradient_reaches(model, size):
    assert summary.receptive_field(model, (1, size, size)) == measured_field(model, size)


def test_receptive_field_through_an_upsampled_branch_is_an_upper_bound():
    stated = summary.receptive_field(Hourglass(), (1, 32, 32))
    found = measured_field(Hourglass(), 32)
    assert found <= stated <= found + 2


def test_receptive_field_of_a_small_resnet_of_ours():
    model = models.create("resnet_small", in_channels=1, num_classes=2, image_size=28)
    layers = summary.layer_table(model, (1, 28, 28)).layers
    finite = [layer.sees.size for layer in layers if not layer.sees.whole]
    assert finite == sorted(finite) or max(finite) == summary.receptive_field(model, (1, 28, 28))
    assert layers[-1].sees.whole


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet18"])
def test_layers_hold_all_parameters_of_our_models(name):
    model = models.create(name, in_channels=1, num_classes=2, image_size=28)
    assert summary.layer_table(model, (1, 28, 28)).parameters == summary.parameters(model)


def test_shared_and_loose_parameters_are_counted_once():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 1, 1))
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.conv(x * self.scale))

    table = summary.layer_table(Odd(), (3, 8, 8))
    assert table.parameters == summary.parameters(Odd()) == 3 + 84
    assert table.multiply_adds == 2 * 81 * 64


def test_attention_and_linear_layers_are_counted():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(1, 8, 4, stride=4)
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.patch(x).flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    n, d = 16, 8
    by_hand = 8 * 16 * n + 4 * n * d * d + 2 * n * n * d
    assert summary.multiply_adds(Tokens(), (1, 16, 16)) == by_hand
    assert summary.receptive_field(Tokens(), (1, 16, 16)) == 4


def test_the_table_hides_what_tells_nothing_and_keeps_the_totals():
    short = summary.layer_table(lenet_1998(), (1, 32, 32))
    long = summary.layer_table(lenet_1998(), (1, 32, 32), every=True)
    assert "Tanh" not in short._repr_html_()
    assert "Tanh" in long._repr_html_()
    assert short.table().rows[-1] == long.table().rows[-1]
    assert short.table().rows[-1][3] == "61,706"


def test_the_model_is_left_as_it_was():
    model = models.create("lenet5", in_channels=1, num_classes=2, image_size=28).train()
    before = [p.clone() for p in model.parameters()]
    summary.layer_table(model, (1, 28, 28))
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(not m._forward_hooks for m in model.modules())


def test_wrong_shapes_are_named():
    with pytest.raises(MedlibError, match="channels, height, width"):
        summary.trace(lenet_1998(), (32, 32))
    with pytest.raises(MedlibError, match="cannot take images of shape"):
        summary.trace(lenet_1998(), (3, 32, 32))
