"""What a Colab copy needs of the whole book: addresses, titles, labels, published values."""

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from book.workflow import chapters
from book.workflow.bibliography import Bibliography
from medlib.claims import Claim, read_claims
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

EDITIONS = ("cpu", "long", "gpu")
NAMES = {"figure": "Fig."}


@dataclass(frozen=True)
class Target:
    """Something that a label points to.

    Attributes
    ----------
    document : str
        The page it stands on, such as ``notebooks/03-05-resnet``.
    kind : str
        ``section``, ``figure``, ``table``, ``listing``, ``equation``, ``exercise`` or the like.
    number : str
        Counted for each kind from the top of its page, behind the page's own number, as on the
        site: ``3.5.1``. A section has none.
    title : str
        Heading or caption.
    """

    document: str
    kind: str
    number: str = ""
    title: str = ""

    @property
    def name(self) -> str:
        """What a reader calls it: ``Fig. 3.5.1``, ``(3.5.1)``, or a section's heading."""
        if self.kind == "section":
            return self.title
        if self.kind == "equation":
            return f"({self.number})"
        return f"{NAMES.get(self.kind, self.kind.capitalize())} {self.number}"


@dataclass
class Compendium:
    """The book around a chapter.

    Attributes
    ----------
    title : str
        The book's title.
    repository, branch, site : str
        Where sources and pages lie.
    bibliography : Bibliography
        The references.
    titles : dict of str to str
        Titles of the pages by document, the numbered ones with their number.
    promised : mapping of str to Claim
        The claims as ``book/claims.yml`` states them.
    claims, measured : dict
        Published entries: claims by id, measured times and memory by (chapter, key).
    labels : dict of str to Target
        Filled while the sources are read a first time.
    complete : bool
        Whether `labels` is filled: before that, references show nothing.
    """

    title: str
    repository: str
    branch: str
    site: str
    bibliography: Bibliography
    titles: dict[str, str]
    promised: Mapping[str, Claim]
    claims: dict[str, dict[str, Any]]
    measured: dict[tuple[str, str], dict[str, Any]]
    labels: dict[str, Target] = field(default_factory=dict)
    complete: bool = False

    def page(self, document: str, anchor: str = "") -> str:
        """Return the address of a page of the published site."""
        return f"{self.site}/{document}.html{f'#{anchor}' if anchor else ''}"

    def raw(self, path: str, document: str) -> str:
        """Return the address of a file of the repository that a page names by a relative path."""
        if re.match(r"[a-z]+:", path):
            return path
        return f"{self.repository}/raw/{self.branch}/{resolve(path, document)}"

    def target(self, label: str) -> Target:
        """Return what a label points to.

        Raises
        ------
        MedlibError
            For a label that no source defines.
        """
        if label in self.labels:
            return self.labels[label]
        if not self.complete:
            return Target("", "section", title=label)
        raise MedlibError(f"no source defines the label {label!r}: correct it, or write ({label})=")

    def document(self, target: str, document: str) -> str:
        """Return the document that a link on a page names, relative or from the root.

        Raises
        ------
        MedlibError
            Where there is no such page.
        """
        found = re.sub(r"\.(md|ipynb)$", "", resolve(target, document))
        if found not in self.titles:
            raise MedlibError(f"no page {target!r} (looked for {found}): correct the link")
        return found

    def place(self, document: str) -> str:
        """Name a page in a sentence: ``chapter 3.5``, ``appendix A``, or its title."""
        number = chapters.document_number(document)
        if number is None:
            return self.titles.get(document, document)
        return f"chapter {number}" if number[0].isdigit() else f"appendix {number}"


def read(root: Path = chapters.ROOT, repository: str | None = None) -> Compendium:
    """Read what a checkout says of the book.

    Parameters
    ----------
    root : Path
        The checkout.
    repository : str, optional
        Address to write into the copies; that of ``_config.yml`` where omitted.
    """
    config = parsed((root / "_config.yml").read_text(encoding="utf-8"))
    repository = repository or chapters.repository_url(root, environment=False)
    claims, measured = _published(root / "results")
    return Compendium(
        title=config["title"],
        repository=repository,
        branch=chapters.branch(root),
        site=chapters.site_url(repository),
        bibliography=Bibliography(root / "book" / "references.bib"),
        titles=dict(_titles(root)),
        promised=read_claims(root / "book" / "claims.yml"),
        claims=claims,
        measured=measured,
    )


def resolve(path: str, document: str) -> str:
    """Return a path from the root of the book for one that is written on a page."""
    if path.startswith("/"):
        return path.removeprefix("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), path))


def _titles(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (document, title) of every page: those of the contents, the prose, the chapters."""
    for document in chapters.contents(root):
        yield document, document.rsplit("/", 1)[-1].replace("-", " ").capitalize()
    for path in sorted((root / "book").glob("*.md")):
        yield f"book/{path.stem}", chapters.title_of(path)
    for chapter in chapters.chapters(root):
        yield chapter.document, chapter.label


def _published(results: Path) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    """Read the published claims and measurements; the first edition that has one gives it."""
    claims: dict[str, Any] = {}
    measured: dict[tuple[str, str], Any] = {}
    for edition in EDITIONS:
        for path in sorted((results / edition).glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            for key, entry in content.get("claims", {}).items():
                claims.setdefault(key, entry)
            for key, entry in content.get("measured", {}).items():
                measured.setdefault((path.stem, key), entry)
    return claims, measured
