"""Tables carry a caption, header cells and rounded numbers, and say where they come from."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from medlib import evaluate, models, run, tables
from medlib.errors import MedlibError
from medlib.evaluate import Scores


def scores(seed: int = 0, skill: float = 1.0, cases: int = 80) -> Scores:
    generator = np.random.default_rng(seed)
    labels = np.arange(cases) % 2
    p = 1 / (1 + np.exp(-(generator.normal(size=cases) + skill * (2 * labels - 1))))
    both = np.column_stack([1 - p, p])
    return Scores("m", "breastmnist", seed, "", labels, both, np.arange(cases))


@pytest.fixture
def chapter(monkeypatch, tmp_path):
    """A run of the profile fast, whose scores the published ones replace."""
    opened = run.Run("03-02-x", run.profile_named("fast"), (0, 1), "cpu", tmp_path)
    monkeypatch.setattr(run, "_active", opened)
    return opened


def parsed(table: tables.Table) -> ET.Element:
    return ET.fromstring(table._repr_html_())


def test_a_table_is_readable_without_sight():
    root = parsed(tables.table([["a", 1, 0.12345], ["b", 61706, True]], ["x", "n", "y"], "What"))
    assert root.find("caption").text == "What"
    assert [th.get("scope") for th in root.iterfind("thead/tr/th")] == ["col"] * 3
    assert [th.text for th in root.iterfind("thead/tr/th")] == ["x", "n", "y"]
    assert [th.get("scope") for th in root.iterfind("tbody/tr/th")] == ["row"] * 2
    cells = [td.text for td in root.iterfind("tbody/tr/td")]
    assert cells == ["1", "0.123", "61,706", "yes"]


def test_numbers_stand_right_and_words_left():
    table = tables.table([["a", 1, "word"], ["b", 2, "3 apples"]], ["x", "n", "y"], "What")
    sides = [th.get("style") for th in parsed(table).iterfind("thead/tr/th")]
    assert ["right" in side for side in sides] == [False, True, False]


def test_rows_may_be_mappings_and_text_is_escaped():
    table = tables.table([{"name": "<b>", "n": None}], caption="a & b")
    assert table.rows == (("<b>", "not given"),)
    assert "&lt;b&gt;" in table._repr_html_()
    assert "| <b> | not given |" in table._repr_markdown_()


@pytest.mark.parametrize(
    ("rows", "columns", "caption"),
    [([["a"]], ["x"], ""), ([["a"]], [""], "c"), ([["a", 1]], ["x"], "c"), ([], None, "c")],
)
def test_incomplete_tables_are_refused(rows, columns, caption):
    with pytest.raises(ValueError, match="caption|cells"):
        tables.table(rows, columns, caption)


def test_scores_are_means_over_seeds_with_intervals():
    many = [scores(0), scores(1)]
    table = tables.score_table({"net": many}, ["auc", "balanced_accuracy"], resamples=100)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    mean = np.mean([s.value("auc") for s in many])
    value, low, _, high = row["AUC"].replace("(", "").replace(")", "").split()
    assert value == f"{mean:.3f}"
    assert float(low) < mean < float(high)
    assert (row["seeds"], row["test images"]) == ("2", "80")
    assert "balanced accuracy" in table.columns
    assert table.caption.startswith("Test split of BreastMNIST")


def test_a_table_names_the_split_that_was_scored():
    table = tables.score_table({"net": scores()}, ["auc"], resamples=50, split="validation")
    assert table.columns[-1] == "validation images"
    assert table.caption.startswith("Validation split of BreastMNIST")


def test_an_interval_breaks_only_before_its_bracket():
    text = tables.score_table({"net": scores()}, ["auc"], resamples=50)._repr_html_()
    assert "\u00a0to\u00a0" in text


def test_published_rows_stand_below_ours():
    published = {"ResNet-18 (Yang et al., 2023)": {"auc": 0.901, "images": 156}}
    table = tables.score_table({"net": scores()}, ["auc", "f1"], references=published, resamples=50)
    assert table.rows[1] == (
        "ResNet-18 (Yang et al., 2023)", "0.901", "not given", "not given", "156",
    )  # fmt: skip


def test_scores_of_the_published_run_are_marked(chapter, monkeypatch):
    def shown(given):
        return [replace(each, published=True) for each in given]

    monkeypatch.setattr(evaluate, "shown", shown)
    table = tables.score_table({"net": scores()}, ["auc"])
    assert table.caption.endswith("(published run)")


def test_what_is_no_result_is_called_so(chapter):
    assert tables.score_table({"net": scores()}, ["auc"]).caption.endswith("(short run: no result)")
    phantom = replace(scores(), synthetic=True)
    table = tables.score_table({"net": phantom}, ["auc"])
    assert table.caption.endswith("(phantoms: no result)")


def test_results_carry_no_note(chapter, monkeypatch):
    chapter.profile = run.profile_named("cpu")
    assert tables.score_table({"net": scores()}, ["auc"], resamples=50).caption.endswith(
        "interval)"
    )


def test_undefined_scores_are_said_to_be_so():
    few = replace(scores(cases=4), labels=np.zeros(4, dtype=np.int64))
    table = tables.score_table({"net": few}, ["auc"], resamples=20)
    assert table.rows[0][1] == "undefined: too few cases"


def test_unknown_metrics_are_named():
    with pytest.raises(MedlibError, match="unknown metric 'acu'"):
        tables.score_table({"net": scores()}, ["acu"])


def test_models_are_compared_by_what_they_cost():
    made = {n: models.create(n, in_channels=1, num_classes=2, image_size=28)
            for n in ("lenet5", "resnet_small")}  # fmt: skip
    table = tables.model_table(made, (1, 28, 28))
    assert table.rows[0][:4] == ("lenet5", "61,026", "415,848", "32")
    assert all(table.numeric[1:])


def test_a_sortable_table_is_marked_and_says_the_same():
    plain = tables.table([["a", 1]], ["x", "n"], "What")
    marked = tables.table([["a", 1]], ["x", "n"], "What", sortable=True)
    assert "medlib-sortable" not in plain._repr_html_()
    assert parsed(marked).get("class").split()[-1] == "medlib-sortable"
    assert marked.rows == plain.rows
    with pytest.raises(ValueError, match="cannot be sorted"):
        tables.table([["a", 1]], ["x", "n"], "What", sortable=True, total=True)


def test_a_cell_may_lead_elsewhere():
    link = tables.Link("a & b", "https://example.org/?x=1&y=2")
    table = tables.table([[link, 1], ["c", link]], ["x", "n"], "What")
    assert table.rows[0] == ("a & b", "1")
    found = parsed(table).findall(".//a")
    assert [(a.text, a.get("href")) for a in found] == [(link.words, link.address)] * 2
    assert "[a & b](https://example.org/?x=1&y=2)" in table._repr_markdown_()
