"""What prose pages say of other files: counts of the bibliography, changelog, licences.

The pages hold a marker where the generated text goes when the site is staged, so that no number is
typed and nothing is written twice.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pybtex.database import Entry, parse_file

from book.workflow import chapters, kept, licences
from book.workflow.words import _

MARKER = "<!-- completed when the site is staged -->"
UNRELEASED = "unreleased"
VERSION = re.compile(r"^## \[(?P<version>[^\]]+)\] - (?P<date>\S+) *$", re.MULTILINE)


def completed(documents: Mapping[str, str], root: Path = chapters.ROOT) -> dict[str, str]:
    """Return those pages that have a marker, with what belongs there.

    Parameters
    ----------
    documents : mapping
        Text by document, such as ``book/references``.
    root : Path
        The checkout.
    """
    written: dict[str, Callable[[Path], str]] = {
        "book/references": counts,
        "book/releases": notes,
        "book/dependencies": packages,
    }
    return {
        document: documents[document].replace(MARKER, write(root))
        for document, write in written.items()
        if MARKER in documents.get(document, "")
    }


def counts(root: Path = chapters.ROOT) -> str:
    """Count the bibliography: works, identifiers, kinds of checks, days."""
    path = root / "book" / "references.bib"
    found = kept.of_file("counts/references", path, lambda: _counted(path))
    return _(
        "There are {works} works, from {first_year} to {last_year}. {doi} have a DOI, {arxiv} an "
        "arXiv number and no DOI, and {other} neither: for these the entry gives the address of "
        "the proceedings, of the publisher or of the office that issued it, or an ISBN. They were "
        "checked between {first_day} and {last_day}. For {read} of them the check names a stored "
        "copy that was read, of the work, of its first page or abstract or of a record of it; the "
        "others rest on independent citations. These numbers are counted from the bibliography "
        "each time the site is built."
    ).format(**found)


def _counted(path: Path) -> dict[str, Any]:
    """Return the numbers that `counts` puts into words."""
    entries = list(parse_file(str(path)).entries.values())
    by = Counter(_identifier(entry) for entry in entries)
    days = sorted(entry.fields["checked_date"] for entry in entries)
    years = sorted(int(entry.fields["year"]) for entry in entries)
    return {
        "works": len(entries),
        "first_year": years[0],
        "last_year": years[-1],
        "doi": by["doi"],
        "arxiv": by["arXiv"],
        "other": by["other"],
        "first_day": days[0],
        "last_day": days[-1],
        "read": sum("stored" in entry.fields["checked_how"] for entry in entries),
    }


def notes(root: Path = chapters.ROOT) -> str:
    """Return the changelog from its first version on, as sections of a page."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    first = VERSION.search(text)
    return VERSION.sub(_heading, text[first.start() :]).strip() if first else ""


def packages(root: Path = chapters.ROOT) -> str:
    """Return the table of all packages by licence."""
    return licences.table(root / licences.FILE.relative_to(chapters.ROOT))


def releases(root: Path = chapters.ROOT) -> dict[str, str]:
    """Return the day of each released version that the changelog names."""
    path = root / "CHANGELOG.md"
    text = path.read_text("utf-8") if path.exists() else ""
    return {m["version"]: m["date"] for m in VERSION.finditer(text) if m["date"] != UNRELEASED}


def _heading(match: re.Match[str]) -> str:
    date = "not yet released" if match["date"] == UNRELEASED else match["date"]
    return f"## Edition {match['version']}, {date}"


def _identifier(entry: Entry) -> str:
    return "doi" if "doi" in entry.fields else "arXiv" if "eprint" in entry.fields else "other"
