"""Clinical tasks and their public data sets: what is asked, of which images, what a mistake costs.

Two files hold them, ``data/tasks/tasks.yml`` and ``data/tasks/sets.yml``; this module reads and
checks both. A set that has a data card (`medlib.data.cards`) names it, and what the card knows is
taken from there.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from medlib import paths
from medlib.data.cards import TASKS, Card, cards
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

ASKS = ("disease", "region", "severity")
LABELS = (*TASKS, "boxes", "outlines", "signal")
FAMILIES = (
    "tissue section",
    "blood smear",
    "ultrasound",
    "X-ray",
    "CT",
    "photograph",
    "OCT",
    "ECG",
    "table",
)
LINKS = ("archive", "challenge", "repository", "agreement", "paper")
FROM_CARD = ("name", "title", "modality", "label", "size", "licence", "paper", "link", "at_least")

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class ClinicalTask:
    """One task of the outline, as the book reads it.

    Attributes
    ----------
    name : str
        Short name.
    outline : str or None
        The outline's own words, in Chinese; None for a task that the book added.
    english : str
        Their translation.
    reading : str
        How the book reads them.
    asks : tuple of str
        What an answer is about: some of `ASKS`.
    unit : str
        What one answer is given for, such as ``"eye"``.
    missed, alarm : str
        What a false negative and a false positive cost, in plain words.
    sources : tuple of str
        Keys in ``book/references.bib`` for the facts in `missed` and `alarm`.
    gap : str
        What the public data lack; empty where nothing is missing.
    """

    name: str
    outline: str | None
    english: str
    reading: str
    asks: tuple[str, ...]
    unit: str
    missed: str
    alarm: str
    sources: tuple[str, ...] = ()
    gap: str = ""


@dataclass(frozen=True)
class PublicSet:
    """One public data set.

    Attributes
    ----------
    name, title : str
        Short name, and the name as its authors write it.
    task : str
        Name of the `ClinicalTask` it serves.
    family, modality : str
        Kind of image, one of `FAMILIES`, and the same in words.
    label : str
        Label type, one of `LABELS`.
    size : int
        How many units it has, as the paper says.
    unit : str
        What is counted, in the plural: ``"images"``, ``"slides"`` ...
    licence : mapping
        ``name``, and ``read``: whether the terms were read on the set's own page.
    paper : str
        Key in ``book/references.bib``.
    link : mapping
        ``kind``, one of `LINKS`, and ``url``.
    patients : int or None
        Number of patients, where the source gives it.
    at_least : bool
        Whether the source gives a lower bound instead of a size.
    card : str or None
        Name of the data card, for a set that this library can load.
    made_from : str or None
        Key of the source that a derived set was made from.
    note : str
        What a user must know.
    """

    name: str
    title: str
    task: str
    family: str
    modality: str
    label: str
    size: int
    unit: str
    licence: Mapping[str, Any]
    paper: str
    link: Mapping[str, str]
    patients: int | None = None
    at_least: bool = False
    card: str | None = None
    made_from: str | None = None
    note: str = ""

    @property
    def year(self) -> int:
        """Year of the paper, which its key carries."""
        return int(re.search(r"\d{4}", self.paper).group())

    @property
    def held(self) -> bool:
        """Whether this library can load the set."""
        return self.card is not None

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys in the bibliography that the set rests on."""
        return (self.paper, self.made_from) if self.made_from else (self.paper,)


def clinical_tasks() -> dict[str, ClinicalTask]:
    """Return all clinical tasks by name, in the order of the file.

    Raises
    ------
    MedlibError
        Where the file is missing or not as described; the message names file and entry.
    """
    return dict(_tasks_of(paths.package_file("data/tasks/tasks.yml")))


def public_sets() -> dict[str, PublicSet]:
    """Return all public data sets by name, in the order of the file.

    Raises
    ------
    MedlibError
        Where the file is missing or not as described; the message names file and entry.
    """
    return dict(_sets_of(paths.package_file("data/tasks/sets.yml")))


def read_tasks(path: Path) -> dict[str, ClinicalTask]:
    """Read a file of clinical tasks and check it.

    Raises
    ------
    MedlibError
        Where an entry is incomplete or contradicts the schema.
    """
    found = {}
    for entry in _entries(path):
        task = _made(ClinicalTask, entry, path)
        _refuse(path, task.name, _task_faults(task, found))
        found[task.name] = task
    return found


def read_sets(path: Path, tasks: Mapping[str, ClinicalTask]) -> dict[str, PublicSet]:
    """Read a file of public data sets and check it against the tasks and the data cards.

    Parameters
    ----------
    path : Path
        The file.
    tasks : mapping of str to ClinicalTask
        The tasks that a set may serve.

    Raises
    ------
    MedlibError
        Where an entry is incomplete, contradicts the schema, or types what its card knows.
    """
    found = {}
    for entry in _entries(path):
        one = _made(PublicSet, _with_card(entry, path), path)
        _refuse(path, one.name, _set_faults(one, tasks, found))
        found[one.name] = one
    return found


@cache
def _tasks_of(path: Path) -> dict[str, ClinicalTask]:
    return read_tasks(path)


@cache
def _sets_of(path: Path) -> dict[str, PublicSet]:
    return read_sets(path, clinical_tasks())


def _entries(path: Path) -> list[dict[str, Any]]:
    """Read the list of entries that a file holds."""
    try:
        entries = parsed(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise MedlibError(f"{path} cannot be read: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise MedlibError(f"{path}: expected a list of entries, each with names and values")
    return entries


def _with_card(entry: dict[str, Any], path: Path) -> dict[str, Any]:
    """Fill in what the entry's data card knows, and refuse an entry that types it again."""
    if "card" not in entry:
        return entry
    name, known = entry["card"], cards()
    if name not in known:
        raise MedlibError(f"{path}, card {name!r}: no such data card; choose one of {list(known)}")
    twice = [key for key in FROM_CARD if key in entry]
    if twice:
        raise MedlibError(f"{path}, card {name!r}: leave out {', '.join(twice)}; the card says it")
    return {**_from_card(known[name]), **entry}


def _from_card(card: Card) -> dict[str, Any]:
    origin = card.origins[0]["url"]
    return {
        "name": card.name,
        "title": card.title,
        "modality": card.modality,
        "label": card.task,
        "size": sum(card.counts.values()),
        "licence": {"name": card.licence["name"], "read": card.licence["read"]},
        "paper": card.citation,
        "link": {"kind": "archive", "url": origin},
    }


def _made(kind: type[Entry], entry: Mapping[str, Any], path: Path) -> Entry:
    """Build an entry, and name what is unknown or missing."""
    known = {each.name: each.default is MISSING for each in fields(kind)}
    name = entry.get("name", "without a name")
    unknown = sorted(set(entry) - set(known))
    absent = [key for key, needed in known.items() if needed and key not in entry]
    faults = [f"unknown entry {key!r}" for key in unknown] + [f"no {key!r}" for key in absent]
    _refuse(path, name, faults)
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})


def _task_faults(task: ClinicalTask, before: Mapping[str, ClinicalTask]) -> list[str]:
    faults = [f"asks {each!r}, expected one of {ASKS}" for each in task.asks if each not in ASKS]
    faults += ["listed twice"] if task.name in before else []
    faults += [
        f"{key!r} is empty"
        for key in ("english", "reading", "asks", "unit", "missed", "alarm")
        if not getattr(task, key)
    ]
    return faults


def _set_faults(
    one: PublicSet, tasks: Mapping[str, ClinicalTask], before: Mapping[str, PublicSet]
) -> list[str]:
    """Say what is wrong with a set; empty for a good one."""
    choices = {"task": tuple(tasks), "family": FAMILIES, "label": LABELS}
    faults = [
        f"{key} is {getattr(one, key)!r}, expected one of {known}"
        for key, known in choices.items()
        if getattr(one, key) not in known
    ]
    faults += ["listed twice"] if one.name in before else []
    faults += [
        f"{key} is {number!r}, expected a whole number above 0"
        for key, number in (("size", one.size), ("patients", one.patients or 1))
        if not isinstance(number, int) or number < 1
    ]
    faults += [f"paper {key!r} has no year" for key in one.keys if not re.search(r"\d{4}", key)]
    return faults + _mapping_faults(one)


def _mapping_faults(one: PublicSet) -> list[str]:
    """Check the licence and the link."""
    faults = []
    if set(one.licence) != {"name", "read"} or not isinstance(one.licence.get("read"), bool):
        faults.append("licence needs 'name' and 'read', the latter true or false")
    if set(one.link) != {"kind", "url"} or one.link.get("kind") not in LINKS:
        faults.append(f"link needs 'url' and 'kind', one of {LINKS}")
    elif not one.link["url"].startswith("https://"):
        faults.append(f"link is {one.link['url']!r}, expected an https address")
    return faults


def _refuse(path: Path, name: str, faults: list[str]) -> None:
    if faults:
        raise MedlibError(f"{path}, entry {name!r}: {'; '.join(faults)}")
