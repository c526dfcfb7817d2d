"""Make the last run the published edition: the only way that numbers enter ``results/``.

What is published is a whole run: real data, no failed chapter, every claim with as many seeds as
its author announced, and a ``claims.yml`` that was committed before. Tolerances are derived anew
for the whole edition, because they share spreads and a rate of false alarms.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from medlib import artefacts, paths, results, tolerance
from medlib.claims import Claim, claims_of
from medlib.errors import MedlibError
from medlib.profiles import PROFILES
from medlib.verify import (
    LONG,
    TEXT_FIELDS,
    check_profile,
    content_digest,
    describe_file,
    file_digest,
)

Documents = dict[str, dict[str, Any]]
SCORED = ("model_id", "data", "seed", "variant")  # what names a file of scores


class NotPublishable(MedlibError):
    """The last run may not become the published edition; the message lists why."""


def publish(
    profile: str, *, build: Path | None = None, published: Path | None = None
) -> list[Path]:
    """Write the last run of a profile into the published edition.

    Chapters that were not run keep what was published; what neither a claim nor a run names any
    more is removed. Nothing is written unless everything may be.

    Parameters
    ----------
    profile : {"cpu", "gpu"}
        The profile to publish; for long runs see `medlib.publish_long`.
    build : Path, optional
        The build folder; ``_build/<profile>`` where omitted.
    published : Path, optional
        The edition's folder; ``results/<profile>`` where omitted.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    NotPublishable
        With one line for each reason.
    """
    check_profile(profile)
    if profile == LONG:
        raise NotPublishable("long runs are added one by one: call medlib.publish_long")
    build = build or paths.build_dir(profile)
    published = published or results.published_dir(profile)
    run = results.read_results(build / "results")
    stamps = {chapter: _stamp(build, chapter) for chapter in run}
    reasons = list(_reasons(profile, build, run, stamps))
    if reasons:
        lines = "\n  ".join(reasons)
        raise NotPublishable(f"profile {profile} cannot be published:\n  {lines}")
    files = {chapter: _score_files(build, chapter) for chapter in run}
    left = {chapter: artefacts.left_by(build, chapter) for chapter in run}
    kept = _kept(results.read_results(published), run)
    documents = kept | {key: _document(run[key], stamps[key], files[key], left[key]) for key in run}
    _add_tolerances(documents, results.read_json(published / "spread.json"))
    return _write(published, documents, files, left)


def add_parser(subparsers: Any) -> None:
    """Add ``medlib publish`` to a command line."""
    parser = subparsers.add_parser(
        "publish",
        help="make the last run the published edition (results/<profile>)",
        description="Write values, intervals, tolerances, stamps and per-image scores of the last "
        "run into results/<profile>. Git then shows what changed.",
    )
    parser.add_argument("--profile", default="cpu", help="cpu (default), gpu or long")
    parser.set_defaults(func=_command)


def publish_records(build: Path | None = None, published: Path | None = None) -> list[Path]:
    """Copy the records of long searches, which hold no claims, into ``results/long``.

    Raises
    ------
    NotPublishable
        Where there is none.
    """
    build, published = build or paths.build_dir("long"), published or results.published_dir("long")
    found = {path: results.read_json(path) for path in sorted(build.glob("*.json"))}
    if not found:
        raise NotPublishable(f"there is no record in {build}: run make results")
    for path, content in found.items():
        results.write_json(published / path.name, content)
    return [published / path.name for path in found]


def _command(args: argparse.Namespace) -> int:
    try:
        return _publish_and_say(args.profile)
    except NotPublishable as why:  # the one error of several lines, one a reason
        print(f"medlib: {why}", file=sys.stderr)
        return 2


def _publish_and_say(profile: str) -> int:
    if profile == LONG:
        from medlib.publish_long import publish_long

        print(f"published: {len(publish_long())} files in results/long")
        return 0
    written = publish(profile)
    claims = sum(len(doc["claims"]) for doc in _published_documents(profile))
    print(f"published: {len(written)} files, {claims} claims in results/{profile}")
    print("look at the difference (git diff --stat results/), then commit it")
    return 0


def _published_documents(profile: str) -> Iterable[dict[str, Any]]:
    return results.read_results(results.published_dir(profile)).values()


def _reasons(profile: str, build: Path, run: Documents, stamps: Documents) -> Iterator[str]:
    """Yield what speaks against publishing."""
    if profile in PROFILES and not PROFILES[profile].results:
        yield f"profile {profile} gives no results: run make book (profile cpu)"
        return
    if not run:
        yield f"there is no run in {build}: run make book"
    for chapter, document in run.items():
        yield from _chapter_reasons(build, document, stamps[chapter])
    for stamp in sorted((build / "stamps").glob("*.json")):
        if stamp.stem not in run and claims_of(stamp.stem):
            yield f"{stamp.stem}: was run, but left no results"
    yield from _uncommitted()


def _chapter_reasons(
    build: Path, document: Mapping[str, Any], stamp: Mapping[str, Any]
) -> Iterator[str]:
    chapter = document["chapter"]
    status = stamp.get("status", "without a stamp: run make book")
    if status != "ok":
        yield f"{chapter}: the run is {status}: {stamp.get('error') or 'not finished'}"
        return
    if document["synthetic"] or stamp.get("synthetic"):
        yield f"{chapter}: ran on phantoms: get the data (make data) and run it again"
        return
    size = sum(path.stat().st_size for path in artefacts.left_by(build, chapter).values())
    if size > artefacts.LIMIT:
        yield f"{chapter}: leaves {size} bytes for other chapters, {artefacts.LIMIT} at most"
    announced, recorded = claims_of(chapter), document["claims"]
    for key in sorted(announced.keys() - recorded.keys()):
        yield f"{chapter}: claim {key} stands in claims.yml, but the run recorded no value"
    for key in sorted(recorded.keys() - announced.keys()):
        yield f"{chapter}: claim {key} was recorded, but does not stand in claims.yml: run again"
    for key in sorted(announced.keys() & recorded.keys()):
        yield from _claim_reasons(build / "scores" / chapter, announced[key], recorded[key])


def _claim_reasons(folder: Path, claim: Claim, entry: Mapping[str, Any]) -> Iterator[str]:
    where = f"{claim.chapter}: claim {claim.id}"
    for name in TEXT_FIELDS:
        if entry[name] != getattr(claim, name):
            yield f"{where}: {name} changed in claims.yml after the run: run the chapter again"
    if len(entry["seeds"]) < claim.seeds:
        yield f"{where}: announces {claim.seeds} seeds, the run has {len(entry['seeds'])}"
    if entry["synthetic"]:
        yield f"{where}: rests on phantoms"
    for name in (*entry.get("scores", ()), *entry.get("minus", ())):
        if not results.score_path(folder, name).is_file():
            yield f"{where}: its score file {name} is missing: run the chapter again"


def _uncommitted() -> Iterator[str]:
    """Yield a line where claims.yml was changed since the last commit: a claim precedes its value.

    Outside a git checkout there is nothing to hold it against.
    """
    root = paths.root()
    if root is None or not (root / ".git").exists() or shutil.which("git") is None:
        return
    command = ["git", "status", "--porcelain", "--", "book/claims.yml"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if found.stdout.strip():
        yield "book/claims.yml has changes that are not committed: commit the claims first"


def _stamp(build: Path, chapter: str) -> dict[str, Any]:
    return results.read_json(build / "stamps" / f"{chapter}.json") or {}


def _score_files(build: Path, chapter: str) -> dict[str, Path]:
    """Return the score files of a chapter's run by name; only those the run itself logged."""
    document = results.read_json(build / "results" / f"{chapter}.json") or {"accesses": []}
    folder = build / "scores" / chapter
    keys = [[access[name] for name in SCORED] for access in document["accesses"]]
    logged = {paths.score_file(*key) for key in keys}
    return {path.name: path for path in sorted(folder.glob("*.csv")) if path.name in logged}


def _kept(edition: Documents, run: Documents) -> Documents:
    """Return published chapters that were not run now, with the claims that still stand."""
    kept = {}
    for chapter, document in edition.items():
        announced = claims_of(chapter)
        if chapter not in run and announced:
            claims = {key: item for key, item in document["claims"].items() if key in announced}
            kept[chapter] = document | {"claims": claims}
    return kept


def _document(
    document: Mapping[str, Any],
    stamp: Mapping[str, Any],
    files: Mapping[str, Path],
    left: Mapping[str, Path],
) -> dict[str, Any]:
    """Return what is published of a chapter, without tolerances."""
    described = {name: describe_file(path) for name, path in files.items()}
    entry = {**document, "files": described, "stamp": dict(stamp)}
    if left:
        entry["artefacts"] = {name: file_digest(path) for name, path in left.items()}
    return entry


def _add_tolerances(documents: Documents, spread: Mapping[str, Any] | None) -> None:
    """Derive the tolerances of the whole edition and seal each document with its digest."""
    claims = {key: entry for doc in documents.values() for key, entry in doc["claims"].items()}
    derived = tolerance.tolerances(claims, spread)
    for key, entry in claims.items():
        entry.pop("tolerance", None)
        if key in derived:
            entry["tolerance"] = derived[key]
    for document in documents.values():
        document["digest"] = content_digest(document)


def _write(
    published: Path,
    documents: Documents,
    files: dict[str, dict[str, Path]],
    left: dict[str, dict[str, Path]],
) -> list[Path]:
    """Write the edition: files first, then the documents that name them, then the removals."""
    written = []
    for chapter, sources in left.items():
        for name, source in sources.items():
            target = artefacts.path_to_leave(published, chapter, name)
            with paths.whole_file(target) as draft:
                shutil.copyfile(source, draft)
            written.append(target)
    for chapter, sources in files.items():
        for name, source in sources.items():
            target = published / "scores" / chapter / name
            results.write_text(target, source.read_text(encoding="utf-8"))
            written.append(target)
    for chapter, document in documents.items():
        results.write_json(published / f"{chapter}.json", document)
        written.append(published / f"{chapter}.json")
    _remove_others(published, documents)
    return written


def _remove_others(published: Path, documents: Documents) -> None:
    for path in published.glob("*.json"):
        if path.stem not in documents and path.name != "spread.json":
            path.unlink()
    for path in (published / "scores").glob("*/*.csv"):
        if path.name not in documents.get(path.parent.name, {}).get("files", {}):
            path.unlink()
    for path in (published / artefacts.FOLDER).glob("*/*"):
        if path.name not in documents.get(path.parent.name, {}).get("artefacts", {}):
            path.unlink()
    for folder in (*published.glob("scores/*"), *published.glob(f"{artefacts.FOLDER}/*")):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
