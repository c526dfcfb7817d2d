"""Federated averaging: the identities that hold exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medlib import federated
from medlib.data import Split
from medlib.errors import MedlibError
from medlib.federated import Plan, Scanner, average, deal, federate
from medlib.models import create
from medlib.predict import as_input

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def split():
    """Return 60 images of noise, of 12 patients; the second class is brighter."""
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1, 1], 20)
    images = generator.integers(0, 120, (60, 1, 8, 8)) + 90 * labels[:, None, None, None]
    groups = np.array([f"P{k // 5}" for k in range(60)])
    return Split(images.astype(np.uint8), labels, np.arange(60), groups)


def network(*, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))


def states_equal(a: nn.Module, b: nn.Module, **close) -> None:
    for name, value in a.state_dict().items():
        torch.testing.assert_close(value, b.state_dict()[name], **close)


def test_one_site_with_one_step_a_round_is_gradient_descent(split):
    plan = Plan(rounds=5, local_steps=1, batch_size=len(split), learning_rate=0.2)
    model, plain = network(), network()
    federate(model, [split], plan)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.2)
    images, labels = as_input(torch.from_numpy(split.images), plain), torch.from_numpy(split.labels)
    for number in range(5):
        optimizer.param_groups[0]["lr"] = plan.rate(number)
        functional.cross_entropy(plain(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    states_equal(model, plain, rtol=1e-4, atol=1e-6)


def test_sites_with_one_full_step_take_the_step_of_the_pooled_images(split):
    """Of sites of unequal size the weighted average is the gradient of all images."""
    sites = [split.take(np.arange(0, 10)), split.take(np.arange(10, 60))]
    plan = Plan(rounds=3, local_steps=1, batch_size=60, learning_rate=0.2)
    together, apart = network(), network()
    federate(together, [split], plan)
    federate(apart, sites, plan)
    states_equal(together, apart, rtol=1e-4, atol=1e-6)


def test_average_is_weighted():
    states = [{"w": torch.tensor([0.0, 8.0])}, {"w": torch.tensor([4.0, 0.0])}]
    assert average(states, [300, 100])["w"].tolist() == [1.0, 6.0]
    counts = [{"seen": torch.tensor(3)}, {"seen": torch.tensor(5)}]
    assert average(counts, [1, 1])["seen"].item() == 4
    with pytest.raises(MedlibError, match="weight"):
        average(states, [1])
    with pytest.raises(MedlibError, match="weight"):
        average(states, [0, 0])


def test_sites_that_keep_norms_share_the_rest(split):
    model = network(norm=True)
    keep = federated.norm_tensors(model)
    assert keep == [f"1.{name}" for name in model[1].state_dict()]
    bright = replace(split, images=np.clip(split.images + 60, 0, 255).astype(np.uint8))
    found = federate(model, [split, bright], Plan(rounds=2, local_steps=2), keep=keep)
    means = [own["1.running_mean"] for own in found.own]
    assert not torch.allclose(*means)
    sent = sum(t.numel() * t.element_size() for n, t in model.state_dict().items() if n not in keep)
    assert found.bytes_a_round == 2 * 2 * sent
    assert found.bytes == 2 * found.bytes_a_round


def test_proximal_term_keeps_sites_nearer_to_what_was_sent(split):
    start = nn.utils.parameters_to_vector(network().parameters()).detach()
    moved = []
    for weight in (0.0, 1.0, 5.0):
        model = network()
        federate(model, [split], Plan(rounds=1, local_steps=30, proximal=weight))
        end = nn.utils.parameters_to_vector(model.parameters()).detach()
        moved.append(float((end - start).norm()))
    assert moved[0] > moved[1] > moved[2]


def test_federated_training_learns_and_repeats(split):
    seen, models = [], []
    for _ in range(2):
        model = network()
        plan = Plan(rounds=15, local_steps=4, batch_size=8, learning_rate=0.5)
        found = federate(model, deal(split, 3), plan, after_round=lambda n, m: seen.append(n))
        models.append(model)
    assert seen == [*range(15)] * 2
    assert found.losses[-1] < 0.5 * found.losses[0]
    states_equal(*models, rtol=0, atol=0)
    assert not model.training


def test_deals_lose_no_image(split):
    for sites in (
        deal(split, 7),
        federated.deal_by_class(split, 4, 0.5),
        federated.deal_by_patient(split, 5),
    ):
        assert sorted(np.concatenate([site.index for site in sites])) == [*range(60)]
    assert {len(site) for site in deal(split, 7)} == {8, 9}


def test_small_concentration_separates_the_classes(split):
    def spread(concentration):
        many = [federated.deal_by_class(split, 4, concentration, seed) for seed in range(20)]
        return np.mean([np.std([site.labels.mean() for site in sites]) for sites in many])

    assert spread(0.3) > 2 * spread(100.0)


def test_no_patient_is_at_two_sites(split):
    homes = [set(site.groups) for site in federated.deal_by_patient(split, 5)]
    assert sum(len(home) for home in homes) == 12 == len(set.union(*homes))
    with pytest.raises(MedlibError, match="names no patients"):
        federated.deal_by_patient(replace(split, groups=None), 5)
    for wrong in (0, 61):
        with pytest.raises(MedlibError, match="sites must be"):
            deal(split, wrong)


def test_scanners_change_grey_values_as_they_say(split):
    np.testing.assert_array_equal(federated.scan(split.images, Scanner()), split.images)
    dark = federated.scan(split.images, Scanner(gain=0.5, offset=0.1))
    np.testing.assert_allclose(dark, split.images * 0.5 + 25.5, atol=0.51)
    noisy = federated.scan(np.full((9, 1, 28, 28), 128, np.uint8), Scanner(noise=0.1), seed=3)
    assert noisy.std() == pytest.approx(25.5, rel=0.05)
    blurred = federated.scan(split.images, Scanner(blur=1.0))
    assert blurred.std() < split.images.std()
    first = federated.with_scanners(deal(split, 2), [Scanner(), Scanner(gain=0.5)])
    assert first[1].images.mean() < 0.6 * first[0].images.mean()


def test_group_norm_takes_the_place_of_batch_norm():
    model = create("resnet_small", in_channels=1, num_classes=2, image_size=28, width=8)
    federated.with_group_norm(model)
    kinds = [type(layer) for layer in model.modules()]
    assert nn.BatchNorm2d not in kinds
    assert nn.GroupNorm in kinds
    model.train()
    images = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(model(images)[:1], model(images[:1]), rtol=1e-4, atol=1e-5)
