"""What a chapter records: kinds, intervals, refusals, atomic files, the log of looks."""

import json
import math
import os

import numpy as np
import pytest
from toy_book import CHAPTER, ToyBook

from medlib import results
from medlib import run as run_module
from medlib.errors import MedlibError
from medlib.metrics import METRICS


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ToyBook(tmp_path, monkeypatch)


def test_a_score_is_the_mean_over_seeds_with_an_interval_around_it(book):
    book.open_run()
    scores = [book.scores(seed=seed) for seed in (0, 1, 2)]
    found = results.record("net-auc", scores=scores)
    each = [METRICS["auc"](item.labels, item.probabilities) for item in scores]
    entry = book.document["claims"]["net-auc"]
    assert entry["values"] == pytest.approx(each)
    assert found.value == entry["value"] == pytest.approx(np.mean(each))
    assert entry["interval"][0] < entry["value"] < entry["interval"][1]
    assert entry["seeds"] == [0, 1, 2]
    assert entry["n"] == 60
    assert entry["scores"] == [f"net__toy__seed{seed}.csv" for seed in (0, 1, 2)]


def test_a_difference_is_paired_by_seed_and_one_subtrahend_serves_all(book):
    book.open_run()
    net = [book.scores("net", seed) for seed in (0, 1, 2)]
    base = book.scores("knn", 0, skill=0.3)
    found = results.record("net-gain", scores=net, minus=base)
    expected = [item.value("auc") - base.value("auc") for item in net]
    assert found.values == pytest.approx(expected)
    assert found.interval[0] < found.value < found.interval[1]
    assert book.document["claims"]["net-gain"]["minus"] == ["knn__toy__seed0.csv"]


def test_a_difference_of_unequal_numbers_of_seeds_is_refused(book):
    book.open_run()
    net = [book.scores("net", seed) for seed in (0, 1, 2)]
    two = [book.scores("knn", seed) for seed in (0, 1)]
    with pytest.raises(MedlibError, match="as many scores on both sides.*3 and 2"):
        results.record("net-gain", scores=net, minus=two)


def test_a_validation_value_has_a_t_interval_and_one_value_has_none(book):
    book.open_run()
    found = results.record("net-val", values=[0.8, 0.9, 1.0])
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # t table: 97.5 %, 2 degrees of freedom
    assert found.value == pytest.approx(0.9)
    assert results.t_interval([0.8, 0.9, 1.0]) == pytest.approx([0.9 - half, 0.9 + half])
    assert str(found) == "0.900 (95 % CI 0.652 to 1.000)"  # an accuracy ends at one
    assert results.t_interval([0.8]) is None


def test_a_count_is_exact_and_never_synthetic_without_data(book):
    book.open_run(synthetic=True)
    results.record("net-size", value=np.int64(61706))
    entry = book.document["claims"]["net-size"]
    assert entry["value"] == 61706
    assert isinstance(entry["value"], int)
    assert entry["interval"] is None
    assert entry["synthetic"] is False
    assert book.document["synthetic"] is True


def test_values_of_phantoms_are_marked(book):
    book.open_run(synthetic=True)
    results.record("net-auc", scores=[book.scores(seed=0, synthetic=True)])
    results.record("net-val", values=[0.5, 0.6])
    claims = book.document["claims"]
    assert claims["net-auc"]["synthetic"] is True
    assert claims["net-val"]["synthetic"] is True
    assert claims["net-auc"]["scores"] == ["net__toy__seed0__phantom.csv"]


@pytest.mark.parametrize(
    ("claim", "given", "message"),
    [
        ("nobody", {"value": 1}, "no claim 'nobody'"),
        ("net-auc", {"value": 1}, "kind score: record it with scores=, not with value="),
        ("net-val", {}, "with values=, not with nothing"),
        ("net-val", {"values": []}, "at least one value"),
        ("net-val", {"values": [0.5, float("nan")]}, "only a finite number"),
        ("net-auc", {"scores": []}, "no scores given"),
    ],
)
def test_a_wrong_record_is_refused_and_leaves_the_results_as_they_were(book, claim, given, message):
    book.open_run()
    with pytest.raises(MedlibError, match=message):
        results.record(claim, **given)
    assert book.document["claims"] == {}


def test_a_claim_is_recorded_once_and_in_its_own_chapter(book):
    book.open_run()
    results.record("net-size", value=1)
    with pytest.raises(MedlibError, match="recorded already"):
        results.record("net-size", value=2)
    book.open_run(chapter="03-02-lenet")
    with pytest.raises(MedlibError, match="belongs to chapter 03-05-resnet"):
        results.record("net-size", value=1)


def test_published_scores_cannot_be_recorded(book):
    from dataclasses import replace

    book.open_run()
    with pytest.raises(MedlibError, match="record those of this run"):
        results.record("net-auc", scores=[replace(book.scores(), published=True)])


def test_without_a_run_the_message_says_how_to_begin_one(book):
    with pytest.raises(MedlibError, match=r"medlib\.begin"):
        results.record("net-size", value=1)


def test_times_stay_apart_from_claims(book):
    run = book.open_run()
    run.measure("seconds-training", 1.5, unit="s")
    assert book.document["measured"] == {"seconds-training": {"unit": "s", "value": 1.5}}
    assert book.document["claims"] == {}
    with pytest.raises(MedlibError, match="only a finite number"):
        run.measure("memory", math.inf, unit="MB")


def test_each_look_is_logged_and_an_audit_needs_a_reason(book):
    book.open_run()
    results.log_access(model_id="a", data="toy", seed=1, door="audit", reason="shows misuse")
    assert book.document["accesses"] == [
        {
            "model_id": "a",
            "data": "toy",
            "seed": 1,
            "variant": "",
            "door": "audit",
            "reason": "shows misuse",
        }
    ]
    with pytest.raises(MedlibError, match="needs a reason"):
        results.log_access(model_id="a", data="toy", seed=1, door="audit", reason=" ")
    with pytest.raises(MedlibError, match="doors"):
        results.log_access(model_id="a", data="toy", seed=1, door="back")


def test_begin_opens_a_fresh_file(book):
    book.open_run()
    results.record("net-size", value=1)
    book.open_run()
    assert book.document["claims"] == {}


def test_a_failed_write_leaves_the_old_file_whole(book, monkeypatch):
    book.open_run()
    results.record("net-size", value=1)
    before = book.document

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        run_module.current().measure("seconds", 1.0, unit="s")
    assert book.document == before
    assert [p.name for p in (book.build / "results").iterdir()] == [f"{CHAPTER}.json"]


def test_same_results_same_bytes(book):
    book.execute()
    first = (book.build / "results" / f"{CHAPTER}.json").read_bytes()
    book.execute()
    assert (book.build / "results" / f"{CHAPTER}.json").read_bytes() == first
    assert json.loads(first)["schema"] == 1


def test_a_broken_results_file_is_named(book):
    book.open_run()
    path = book.build / "results" / f"{CHAPTER}.json"
    path.write_text("{not json")
    with pytest.raises(MedlibError, match=rf"cannot read .*{CHAPTER}\.json"):
        results.read_results(path.parent)
    path.write_text("[]")
    with pytest.raises(MedlibError, match="no JSON object"):
        results.read_json(path)
