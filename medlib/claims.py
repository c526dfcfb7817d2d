"""The book's claims: what ``book/claims.yml`` promises before a run, and how a value is shown."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from medlib import paths
from medlib.errors import MedlibError

KINDS = ("score", "difference", "validation", "count")
ID_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CHAPTER_PATTERN = re.compile(r"[0-9A-Za-z]{2}-[0-9]{2}-[a-z0-9]+(-[a-z0-9]+)*")


class ClaimsError(MedlibError):
    """``claims.yml`` does not follow its schema; the message names file, entry and remedy."""


@dataclass(frozen=True)
class Reference:
    """A published number that a claim is shown beside.

    Attributes
    ----------
    value : float
        The published value.
    source : str
        Key of the source in ``book/references.bib``.
    note : str
        What exactly was measured there.
    """

    value: float
    source: str
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim, as its author wrote it before the run.

    Attributes
    ----------
    id : str
        Lower-case words joined by hyphens; unique in the book.
    chapter : str
        The chapter that records it, such as ``03-05-resnet``.
    sentence : str
        What the number says, as one sentence.
    kind : {"score", "difference", "validation", "count"}
        How the value comes about; see `medlib.results.record`.
    metric : str
        Name of the metric (``auc``), or of what is counted (``parameters``).
    data : str or None
        Name of the data set; only a count may have none.
    seeds : int
        Number of seeds the claim rests on; 0 for a count.
    reference : Reference or None
        A published number beside it.
    headline : bool
        Whether the table of results on the front page shows it; for a score only.
    long : bool
        Whether it is computed from the committed long runs: no execution of the chapter moves it.
    """

    id: str
    chapter: str
    sentence: str
    kind: str
    metric: str
    data: str | None = None
    seeds: int = 0
    reference: Reference | None = None
    headline: bool = False
    long: bool = False


def read_claims(path: Path | None = None) -> Mapping[str, Claim]:
    """Read and check the claims.

    Parameters
    ----------
    path : Path, optional
        The file; the book's own ``claims.yml`` where omitted.

    Returns
    -------
    mapping of str to Claim
        The claims by id, in the order of the file.

    Raises
    ------
    ClaimsError
        Where the file is missing, is no YAML, or an entry breaks the schema: one line that names
        the file, the entry and the field.
    """
    path = path or paths.package_file("book/claims.yml")
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        raise ClaimsError(f"{path} is missing: the book's claims belong there") from None
    return _read_claims(path, changed)


def claims_of(chapter: str, path: Path | None = None) -> dict[str, Claim]:
    """Return the claims of one chapter, in the order of the file."""
    return {key: item for key, item in read_claims(path).items() if item.chapter == chapter}


def headlines(claims: Iterable[Claim], metric: str = "auc", name: str | None = None) -> list[Claim]:
    """Return the claims that the front page shows, by data set, then in the order of the book.

    Parameters
    ----------
    claims : iterable of Claim
        The claims to choose from.
    metric : str
        Name of the metric.
    name : str, optional
        One data set; all of them where omitted.
    """
    chosen = [c for c in claims if c.headline and c.metric == metric and name in (None, c.data)]
    return sorted(chosen, key=lambda claim: (claim.data or "", claim.chapter))


def format_value(value: float, interval: tuple[float, float] | list[float] | None = None) -> str:
    """Return a value as the book shows it, with its interval where there is one.

    Examples
    --------
    >>> format_value(0.8971, (0.8312, 0.9467))
    '0.897 (95 % CI 0.831 to 0.947)'
    >>> format_value(61706)
    '61,706'
    """
    if interval is None:
        return format_number(value)
    low, high = interval
    return f"{format_number(value)} (95 % CI {format_number(low)} to {format_number(high)})"


def format_number(value: float) -> str:
    """Return a number with three decimals, or whole numbers with thousands separated."""
    if isinstance(value, int) or (value.is_integer() and abs(value) >= 2):
        text = f"{int(value):,}"
    elif abs(value) >= 1000:
        text = f"{value:,.1f}"
    else:
        text = f"{value:.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.1g}"
    return text.replace("-", "\N{MINUS SIGN}")


@lru_cache(maxsize=8)
def _read_claims(path: Path, changed: int) -> Mapping[str, Claim]:
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(_entries(path), start=1):
        claim = _claim(path, number, entry)
        if claim.id in claims:
            raise ClaimsError(f"{path}: claim {claim.id!r} stands there twice: rename one")
        claims[claim.id] = claim
    return claims


def _entries(path: Path) -> list[Any]:
    import yaml

    from medlib.yaml_text import parsed

    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also no UTF-8, no such date
        raise ClaimsError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return []
    if not isinstance(content, list):
        raise ClaimsError(f"{path} must hold a list of claims, got {type(content).__name__}")
    return content


def _claim(path: Path, number: int, entry: Any) -> Claim:
    if not isinstance(entry, dict):
        raise ClaimsError(f"{path}: entry {number} must be a mapping with an id, got {entry!r}")
    where = f"{path}: claim {entry.get('id', f'number {number}')!r}"
    _check_keys(where, entry, Claim, required={"id", "chapter", "sentence", "kind", "metric"})
    claim = Claim(**{**entry, "reference": _reference(where, entry.get("reference"))})
    _check_claim(where, claim)
    return claim


def _reference(where: str, entry: Any) -> Reference | None:
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise ClaimsError(f"{where}: reference must be a mapping with value and source")
    _check_keys(f"{where}: reference", entry, Reference, required={"value", "source"})
    if isinstance(entry["value"], bool) or not isinstance(entry["value"], int | float):
        raise ClaimsError(f"{where}: reference value must be a number, got {entry['value']!r}")
    return Reference(**entry)


def _check_keys(where: str, entry: dict[str, Any], schema: type, required: set[str]) -> None:
    known = [field.name for field in fields(schema)]
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        raise ClaimsError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    missing = [name for name in known if name in required and entry.get(name) in (None, "")]
    if missing:
        raise ClaimsError(f"{where}: the field {missing[0]!r} is missing")


def _check_claim(where: str, claim: Claim) -> None:
    for name in ("id", "chapter", "sentence", "kind", "metric"):
        if not isinstance(getattr(claim, name), str):
            raise ClaimsError(f"{where}: {name} must be text, got {getattr(claim, name)!r}")
    if not ID_PATTERN.fullmatch(claim.id):
        raise ClaimsError(f"{where}: an id is made of lower-case words joined by hyphens")
    if not CHAPTER_PATTERN.fullmatch(claim.chapter):
        raise ClaimsError(f"{where}: chapter must look like 03-05-resnet, got {claim.chapter!r}")
    if claim.kind not in KINDS:
        raise ClaimsError(f"{where}: kind must be one of {', '.join(KINDS)}, got {claim.kind!r}")
    _check_scope(where, claim)


def _check_scope(where: str, claim: Claim) -> None:
    if claim.data is not None and not isinstance(claim.data, str):
        raise ClaimsError(f"{where}: data must be the name of a data set, got {claim.data!r}")
    if isinstance(claim.seeds, bool) or not isinstance(claim.seeds, int) or claim.seeds < 0:
        raise ClaimsError(f"{where}: seeds must be a whole number >= 0, got {claim.seeds!r}")
    if not isinstance(claim.headline, bool) or (claim.headline and claim.kind != "score"):
        raise ClaimsError(f"{where}: headline must be true or false, and is for a score only")
    if not isinstance(claim.long, bool) or (claim.long and claim.kind == "count"):
        raise ClaimsError(f"{where}: long must be true or false, and is not for a count")
    if claim.kind == "count":
        return
    if not claim.data:
        raise ClaimsError(f"{where}: the field 'data' is missing (only a count may have none)")
    if claim.seeds < 1:
        raise ClaimsError(f"{where}: the field 'seeds' is missing (at least 1 for a {claim.kind})")
