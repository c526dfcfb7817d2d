"""`make stress`: the slow tests that try to break the book, and the figures that they leave.

Each test in ``tests/stress`` reports what it measured as findings, one JSON file an area in
``_build/stress``. ``--publish`` copies the files to ``results/stress``, from where
``book/stress.md`` takes its tables when the site is staged. A finding says what was asked, what
came out, the bar that was set before, and where and when: a time without its machine says nothing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from book.workflow import changed
from medlib import paths, results
from medlib.errors import MedlibError

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "results" / "stress"
DOCUMENT = "book/stress"
MARKER = "<!-- findings: {area} -->"
AREAS = ("cost", "kill", "lies", "garbage", "determinism", "scale", "site", "pdf", "supply")


@dataclass(frozen=True)
class Finding:
    """One measured answer of a test that tried to break something.

    Attributes
    ----------
    area : str
        One of `AREAS`: the file and the table that it stands in.
    what : str
        What was measured, as the first column of the table says it; one finding a sentence.
    value : str
        What came out, with its unit, formatted for reading: ``100 of 100``, ``2.1 s``.
    bar : str
        What it had to be, as set before; empty where it is only reported.
    held : bool
        Whether it held the bar; True where there is none.
    test : str
        The test that measured it.
    machine, commit, date : str
        Where, on which commit (with ``+`` where the tree had changes) and on which day.
    """

    area: str
    what: str
    value: str
    bar: str = ""
    held: bool = True
    test: str = ""
    machine: str = ""
    commit: str = ""
    date: str = ""


def keep(finding: Finding, folder: Path | None = None) -> None:
    """Write a finding into its area's file; it replaces an earlier one of the same sentence.

    Raises
    ------
    MedlibError
        For an area that no table shows.
    """
    if finding.area not in AREAS:
        raise MedlibError(f"no area {finding.area!r} of findings: take one of {', '.join(AREAS)}")
    path = (folder or paths.build_dir("stress")) / f"{finding.area}.json"
    known = {each.what: each for each in read(path)}
    known[finding.what] = finding
    text = json.dumps([asdict(each) for each in known.values()], indent=1, ensure_ascii=False)
    results.write_text(path, text + "\n")


def read(path: Path) -> list[Finding]:
    """Read the findings of an area; none where the file is missing."""
    if not path.exists():
        return []
    return [Finding(**each) for each in json.loads(path.read_text("utf-8"))]


def here() -> dict[str, str]:
    """Say where and when: the processor, the commit, the day."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.machine()}, {cores} cores"
    return {
        "machine": f"{system}, Python {platform.python_version()}",
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def filled(documents: Mapping[str, str], folder: Path = PUBLISHED) -> dict[str, str]:
    """Return the page of the findings with its tables, where the book has it."""
    text = documents.get(DOCUMENT)
    if text is None:
        return {}
    for area in AREAS:
        table = "\n".join(_table(read(folder / f"{area}.json")))
        text = text.replace(MARKER.format(area=area), table)
    return {DOCUMENT: text}


def _table(findings: list[Finding]) -> Iterator[str]:
    """Yield the lines of a table, and who measured it where and when."""
    if not findings:
        yield "*Not measured in this edition: `make stress` measures it.*"
        return
    yield "| what | measured | bar | held |"
    yield "|---|---|---|---|"
    for each in findings:
        held = ("yes" if each.held else "**no**") if each.bar else ""
        yield f"| {each.what} | {each.value} | {each.bar} | {held} |"
    yield ""
    places = sorted({f"{each.machine}, {each.date}" for each in findings})
    yield f"Measured on {'; '.join(places)}."


def publish(source: Path, target: Path = PUBLISHED) -> list[str]:
    """Merge the findings of the last runs into the published ones and return the areas."""
    areas = [area for area in AREAS if (source / f"{area}.json").exists()]
    for area in areas:
        for finding in read(source / f"{area}.json"):
            keep(finding, target)
    return areas


def _commit() -> str:
    commit = changed.git(ROOT, "rev-parse", "--short", "HEAD").strip()
    return commit + ("+" if changed.git(ROOT, "status", "--porcelain", "-uno") else "")


def main() -> int:
    """Run the stress tests, or publish what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="as pytest's -k, such as 'kill or lies'")
    parser.add_argument("--publish", action="store_true", help="copy the findings to results/")
    args = parser.parse_args()
    if args.publish:
        areas = publish(paths.build_dir("stress"))
        print(f"published: {', '.join(areas) or 'nothing (run make stress first)'}")
        return 0
    chosen = ["-k", args.only] if args.only else []
    command = [sys.executable, "-m", "pytest", "-m", "stress", "tests/stress", "-v", *chosen]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
