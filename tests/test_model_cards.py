"""Model cards: their numbers are those of the scores, the record and the data card."""

import numpy as np
import pytest

from medlib.data import card
from medlib.evaluate import Scores
from medlib.model_cards import model_card, trained
from medlib.models import create
from medlib.recipe import Recipe
from medlib.summary import parameters


def toy_scores(name, groups=None, variant="", several=False):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 3) if several else 60)
    p = np.clip(0.5 + 0.2 * (2 * labels - 1) + rng.normal(0, 0.2, labels.shape), 0.01, 0.99)
    p = p if several else np.stack([1 - p, p], axis=1)
    return Scores(name, "breastmnist", 0, variant, labels, p, np.arange(60), groups)


def entries(shown):
    return dict(shown.rows)


def test_model_card_holds_scores_flaws_and_floor():
    net, floor = toy_scores("net"), toy_scores("constant")
    shown = model_card(
        "toy", use="exercises", data=card("breastmnist"), training="by hand",
        scores={"network": [net, net], "constant": floor}, metrics=("auc", "accuracy"),
        operating={"threshold": "0.3"}, limits=("other hospitals", "other devices"),
    )  # fmt: skip
    found = entries(shown)
    assert shown.caption == "Model card: toy"
    assert not any(shown.numeric)
    assert found["test: AUC"].startswith(f"network {net.value('auc'):.3f} (")
    assert "; constant 0." in found["test: accuracy"]
    assert found["cases"] == "546 to train, 78 to validate, 60 to test (no patients named)"
    assert found["threshold"] == "0.3"
    assert "train 115 and test 76" in found["known flaws of the data"]
    assert found["not shown"] == "other hospitals; other devices"


def test_model_card_counts_patients_of_folds():
    groups = np.repeat([f"p{k}" for k in range(12)], 5)
    scores = toy_scores("net", groups, variant="folds", several=True)
    shown = model_card(
        "toy", use="exercises", data=card("nih1000"), training="by hand", scores={"net": scores}
    )
    assert entries(shown)["cases"] == "60 of 12 patients, each patient predicted from the others"
    assert "licence not read" in entries(shown)["pictures"]
    assert entries(shown)["labels"].count(";") == 5  # the findings that the set supports


@pytest.mark.parametrize(("loss", "words"), [(None, "cross entropy"), ("cumulative", "cumulative")])
def test_trained_says_what_the_record_says(loss, words):
    record = {
        "network": "resnet_small",
        "options": {"width": 8},
        "recipe": Recipe(loss=loss).as_dict(),
        "history": {"steps": 1200},
    }
    said = trained(record, card("retinamnist"), seeds=5)
    network = create("resnet_small", in_channels=3, num_classes=5, image_size=28, width=8)
    assert f"{parameters(network):,} parameters" in said
    assert f"1,200 steps of 32 images, adamw, loss {words}; 5 seeds" in said
