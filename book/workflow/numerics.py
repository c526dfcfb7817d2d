"""What other arithmetic moves: a few chapters again, on two threads, and trained in bfloat16.

``python -m book.workflow.numerics`` executes chapters of profile ``cpu`` again with the same seeds,
and compares their claims with the published edition, which had one thread and 32-bit numbers. The
test split is scored with the same models: this measures arithmetic, and nothing is chosen from it.
`medlib.tolerance` takes no spread from it. Threads and instruction sets only change the order of
additions, and the tolerance must cover that; bfloat16 is another format, and is only compared.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from book.workflow import spread, stress
from medlib import paths, results, tolerance, verify
from medlib.claims import read_claims

ROOT = Path(__file__).resolve().parents[2]
FILE = "numerics.json"
PROFILE = "cpu"
CHAPTERS = ("03-02-lenet-alexnet", "04-03-designing", "04-04-training")
THREADS, HALF = "two-threads", "bf16"
# what the kernel does before a chapter: train as profile gpu does, in mixed precision
MIXED = """\
from dataclasses import replace
from medlib import profiles
profiles.PROFILES |= {key: replace(each, amp=True) for key, each in profiles.PROFILES.items()}
"""


def run(name: str, stems: Sequence[str]) -> Path:
    """Execute chapters in other arithmetic and return the build folder of the profile."""
    folder = paths.base_dir() / "_build" / "numerics" / name
    other = tolerance.VARIANTS[THREADS] if name == THREADS else _mixed(folder / "ipython")
    return spread.execute_in(folder, stems, PROFILE, {"OMP_NUM_THREADS": "1"} | other)


def _mixed(folder: Path) -> dict[str, str]:
    """Write what every kernel runs first, and return the environment that names it."""
    start = folder / "profile_default" / "startup" / "mixed.py"
    results.write_text(start, MIXED)
    return {"IPYTHONDIR": str(folder)}


def compared(name: str, build: Path, stems: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what became of each claim that can move: value, published value, tolerance."""
    edition = results.read_results(results.published_dir(PROFILE))
    found = verify.compare(PROFILE, build=build)
    for key, claim in read_claims().items():
        entry = edition.get(claim.chapter, {}).get("claims", {}).get(key)
        if claim.chapter not in stems or entry is None or "tolerance" not in entry:
            continue
        verdict = found[key]
        yield {
            "environment": name,
            "chapter": claim.chapter,
            "claim": key,
            "value": verdict.value,
            "published": verdict.published,
            "tolerance": allowed(entry["tolerance"]),
            "reason": verdict.reason if verdict.value is None else "",
        }


def allowed(entry: Mapping[str, Any]) -> float | None:
    """Return how far a claim may move: by arithmetic where that was measured, else by seeds."""
    widths = (entry[kind].get("half_width") for kind in ("same_seeds", "new_seeds"))
    return next((width for width in widths if width is not None), None)


def moved(row: Mapping[str, Any]) -> float:
    """Return how far a claim moved; less than `verify.IDENTICAL` is nothing."""
    distance = abs(row["value"] - row["published"])
    return distance if distance > verify.IDENTICAL * max(1.0, abs(row["published"])) else 0.0


def is_outside(row: Mapping[str, Any]) -> bool:
    """Tell whether a claim moved further than it may."""
    return row["tolerance"] is not None and moved(row) > row["tolerance"]


def is_unknown(row: Mapping[str, Any]) -> bool:
    """Tell whether a claim moved although nothing says how far it may."""
    return row["tolerance"] is None and moved(row) > 0


def summary(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each environment and chapter.

    Yields
    ------
    tuple of str
        Environment, chapter, claims compared, claims that moved, those that moved further than
        they may, those of which nobody knows how far they may.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["value"] is not None:
            groups.setdefault((row["environment"], row["chapter"]), []).append(row)
    for (name, chapter), group in groups.items():
        counts = (
            len(group),
            sum(moved(row) > 0 for row in group),
            sum(map(is_outside, group)),
            sum(map(is_unknown, group)),
        )
        yield name, chapter, *map(str, counts)


def main() -> int:
    """Execute, compare, and write the rows to ``results/stress``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(CHAPTERS), help="chapters")
    stems = parser.parse_args().only
    rows = [row for name in (THREADS, HALF) for row in compared(name, run(name, stems), stems)]
    document = {"schema": 1, **stress.here(), "rows": rows}
    results.write_json(stress.PUBLISHED / FILE, document)
    for line in summary(rows):
        print("  ".join(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
