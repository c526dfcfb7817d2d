"""Verdicts, re-scoring and publishing: what passes, what is found, and what is refused."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from toy_book import CHAPTER, CLAIMS, ToyBook

from medlib import cli, results, tolerance
from medlib import publish as publish_module
from medlib.errors import MedlibError
from medlib.publish import NotPublishable, publish
from medlib.verify import compare, content_digest, describe_file, file_digest, verify


@pytest.fixture
def book(tmp_path, monkeypatch):
    return ToyBook(tmp_path, monkeypatch)


@pytest.fixture
def edition(book):
    """Return a book with a published run."""
    book.execute()
    publish("cpu")
    return book


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    results.write_json(path, document)


def edit_edition(book, change, *, seal=False) -> None:
    """Change the published document, with a digest that fits where `seal` is set."""

    def both(document):
        change(document)
        if seal:
            document["digest"] = content_digest(document)

    edit(book.published / f"{CHAPTER}.json", both)


def spread_over_seeds(book, sd=0.02, df=20.0):
    """Give every published claim a known tolerance."""
    entry = tolerance.describe(tolerance.Spread(sd, df), 3, 3)

    def put(document):
        for item in document["claims"].values():
            if "tolerance" in item:
                item["tolerance"]["new_seeds"] = entry

    edit_edition(book, put, seal=True)
    return entry


# Publishing


def test_a_published_run_is_reproduced_by_itself(edition):
    report = verify("cpu")
    assert report.counts() == {"reproduced": 4, "differs": 0, "cannot tell": 0}
    assert report.rescored == 4
    assert report.problems == ()
    assert report.ok
    assert report.ran


def test_the_edition_holds_values_stamp_tolerances_and_scores(edition):
    document = edition.edition
    assert document["claims"]["net-auc"]["value"] == edition.document["claims"]["net-auc"]["value"]
    assert document["stamp"]["peak_memory_mb"] == 321
    assert document["measured"]["seconds-training"]["value"] == 12.34
    assert document["claims"]["net-auc"]["tolerance"]["tests"] == 3
    assert "tolerance" not in document["claims"]["net-size"]
    for name in document["claims"]["net-auc"]["scores"]:
        copied = (edition.published / "scores" / CHAPTER / name).read_bytes()
        assert copied == (edition.build / "scores" / CHAPTER / name).read_bytes()


def test_publishing_twice_writes_the_same_bytes(edition):
    before = {p: p.read_bytes() for p in edition.published.rglob("*") if p.is_file()}
    edition.execute()
    publish("cpu")
    assert {p: p.read_bytes() for p in edition.published.rglob("*") if p.is_file()} == before


def test_only_stamp_and_measured_differ_where_only_the_time_does(edition):
    before = edition.edition
    edition.execute()
    edition.stamp(seconds=99.0, started="2027-02-02T00:00:00+00:00")
    edit(
        edition.build / "results" / f"{CHAPTER}.json",
        lambda document: document["measured"]["seconds-training"].update(value=77.0),
    )
    publish("cpu")
    after = edition.edition
    for document in (before, after):
        del document["stamp"], document["measured"]
    assert after == before


def test_what_no_longer_exists_is_removed(edition):
    old = edition.published / "09-09-gone.json"
    results.write_json(old, {**edition.edition, "chapter": "09-09-gone"})
    stale = edition.published / "scores" / "09-09-gone" / "a__toy__seed0.csv"
    results.write_text(stale, "index,label,p0,p1\n")
    results.write_json(edition.published / "spread.json", {"schema": 1, "chapters": {}})
    edition.execute(seeds=(0, 1, 2))
    edition.open_run()
    net = [edition.scores("other", seed) for seed in (0, 1, 2)]
    results.record("net-auc", scores=net)
    edition.write_claims(CLAIMS[:1])
    edition.stamp()
    publish("cpu")
    assert not old.exists()
    assert not stale.parent.exists()
    assert (edition.published / "spread.json").exists()
    kept = sorted(p.name for p in (edition.published / "scores" / CHAPTER).iterdir())
    assert kept == [f"other__toy__seed{seed}.csv" for seed in (0, 1, 2)]
    assert verify("cpu").problems == ()


def test_a_chapter_that_was_not_run_stays_published(edition):
    other = {**CLAIMS[3], "id": "lenet-size", "chapter": "03-02-lenet"}
    edition.write_claims([*CLAIMS, other])
    shutil.rmtree(edition.build)
    edition.open_run(chapter="03-02-lenet")
    results.record("lenet-size", value=7)
    edition.stamp(chapter="03-02-lenet")
    publish("cpu")
    assert sorted(p.name for p in edition.published.glob("*.json")) == [
        "03-02-lenet.json",
        f"{CHAPTER}.json",
    ]
    assert verify("cpu").problems == ()


def refused(message):
    return pytest.raises(NotPublishable, match=message)


def test_profile_fast_is_refused(book):
    with refused("profile fast gives no results"):
        publish("fast")


def test_without_a_run_there_is_nothing_to_publish(book):
    with refused("there is no run"):
        publish("cpu")


@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        ({"status": "failed", "error": "ValueError: x"}, "the run is failed: ValueError: x"),
        ({"status": "missing-data"}, "the run is missing-data"),
        ({"synthetic": True}, "ran on phantoms"),
    ],
)
def test_a_chapter_that_did_not_end_well_is_refused(book, stamp, message):
    book.execute()
    book.stamp(**stamp)
    with refused(message):
        publish("cpu")
    assert not book.published.exists(), "nothing is written unless everything may be"


def test_a_run_without_a_stamp_is_refused(book):
    book.open_run()
    with refused("without a stamp"):
        publish("cpu")


def test_phantom_scores_are_refused(book):
    book.write_claims(CLAIMS[:1])
    book.open_run(synthetic=True)
    results.record("net-auc", scores=[book.scores(seed=s, synthetic=True) for s in (0, 1, 2)])
    book.stamp()
    with refused("ran on phantoms"):
        publish("cpu")


def test_claims_and_run_must_match(book):
    book.execute()
    book.write_claims([*CLAIMS[:3], {**CLAIMS[3], "id": "net-width"}])
    with refused(r"claim net-width stands in claims\.yml, but the run recorded no value"):
        publish("cpu")
    with refused(r"claim net-size was recorded, but does not stand in claims\.yml"):
        publish("cpu")
    book.write_claims([{**CLAIMS[0], "metric": "accuracy"}, *CLAIMS[1:]])
    with refused("claim net-auc: metric changed in claims.yml after the run"):
        publish("cpu")


def test_too_few_seeds_are_refused(book):
    book.execute(seeds=(0, 1))
    with refused("claim net-auc: announces 3 seeds, the run has 2"):
        publish("cpu")


def test_a_missing_score_file_is_refused(book):
    book.execute()
    (book.build / "scores" / CHAPTER / "net__toy__seed1.csv").unlink()
    with refused(r"its score file net__toy__seed1\.csv is missing"):
        publish("cpu")


def test_claims_that_were_not_committed_are_refused(book):
    def git(*words):
        identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *words], cwd=book.root, check=True, capture_output=True)

    book.execute()
    git("init", "-q")
    with refused(r"book/claims\.yml has changes that are not committed"):
        publish("cpu")
    git("add", "book/claims.yml")
    git("commit", "-q", "-m", "claims")
    assert publish("cpu")


# Verdicts


def test_without_a_run_it_cannot_tell_and_says_what_to_do(edition, capsys):
    shutil.rmtree(edition.build)
    report = verify("cpu")
    assert report.counts()["cannot tell"] == 4
    assert not report.ran
    assert report.ok
    assert cli.main(["verify"]) == 0
    assert "there is none, run make book" in capsys.readouterr().out


def test_an_exact_count_differs_by_one(edition):
    edition.execute(size=61707)
    verdict = compare("cpu")["net-size"]
    assert (verdict.status, verdict.value, verdict.published) == ("differs", 61707, 61706)


def test_other_seeds_are_judged_by_the_spread_of_seeds(edition):
    entry = spread_over_seeds(edition)
    edition.execute(seeds=(3, 4, 5), shift=entry["half_width"] * 0.9)
    within = compare("cpu")["net-val"]
    assert within.status == "reproduced"
    assert within.half_width == pytest.approx(entry["half_width"], rel=1e-5)
    edition.execute(seeds=(3, 4, 5), shift=entry["half_width"] * 1.1)
    beyond = compare("cpu")["net-val"]
    assert beyond.status == "differs"
    assert "other seeds: moved by" in beyond.reason


def test_more_seeds_narrow_the_tolerance(edition):
    entry = spread_over_seeds(edition)
    edition.execute(seeds=(3, 4, 5, 6, 7, 8))
    assert compare("cpu")["net-val"].half_width == pytest.approx(
        entry["half_width"] * (0.5 / (2 / 3)) ** 0.5, rel=1e-5
    )


def test_the_same_seeds_are_judged_by_the_numeric_spread(edition):
    entry = tolerance.describe(tolerance.Spread(0.001, 12.0), 3, 1)
    edit_edition(
        edition,
        lambda d: d["claims"]["net-val"]["tolerance"].update(same_seeds=entry),
        seal=True,
    )
    edition.execute(shift=0.9 * entry["half_width"])
    assert compare("cpu")["net-val"].status == "reproduced"
    edition.execute(shift=1.1 * entry["half_width"])
    verdict = compare("cpu")["net-val"]
    assert verdict.status == "differs"
    assert verdict.detects == pytest.approx(entry["detects"])


def test_the_same_seeds_without_a_measured_spread(edition):
    entry = spread_over_seeds(edition)
    edition.execute(shift=0.5 * entry["half_width"])
    verdict = compare("cpu")["net-val"]
    assert verdict.status == "cannot tell"
    assert "make spread" in verdict.reason
    edition.execute(shift=1.5 * entry["half_width"])
    verdict = compare("cpu")["net-val"]
    assert verdict.status == "differs"
    assert "more than other seeds would move it" in verdict.reason


def test_too_few_degrees_of_freedom_cannot_tell(edition):
    edition.execute(seeds=(3, 4, 5), shift=0.001)
    verdict = compare("cpu")["net-val"]
    assert verdict.status == "cannot tell"
    assert "2.0 degrees of freedom" in verdict.reason


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda book: book.execute(seeds=(0, 1)), "too few seeds: 2 of 3"),
        (lambda book: book.stamp(status="missing-data", missing=["toy"]), "data missing: toy"),
        (lambda book: book.stamp(status="failed"), "the chapter stopped with an error"),
        (lambda book: book.stamp(), "the chapter did not record it"),
    ],
)
def test_what_it_cannot_tell_has_a_reason(edition, prepare, reason):
    edition.open_run()
    prepare(edition)
    verdict = compare("cpu")["net-auc"]
    assert (verdict.status, verdict.reason) == ("cannot tell", reason)


def test_phantoms_and_other_cases_and_changed_claims_cannot_tell(edition):
    edition.open_run(synthetic=True)
    results.record("net-val", values=[0.5, 0.5, 0.5])
    assert "phantoms" in compare("cpu")["net-val"].reason
    edition.execute()
    edit_edition(edition, lambda d: d["claims"]["net-auc"].update(n=50), seal=True)
    assert compare("cpu")["net-auc"].reason == "other test cases: 60, published with 50"
    edition.write_claims([{**CLAIMS[0], "metric": "accuracy"}, *CLAIMS[1:]])
    assert "another metric than the run" in compare("cpu")["net-auc"].reason


def test_profile_fast_is_never_compared(edition):
    reasons = {item.reason for item in compare("fast", published=edition.published).values()}
    assert reasons == {"profile fast gives no results"}


# Re-scoring


def test_a_changed_probability_is_found(edition):
    path = edition.published / "scores" / CHAPTER / "net__toy__seed1.csv"
    header, first, *rest = path.read_text().splitlines()
    index, label, *_ = first.split(",")
    path.write_text("\n".join([header, f"{index},{label},0.01,0.99", *rest]) + "\n")
    problems = verify("cpu").problems
    assert any("net__toy__seed1.csv: changed after it was published" in line for line in problems)
    assert any("claim net-auc: cannot be re-scored" in line for line in problems)


def flip_first_label(path: Path) -> None:
    header, first, *rest = path.read_text().splitlines()
    index, label, *more = first.split(",")
    path.write_text(
        "\n".join([header, ",".join([index, str(1 - int(label)), *more]), *rest]) + "\n"
    )


def test_a_changed_label_is_found_even_with_a_fitting_digest(edition):
    """The digests protect against accidents; re-scoring protects against intent."""
    path = edition.published / "scores" / CHAPTER / "net__toy__seed1.csv"
    flip_first_label(path)
    seal = {"sha256": file_digest(path)}
    edit_edition(edition, lambda d: d["files"][path.name].update(seal), seal=True)
    problems = verify("cpu").problems
    assert any(f"{path.name}: auc is" in line for line in problems)


def test_changed_labels_are_found_even_where_all_about_the_files_fits(edition):
    folder = edition.published / "scores" / CHAPTER
    for path in folder.glob("*.csv"):
        flip_first_label(path)
    described = {path.name: describe_file(path) for path in folder.glob("*.csv")}
    edit_edition(edition, lambda d: d.update(files=described), seal=True)
    problems = verify("cpu").problems
    assert any("claim net-auc: its scores give value" in line for line in problems)
    assert any("claim net-gain: its scores give value" in line for line in problems)


def test_labels_that_fit_only_one_seed_are_found(edition):
    path = edition.published / "scores" / CHAPTER / "net__toy__seed1.csv"
    flip_first_label(path)
    edit_edition(edition, lambda d: d["files"].update({path.name: describe_file(path)}), seal=True)
    problems = verify("cpu").problems
    assert any("claim net-auc: cannot be re-scored" in line for line in problems)


def test_an_unreadable_score_file_is_a_problem_not_a_crash(edition):
    path = edition.published / "scores" / CHAPTER / "net__toy__seed1.csv"
    path.write_text("index,label\n1,2\n")
    seal = {"sha256": file_digest(path)}
    edit_edition(edition, lambda d: d["files"][path.name].update(seal), seal=True)
    problems = verify("cpu").problems
    assert any("net__toy__seed1.csv: " in line and "published" not in line for line in problems), (
        problems
    )


def test_a_changed_value_interval_or_list_is_found_even_with_a_fitting_digest(edition):
    for field, wrong in (("value", 0.99), ("interval", [0.98, 0.999]), ("values", [0.9, 0.9, 0.9])):
        before = edition.edition
        changed = {field: wrong}
        edit_edition(edition, lambda d, c=changed: d["claims"]["net-auc"].update(c), seal=True)
        problems = verify("cpu").problems
        assert any(f"claim net-auc: its scores give {field} " in line for line in problems)
        results.write_json(edition.published / f"{CHAPTER}.json", before)
    assert verify("cpu").ok


def test_a_changed_validation_value_is_found(edition):
    edit_edition(edition, lambda d: d["claims"]["net-val"].update(value=0.99), seal=True)
    assert any("claim net-val: the mean of its values" in p for p in verify("cpu").problems)
    edit_edition(edition, lambda d: d["claims"]["net-size"].update(value=1))
    assert any("its digest does not fit" in p for p in verify("cpu").problems)


def test_a_dropped_look_at_the_test_split_is_found(edition):
    edit_edition(edition, lambda d: d["accesses"].pop())
    assert any("its digest does not fit" in line for line in verify("cpu").problems)


def test_missing_and_foreign_score_files_are_found(edition):
    folder = edition.published / "scores" / CHAPTER
    shutil.copy(folder / "net__toy__seed0.csv", folder / "better__toy__seed0.csv")
    (folder / "net__toy__seed2.csv").unlink()
    problems = verify("cpu").problems
    assert any("net__toy__seed2.csv: missing" in line for line in problems)
    assert any("better__toy__seed0.csv: no published results name" in line for line in problems)


# The command


def test_the_command_prints_a_table_and_exits_1_where_a_claim_differs(edition, capsys):
    assert cli.main(["verify", "--profile", "cpu"]) == 0
    edition.execute(size=1)
    assert cli.main(["verify"]) == 1
    out = capsys.readouterr().out
    line = next(row for row in out.splitlines()[8:] if row.startswith("net-size"))
    assert line.split()[:4] == ["net-size", "differs", "1", "61,706"]
    assert "claims: 3 reproduced, 1 differs, 0 cannot tell" in out


def test_the_command_exits_1_where_re_scoring_fails(edition, capsys):
    shutil.rmtree(edition.build)
    (edition.published / "scores" / CHAPTER / "net__toy__seed0.csv").unlink()
    assert cli.main(["verify"]) == 1
    assert "PROBLEM  results/cpu/scores" in capsys.readouterr().out


def test_the_command_speaks_json(edition, capsys):
    assert cli.main(["verify", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["counts"]["reproduced"] == 4
    assert report["verdicts"][0]["claim_id"] == "net-auc"


def test_unknown_profiles_and_refusals_are_one_exit_code(edition, capsys):
    assert cli.main(["verify", "--profile", "gpux"]) == 2
    assert "unknown profile 'gpux': choose one of fast, cpu, gpu, long" in capsys.readouterr().err
    assert cli.main(["publish", "--profile", "fast"]) == 2
    assert "medlib: profile fast cannot be published" in capsys.readouterr().err


def test_publish_says_what_it_wrote(book, capsys):
    book.execute()
    assert cli.main(["publish"]) == 0
    assert "5 files, 4 claims in results/cpu" in capsys.readouterr().out


def test_verify_imports_nothing_that_trains(edition):
    """Re-scoring needs no torch, so `make verify` is quick."""
    code = "import medlib.verify, medlib.publish, sys; sys.exit('torch' in sys.modules)"
    import sys

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_broken_edition_is_one_line(edition):
    (edition.published / f"{CHAPTER}.json").write_text("{")
    with pytest.raises(MedlibError, match="cannot read"):
        verify("cpu")


def test_publish_never_touches_another_profile(edition):
    gpu = edition.root / "results" / "gpu" / "x.json"
    results.write_json(gpu, {"chapter": "x"})
    edition.execute()
    publish_module.publish("cpu")
    assert gpu.exists()


def test_records_of_long_searches_are_copied_and_their_absence_is_said(tmp_path):
    from medlib.publish import publish_records

    build, published = tmp_path / "build", tmp_path / "published"
    with pytest.raises(NotPublishable, match="make results"):
        publish_records(build, published)
    build.mkdir()
    (build / "search.json").write_text('{"rows": [1, 2]}', encoding="utf-8")
    assert publish_records(build, published) == [published / "search.json"]
    assert json.loads((published / "search.json").read_text()) == {"rows": [1, 2]}
