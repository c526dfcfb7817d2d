"""Claims that rest on committed long runs: read, recorded, published, verified; never moved."""

import json

import pytest
from toy_book import CHAPTER, ToyBook

from book.workflow import fingerprint
from medlib import long_records, long_scores, paths, results, tolerance
from medlib.claims import ClaimsError, read_claims
from medlib.errors import MedlibError
from medlib.publish import publish
from medlib.verify import content_digest, describe_file, verify

LONG_CLAIMS = (
    {"id": "slow-auc", "kind": "score", "metric": "auc", "data": "toy", "seeds": 3, "long": True},
    {
        "id": "slow-gain",
        "kind": "difference",
        "metric": "auc",
        "data": "toy",
        "seeds": 3,
        "long": True,
    },
    {"id": "live-auc", "kind": "score", "metric": "auc", "data": "toy", "seeds": 3},
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Return a book whose edition of long runs holds two models, three seeds each."""
    book = ToyBook(tmp_path, monkeypatch)
    book.write_claims(LONG_CLAIMS)
    book.open_run()
    edition = results.published_dir("long")
    folder = edition / "scores" / "03-10-toy"
    for model_id, skill in (("slow", 1.5), ("base", 0.3)):
        for seed in range(3):
            made = book.scores(model_id, seed, skill)
            folder.mkdir(parents=True, exist_ok=True)
            made.path.replace(folder / made.filename)
            record = {"job": made.filename.removesuffix(".csv"), "validation": {"auc": 0.8}}
            results.write_json(edition / "jobs" / f"{record['job']}.json", record | {"seed": seed})
    document = {"chapter": "03-10-toy", "profile": "long", "claims": {}, "accesses": []}
    document["files"] = {path.name: describe_file(path) for path in folder.glob("*.csv")}
    document["digest"] = content_digest(document)
    results.write_json(edition / "03-10-toy.json", document)
    return book


def execute(book):
    """Run a chapter that reads long runs and trains one network itself."""
    book.open_run()
    slow = long_scores("03-10-toy", "slow", "toy")
    base = long_scores("03-10-toy", "base", "toy")
    results.record("slow-auc", scores=slow)
    results.record("slow-gain", scores=slow, minus=base)
    results.record("live-auc", scores=[book.scores("net", seed) for seed in range(3)])
    book.stamp()


def test_scores_and_records_are_read_by_seed(book):
    assert [each.seed for each in long_scores("03-10-toy", "slow", "toy")] == [0, 1, 2]
    assert [each["seed"] for each in long_records("slow", "toy")] == [0, 1, 2]
    with pytest.raises(MedlibError, match="there are base__toy, slow__toy"):
        long_scores("03-10-toy", "fast", "toy")
    with pytest.raises(MedlibError, match="no long run has a record of fast on toy"):
        long_records("fast", "toy")


def test_a_claim_on_long_runs_is_published_and_reproduced(book):
    execute(book)
    publish("cpu")
    claims = book.edition["claims"]
    assert claims["slow-auc"]["scores"][0] == "long/03-10-toy/slow__toy__seed0.csv"
    assert claims["slow-auc"]["long"]
    assert "tolerance" not in claims["slow-auc"]
    assert claims["live-auc"]["tolerance"]["tests"] == 1  # what cannot move widens no tolerance
    report = verify("cpu")
    assert (report.problems, report.ok) == ((), True)
    assert report.counts()["reproduced"] == 3
    assert report.rescored == 3 + 6


def test_a_changed_long_run_is_found(book):
    execute(book)
    publish("cpu")
    path = results.published_dir("long") / "scores" / "03-10-toy" / "slow__toy__seed0.csv"
    path.write_text(path.read_text().replace(",1,", ",0,", 1))
    report = verify("cpu")
    assert any("changed after it was published" in line for line in report.problems)
    assert any("claim slow-auc" in line for line in report.problems)


def test_a_run_on_other_long_scores_differs(book):
    execute(book)
    publish("cpu")
    file = book.build / "results" / f"{CHAPTER}.json"
    document = json.loads(file.read_text())
    document["claims"]["slow-auc"]["value"] += 1e-3
    results.write_json(file, document)
    assert verify("cpu").counts()["differs"] == 1


def test_a_claim_rests_on_long_runs_wholly_or_not_at_all(book):
    book.open_run()
    slow = long_scores("03-10-toy", "slow", "toy")
    live = [book.scores("net", seed) for seed in range(3)]
    with pytest.raises(MedlibError, match="wholly or not at all"):
        results.record("slow-gain", scores=slow, minus=live)
    with pytest.raises(MedlibError, match="says long: false"):
        results.record("live-auc", scores=slow)


def test_a_count_cannot_be_long(book):
    book.write_claims(
        [{"id": "size", "kind": "count", "metric": "parameters", "long": True, "sentence": "So."}]
    )
    with pytest.raises(ClaimsError, match="not for a count"):
        read_claims()


def test_long_claims_take_no_part_in_the_spread():
    entry = {"kind": "score", "metric": "auc", "data": "toy", "values": [0.7, 0.8, 0.9]}
    found = tolerance.tolerances({"a": entry, "b": entry | {"long": True}}, None)
    assert set(found) == {"a"}


def test_a_chapter_that_reads_long_runs_depends_on_them(book, monkeypatch):
    before = fingerprint.long_edition()
    results.write_json(results.published_dir("long") / "jobs" / "new.json", {"seed": 0})
    assert fingerprint.long_edition() != before
    assert paths.package_file("results/long") == results.published_dir("long")


def test_verdict_says_where_claims_and_edition_disagree(book):
    execute(book)
    publish("cpu")
    changed = [dict(claim) for claim in LONG_CLAIMS]
    del changed[0]["long"]
    book.write_claims(changed)
    verdicts = {item.claim_id: item for item in verify("cpu").verdicts}
    assert "disagree on whether it is long" in verdicts["slow-auc"].reason
    assert verdicts["live-auc"].status == "reproduced"
