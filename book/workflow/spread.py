"""`make spread`: how far other thread counts and instruction sets move the results of a chapter.

Every chapter is executed again, with the same seeds, in each environment of
`medlib.tolerance.VARIANTS`, into ``_build/spread/<environment>``. The test split is scored with the
same models as before: this measures the arithmetic, and nothing is chosen from it.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from book.workflow import chapters
from medlib import paths, tolerance

ROOT = Path(__file__).resolve().parents[2]


def run_variant(name: str, stems: list[str], profile: str) -> Path:
    """Execute chapters in one numeric environment and return the folder of their results."""
    folder = paths.base_dir() / "_build" / "spread" / name
    return execute_in(folder, stems, profile, tolerance.VARIANTS[name]) / "results"


def execute_in(
    folder: Path, stems: Sequence[str], profile: str, environment: Mapping[str, str]
) -> Path:
    """Execute chapters in an environment, into a build folder of its own.

    Parameters
    ----------
    folder : Path
        Takes the place of ``_build``; its last part is what the environment is called.
    stems : sequence of str
        The chapters, one after the other.
    profile : str
        Whose workload they have.
    environment : mapping of str to str
        What differs from the environment of this process.

    Returns
    -------
    Path
        The build folder of the profile.
    """
    settings = os.environ | environment | {"MEDLIB_BUILD": str(folder)}
    for stem in stems:
        print(f"{folder.name}: {stem} ...", flush=True)
        command = [sys.executable, "-m", "book.workflow.execute", stem, "--profile", profile]
        subprocess.run(command, cwd=ROOT, env=settings, check=True)
    return folder / profile


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
