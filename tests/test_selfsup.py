"""SimCLR: its views, its loss, its pretraining."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medlib import create
from medlib.augment import Augment
from medlib.errors import MedlibError
from medlib.selfsup import (
    SimCLRRecipe,
    adopt,
    alignment,
    encode,
    encoder_of,
    nt_xent,
    pretrain,
    two_views,
    uniformity,
)

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = SimCLRRecipe(steps=6, batch_size=8, projection=8)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return create("resnet_small", in_channels=1, num_classes=2, image_size=16, width=4)


def pictures(count: int = 24) -> np.ndarray:
    """Return images of 4 by 4 large squares, so that a view resembles its image."""
    squares = np.random.default_rng(0).integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)
    return squares.repeat(4, axis=2).repeat(4, axis=3)


def sphere(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, 5, generator=generator), dim=1)


def test_selfsup_loss_is_the_papers_sum_over_all_questions():
    first, second, temperature = sphere(4), sphere(4, 1), 0.3
    points, losses = torch.cat([first, second]), []
    for i in range(8):
        answers = [math.exp(float(points[i] @ points[j]) / temperature) for j in range(8)]
        right = answers[(i + 4) % 8]
        losses.append(-math.log(right / (sum(answers) - answers[i])))
    assert float(nt_xent(first, second, temperature)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_selfsup_loss_of_points_that_say_nothing_is_the_logarithm_of_the_answers():
    same = sphere(1).expand(8, 5)
    assert float(nt_xent(same, same, 0.5)) == pytest.approx(math.log(15), rel=1e-5)


def test_selfsup_loss_falls_to_zero_where_twins_meet_and_others_are_far():
    corners = torch.eye(4)
    assert float(nt_xent(corners, corners, 0.05)) < 1e-6


def test_selfsup_alignment_and_uniformity_of_known_points():
    one = sphere(1).expand(6, 5)
    assert float(uniformity(one)) == pytest.approx(0.0, abs=1e-5)
    poles = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert float(uniformity(poles)) == pytest.approx(-8.0)
    assert float(alignment(poles, poles.flip(0))) == pytest.approx(4.0)
    assert float(alignment(poles, poles)) == 0.0


def test_selfsup_views_differ_and_are_drawn_by_the_generator():
    images = torch.from_numpy(pictures(4))
    drawn = [two_views(images, SHORT.augment, torch.Generator().manual_seed(3)) for _ in range(2)]
    for again, first in zip(*drawn, strict=True):
        assert torch.equal(again, first)
    assert not torch.equal(*drawn[0])
    unchanged = two_views(images, Augment())
    assert torch.equal(unchanged[0], images.float() / 255)


def test_selfsup_encoder_is_the_network_without_its_last_layer():
    whole, images = network().eval(), pictures(5)
    encoder = encoder_of(network()).eval()
    features = torch.from_numpy(encode(encoder, images))
    assert features.shape == (5, 16)
    with torch.no_grad():
        logits = whole(torch.from_numpy(images).float() / 255 * 2 - 1)
        assert torch.allclose(whole.fc(features), logits, atol=1e-5)


def test_selfsup_pretraining_learns_to_find_the_twin():
    encoder = encoder_of(network())
    views = Augment(flip_horizontal=True, shift=0.1, contrast=0.2)
    found = pretrain(encoder, pictures(64), replace(SHORT, steps=40, batch_size=16, augment=views))
    assert len(found.loss) == len(found.alignment) == len(found.uniformity) == 40
    assert np.mean(found.loss[-5:]) < np.mean(found.loss[:5]) - 0.1
    assert not encoder.training


def test_selfsup_pretraining_is_the_same_again_and_after_an_interruption(tmp_path):
    class Stop(Exception):
        pass

    def stop(taken, encoder):
        if taken == 4:
            raise Stop

    def run(**options):
        encoder = encoder_of(network())
        history = pretrain(encoder, pictures(), SHORT, seed=1, **options)
        return encoder.state_dict(), history

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stop):
        run(checkpoint=path, save_every=2, after_step=stop)
    whole, resumed, loaded = run(), run(checkpoint=path), run(checkpoint=path)
    for weights, history in (resumed, loaded):
        assert history.loss == whole[1].loss
        for name, tensor in weights.items():
            assert torch.equal(tensor, whole[0][name]), name
    with pytest.raises(MedlibError, match="another training"):
        pretrain(encoder_of(network()), pictures(), SHORT, seed=2, checkpoint=path)


def test_selfsup_watcher_sees_the_start_and_each_step():
    seen = []
    encoder = encoder_of(network())
    pretrain(encoder, pictures(), SHORT, after_step=lambda n, e: seen.append((n, e.training)))
    assert seen == [(n, False) for n in range(7)]


def test_selfsup_adopt_keeps_the_last_layer_and_refuses_another_network():
    source, target = network(1), network(2)
    last = target.fc.weight.clone()
    adopt(target, encoder_of(source))
    assert torch.equal(target.fc.weight, last)
    assert torch.equal(target.conv1.weight, source.conv1.weight)
    other = create("resnet_small", in_channels=1, num_classes=2, image_size=16, width=8)
    with pytest.raises(MedlibError, match="not that of this ResNet"):
        adopt(other, source)
    with pytest.raises(MedlibError, match="has a head"):
        adopt(network(), network())


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"steps": 0}, "needs a step"),
        ({"batch_size": 1}, "two images"),
        ({"temperature": 0.0}, "temperature"),
        ({"augment": Augment(mixup=1.0)}, "mixup"),
    ],
)
def test_selfsup_recipe_refuses(wrong, match):
    with pytest.raises(MedlibError, match=match):
        SimCLRRecipe(**wrong)


def test_selfsup_refusals_name_the_remedy():
    with pytest.raises(MedlibError, match="more than 4 images"):
        pretrain(encoder_of(network()), pictures(4), SHORT)
    with pytest.raises(MedlibError, match="no linear layer"):
        encoder_of(nn.Sequential(nn.Conv2d(1, 2, 3)))
