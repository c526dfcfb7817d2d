"""What the title page and the description of the PDF say: from CITATION.cff, the changelog, git."""

from dataclasses import dataclass
from pathlib import Path

from book.workflow import changed, chapters, citing
from book.workflow.completed import VERSION
from medlib.yaml_text import parsed

NO_DEVICE = (
    "For learning and research. No model of this book was tested on patients, and none is a "
    "medical device."
)
LICENCE = "Text and figures under CC BY 4.0, code under BSD-3-Clause."


@dataclass(frozen=True)
class Edition:
    """One edition of the book.

    Attributes
    ----------
    title, version, authors, url, year : str
        As they are cited; the authors in one line, the address without a last slash.
    day : str
        Day of the release, or of the last change where it is not released: ``2026-11-30``. Empty
        where neither is known.
    released : bool
        Whether the changelog says when.
    licence, summary : str
        A sentence each.
    """

    title: str
    version: str
    authors: str
    url: str
    year: str
    day: str
    released: bool
    licence: str = LICENCE
    summary: str = NO_DEVICE

    @property
    def dated(self) -> str:
        """Version and day in words."""
        if self.released:
            return f"Edition {self.version}, {self.day}"
        last = f"; text of {self.day}" if self.day else ""
        return f"Edition {self.version}, not yet released{last}"

    @property
    def citation(self) -> str:
        """The book as others cite it."""
        return f"{self.authors}. {self.title}. Version {self.version}, {self.year}. {self.url}"


def edition(root: Path = chapters.ROOT) -> Edition:
    """Read which edition a checkout holds.

    Parameters
    ----------
    root : Path
        The checkout.
    """
    work = citing.work(root)
    persons = parsed((root / "CITATION.cff").read_text("utf-8"))["authors"]
    changelog = root / "CHANGELOG.md"
    notes = changelog.read_text("utf-8") if changelog.exists() else ""
    dates = {match["version"]: match["date"] for match in VERSION.finditer(notes)}
    date = dates.get(work.version, "unreleased")
    released = date != "unreleased"
    return Edition(
        title=work.title,
        version=work.version,
        authors=", ".join(map(_name, persons)),
        url=work.url,
        year=work.year,
        day=date if released else max(changed.days(root).values(), default=""),
        released=released,
    )


def _name(person: dict[str, str]) -> str:
    return person.get("name") or f"{person['given-names']} {person['family-names']}"
