"""Findings of the stress tests: kept, replaced, published, shown."""

import pytest

from book.workflow import chapters, stress
from book.workflow.stress import Finding
from medlib.errors import MedlibError


def test_a_finding_replaces_the_one_of_the_same_sentence(tmp_path):
    for value in ("99 of 100", "100 of 100"):
        stress.keep(Finding("kill", "Kills survived", value, "all", value[0] == "1"), tmp_path)
    stress.keep(Finding("kill", "Files left", "0"), tmp_path)
    found = stress.read(tmp_path / "kill.json")
    assert [(each.what, each.value) for each in found] == [
        ("Kills survived", "100 of 100"),
        ("Files left", "0"),
    ]


def test_an_area_without_a_table_is_refused(tmp_path):
    with pytest.raises(MedlibError, match="no area 'kil'"):
        stress.keep(Finding("kil", "Kills survived", "1"), tmp_path)


def test_the_page_shows_a_missed_bar_and_what_was_not_measured(tmp_path):
    stress.keep(Finding("kill", "Kills survived", "99 of 100", "all", False), tmp_path)
    text = "\n".join(stress.MARKER.format(area=area) for area in ("kill", "cost"))
    shown = stress.filled({stress.DOCUMENT: text}, tmp_path)[stress.DOCUMENT]
    assert "| Kills survived | 99 of 100 | all | **no** |" in shown
    assert "Not measured in this edition" in shown


def test_publishing_keeps_what_was_not_measured_again(tmp_path):
    old, new = tmp_path / "published", tmp_path / "run"
    stress.keep(Finding("kill", "Files left", "0"), old)
    stress.keep(Finding("kill", "Kills survived", "100 of 100"), new)
    assert stress.publish(new, old) == ["kill"]
    assert [each.what for each in stress.read(old / "kill.json")] == [
        "Files left",
        "Kills survived",
    ]


def test_every_area_has_its_place_on_the_page():
    text = (chapters.ROOT / f"{stress.DOCUMENT}.md").read_text("utf-8")
    for area in stress.AREAS:
        assert text.count(stress.MARKER.format(area=area)) == 1
