"""The book's references as plain Markdown, "(Yang et al., 2023)" with a link, for Colab."""

import re
from dataclasses import dataclass
from pathlib import Path

from pybtex.database import BibliographyData, Entry, Person, parse_file
from pybtex.richtext import Text

from medlib.errors import MedlibError


@dataclass(frozen=True)
class Citation:
    """One reference, as it is cited and as it is listed.

    Attributes
    ----------
    authors : str
        Short form: ``Yang``, ``Yang and Shi``, ``Yang et al.``
    year : str
        Year of publication, or ``n.d.`` where none is known.
    link : str
        Its DOI, else its address, else nothing.
    entry : str
        The reference in full, in Markdown.
    """

    authors: str
    year: str
    link: str
    entry: str

    def cited(self, style: str) -> str:
        """Return the citation as a link.

        Parameters
        ----------
        style : {"p", "t", "author", "year"}
            ``p`` as within parentheses (without them), ``t`` as part of a sentence.
        """
        shown = {
            "p": f"{self.authors}, {self.year}",
            "t": f"{self.authors} ({self.year})",
            "author": self.authors,
            "year": self.year,
        }[style]
        return f"[{shown}]({self.link})" if self.link else shown


class Bibliography:
    """The references of ``book/references.bib``.

    Parameters
    ----------
    path : Path
        The BibTeX file; a missing one holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = parse_file(path, bib_format="bibtex") if path.exists() else BibliographyData()
        self.entries = data.entries

    def citation(self, key: str) -> Citation:
        """Return one reference.

        Raises
        ------
        MedlibError
            For a key that the file does not have.
        """
        if key not in self.entries:
            raise MedlibError(
                f"no reference {key!r} in {self.path.name}: add it, or correct the key"
            )
        entry = self.entries[key]
        authors, year = _short(_people(entry)) or key, _field(entry, "year") or "n.d."
        return Citation(authors, year, _link(entry), _full(entry, year))


def _people(entry: Entry) -> list[Person]:
    """Return the authors of an entry, else its editors."""
    return list(entry.persons.get("author") or entry.persons.get("editor") or [])


def _plain(text: str) -> str:
    """Turn the LaTeX of a field (accents, braces, dashes) into plain text."""
    return re.sub(r"\s+", " ", str(Text.from_latex(text))).replace("--", "\N{EN DASH}").strip()


def _field(entry: Entry, name: str) -> str:
    return _plain(entry.fields.get(name, ""))


def _last(person: Person) -> str:
    """Return a person's family name with its particles, or an organisation's name."""
    return _plain(" ".join([*person.prelast_names, *person.last_names]))


def _short(people: list[Person]) -> str:
    """Name one author, two, or the first of many."""
    names = [_last(person) for person in people]
    if len(names) > 2 or "others" in names[1:]:
        return f"{names[0]} et al."
    return " and ".join(names)


def _initials(person: Person) -> str:
    given = [_plain(name) for name in [*person.first_names, *person.middle_names]]
    letters = " ".join(f"{name[0]}." for name in given if name)
    return f"{_last(person)}, {letters}" if letters else _last(person)


def _link(entry: Entry) -> str:
    """Return the most lasting address of an entry."""
    if doi := entry.fields.get("doi"):
        return f"https://doi.org/{doi.removeprefix('https://doi.org/')}".replace("\\", "")
    if url := entry.fields.get("url"):
        return url.replace("\\", "")
    eprint = entry.fields.get("eprint", "")
    is_arxiv = entry.fields.get("archiveprefix", "arXiv").lower() == "arxiv"
    return f"https://arxiv.org/abs/{eprint}" if eprint and is_arxiv else ""


def _full(entry: Entry, year: str) -> str:
    """Return the reference as one line of Markdown."""
    people = _people(entry)
    names = "; ".join(_initials(person) for person in people[:6] if _last(person) != "others")
    many = " et al." if len(people) > 6 or any(_last(p) == "others" for p in people) else ""
    venue = next(
        (v for v in (_field(entry, n) for n in ("journal", "booktitle", "publisher")) if v), ""
    )
    pieces = [f"{names}{many} ({year})", f"*{_field(entry, 'title')}*", venue, _link(entry)]
    return ". ".join(piece for piece in pieces if piece)
