"""The explorer's directive: the data it hands to the script, and the table without a script."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from book._ext import explorer_pictures
from book._ext import medlib_explorer as explorer
from medlib.errors import MedlibError
from medlib.evaluate import read_scores
from tests import two_pages

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"


@pytest.fixture(scope="module")
def page() -> str:
    return explorer.render(explorer.read(RESULTS))


def data_of(page: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])


def test_the_script_gets_each_score_with_all_its_digits(page):
    for task, given in zip(explorer.TASKS, data_of(page), strict=True):
        for model, each in zip(explorer.MODELS, given["models"], strict=True):
            scores = read_scores(explorer.score_path(RESULTS, task, model))
            assert each["scores"] == scores.probabilities[:, task.positive].tolist()
            assert given["labels"] == [int(c == task.positive) for c in scores.labels]
            assert given["cases"] == scores.index.tolist()


def test_the_table_holds_the_counts_of_each_threshold(page):
    text = page[page.index("PneumoniaMNIST") :]
    scores = read_scores(explorer.score_path(RESULTS, explorer.TASKS[1], explorer.MODELS[0]))
    called, truth = scores.probabilities[:, 1] >= 0.75, scores.labels == 1
    counts = [(truth & called), (truth & ~called), (~truth & called), (~truth & ~called)]
    row = "".join(f"<td>{int(np.sum(each))}</td>" for each in counts)
    assert f'<th scope="row">{explorer.MODELS[0].name}</th><td>0.75</td>{row}' in text


def test_each_model_has_a_row_a_threshold_and_nothing_can_end_the_script(page):
    rows = len(explorer.TASKS) * len(explorer.MODELS) * len(explorer.THRESHOLDS)
    assert page.count('<th scope="row">') == rows
    assert page.count("</script>") == 1
    assert len(page) < 60_000


def test_without_data_there_are_numbers_and_no_pictures(monkeypatch):
    monkeypatch.setattr(explorer_pictures.data, "data_status", lambda names: {names[0]: "missing"})
    assert explorer.pictures() == {}
    assert [each["sheet"] for each in data_of(explorer.render(explorer.read(RESULTS)))] == [
        None
    ] * 2


def test_pictures_whose_licence_was_not_read_are_not_shown(monkeypatch):
    monkeypatch.setattr(explorer_pictures.data, "data_status", lambda names: {names[0]: "here"})
    assert explorer_pictures.sheet("busi128") is None
    assert explorer_pictures.sheet("breastmnist") == {
        "file": "explorer-breastmnist.png", "columns": 26, "rows": 6,
    }  # fmt: skip


def test_an_image_lies_at_its_number_on_the_sheet():
    images = np.arange(30 * 6, dtype=np.uint8).reshape(30, 2, 3)
    sheet = explorer_pictures.tiled(images)
    assert sheet.shape == (2 * 2, 26 * 3)
    assert (sheet[2:4, 3:6] == images[27]).all()
    assert (sheet[2:, 12:] == 0).all()


def test_a_half_is_rounded_up_as_by_the_script():
    assert [explorer.rounded(x) for x in (0.0625, 0.9995, 1.0, 0.12349)] == [
        "0.063", "1.000", "1.000", "0.123",
    ]  # fmt: skip


def test_scores_of_other_cases_are_refused(tmp_path: Path):
    for path in explorer.files(RESULTS):
        copy = tmp_path / path.relative_to(RESULTS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    *lines, _ = copy.read_text("utf-8").splitlines()
    copy.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(MedlibError, match="other cases"):
        explorer.read(tmp_path)


def test_only_the_page_with_an_explorer_loads_the_script(tmp_path: Path):
    pages = build(tmp_path, RESULTS)
    assert f"{explorer.SCRIPT}" in pages["index"]
    assert 'class="medlib-explorer"' in pages["index"]
    assert f"{explorer.SCRIPT}" not in pages["plain"]


def test_a_page_without_scores_says_so(tmp_path: Path):
    pages = build(tmp_path, tmp_path / "nothing")
    assert "The committed scores are not there." in pages["index"]
    assert f"{explorer.SCRIPT}" not in pages["index"]


def build(folder: Path, published: Path) -> dict[str, str]:
    return two_pages.build(folder, published, "medlib_explorer", "explorer").pages
