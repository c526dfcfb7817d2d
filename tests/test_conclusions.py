"""Chapters 5.5 and 5.6 say in words what the published values say; a moved value is noticed."""

import json
import re
from pathlib import Path

import pytest

from medlib.claims import read_claims

ROOT = Path(__file__).resolve().parents[1]
SHOWN = re.compile(r"\{claim\}`([a-z0-9-]+)( value)?`")
PAGES = ("regulation", "conclusions")
PUBLISHED = {
    key: entry
    for path in sorted((ROOT / "results" / "cpu").glob("*.json"))
    for key, entry in json.loads(path.read_text("utf-8")).get("claims", {}).items()
}

# "cannot be told", "no difference": the interval holds zero
HOLDS_ZERO = (
    "resnet-skip-auc",
    "compare-pneumonia-svm",
    "compare-breast-svm",
    "transfer-full-all-breast",
    "transfer-frozen-few-breast",
    "transfer-frozen-few-pneumonia",
    "search-default-lead-fresh",
    "search-tpe-over-random",
    "leak-malaria-inflation",
    "multi-label-chains-folds",
    "unet-heads-over-fcn-auc",
    "looking-tint-gap",
    "trust-breast-temperature",
    "trust-pneumonia-temperature",
    "trust-retina-temperature",
    "vit-retina-gap",
    "vit-few-gap",
    "federated-minus-pooled",
    "federated-malaria-minus-alone",
    "private-cost-8",
    "shift-letter-none",
)
# "better by", "flattered by", "gained"
ABOVE_ZERO = (
    "cases-malaria-gain",
    "resnet-over-histogram-auc",
    "features-breast-untrained",
    "transfer-weights-breast",
    "transfer-frozen-few-retina",
    "benchmark-gain-breast-auc",
    "leak-neighbours-inflation",
    "multi-label-thresholds-f1",
    "unet-heads-gain-auc",
    "fcn-pooled-minus-plain-auc",
    "testing-over-neighbours-auc",
    "trust-breast-noise-confidence",
    "looking-mark-told",
    "looking-shuffled-loss",
    "vit-breast-hybrid",
    "federated-scan-own",
)
# "worse by", "lost", "less often"
BELOW_ZERO = (
    "compare-retina-svm",
    "regular-retina-all-ece",
    "multi-label-powerset",
    "multi-label-graph",
    "fcn-maps-minus-usual",
    "trust-breast-noise",
    "looking-endpoint",
    "vit-breast-gap",
    "vit-pneumonia-gap",
    "federated-malaria-minus-pooled",
    "federated-scan-alone",
)
# counts that the words around them depend on
COUNTS = {
    "compare-breast-pairs": 0,
    "augmentation-told": 0,
    "regular-told-auc": 0,
    "few-better": 0,
    "few-worse": 0,
    "few-held": 2,
    "transfer-told-apart": 1,
    "running-bits-small": 6,
    "running-distilled-told": 0,
    "labels-medmnist-multi-label": 1,
    "preparing-shared-with-test": 0,
    "self-supervision-better": 6,
    "self-supervision-worse": 0,
    "federated-leak-exact": 100,
}
# the first is smaller than the second
ORDERED = (
    ("search-default-lead-fresh", "search-default-lead"),
    ("leak-coin-new", "leak-coin-random"),
    ("leak-copies-after", "leak-copies-before"),
    ("few-ignore-auc", "few-all-known-auc"),
    ("trust-breast-error-kept", "trust-breast-error"),
    ("looking-cam-energy", "looking-dark-energy"),
    ("testing-specificity", "testing-val-specificity"),
    ("running-labels-pneumonia-auc", "running-int8-pneumonia-auc"),
    ("testing-neighbours-auc", "testing-auc"),
    ("choosing-needed", "choosing-positives-pneumonia"),
    ("self-supervision-scratch-two", "self-supervision-tuned-two"),
    ("self-supervision-tuned-many", "self-supervision-spot"),
    ("shift-letter-reversed", "shift-letter-aligned"),
    ("shift-letter-reversed", "shift-letter-balanced"),
)


def published(key: str) -> dict:
    """Return a published claim; skip where its whole chapter has not been published yet."""
    chapter = read_claims()[key].chapter
    if not (ROOT / "results" / "cpu" / f"{chapter}.json").is_file():
        pytest.skip(f"chapter {chapter} has not been published yet")
    return PUBLISHED[key]


def interval(key: str) -> tuple[float, float]:
    """Return a published interval."""
    low, high = published(key)["interval"]
    return low, high


def value(key: str) -> float:
    """Return a published value."""
    return published(key)["value"]


@pytest.mark.parametrize("name", PAGES)
def test_every_claim_of_the_page_is_published_and_shown_as_it_can_be(name):
    shown = SHOWN.findall((ROOT / "book" / f"{name}.md").read_text("utf-8"))
    assert len(shown) >= 15
    chapters = {path.stem for path in (ROOT / "results" / "cpu").glob("*.json")}
    due = {key for key, _ in shown if read_claims()[key].chapter in chapters}
    assert due - set(PUBLISHED) == set()


@pytest.mark.parametrize("key", HOLDS_ZERO)
def test_what_cannot_be_told_has_an_interval_that_holds_zero(key):
    low, high = interval(key)
    assert low <= 0 <= high


@pytest.mark.parametrize("key", ABOVE_ZERO)
def test_what_is_called_a_gain_lies_above_zero(key):
    assert interval(key)[0] > 0


@pytest.mark.parametrize("key", BELOW_ZERO)
def test_what_is_called_a_loss_lies_below_zero(key):
    assert interval(key)[1] < 0


@pytest.mark.parametrize("key", COUNTS)
def test_a_count_is_the_one_that_the_words_rest_on(key):
    assert value(key) == COUNTS[key]


@pytest.mark.parametrize(("smaller", "larger"), ORDERED)
def test_an_order_is_the_one_that_the_words_rest_on(smaller, larger):
    assert value(smaller) < value(larger)


def test_the_recipe_raised_the_mean_on_all_three_sets():
    gains = [value(f"augmentation-{data}-recipe") for data in ("breast", "pneumonia", "retina")]
    assert min(gains) > 0


def test_the_guarantee_was_missed_where_the_page_says_so():
    assert interval("trust-pneumonia-coverage")[1] < 0.9
    assert value("trust-pneumonia-coverage-normal") < value("trust-pneumonia-coverage")


def test_each_difference_named_here_is_shown_on_the_page():
    page = (ROOT / "book" / "conclusions.md").read_text("utf-8")
    shown = {key for key, _ in SHOWN.findall(page)}
    unseen = {
        "transfer-frozen-few-breast",
        "transfer-frozen-few-pneumonia",
        "trust-breast-temperature",
        "trust-pneumonia-temperature",
        "trust-retina-temperature",
    }  # told in words alone
    assert {*HOLDS_ZERO, *ABOVE_ZERO, *BELOW_ZERO} - shown == unseen
