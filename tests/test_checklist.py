"""Chapter 5.5: the filled checklist is complete, and the sentence below it counts it rightly."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "regulation.md").read_text("utf-8")
STATUSES = ("met", "partly", "no", "does not apply")
COUNT = re.compile(
    r"Of the (\d+) items, (\d+) are met, (\d+) partly, (\d+) are not met, "
    r"and (\d+) does not apply\."
)


def rows(page: str) -> list[list[str]]:
    """Return the cells of the checklist's rows, without its head."""
    table = re.search(r":name: tab-checklist\n.*?\n\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert table
    found = re.split(r"^\* - ", table[1], flags=re.MULTILINE)[2:]
    return [
        [" ".join(cell.split()) for cell in re.split(r"^  - ", row, flags=re.MULTILINE)]
        for row in found
    ]


def counted(page: str) -> list[int]:
    """Return the number of items, and how many have each status."""
    status = Counter(row[2] for row in rows(page))
    assert set(status) <= set(STATUSES)
    return [sum(status.values()), *(status[name] for name in STATUSES)]


def test_every_item_has_a_number_a_status_and_an_answer():
    found = rows(PAGE)
    assert [row[0] for row in found] == [str(number) for number in range(1, 45)]
    assert all(len(row) == 4 and row[3] for row in found)


def test_the_sentence_below_the_table_counts_it():
    stated = COUNT.search(" ".join(PAGE.split()))
    assert stated
    assert [int(number) for number in stated.groups()] == counted(PAGE)


def test_a_changed_status_is_noticed():
    other = PAGE.replace("  - goal of the study\n  - met", "  - goal of the study\n  - partly")
    assert other != PAGE
    assert counted(other) != counted(PAGE)


@pytest.mark.parametrize("word", ["not legal advice", "30 November 2026"])
def test_the_page_says_what_it_is_not_and_when_it_was_true(word):
    assert word in " ".join(PAGE.split())
