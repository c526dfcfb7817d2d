"""The explorer in a browser: each number it shows against medlib's, ties and ends included."""

from pathlib import Path

import numpy as np
import pytest
from site_visit import NARROW, TOO_WIDE, pages, violations

from book._ext import medlib_explorer as explorer
from medlib import metrics
from medlib.evaluate import Scores
from medlib.intervals import Interval
from medlib.thresholds import OperatingPoint, operating_points
from medlib.trust import reliability_curve

pytestmark = pytest.mark.site
ROOT = Path(__file__).resolve().parents[2]
TOP = 1.001
NUMBERS = """() => Object.fromEntries(
  [...document.querySelectorAll(".explorer-numbers [data-number]")]
    .map((row) => [row.dataset.number, [...row.cells].slice(1).map((c) => c.textContent)]))"""
COUNTS = """() => Object.fromEntries(
  [...document.querySelectorAll(".explorer-matrix [data-count]")]
    .map((cell) => [cell.dataset.count, Number(cell.textContent)]))"""
FLIPS = """() => [...document.querySelectorAll(".explorer-flips p")]
  .flatMap((line) => line.textContent.split("test images ")[1].match(/\\d+/g).map(Number))"""
# The label of the last picture, and whether its sheet holds an image of that size.
PICTURED = """async () => {
  const last = [...document.querySelectorAll(".explorer-picture")].at(-1);
  if (!last) return null;
  const sheet = new Image();
  sheet.src = getComputedStyle(last).backgroundImage.slice(5, -2);
  await sheet.decode();
  return [last.getAttribute("aria-label"), sheet.naturalWidth % 28, sheet.naturalHeight % 28];
}"""


@pytest.fixture(scope="module")
def scores() -> list[tuple[explorer.Task, Scores]]:
    """What each option of the page stands for."""
    found = explorer.read(ROOT / "results")
    return [(task, each) for task, many in found.items() for each in many]


@pytest.fixture
def name(site: Path) -> str:
    """Return the page with the explorer, or skip."""
    for each in pages():
        if f'class="{explorer.MARK}"' in (site / each).read_text(encoding="utf-8"):
            return each
    pytest.skip("no page holds an explorer")


def choose(page, option: int) -> None:
    page.locator(f".{explorer.MARK} select").select_option(str(option))


def set_threshold(page, value: float) -> None:
    page.locator(".explorer-live [name=threshold]").fill(repr(value))


def cuts(score: np.ndarray) -> list[float]:
    """Return thresholds to try: both ends, a place between, and scores of cases (ties first)."""
    seen, times = np.unique(score, return_counts=True)
    tied = seen[times.argmax()]
    return [0.0, 0.5, *map(float, (tied, seen[0], seen[-1], seen[len(seen) // 3])), 1.0, TOP]


def written(value: float) -> str:
    return "not defined" if np.isnan(value) else explorer.rounded(value)


def row(found: Interval, counts: str = "\N{EN DASH}") -> list[str]:
    if np.isnan(found.value):
        return ["not defined", "\N{EN DASH}", counts]
    ends = " to ".join(map(explorer.rounded, (found.low, found.high)))
    return [explorer.rounded(found.value), ends, counts]


def expected(point: OperatingPoint, prevalence: float) -> dict[str, list[str]]:
    """Return the rows that depend on the threshold."""
    tp, fn = point.true_positive, point.false_negative
    fp, tn = point.false_positive, point.true_negative
    return {
        "sensitivity": row(point.sensitivity, f"{tp} of {tp + fn}"),
        "specificity": row(point.specificity, f"{tn} of {fp + tn}"),
        "ppv": row(point.ppv, f"{tp} of {tp + fp}" if tp + fp else "\N{EN DASH}"),
        "npv": row(point.npv, f"{tn} of {tn + fn}" if tn + fn else "\N{EN DASH}"),
        "ppv-at": row(point.ppv_at(prevalence)),
        "npv-at": row(point.npv_at(prevalence)),
    }


def test_every_number_is_that_of_medlib(page, address: str, name: str, scores):
    page.goto(address + name)
    assert page.locator(f".{explorer.MARK} option").count() == len(scores)
    for option, (task, each) in enumerate(scores):
        choose(page, option)
        score = each.probabilities[:, task.positive]
        for cut in cuts(score):
            set_threshold(page, cut)
            (point,) = operating_points(
                each.labels, each.probabilities, cut, positive=task.positive
            )
            shown = page.evaluate(NUMBERS)
            wanted = expected(point, 0.05)
            assert {key: shown[key] for key in wanted} == wanted, (option, cut)
            assert page.evaluate(COUNTS) == {
                "tp": point.true_positive, "fn": point.false_negative,
                "fp": point.false_positive, "tn": point.true_negative,
            }  # fmt: skip


def test_the_numbers_of_the_whole_curve_are_those_of_medlib(page, address: str, name: str, scores):
    page.goto(address + name)
    for option, (task, each) in enumerate(scores):
        choose(page, option)
        truth = (each.labels == task.positive).astype(int)[:, None]
        score = each.probabilities[:, [task.positive]]
        curve = reliability_curve(each.labels, each.probabilities, positive=task.positive)
        values = {
            "auc": metrics.auc(truth, score),
            "ap": metrics.average_precision(truth, score),
            "gap": curve.expected_error,
        }
        shown = page.evaluate(NUMBERS)
        assert {key: shown[key][0] for key in values} == {k: written(v) for k, v in values.items()}
        assert page.locator(".explorer-bin").count() == len(curve.count)


def test_at_one_half_accuracy_is_the_metric(page, address: str, name: str, scores):
    page.goto(address + name)
    for option, (_, each) in enumerate(scores):
        choose(page, option)
        tied = (each.probabilities[:, 0] == each.probabilities[:, 1]).any()
        if not tied:  # the usual decision takes the first class there
            assert page.evaluate(NUMBERS)["accuracy"][0] == written(each.value("accuracy"))


def test_another_prevalence_changes_the_predictive_values(page, address: str, name: str, scores):
    page.goto(address + name)
    task, each = scores[0]
    (point,) = operating_points(each.labels, each.probabilities, 0.5, positive=task.positive)
    before = page.evaluate(NUMBERS)
    page.locator("[name=prevalence]").fill("0.7")
    after = page.evaluate(NUMBERS)
    assert after["ppv-at"] == row(point.ppv_at(0.007))
    assert after["npv-at"] == row(point.npv_at(0.007))
    assert after["ppv"] == before["ppv"]


@pytest.mark.parametrize("option", [0, 3])
def test_the_cases_that_change_side_are_listed(page, address: str, name: str, scores, option: int):
    page.goto(address + name)
    choose(page, option)
    task, each = scores[option]
    score = each.probabilities[:, task.positive]
    low, high = np.unique(score)[[10, 15]].tolist()  # scores of cases: the lower one has flipped
    set_threshold(page, low)
    page.locator("[name=keep]").click()
    assert page.evaluate(FLIPS) == []
    set_threshold(page, high)
    wanted = each.index[(score >= low) & (score < high)]
    assert sorted(page.evaluate(FLIPS)) == sorted(wanted.tolist())
    pictured = page.evaluate(PICTURED)  # there are none where the site was built without data
    assert pictured in (None, [f"test image {page.evaluate(FLIPS)[-1]}", 0, 0])
    assert f"{len(wanted)} of {len(score)}" in page.locator(".explorer-change").inner_text()


@pytest.mark.parametrize(("button", "key"), [("down", "Enter"), ("up", "Space")])
def test_a_press_moves_to_where_a_case_changes_side(page, address: str, name: str, button, key):
    page.goto(address + name)
    choose(page, 3)  # nearest neighbours: many equal scores
    for _ in range(3):
        before = page.evaluate(COUNTS)
        page.locator(f"[name={button}]").press(key)
        after = page.evaluate(COUNTS)
        called = after["tp"] + after["fp"] - before["tp"] - before["fp"]
        assert called > 0 if button == "down" else called < 0


def test_the_slider_obeys_the_keyboard_and_says_its_value(page, address: str, name: str):
    page.goto(address + name)
    slider = page.locator(".explorer-live [type=range]")
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "0.501"
    assert page.locator("[name=threshold]").input_value() == "0.501"
    slider.press("End")
    assert page.evaluate(COUNTS)["tp"] == 0
    slider.press("Home")
    assert page.evaluate(COUNTS)["fn"] == 0
    status = page.locator(".explorer-live [role=status]")
    status.filter(has_text="At a threshold of 0.000").wait_for(state="attached", timeout=5000)


def test_what_is_no_threshold_changes_nothing_and_is_marked(page, address: str, name: str):
    page.goto(address + name)
    field = page.locator("[name=threshold]")
    before = page.evaluate(NUMBERS)
    field.fill("7")
    assert field.get_attribute("aria-invalid") == "true"
    assert page.evaluate(NUMBERS) == before
    field.blur()
    assert (field.input_value(), field.get_attribute("aria-invalid")) == ("0.5", "false")


def test_the_explorer_is_accessible_and_fits_a_phone(page, address: str, name: str):
    page.goto(address + name)
    set_threshold(page, 0.1)
    page.locator(f".{explorer.MARK} summary").click()
    assert violations(page, f".{explorer.MARK}") == []
    page.set_viewport_size(NARROW)
    assert page.evaluate(TOO_WIDE) == []


def test_without_scripts_the_table_stands_open(browser, address: str, name: str):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + name)
    assert page.locator(f".{explorer.MARK} tbody tr").first.is_visible()
    assert page.locator(f".{explorer.MARK} input").count() == 0
    context.close()
