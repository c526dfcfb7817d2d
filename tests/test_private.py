"""Private training: what clipping bounds, and what the accountant must agree with."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import norm
from torch import nn
from torch.nn import functional

from medlib import private
from medlib.data import Split
from medlib.errors import MedlibError
from medlib.models import create
from medlib.private import PrivatePlan, clipped_sum, epsilon, per_example_gradients

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def batch():
    """Return twelve images as a network takes them, and their labels."""
    torch.manual_seed(0)
    return torch.rand(12, 1, 28, 28) * 2 - 1, torch.arange(12) % 2


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create("lenet5", in_channels=1, num_classes=2, image_size=28)


def length(gradients):
    return torch.cat([g.flatten() for g in gradients.values()]).norm().item()


def test_gradients_of_examples_are_those_of_single_passes(model, batch):
    images, labels = batch
    found = per_example_gradients(model, images, labels)
    for k in (0, 7):
        loss = functional.cross_entropy(model(images[k : k + 1]), labels[k : k + 1])
        alone = torch.autograd.grad(loss, list(model.parameters()))
        for each, gradient in zip(found.values(), alone, strict=True):
            torch.testing.assert_close(each[k], gradient, rtol=1e-4, atol=1e-6)


def test_one_example_moves_the_clipped_sum_by_the_bound_and_no_more(model, batch):
    images, labels = batch
    gradients = per_example_gradients(model, images, labels)
    lengths = [length({n: g[k] for n, g in gradients.items()}) for k in range(12)]
    clip = float(np.median(lengths))
    everyone = clipped_sum(gradients, clip)
    moved = []
    for k in range(12):
        others = {n: torch.cat([g[:k], g[k + 1 :]]) for n, g in gradients.items()}
        less = clipped_sum(others, clip)
        moved.append(length({n: everyone[n] - less[n] for n in less}))
    expected = np.minimum(lengths, clip)
    np.testing.assert_allclose(moved, expected, rtol=1e-3)
    assert max(moved) == pytest.approx(clip, rel=1e-3)
    unclipped = clipped_sum(gradients, None)
    torch.testing.assert_close(
        unclipped["classifier.1.bias"], gradients["classifier.1.bias"].sum(0)
    )


def test_an_example_without_gradient_is_no_division_by_zero():
    found = clipped_sum({"w": torch.zeros(3, 2)}, 1.0)
    assert found["w"].tolist() == [0.0, 0.0]


def test_batch_norm_is_refused(batch):
    norms = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 2))
    with pytest.raises(MedlibError, match="batch normalisation"):
        per_example_gradients(norms, *batch)


def test_private_training_adds_the_noise_that_it_says():
    """A network that ignores its images moves by the noise alone."""

    class Deaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(50, 40))

        def forward(self, images):
            return 0 * self.weight.sum() + images.new_zeros(len(images), 2)

    split = Split(np.zeros((50, 1, 8, 8), np.uint8), np.zeros(50, np.int64), np.arange(50))
    plan = PrivatePlan(steps=1, expected_batch=50, learning_rate=2.0, clip=3.0, noise=5.0)
    model = Deaf()
    private.train_privately(model, split, plan, seed=1)
    assert model.weight.std().item() == pytest.approx(2.0 * 5.0 * 3.0 / 50, rel=0.05)


def test_private_training_repeats_and_learns():
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 100)
    images = generator.integers(0, 100, (200, 1, 8, 8)) + 120 * labels[:, None, None, None]
    split = Split(images.astype(np.uint8), labels, np.arange(200))
    plan = PrivatePlan(steps=60, expected_batch=100, learning_rate=0.5, clip=1.0, noise=0.5)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        private.train_privately(model, split, plan, seed=4)
        found.append(model)
    assert torch.equal(found[0][1].weight, found[1][1].weight)
    said = found[0](torch.from_numpy(split.images) / 127.5 - 1).argmax(1).numpy()
    assert (said == labels).mean() > 0.95
    assert math.isinf(replace(plan, clip=None).epsilon(200, 1e-5))
    assert plan.epsilon(200, 1e-5) == epsilon(0.5, 0.5, 60, 1e-5)


def test_accountant_agrees_with_abadi_and_others():
    """Section 5.1 of the paper: q = 0.01, sigma = 4, 10,000 steps, delta = 1e-5 cost 1.26."""
    divergences = {a: 10_000 * private.renyi_divergence(0.01, 4.0, a) for a in range(2, 64)}
    older = min(d + math.log(1e5) / (a - 1) for a, d in divergences.items())
    assert older == pytest.approx(1.26, abs=0.005)
    assert epsilon(0.01, 4.0, 10_000, 1e-5) < older  # a later, sharper conversion


def test_accountant_agrees_with_opacus():
    """Its own test: noise 1.5, rate 0.04, 90 epochs give 7.3291 (with fractional orders too)."""
    found = epsilon(0.04, 1.5, int(90 / 0.04), 1e-5)
    assert 7.3291 <= found < 7.3291 + 0.002


@pytest.mark.parametrize("order", [2, 5, 17])
@pytest.mark.parametrize(("rate", "noise"), [(0.03, 1.2), (0.2, 1.5), (0.5, 3.0)])
def test_divergence_is_the_integral_that_defines_it(order, rate, noise):
    def ratio(x):
        return 1 - rate + rate * math.exp((2 * x - 1) / (2 * noise**2))

    def integrand(x):
        return norm.pdf(x, scale=noise) * ratio(x) ** order

    far = order + 12 * noise
    area, _ = integrate.quad(integrand, -far, far, limit=500, points=[0, 1, order])
    expected = math.log(area) / (order - 1)
    assert private.renyi_divergence(rate, noise, order) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("noise", "steps"), [(0.7, 1), (1.0, 1), (8.0, 1), (4.0, 50), (9.0, 400)])
def test_accountant_never_promises_more_than_is_true(noise, steps):
    """Without subsampling the exact delta is known: many Gaussians are one with less noise."""
    spent = epsilon(1.0, noise, steps, 1e-5)
    exact = private.gaussian_delta(spent, noise / math.sqrt(steps))
    assert 0 <= exact <= 1e-5
    tighter = private.gaussian_delta(0.85 * spent, noise / math.sqrt(steps))
    assert tighter > 1e-5  # and it is not far off


@pytest.mark.parametrize("noise", [0.6, 1.5])
def test_exact_delta_is_the_integral_of_the_privacy_loss(noise):
    def excess(x, eps=1.0):
        return max(0.0, norm.pdf(x, loc=1, scale=noise) - math.exp(eps) * norm.pdf(x, scale=noise))

    area, _ = integrate.quad(excess, -20, 20, limit=800, points=[0, 1, 2])
    assert private.gaussian_delta(1.0, noise) == pytest.approx(area, rel=1e-4)


def test_more_noise_fewer_steps_and_fewer_draws_cost_less():
    base = epsilon(0.03, 1.0, 200, 1e-5)
    assert epsilon(0.03, 1.5, 200, 1e-5) < base
    assert epsilon(0.03, 1.0, 100, 1e-5) < base
    assert epsilon(0.01, 1.0, 200, 1e-5) < base
    assert epsilon(0.03, 1.0, 200, 1e-3) < base
    noise = private.noise_for(2.0, 0.03, 200, 1e-5)
    assert epsilon(0.03, noise, 200, 1e-5) <= 2.0 < epsilon(0.03, noise - 0.003, 200, 1e-5)


def test_impossible_costs_are_refused():
    for wrong in ((0.0, 1.0, 2), (1.1, 1.0, 2), (0.5, 0.0, 2), (0.5, 1.0, 1)):
        with pytest.raises(MedlibError, match="need"):
            private.renyi_divergence(*wrong)
    with pytest.raises(MedlibError, match="need"):
        epsilon(0.5, 1.0, 0, 1e-5)
    with pytest.raises(MedlibError, match="group"):
        private.for_group(1.0, 1e-5, 0)


def test_a_group_costs_its_size():
    assert private.for_group(0.5, 1e-6, 1) == (0.5, 1e-6)
    spent, delta = private.for_group(0.5, 1e-6, 4)
    assert spent == 2.0
    assert delta == pytest.approx(1e-6 * sum(math.exp(0.5 * k) for k in range(4)))
    exact = private.gaussian_delta(2 * 1.0, 1.0 / 2)  # two examples: sensitivity 2
    assert exact <= private.for_group(1.0, private.gaussian_delta(1.0, 1.0), 2)[1]


def test_a_linear_layer_gives_its_input_away(batch):
    images, labels = batch
    torch.manual_seed(0)
    layer = nn.Linear(784, 16)
    model = nn.Sequential(nn.Flatten(), layer, nn.Tanh(), nn.Linear(16, 2))
    loss = functional.cross_entropy(model(images[:1]), labels[:1])
    weight, bias = torch.autograd.grad(loss, [layer.weight, layer.bias])
    found = private.input_from_gradients(weight, bias)
    torch.testing.assert_close(found, images[0].flatten(), rtol=1e-4, atol=1e-4)
