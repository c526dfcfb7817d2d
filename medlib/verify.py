"""Compare the last run with the published edition, and re-score the edition, without training.

`compare` gives each claim one of three verdicts: reproduced, differs, cannot tell. `rescore`
recomputes every published value that rests on committed per-image scores. `verify` does both.
"""

import argparse
import ctypes
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medlib import artefacts, paths, results, tolerance
from medlib.claims import Claim, format_number, read_claims
from medlib.errors import MedlibError
from medlib.profiles import PROFILES

REPRODUCED, DIFFERS, UNKNOWN = "reproduced", "differs", "cannot tell"
LONG = "long"
IDENTICAL = 1e-12  # relative; values this close are the same number
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's names, from malloc.h
FILE_METRICS = ("auc", "accuracy", "dice", "iou")
TEXT_FIELDS = ("kind", "metric", "data")


@dataclass(frozen=True)
class Verdict:
    """What a run says about one published claim.

    Attributes
    ----------
    claim_id, chapter : str
        The claim and the chapter that records it.
    status : {"reproduced", "differs", "cannot tell"}
        The verdict.
    reason : str
        Why; one sentence without a full stop.
    value, published : float or None
        The run's value and the edition's.
    half_width : float or None
        Largest difference that would still count as reproduced; None where it is unknown.
    detects : float or None
        Shift that is found with 80 % power.
    """

    claim_id: str
    chapter: str
    status: str
    reason: str
    value: float | None = None
    published: float | None = None
    half_width: float | None = None
    detects: float | None = None


@dataclass(frozen=True)
class Report:
    """The verdicts on all claims and what re-scoring the edition found.

    Attributes
    ----------
    profile : str
        The profile that was compared.
    verdicts : tuple of Verdict
        One a claim, in the order of ``claims.yml``.
    rescored : int
        Number of score files that were read and re-scored.
    problems : tuple of str
        What does not agree inside the edition: a changed file, a value that its scores do not give.
    ran : bool
        Whether there is any run to compare.
    """

    profile: str
    verdicts: tuple[Verdict, ...]
    rescored: int
    problems: tuple[str, ...]
    ran: bool

    @property
    def ok(self) -> bool:
        """True where nothing differs and the edition agrees with its own scores."""
        return not self.problems and not any(v.status == DIFFERS for v in self.verdicts)

    def counts(self) -> dict[str, int]:
        """Return the number of claims under each verdict."""
        found = Counter(item.status for item in self.verdicts)
        return {status: found[status] for status in (REPRODUCED, DIFFERS, UNKNOWN)}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return {
            "profile": self.profile,
            "ok": self.ok,
            "ran": self.ran,
            "counts": self.counts(),
            "rescored_files": self.rescored,
            "problems": list(self.problems),
            "verdicts": [asdict(item) for item in self.verdicts],
        }

    def to_text(self) -> str:
        """Return the report as a table for a terminal."""
        return "\n".join([*_table(self.verdicts), *_closing_lines(self)])


def verify(
    profile: str,
    *,
    build: Path | None = None,
    published: Path | None = None,
    rescoring: Callable[[Path], tuple[int, list[str]]] | None = None,
) -> Report:
    """Compare the last run of a profile with the published edition; train nothing.

    Parameters
    ----------
    profile : {"fast", "cpu", "gpu", "long"}
        The profile.
    build : Path, optional
        The build folder; ``_build/<profile>`` where omitted.
    published : Path, optional
        The edition's folder; ``results/<profile>`` where omitted.
    rescoring : callable, optional
        Takes the place of `rescore`; the workflow remembers what it found.

    Raises
    ------
    MedlibError
        For an unknown profile, and where claims or results cannot be read.
    """
    check_profile(profile)
    build = build or paths.build_dir(profile)
    published = published or results.published_dir(profile)
    verdicts = compare(profile, build=build, published=published)
    rescoring = rescoring or rescore
    files, problems = rescoring(published)
    if profile != LONG:  # long runs are part of every edition
        long_files, long_problems = rescoring(published.parent / LONG)
        files, problems = files + long_files, problems + long_problems
    ran = any((build / "results").glob("*.json"))
    return Report(profile, tuple(verdicts.values()), files, tuple(problems), ran)


def check_profile(profile: str) -> None:
    """Refuse a profile that does not exist.

    Raises
    ------
    MedlibError
        With the list of those that do.
    """
    if profile not in (*PROFILES, LONG):
        known = ", ".join((*PROFILES, LONG))
        raise MedlibError(f"unknown profile {profile!r}: choose one of {known}")


def compare(
    profile: str, *, build: Path | None = None, published: Path | None = None
) -> dict[str, Verdict]:
    """Give each claim of ``claims.yml`` its verdict, without reading a score file.

    Returns
    -------
    dict of str to Verdict
        By claim id, in the order of ``claims.yml``.
    """
    build = build or paths.build_dir(profile)
    edition = results.read_results(published or results.published_dir(profile))
    run = results.read_results(build / "results")
    stamps = {
        path.stem: results.read_json(path) or {} for path in (build / "stamps").glob("*.json")
    }
    verdicts = {}
    for key, claim in read_claims().items():
        old = edition.get(claim.chapter, {}).get("claims", {}).get(key)
        new = run.get(claim.chapter, {}).get("claims", {}).get(key)
        if new is None or profile == "fast":
            reason = _why_no_value(profile, stamps.get(claim.chapter), bool(run))
            verdicts[key] = _unknown(claim, reason, old, None)
        else:
            verdicts[key] = judge(claim, old, new)
    return verdicts


def judge(claim: Claim, published: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Verdict:
    """Give the verdict on one claim.

    Parameters
    ----------
    claim : Claim
        The claim, as the author wrote it.
    published : mapping or None
        Its published entry, with tolerance; None where it is not published.
    new : mapping
        Its entry in the run.
    """
    reason = _not_comparable(claim, published, new)
    if reason or published is None:
        return _unknown(claim, reason, published, new)
    difference = abs(new["value"] - published["value"])
    same = difference <= IDENTICAL * max(1.0, abs(published["value"]))
    if claim.kind == "count" or claim.long:
        what = "computed from the committed long runs" if claim.long else "the same count"
        status = (REPRODUCED, what) if same else (DIFFERS, "it is exact, no run may move it")
        return _verdict(claim, *status, published, new)
    if new["seeds"] == published["seeds"]:
        return _judge_same_seeds(claim, published, new, difference, same)
    return _judge_new_seeds(claim, published, new, difference)


def rescore(published: Path) -> tuple[int, list[str]]:
    """Recompute the edition from its committed per-image scores.

    Every score file must be the one that was published (its digest) and give its published metrics;
    every claim that rests on scores must give its value, its values a seed and its interval.

    Parameters
    ----------
    published : Path
        The edition's folder, ``results/<profile>``.

    Returns
    -------
    files : int
        Number of score files that were read.
    problems : list of str
        One line for each disagreement, with the file, what was expected and what came.
    """
    _keep_freed_memory()
    files, problems = 0, []
    documents = results.read_results(published)
    for chapter, document in documents.items():
        folder = published / "scores" / chapter
        problems += _check_content(published, document)
        files += len(document.get("files", {}))
        broken = dict(_check_files(folder, document.get("files", {})))
        problems += broken.values()
        problems += _check_artefacts(published, document)
        problems += _check_claims(folder, document, broken)
    for path in sorted((published / "scores").glob("*/*.csv")):
        if path.name not in documents.get(path.parent.name, {}).get("files", {}):
            problems.append(f"{_short(path)}: no published results name this file")
    return files, problems


def _keep_freed_memory() -> None:
    """Let glibc keep the blocks that are freed: each resample wants the same few megabytes again.

    By default they go back to the system and come back page by page, which takes as long as the
    arithmetic. Another C library has no such setting and needs none.
    """
    with suppress(OSError, AttributeError):
        setting = ctypes.CDLL(None).mallopt
        for parameter, size in ((M_MMAP_THRESHOLD, 32 * 2**20), (M_TRIM_THRESHOLD, 512 * 2**20)):
            setting(parameter, size)


def content_digest(document: Mapping[str, Any]) -> str:
    """Return the sha256 of what a published document states: its claims, files and accesses."""
    kept = {key: document.get(key) for key in ("chapter", "profile", "claims", "files", "accesses")}
    if "artefacts" in document:
        kept["artefacts"] = document["artefacts"]
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def describe_file(path: Path) -> dict[str, Any]:
    """Return what the edition keeps of a score file: digest, number of cases, metrics."""
    from medlib.evaluate import read_scores

    scores = read_scores(path)
    entry: dict[str, Any] = {"sha256": file_digest(path), "n": len(scores.labels)}
    for metric in FILE_METRICS:
        with suppress(MedlibError):  # undefined where the test cases lack a class
            entry[metric] = float(f"{results.score_values([scores], metric)[0]:.12g}")
    return entry


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_parser(subparsers: Any) -> None:
    """Add ``medlib verify`` to a command line."""
    parser = subparsers.add_parser(
        "verify",
        help="compare the last run with the published edition; trains nothing",
        description="Re-score the committed per-image scores and compare the last run with the "
        "published edition. Executes nothing. Exit code 1 where a claim differs or the edition "
        "does not agree with its own scores.",
    )
    parser.add_argument("--profile", default="cpu", help="cpu (default), gpu or long")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(func=_command)


def _command(args: argparse.Namespace) -> int:
    report = verify(args.profile)
    if args.json:
        print(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        print(report.to_text())
    return 0 if report.ok else 1


def _not_comparable(
    claim: Claim, published: Mapping[str, Any] | None, new: Mapping[str, Any]
) -> str:
    """Return why no verdict is possible; empty where one is."""
    if new["synthetic"]:
        return "the run used phantoms: get the data with make data"
    if published is None:
        return "not yet published"
    for entry, where in ((new, "the run"), (published, "the edition")):
        changed = [name for name in TEXT_FIELDS if entry[name] != getattr(claim, name)]
        if changed:
            return f"claims.yml has another {changed[0]} than {where}: run or publish again"
    if len(new["seeds"]) < claim.seeds:
        return f"too few seeds: {len(new['seeds'])} of {claim.seeds}"
    if bool(published.get("long")) != claim.long:
        return "claims.yml and the edition disagree on whether it is long: publish again"
    if claim.kind != "count" and not claim.long and "tolerance" not in published:
        return "published without a tolerance: publish again"
    if new.get("n") != published.get("n"):
        return f"other test cases: {new.get('n')}, published with {published.get('n')}"
    return ""


def _judge_same_seeds(
    claim: Claim,
    published: Mapping[str, Any],
    new: Mapping[str, Any],
    difference: float,
    same: bool,
) -> Verdict:
    """Compare runs of the same seeds: only numerics can move the value."""
    entry = published["tolerance"]["same_seeds"]
    if same:
        return _verdict(claim, REPRODUCED, "the same value", published, new, _margins(entry))
    if "half_width" in entry:
        return _within(claim, published, new, difference, _margins(entry), "the same seeds")
    seeds = _margins(published["tolerance"]["new_seeds"])
    if seeds and difference > seeds[0]:
        reason = "more than other seeds would move it, with the same seeds"
        return _verdict(claim, DIFFERS, reason, published, new, seeds)
    return _unknown(claim, entry["cannot_tell"], published, new)


def _judge_new_seeds(
    claim: Claim, published: Mapping[str, Any], new: Mapping[str, Any], difference: float
) -> Verdict:
    """Compare runs of other seeds, as many as there are on each side."""
    entry, tests = published["tolerance"]["new_seeds"], published["tolerance"]["tests"]
    if "half_width" not in entry:
        return _unknown(claim, f"other seeds, and {entry['cannot_tell']}", published, new)
    spread = tolerance.Spread(entry["sd"], entry["df"])
    draws = (1, 1) if entry["n"] == 1 else (entry["n"], len(new["values"]))
    margins = tolerance.margins(spread, tests, *draws)
    return _within(claim, published, new, difference, margins, "other seeds")


def _within(
    claim: Claim,
    published: Mapping[str, Any],
    new: Mapping[str, Any],
    difference: float,
    margins: tuple[float, float] | None,
    seeds: str,
) -> Verdict:
    half_width = margins[0] if margins else math.inf
    status = REPRODUCED if difference <= half_width else DIFFERS
    relation = "within" if status == REPRODUCED else "beyond"
    reason = f"{seeds}: moved by {difference:.2g}, {relation} {half_width:.2g}"
    return _verdict(claim, status, reason, published, new, margins)


def _margins(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    return (entry["half_width"], entry["detects"]) if "half_width" in entry else None


def _verdict(
    claim: Claim,
    status: str,
    reason: str,
    published: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    margins: tuple[float, float] | None = None,
) -> Verdict:
    value, old = (entry["value"] if entry else None for entry in (new, published))
    return Verdict(claim.id, claim.chapter, status, reason, value, old, *(margins or (None, None)))


def _unknown(
    claim: Claim, reason: str, published: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Verdict:
    return _verdict(claim, UNKNOWN, reason, published, new)


def _why_no_value(profile: str, stamp: Mapping[str, Any] | None, ran: bool) -> str:
    """Say why a run holds no value of a claim."""
    if profile == "fast":
        return "profile fast gives no results"
    if stamp is None:
        return "the last run left it out" if ran else "there is no run yet (make book)"
    if stamp.get("status") == "missing-data":
        return f"data missing: {', '.join(stamp.get('missing') or ['see the page'])}"
    if stamp.get("status") == "failed":
        return "the chapter stopped with an error"
    return "the chapter did not record it"


def _check_content(published: Path, document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("digest") != content_digest(document):
        name = _short(published / f"{document['chapter']}.json")
        yield f"{name}: changed after it was published (its digest does not fit): publish again"


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield (file name, problem) for score files that are not what was published."""
    for name, expected in files.items():
        path = folder / name
        other = _unlike(path, expected["sha256"], "the published results rest on it")
        found = [other] if other else _wrong_metrics(path, expected)
        yield from ((name, f"{_short(path)}: {text}") for text in found)


def _check_artefacts(published: Path, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file that a chapter left and that is not as it was published."""
    for name, expected in document.get("artefacts", {}).items():
        path = published / artefacts.FOLDER / document["chapter"] / name
        if other := _unlike(path, expected, "other chapters take it"):
            yield f"{_short(path)}: {other}"


def _unlike(path: Path, digest: str, why: str) -> str | None:
    """Say how a file differs from the published one, and why it matters; None where it does not."""
    if not path.is_file():
        return f"missing, but {why}"
    if file_digest(path) != digest:
        return "changed after it was published (sha256 differs)"
    return None


def _wrong_metrics(path: Path, expected: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a score file gives otherwise than published; the first of it is enough."""
    try:
        found = describe_file(path)
    except MedlibError as error:
        yield str(error)
        return
    for key in FILE_METRICS:
        if key in found and not _close(found[key], expected.get(key)):
            yield f"{key} is {found[key]}, published as {expected.get(key)}"
            return


def _check_claims(
    folder: Path, document: Mapping[str, Any], broken: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each claim that its scores do not give."""
    for key, entry in document["claims"].items():
        if not entry.get("scores"):
            mean = math.fsum(entry["values"]) / len(entry["values"])
            if not _close(mean, entry["value"]):
                yield f"claim {key}: the mean of its values is {mean}, published {entry['value']}"
            continue
        names = [*entry["scores"], *entry["minus"]]
        own = [name for name in names if not name.startswith(results.LONG_SCORES)]
        if any(name in broken or name not in document.get("files", {}) for name in own):
            yield f"claim {key}: cannot be re-scored, its score files are not as published"
            continue
        try:
            yield from _differences(key, entry, rescored(folder, entry))
        except MedlibError as error:
            yield f"claim {key}: cannot be re-scored: {error}"


def rescored(folder: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Recompute value, values and interval of a claim from the score files in a folder."""
    from medlib.evaluate import read_scores

    long = folder.parents[2] / LONG  # results/cpu/scores/CHAPTER lies beside results/long
    left = [read_scores(results.score_path(folder, name, long)) for name in entry["scores"]]
    right = [read_scores(results.score_path(folder, name, long)) for name in entry["minus"]]
    metric, resamples = entry["metric"], entry["resamples"]
    if right:
        values = results.difference_values(left, right, metric)
        interval = results.difference_interval(left, right, metric, resamples)
    else:
        values = results.score_values(left, metric)
        interval = results.score_interval(left, metric, resamples)
    return {"value": math.fsum(values) / len(values), "values": values, "interval": interval}


def _differences(key: str, entry: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name, value in found.items():
        new, old = (item if isinstance(item, list) else [item] for item in (value, entry[name]))
        if len(new) != len(old) or not all(map(_close, new, old)):
            yield f"claim {key}: its scores give {name} {value}, published {entry[name]}"


def _close(a: float, b: float | None) -> bool:
    """Compare recomputed numbers: equal up to the order of additions."""
    return b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def _short(path: Path) -> str:
    base = paths.base_dir()
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _table(verdicts: tuple[Verdict, ...]) -> Iterator[str]:
    """Yield the lines of the verdict table."""
    rows = [("claim", "verdict", "this run", "published", "tolerance", "why")]
    for item in verdicts:
        numbers = (_number(item.value), _number(item.published), _number(item.half_width))
        rows.append((item.claim_id, item.status, *numbers, item.reason))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for i, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[5]]).rstrip()
        if i == 0:
            yield "  ".join("-" * width for width in (*widths, 3))


def _number(value: float | None) -> str:
    return "-" if value is None else format_number(value)


def _closing_lines(report: Report) -> Iterator[str]:
    counts = report.counts()
    yield ""
    yield from (f"PROBLEM  {line}" for line in report.problems)
    yield f"re-scored: {report.rescored} committed score files, {len(report.problems)} problems"
    yield f"claims: {', '.join(f'{number} {status}' for status, number in counts.items())}"
    if not report.ran:
        yield f"cannot tell about a run of profile {report.profile}: there is none, run make book"
