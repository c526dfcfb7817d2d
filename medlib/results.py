"""The results of a run: claims with their values, measured times, and each look at the test split.

A chapter writes one JSON file, ``_build/<profile>/results/<chapter>.json``. Every change rewrites
it in one atomic step, so that a stopped run leaves a whole file. Times and memory stay apart from
the claims under ``measured``: two runs are never compared by them.
"""

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlib import paths, run
from medlib.claims import Claim, read_claims
from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.evaluate import Scores
    from medlib.run import Run

SCHEMA = 1


@dataclass(frozen=True)
class Recorded:
    """What `record` wrote for a claim.

    Attributes
    ----------
    value : float
        The claim's value: a mean over seeds, or an exact count.
    interval : tuple of float or None
        The 95 % interval; None for a count, and where one seed gives none.
    values : tuple of float
        One value a seed.
    """

    value: float
    interval: tuple[float, float] | None
    values: tuple[float, ...]

    def __str__(self) -> str:
        from medlib.claims import format_value

        return format_value(self.value, self.interval)


LONG_SCORES = "long/"  # begins the name of a score file that lies with the long runs


def record(
    claim_id: str,
    *,
    scores: "Sequence[Scores] | Scores | None" = None,
    minus: "Sequence[Scores] | Scores | None" = None,
    values: Sequence[float] | None = None,
    value: float | None = None,
) -> Recorded:
    """Write the value of a claim into the results of the open run.

    Parameters
    ----------
    claim_id : str
        Id of the claim in ``book/claims.yml``, as a literal: a lint matches the two.
    scores : sequence of Scores, or of Cases
        For the kinds ``score`` and ``difference``: one a seed. `Cases`, the masks that
        `evaluate_masks_once` judged, have metrics of their own, such as ``lesion_dice``.
    minus : sequence of Scores, or of Cases
        For ``difference``: the scores to subtract, one a seed or a single one.
    values : sequence of float
        For ``validation``: one value a seed.
    value : float
        For ``count``: a number that no seed changes, such as a number of parameters.

    Returns
    -------
    Recorded
        The value with its interval.

    Raises
    ------
    MedlibError
        Where the claim is unknown, belongs to another chapter, was recorded already, or is of a
        kind that needs other arguments.
    """
    active = run.current()
    claim = _claim_of(active, claim_id)
    given = {"scores": scores, "minus": minus, "values": values, "value": value}
    _check_arguments(claim, {name for name, item in given.items() if item is not None})
    make = {"score": _score, "difference": _difference, "validation": _validation, "count": _count}
    entry = {"kind": claim.kind, "metric": claim.metric, "data": claim.data}
    entry |= make[claim.kind](active, claim, **given)
    entry |= _long_entry(claim, entry)
    _update(active, lambda document: _add_claim(document, claim_id, entry))
    return Recorded(entry["value"], _pair(entry["interval"]), tuple(entry["values"]))


def measure(key: str, value: float, *, unit: str) -> None:
    """Write a measured time or memory into the results of the open run.

    Parameters
    ----------
    key : str
        Name of the measurement, unique in its chapter, such as ``"seconds-training-resnet"``.
    value : float
        The number; it must be finite.
    unit : str
        Its unit, such as ``"s"`` or ``"MB"``.
    """
    entry = {"value": _finite(f"measured {key!r}", value), "unit": unit}
    _update(run.current(), lambda document: document["measured"].update({key: entry}))


def log_access(
    *,
    model_id: str,
    data: str,
    seed: int,
    variant: str = "",
    door: str = "once",
    reason: str | None = None,
) -> None:
    """Write one look at a test split into the results of the open run.

    Parameters
    ----------
    model_id, data, seed, variant
        The key under which the split was used.
    door : {"once", "folds", "audit"}
        `evaluate_once`, `evaluate_folds` or `evaluate_audit`.
    reason : str, optional
        Why an audit looked; needed for the door ``audit``.
    """
    if door not in {"once", "folds", "audit"}:
        raise MedlibError(f"a test split has the doors 'once', 'folds' and 'audit', got {door!r}")
    if door == "audit" and not (reason or "").strip():
        raise MedlibError("an audit of the test split needs a reason: evaluate_audit(reason=...)")
    entry = dict(
        model_id=model_id, data=data, seed=int(seed), variant=variant, door=door, reason=reason
    )
    _update(run.current(), lambda document: _add_access(document["accesses"], entry))


def open_results(active: "Run") -> Path:
    """Begin a fresh results file for a run and return its path."""
    path = results_file(active)
    document = {
        "schema": SCHEMA,
        "chapter": active.chapter,
        "profile": active.profile.name,
        "synthetic": active.synthetic,
        "claims": {},
        "measured": {},
        "accesses": [],
    }
    write_json(path, document)
    return path


def results_file(active: "Run") -> Path:
    """Return where a run writes its results."""
    return active.build / "results" / f"{active.chapter}.json"


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object, or return None where there is no such file.

    Raises
    ------
    MedlibError
        Where the file is there but cannot be read as a JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise MedlibError(f"cannot read {path}: {error}; remove it and run again") from error
    if not isinstance(document, dict):
        raise MedlibError(f"{path} holds no JSON object; remove it and run again")
    return document


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object in one atomic step: same content, same bytes."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one atomic step; a stopped or failed write leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV in one atomic step; the first row is the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Read all results files of a folder.

    Parameters
    ----------
    folder : Path
        ``_build/<profile>/results`` or ``results/<profile>``; it need not exist.

    Returns
    -------
    dict of str to dict
        The documents by chapter, in the order of the chapters' names.
    """
    documents = (read_json(path) for path in sorted(folder.glob("*.json")))
    return {item["chapter"]: item for item in documents if item and "chapter" in item}


def published_dir(profile: str) -> Path:
    """Return the folder of the published edition, ``results/<profile>``; it need not exist."""
    return paths.package_file("results") / profile


def score_path(folder: Path, name: str, long: Path | None = None) -> Path:
    """Return the score file that a claim names.

    Parameters
    ----------
    folder : Path
        Where the score files of the claim's chapter lie.
    name : str
        As `record` wrote it.
    long : Path, optional
        The edition of the long runs; ``results/long`` where omitted.
    """
    if not name.startswith(LONG_SCORES):
        return folder / name
    return (long or published_dir("long")) / "scores" / name.removeprefix(LONG_SCORES)


def score_values(scores: "Sequence[Scores]", metric: str) -> list[float]:
    """Return the metric of each scored seed."""
    return [_finite(f"{metric} of {item.model_id}", item.value(metric)) for item in scores]


def difference_values(
    scores: "Sequence[Scores]", minus: "Sequence[Scores]", metric: str
) -> list[float]:
    """Return the metric's difference of each seed; a single subtrahend serves all seeds."""
    left, right = score_values(scores, metric), score_values(minus, metric)
    if len(right) not in {1, len(left)}:
        raise MedlibError(
            f"a difference needs as many scores on both sides, or one to subtract: "
            f"got {len(left)} and {len(right)}"
        )
    right = right * len(left) if len(right) == 1 else right
    return [a - b for a, b in zip(left, right, strict=True)]


def score_interval(scores: "Sequence[Scores]", metric: str, resamples: int) -> list[float]:
    """Return the 95 % bootstrap interval of a mean over seeds (seeds and cases resampled)."""
    from medlib import intervals

    found = intervals.bootstrap(list(scores), metric, resamples)
    return [float(found.low), float(found.high)]


def difference_interval(
    scores: "Sequence[Scores]", minus: "Sequence[Scores]", metric: str, resamples: int
) -> list[float]:
    """Return the 95 % bootstrap interval of a paired difference."""
    from medlib import intervals

    found = intervals.paired_difference(list(scores), list(minus), metric, resamples)
    return [float(found.low), float(found.high)]


def t_interval(values: Sequence[float], level: float = 0.95) -> list[float] | None:
    """Return the t interval of the mean of `values`; None for fewer than two."""
    import numpy as np
    from scipy import stats

    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values))
    return [mean - half, mean + half]


def _within_range(interval: list[float] | None, metric: str) -> list[float] | None:
    """Cut an interval at the ends of the metric's range: no accuracy exceeds one."""
    from medlib.cases import CASE_RANGES
    from medlib.metrics import RANGES

    low, high = (RANGES | CASE_RANGES).get(metric, (-math.inf, math.inf))
    return [min(max(end, low), high) for end in interval] if interval else None


def _claim_of(active: "Run", claim_id: str) -> Claim:
    claims = read_claims()
    if claim_id not in claims:
        raise MedlibError(f"no claim {claim_id!r} in book/claims.yml: write it there first")
    claim = claims[claim_id]
    if claim.chapter != active.chapter:
        raise MedlibError(
            f"claim {claim_id!r} belongs to chapter {claim.chapter}, not to {active.chapter}"
        )
    return claim


ARGUMENTS = {
    "score": {"scores"},
    "difference": {"scores", "minus"},
    "validation": {"values"},
    "count": {"value"},
}


def _check_arguments(claim: Claim, given: set[str]) -> None:
    expected = ARGUMENTS[claim.kind]
    if given != expected:
        raise MedlibError(
            f"claim {claim.id!r} is of kind {claim.kind}: record it with "
            f"{' and '.join(f'{name}=' for name in sorted(expected, reverse=True))}, "
            f"not with {', '.join(f'{name}=' for name in sorted(given)) or 'nothing'}"
        )


def _score(active: "Run", claim: Claim, *, scores: Any, **_: Any) -> dict[str, Any]:
    stored = _stored(scores)
    values = score_values(stored, claim.metric)
    interval = score_interval(stored, claim.metric, active.profile.bootstrap)
    return _scored_entry(active, stored, [], values, interval)


def _difference(
    active: "Run", claim: Claim, *, scores: Any, minus: Any, **_: Any
) -> dict[str, Any]:
    left, right = _stored(scores), _stored(minus)
    values = difference_values(left, right, claim.metric)
    interval = difference_interval(left, right, claim.metric, active.profile.bootstrap)
    return _scored_entry(active, left, right, values, interval)


def _validation(active: "Run", claim: Claim, *, values: Any, **_: Any) -> dict[str, Any]:
    numbers = [_finite(f"claim {claim.id!r}", item) for item in values]
    if not numbers:
        raise MedlibError(f"claim {claim.id!r} needs at least one value, one a seed")
    seeds = list(range(active.seeds[0], active.seeds[0] + len(numbers)))
    entry = _entry(numbers, _within_range(t_interval(numbers), claim.metric), seeds)
    return entry | {"synthetic": _is_synthetic(active, claim)}


def _count(active: "Run", claim: Claim, *, value: Any, **_: Any) -> dict[str, Any]:
    number = _finite(f"claim {claim.id!r}", value)
    entry = _entry([int(number) if number.is_integer() else number], None, [])
    return entry | {"synthetic": bool(claim.data) and _is_synthetic(active, claim)}


def _scored_entry(
    active: "Run",
    scores: "Sequence[Scores]",
    minus: "Sequence[Scores]",
    values: list[float],
    interval: list[float],
) -> dict[str, Any]:
    return _entry(values, interval, [int(item.seed) for item in scores]) | {
        "n": len(scores[0].labels),
        "resamples": active.profile.bootstrap,
        "scores": [_file_name(item) for item in scores],
        "minus": [_file_name(item) for item in minus],
        "synthetic": any(item.synthetic for item in (*scores, *minus)),
    }


def _entry(values: list[float], interval: list[float] | None, seeds: list[int]) -> dict[str, Any]:
    value = values[0] if len(values) == 1 else math.fsum(values) / len(values)
    return {"value": value, "interval": interval, "values": values, "seeds": seeds}


def _stored(scores: "Sequence[Scores] | Scores") -> "list[Scores]":
    """Read the scores back from their files: only then does re-scoring give the very same value."""
    from medlib.cases import Cases
    from medlib.evaluate import Scores, read_scores

    items = [scores] if isinstance(scores, Scores | Cases) else list(scores)
    if not items:
        raise MedlibError("no scores given: pass the Scores that evaluate_once returned")
    if any(item.path is None for item in items):
        raise MedlibError("scores without a file cannot be recorded: use evaluate_once")
    if any(item.published for item in items):
        raise MedlibError("published scores are for tables and plots; record those of this run")
    return [read_scores(item.path) for item in items]


def _file_name(scores: "Scores") -> str:
    """Return what a claim calls a score file; one of the long runs with its chapter before it."""
    assert scores.path is not None  # checked where the scores came in
    committed = published_dir("long") / "scores"
    if scores.path.is_relative_to(committed):
        return LONG_SCORES + scores.path.relative_to(committed).as_posix()
    return scores.path.name


def _long_entry(claim: Claim, entry: dict[str, Any]) -> dict[str, Any]:
    """Mark an entry that rests on the long runs; refuse one that rests on them in part only."""
    names = [*entry.get("scores", ()), *entry.get("minus", ())]
    from_long = [name.startswith(LONG_SCORES) for name in names]
    if from_long and not (all(from_long) if claim.long else not any(from_long)):
        raise MedlibError(
            f"claim {claim.id!r}: in claims.yml it says long: {str(claim.long).lower()}, but its "
            f"scores are {', '.join(names)}: a claim rests on long runs wholly or not at all"
        )
    return {"long": True, "synthetic": False} if claim.long else {}


def _is_synthetic(active: "Run", claim: Claim) -> bool:
    data = active.loaded.get(claim.data or "")
    return bool(data.synthetic) if data is not None else active.synthetic


def _finite(what: str, value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise MedlibError(f"{what} is {number}: only a finite number can be recorded")
    return number


def _add_claim(document: dict[str, Any], claim_id: str, entry: dict[str, Any]) -> None:
    if claim_id in document["claims"]:
        raise MedlibError(f"claim {claim_id!r} was recorded already in this run")
    document["claims"][claim_id] = entry


def _add_access(accesses: list[dict[str, Any]], entry: dict[str, Any]) -> None:
    """Add a look; one that a killed process of a long run has logged already stays one look."""
    if entry not in accesses:
        accesses.append(entry)


def _update(active: "Run", change: Callable[[dict[str, Any]], None]) -> None:
    path = results_file(active)
    document = read_json(path)
    if document is None:
        open_results(active)
        document = read_json(path) or {}
    change(document)
    document["synthetic"] = active.synthetic
    write_json(path, document)


def _pair(interval: list[float] | None) -> tuple[float, float] | None:
    return (interval[0], interval[1]) if interval else None
