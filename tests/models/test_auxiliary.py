"""The losses of auxiliary heads: what they weigh, and that `fit` adds them."""

import torch
from torch import nn
from zoo import build

from medlib.data import card
from medlib.data.phantoms import phantom_like
from medlib.models.auxiliary import total_loss
from medlib.recipe import Recipe
from medlib.train import fit


def test_heads_weigh_three_tenths():
    logits = [torch.randn(4, 3) for _ in range(3)]
    labels = torch.tensor([0, 1, 2, 0])
    loss = nn.functional.cross_entropy
    main, first, second = (loss(each, labels) for each in logits)
    assert torch.equal(total_loss(loss, logits[0], labels), main)
    torch.testing.assert_close(
        total_loss(loss, tuple(logits), labels), main + 0.3 * (first + second)
    )


def test_fit_trains_the_heads():
    data = phantom_like(card("breastmnist")).subset(24)
    torch.manual_seed(0)
    model = build("googlenet", aux=True, stem="half")
    before = {name: p.clone() for name, p in model.named_parameters()}
    history = fit(model, data, Recipe(epochs=1, batch_size=8, learning_rate=1e-3, max_steps=2))
    assert history.steps == 2
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert {"aux1.fc2.weight", "aux2.fc2.weight", "fc.weight"} <= set(moved)
