"""Published rows with their sources, and our scores in the files of the medmnist package."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medlib import paths, results
from medlib.data import card
from medlib.errors import MedlibError
from medlib.evaluate import Scores, read_scores
from medlib.medmnist_files import medmnist_name, read_medmnist, write_medmnist
from medlib.publish_long import BENCHMARK
from medlib.published import published_scores

COMMITTED = paths.package_file("results/medmnist")


@pytest.fixture
def scores():
    """Return made-up scores of six images and three classes."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), 6).round(6)
    return Scores(
        "net-w0.5", "toymnist", 2, "", np.array([0, 1, 2] * 2), probabilities, np.arange(6)
    )


# ---------------------------------------------------------------- published rows


def test_published_rows_name_sets_that_exist_and_sources_that_are_listed():
    listed = paths.package_file("book/references.bib").read_text(encoding="utf-8")
    rows = published_scores()
    assert len({(row.data, row.model, row.image_size) for row in rows}) == len(rows) == 65
    for row in rows:
        assert card(row.data).layout == "medmnist"
        assert f"{{{row.source}," in listed if row.source else row.unchecked
        assert 0.5 < row.auc < 1
        assert 0.3 < row.accuracy < 1


def test_published_rows_are_written_with_spread_and_mark():
    rows = {(row.model, row.image_size): row for row in published_scores("breastmnist")}
    assert rows["ResNet-18", 28].written("auc") == "0.901"
    assert rows["ResNet-50", 28].written("accuracy") == "0.812 †"
    again = rows["authors' script, run again", 28]
    assert again.written("accuracy") == "0.868 ± 0.013 †"
    assert again.seeds == 5
    with pytest.raises(MedlibError, match="not 'f1'"):
        again.value("f1")
    with pytest.raises(MedlibError, match="nothing published is stored for 'busi128'"):
        published_scores("busi128")


# ---------------------------------------------------------------- files of the medmnist package


def test_medmnist_file_is_named_and_read_as_the_package_does(scores, tmp_path):
    path = write_medmnist(scores, tmp_path)
    assert path.name == medmnist_name(scores)
    assert re.fullmatch(r"toymnist_test_\[AUC\]0\.\d{3}_\[ACC\]0\.\d{3}@net-w0-5_2\.csv", path.name)
    flag, split, *_ = path.name.split("_")  # as the package takes a name apart
    assert (flag, split) == ("toymnist", "test")
    assert path.name.split("@")[-1].split(".")[0] == "net-w0-5_2"
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert [len(line) for line in lines] == [4] * 6
    assert [line[0] for line in lines] == [str(k) for k in range(6)]


def test_medmnist_file_keeps_every_digit(scores, tmp_path):
    found = read_medmnist(write_medmnist(scores, tmp_path, run="a_3"))
    np.testing.assert_array_equal(found.probabilities, scores.probabilities)
    np.testing.assert_array_equal(found.index, scores.index)
    assert (found.data, found.split, found.run, found.size) == ("toymnist", "test", "a_3", 28)
    again = replace(scores, probabilities=found.probabilities)
    assert found.auc == round(float(again.value("auc")), 3)
    assert found.accuracy == round(float(again.value("accuracy")), 3)


def test_medmnist_file_of_others_may_be_unordered_and_larger(tmp_path):
    path = tmp_path / "octmnist_64_val_[AUC]0.672_[ACC]0.892@3.csv"
    path.write_text("1,0.5,0.5\n0,0.25,0.75\n")
    found = read_medmnist(path)
    assert (found.size, found.split, found.index.tolist()) == (64, "val", [0, 1])
    assert found.probabilities.tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_medmnist_file_refuses_what_it_cannot_carry(scores, tmp_path):
    with pytest.raises(MedlibError, match="generated images"):
        write_medmnist(replace(scores, synthetic=True), tmp_path)
    with pytest.raises(MedlibError, match="cuts at '.'"):
        write_medmnist(scores, tmp_path, run="a.b")
    with pytest.raises(MedlibError, match="no name that the medmnist package writes"):
        read_medmnist(tmp_path / "scores.csv")
    broken = tmp_path / "toymnist_test_[AUC]0.5_[ACC]0.5@1.csv"
    for text in ("", "0,a\n", "0,1\n1\n"):
        broken.write_text(text)
        with pytest.raises(MedlibError, match="cannot be read as scores"):
            read_medmnist(broken)


def benchmark_files() -> list[Path]:
    """Return the committed scores that have a copy in the package's convention."""
    folder = results.published_dir("long")
    found = sorted((folder / "scores" / BENCHMARK).glob("*.csv"))
    records = {path: results.read_json(folder / "jobs" / f"{path.stem}.json") for path in found}
    return [path for path, record in records.items() if record and "audit" not in record]


def test_medmnist_copies_are_those_of_the_committed_scores():
    wanted = {medmnist_name(read_scores(path)): path for path in benchmark_files()}
    assert {path.name for path in COMMITTED.glob("*.csv")} == wanted.keys()
    for name, path in wanted.items():
        found = read_medmnist(COMMITTED / name)
        np.testing.assert_array_equal(found.probabilities, read_scores(path).probabilities)
    assert sum(path.stat().st_size for path in COMMITTED.glob("*.csv")) < 1_000_000
