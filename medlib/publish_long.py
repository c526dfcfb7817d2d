"""Publish long runs: add finished jobs to ``results/long``, never change what stands there.

A long run grows over many sessions, so its edition is added to: what is published and not run
again stays. A job's scores are published once; other scores under the same name are refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medlib import paths, results
from medlib.evaluate import Scores, read_scores
from medlib.medmnist_files import write_medmnist
from medlib.publish import NotPublishable, publish_records
from medlib.verify import content_digest, describe_file, file_digest

Document = dict[str, Any]
BENCHMARK = "04-08-benchmark"  # its scores are also published as the medmnist package reads them
LOOK = ("model_id", "data", "seed", "variant", "door")


def publish_long(build: Path | None = None, published: Path | None = None) -> list[Path]:
    """Add the records and the finished jobs of the long runs to the published edition.

    Parameters
    ----------
    build : Path, optional
        Where the long runs lie; ``_build/long`` where omitted.
    published : Path, optional
        The edition's folder; ``results/long`` where omitted.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    NotPublishable
        With one line for each reason; nothing is written then.
    """
    build, published = build or paths.build_dir("long"), published or results.published_dir("long")
    jobs = _finished(build)
    reasons = [line for job in jobs for line in _reasons(job, build, published)]
    if reasons:
        raise NotPublishable("the long runs cannot be published:\n  " + "\n  ".join(reasons))
    if not jobs:
        return publish_records(build, published)
    written = publish_records(build, published) if any(build.glob("*.json")) else []
    for chapter in sorted({job["chapter"] for job in jobs}):
        mine = [job for job in jobs if job["chapter"] == chapter]
        written += _publish_chapter(chapter, mine, build, published)
    return written


def _finished(build: Path) -> list[Document]:
    """Return the records of finished jobs, in the order of their names."""
    found = (results.read_json(path) for path in sorted((build / "jobs").glob("*/record.json")))
    return [record for record in found if record is not None]


def _reasons(job: Document, build: Path, published: Path) -> Iterator[str]:
    """Yield what speaks against publishing a job."""
    source = build / "scores" / job["chapter"] / job["scores"]
    if job["synthetic"]:
        yield f"{job['job']}: ran on phantoms: get the data (make data) and run it again"
    elif not source.is_file():
        yield f"{job['job']}: its score file {source.name} is missing"
    elif not _accesses(job, build):
        yield f"{job['job']}: no look at the test split is logged for it"
    target = published / "scores" / job["chapter"] / job["scores"]
    if target.exists() and source.exists() and file_digest(target) != file_digest(source):
        yield (
            f"{job['job']}: other scores are published under this name; a test split is scored "
            f"once: keep them, or give the job another model_id"
        )


def _accesses(job: Document, build: Path) -> list[Document]:
    """Return the looks that belong to a job."""
    log = results.read_json(build / "results" / f"{job['chapter']}.json") or {"accesses": []}
    return [item for item in log["accesses"] if all(item[k] == job.get(k, item[k]) for k in LOOK)]


def _publish_chapter(
    chapter: str, jobs: list[Document], build: Path, published: Path
) -> list[Path]:
    """Write scores, then job records, then the document that names them."""
    path = published / f"{chapter}.json"
    document = results.read_json(path) or _empty(chapter)
    written = []
    for job in jobs:
        source = build / "scores" / chapter / job["scores"]
        target = published / "scores" / chapter / source.name
        results.write_text(target, source.read_text(encoding="utf-8"))
        results.write_json(published / "jobs" / f"{job['job']}.json", job)
        document["files"][source.name] = describe_file(target)
        known = document["accesses"]
        known += [look for look in _accesses(job, build) if look not in known]
        written += [target, published / "jobs" / f"{job['job']}.json"]
        if chapter == BENCHMARK and "audit" not in job:  # what audits chose is no result
            written += as_medmnist(target, published.parent / "medmnist")
    document["accesses"].sort(key=lambda look: [str(look[key]) for key in LOOK])
    document["digest"] = content_digest(document)
    results.write_json(path, document)
    return [*written, path]


def as_medmnist(scores: Path, folder: Path) -> list[Path]:
    """Write a file of scores once more, in the convention of the medmnist package."""
    found = read_scores(scores)
    return [write_medmnist(found, folder)] if isinstance(found, Scores) else []


def _empty(chapter: str) -> Document:
    """Return the published document of a chapter without any job."""
    return {
        "schema": results.SCHEMA,
        "chapter": chapter,
        "profile": "long",
        "synthetic": False,
        "claims": {},
        "measured": {},
        "accesses": [],
        "files": {},
        "stamp": {},
    }
