"""What the long runs of chapter 3.14 train: a bare recipe, and what is said to stop overfitting.

One network (`resnet_small` of width 16), three small sets, three seeds, at least 1,000 steps of 32
images; augmentation is off. The **bare** recipe has none of six techniques. Each is added to it
alone, all are put together, and each is taken out of all. Their strengths are published ones or
follow from the budget, and nothing is tuned:

- ``decay``: decoupled weight decay of 1.0. Over 1,000 steps of the schedule (largest learning rate
  0.001, on average half of it) it shrinks a weight that no gradient holds to exp(-0.5), 61 %.
  The 0.05 of `Recipe.small` shrinks it to 98 % and can do little; the chapter shows it.
- ``dropout``: half of the pooled features, before the last layer (Srivastava et al., 2014).
- ``smoothing``: a tenth of the label is spread over the classes (Szegedy et al., 2016).
- ``early``: the weights of the epoch with the lowest validation loss, in place of the last ones.
- ``depth``: stochastic depth, the last block skipped with chance 0.5 (Huang et al., 2016).
- ``ema``: a moving average of the weights with decay 0.99, as in `Recipe.small`.

Besides: ``short``, the bare recipe with a quarter of the steps. `Recipe.small` itself, the one arm
with augmentation, is trained and scored already: ``cnn8-skip-norm`` of chapter 3.10.

Written down before any of these scores was seen (those of ``cnn8-skip-norm``, and of networks of
other widths with `Recipe.small`, were known):

Endpoints, on the test split, 3 seeds: (1) AUC; (2) calibration, by the expected calibration error
(ECE). The Brier score, a proper score that holds both, is reported beside them. The main question
is asked of each technique *alone minus bare*: 6 techniques x 3 sets = 18 paired tests
(`medlib.intervals.compare`), corrected after Holm within an endpoint, level 5 %. The second, *all
minus all but it*, is 18 tests of its own. The third compares *all*, *short* and *small* with bare,
9 tests.

The smallest difference that matters: 0.02 in AUC, 0.03 in ECE, 0.01 in the Brier score. Verdicts:
"told from nothing" where Holm's p value is at most 0.05; "too small to matter" where the 95 %
interval lies within plus or minus that difference; else "open".

Expectations:

1. By AUC at most two of the 18 single techniques are told from nothing.
2. By ECE at least three of the 18 are, and all of those lower it.
3. Label smoothing alone has a lower ECE than bare on all three sets (mean of three seeds).
4. Weight decay is told from nothing by neither endpoint on any set.
5. All together has a smaller gap between validation and training loss than bare on all sets.
6. All together is told from bare by ECE on at least one set, by AUC on none.
7. `Recipe.small`, which augments, has a higher AUC than all together on at least two sets.
8. With early stopping alone on BreastMNIST, the chosen epochs of the three seeds lie at least ten
   of 59 epochs apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from book.workflow.long_jobs import Job, Training
from book.workflow.long_models import Network, Predictor
from medlib import metrics
from medlib.data import Dataset, Split
from medlib.recipe import Recipe

CHAPTER = "03-14-regularisation"
SETS = ("breastmnist", "pneumoniamnist", "retinamnist")
SEEDS = range(3)
OPTIONS = {"width": 16, "blocks": 1}
BARE = replace(
    Recipe.small(), augment=None, ema=0.0, label_smoothing=0.0, weight_decay=0.0, select="last"
)

# technique: what it changes in the recipe, and in the network
TECHNIQUES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "decay": ({"weight_decay": 1.0}, {}),
    "dropout": ({}, {"dropout": 0.5}),
    "smoothing": ({"label_smoothing": 0.1}, {}),
    "early": ({"select": "val_loss"}, {}),
    "depth": ({}, {"stochastic_depth": 0.5}),
    "ema": ({"ema": 0.99}, {}),
}
# model id: techniques in use
ARMS: dict[str, frozenset[str]] = {
    "reg-bare": frozenset(),
    **{f"reg-{name}": frozenset({name}) for name in TECHNIQUES},
    "reg-all": frozenset(TECHNIQUES),
    **{f"reg-all-but-{name}": frozenset(TECHNIQUES) - {name} for name in TECHNIQUES},
}
SHORT = 250  # steps of the arm with a quarter of them


@dataclass(frozen=True)
class Regularised(Training):
    """A training whose record says how the network does on the images that it has seen."""

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network, or go on with it; see `Job.predictor`."""
        model, history = self.trained(dataset, folder)
        network = Network(model, dataset.task, self.device)
        seen = {"train": judged(network, dataset.train), "val": judged(network, dataset.val)}
        return network, self.details(history) | {"seen": seen, "weight_norm": weight_norm(model)}


def judged(predictor: Predictor, split: Split) -> dict[str, float]:
    """Return log loss (without smoothing, nothing dropped) and scores of a split."""
    labels, found = split.labels, predictor.predict_proba(split.images)
    true = found[np.arange(len(labels)), labels].astype(np.float64)
    scores = {name: metrics.METRICS[name](labels, found) for name in ("auc", "accuracy", "brier")}
    ece = metrics.expected_calibration_error(labels, found)
    return {"log_loss": float(-np.log(np.maximum(true, 1e-12)).mean()), "ece": ece, **scores}


def weight_norm(model: nn.Module) -> float:
    """Return the norm of all weights that are decayed: those of convolutions and linear layers."""
    return float(sum(p.detach().square().sum() for p in model.parameters() if p.ndim >= 2) ** 0.5)


def settings(techniques: frozenset[str]) -> tuple[Recipe, dict[str, object]]:
    """Return the recipe and the network's options with some techniques in use."""
    recipe, options = BARE, dict(OPTIONS)
    for name in sorted(techniques):
        changes, added = TECHNIQUES[name]
        recipe, options = replace(recipe, **changes), options | added
    return recipe, options


def regularise_jobs() -> Iterator[Job]:
    """Yield every arm on every set, three seeds."""
    for data, seed in product(SETS, SEEDS):
        for model_id, techniques in ARMS.items():
            recipe, options = settings(techniques)
            yield Regularised(model_id, data, seed, 0.2, CHAPTER, recipe, "resnet_small", options)
        yield Regularised(
            "reg-short", data, seed, 0.07, CHAPTER, BARE.capped(SHORT), "resnet_small", OPTIONS
        )
