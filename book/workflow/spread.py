"""`make spread`: how far other thread counts and instruction sets move the results of a chapter.

Every chapter is executed again, with the same seeds, in each environment of
`medlib.tolerance.VARIANTS`, into ``_build/spread/<environment>``. The test split is scored with the
same models as before: this measures the arithmetic, and nothing is chosen from it.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from book.workflow import chapters
from medlib import paths, tolerance

ROOT = Path(__file__).resolve().parents[2]


def run_variant(name: str, stems: list[str], profile: str) -> Path:
    """Execute chapters in one numeric environment and return the folder of their results."""
    folder = paths.base_dir() / "_build" / "spread" / name
    environment = os.environ | tolerance.VARIANTS[name] | {"MEDLIB_BUILD": str(folder)}
    for stem in stems:
        print(f"{name}: {stem} ...", flush=True)
        command = [sys.executable, "-m", "book.workflow.execute", stem, "--profile", profile]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder / profile / "results"


def main() -> int:
    """Run every variant and write results/<profile>/spread.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--only", nargs="*", help="chapters; all of them where omitted")
    parser.add_argument("--cores", type=int, default=2, help="environments run side by side")
    args = parser.parse_args()
    stems = args.only or [chapter.stem for chapter in chapters.chapters()]
    runs = {tolerance.BASE: paths.build_dir(args.profile) / "results"}
    with ThreadPoolExecutor(args.cores) as pool:
        folders = pool.map(
            partial(run_variant, stems=stems, profile=args.profile), tolerance.VARIANTS
        )
        runs |= dict(zip(tolerance.VARIANTS, folders, strict=True))
    tolerance.measure_spread(args.profile, runs)
    print(f"wrote {tolerance.spread_file(args.profile)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
