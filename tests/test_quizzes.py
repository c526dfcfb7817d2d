"""The quizzes: five questions a Part, four answers each, one right, hidden, with a link."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from myst_parser.mdit_to_docutils.base import default_slugify

from medlib.claims import read_claims

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PARTS = (1, 2, 3, 4, 5)
LETTERS = "ABCD"
ANSWER = re.compile(
    r"^:::\{admonition\} Answer (?P<number>\d)\n:class: dropdown\n(?P<text>.*?)^:::$", re.M | re.S
)
LINK = re.compile(r"\]\((?P<page>[\w./-]+)\.(?:md|ipynb)(?:#(?P<anchor>[^)]+))?\)")


@dataclass(frozen=True)
class Question:
    """One question of a page."""

    part: int
    number: int
    text: str

    @property
    def asked(self) -> str:
        """What stands before the hidden answer."""
        return self.text.partition(":::")[0]

    @property
    def answer(self) -> str:
        """What is hidden."""
        return ANSWER.search(self.text)["text"]

    @property
    def right(self) -> list[str]:
        """The letters that are called right."""
        return re.findall(r"\*\*([A-D]) is right\.\*\*", self.answer)

    def choices(self) -> dict[str, str]:
        """Return the answers to choose from, by letter."""
        found = re.findall(r"^- \*\*([A-Z])\*\* (.*?)(?=^- \*\*|\Z)", self.asked, re.M | re.S)
        return {letter: " ".join(text.split()) for letter, text in found}


def page(part: int) -> str:
    return (BOOK / f"quiz-{part}.md").read_text("utf-8")


def questions(part: int) -> list[Question]:
    pieces = re.split(r"^## Question (\d): .+$", page(part), flags=re.M)[1:]
    return [Question(part, int(n), text) for n, text in zip(pieces[::2], pieces[1::2], strict=True)]


def chapters_of(part: int) -> list[str]:
    """Return the documents of a Part, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    (entries,) = (p["chapters"] for p in toc["parts"] if p["caption"].startswith(f"Part {part} "))
    return [entry["file"] for entry in entries]


def headings(document: str) -> set[str]:
    text = (ROOT / f"{document}.md").read_text("utf-8")
    return {default_slugify(title) for title in re.findall(r"^#{1,3} +(.+?) *$", text, re.M)}


EVERY = [question for part in PARTS for question in questions(part)]
each = pytest.mark.parametrize("question", EVERY, ids=lambda q: f"{q.part}.{q.number}")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_ends_with_a_quiz_of_five_questions(part):
    assert chapters_of(part)[-1] == f"book/quiz-{part}"
    assert [question.number for question in questions(part)] == [1, 2, 3, 4, 5]
    assert "choose before you open the answer" in " ".join(page(part).lower().split())


@each
def test_four_answers_of_which_one_is_right_and_three_tempt(question):
    assert list(question.choices()) == list(LETTERS)
    assert len(set(question.choices().values())) == 4
    assert len(question.right) == 1
    others = re.findall(r"^- \*\*([A-D])\*\* tempts ", question.answer, re.M)
    assert others == [letter for letter in LETTERS if letter not in question.right]


@each
def test_the_answer_is_hidden_and_named_by_its_number(question):
    assert [int(found["number"]) for found in ANSWER.finditer(question.text)] == [question.number]
    assert not re.search(r"is right\.\*\*|\*\* tempts", question.asked)


@each
def test_the_answer_links_a_section_that_exists_in_a_chapter_of_its_part(question):
    found = [(link["page"], link["anchor"]) for link in LINK.finditer(question.answer)]
    named = [
        (name.removeprefix("../") if name.startswith("..") else f"book/{name}", anchor)
        for name, anchor in found
    ]
    assert any(document in chapters_of(question.part) for document, _ in named)
    for document, anchor in named:
        assert anchor is None or anchor in headings(document), (document, anchor)


def test_the_right_answers_stand_in_varied_places():
    right = [question.right[0] for question in EVERY]
    assert all(4 <= number <= 9 for number in Counter(right).values())
    assert all(max(Counter(q.right[0] for q in questions(p)).values()) <= 2 for p in PARTS)


@pytest.mark.parametrize("extreme", [min, max])
def test_the_length_of_an_answer_gives_nothing_away(extreme):
    lengths = [{k: len(text) for k, text in q.choices().items()} for q in EVERY]
    marked = [q.right[0] == extreme(n, key=n.get) for q, n in zip(EVERY, lengths, strict=True)]
    assert sum(marked) <= len(EVERY) / 3


@each
def test_results_are_claims_of_the_part(question):
    claims = read_claims(BOOK / "claims.yml")
    shown = re.findall(r"\{claim\}`([\w-]+)(?: value)?`", question.text)
    assert all(claims[key].chapter.startswith(f"{question.part:02d}-") for key in shown)
