"""The bibliography: complete entries that say how they were checked, none of them twice."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pybtex.database import Entry, parse_file

ROOT = Path(__file__).resolve().parents[1]
BIBLIOGRAPHY = ROOT / "book" / "references.bib"
VENUES = ("journal", "booktitle", "publisher", "howpublished")
IDENTIFIERS = ("doi", "eprint", "url", "isbn")
DOI = re.compile(r"10\.\d{4,9}/\S+")
ARXIV = re.compile(r"\d{4}\.\d{4,5}")
CITED = re.compile(r"\{cite(?::[a-z]+)?\}`([^`]+)`")
ENTRIES = dict(parse_file(str(BIBLIOGRAPHY)).entries)


def problems(key: str, entry: Entry) -> list[str]:
    """Say what an entry lacks; empty for a good one."""
    fields = {name.lower(): value for name, value in entry.fields.items()}
    found = [
        name for name in ("title", "year", "checked_how", "checked_date") if name not in fields
    ]
    found += [] if entry.persons.get("author") else ["author"]
    found += [] if any(name in fields for name in VENUES) else ["venue"]
    found += [] if any(name in fields for name in IDENTIFIERS) else ["identifier"]
    if "title" not in fields.get("checked_how", "") or "author" not in fields["checked_how"]:
        found.append("checked_how names neither title nor author")
    if not re.search(rf"[a-z]{fields.get('year', '')}[a-z]", key):
        found.append("the key is not name, year, word")
    if "doi" in fields and not DOI.fullmatch(fields["doi"]):
        found.append("doi")
    if "eprint" in fields and not ARXIV.fullmatch(fields["eprint"]):
        found.append("eprint")
    if not fields.get("url", "https://").startswith("https://"):
        found.append("url")
    return found


def citations() -> Iterator[tuple[str, str]]:
    """Yield (file, key) for every citation of the book: pages, chapters, cards and claims."""
    for path in [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.md")]:
        for keys in CITED.findall(path.read_text("utf-8")):
            yield from ((path.name, key.strip()) for key in keys.split(","))
    for path in (ROOT / "data").glob("*.yml"):
        card = yaml.safe_load(path.read_text("utf-8"))
        sources = [flaw["source"] for flaw in card.get("flaws", [])]
        keys = [source for source in sources if source != "measured" and "://" not in source]
        yield from ((path.name, key) for key in [card["citation"], *keys])
    for claim in yaml.safe_load((ROOT / "book" / "claims.yml").read_text("utf-8")) or []:
        if claim.get("reference"):
            yield "claims.yml", claim["reference"]["source"]


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_complete_and_says_how_it_was_checked(key):
    assert problems(key, ENTRIES[key]) == []


def test_an_unchecked_entry_is_found():
    entry = Entry("article", fields={"title": "T", "year": "2020", "checked_how": "from memory"})
    found = problems("nobody2020thing", entry)
    assert {"author", "venue", "identifier", "checked_date"} <= set(found)
    assert "checked_how names neither title nor author" in found


def test_the_days_of_the_checks_have_come():
    days = {datetime.date.fromisoformat(e.fields["checked_date"]) for e in ENTRIES.values()}
    assert min(days) >= datetime.date(2026, 11, 23)
    assert max(days) <= datetime.date.today() + datetime.timedelta(days=1)


def test_no_work_is_listed_twice():
    for field in ("doi", "eprint"):
        values = [e.fields[field].lower() for e in ENTRIES.values() if field in e.fields]
        assert sorted(values) == sorted(set(values)), field
    works = [
        (
            entry.persons["author"][0].last_names[-1],
            re.sub(r"\W", "", entry.fields["title"]).lower(),
        )
        for entry in ENTRIES.values()
    ]
    assert sorted(works) == sorted(set(works))


def test_every_cited_key_has_an_entry():
    missing = {(file, key) for file, key in citations() if key not in ENTRIES}
    assert missing == set()


def test_every_entry_is_cited_and_there_are_many():
    assert len(ENTRIES) >= 150
    assert set(ENTRIES) - {key for _, key in citations()} == set()


def test_citations_are_found_in_pages_cards_and_claims():
    found = set(citations())
    assert ("outline.md", "long2015fcn") in found
    assert ("breastmnist.yml", "yang2023medmnist") in found
