"""Build the site from the stage folder with Jupyter Book's own Sphinx call, warnings as errors."""

import argparse
import functools
import gc
import shutil
import sys
import warnings
from pathlib import Path

from book.workflow import clocks, reading, translation
from book.workflow.plainly import plainly
from book.workflow.stage import ROOT, stage
from medlib import paths

UNFINISHED = ".site-unfinished"
MADE = ("html", "doctrees*", "jupyter_execute")
OBJECTS = 200_000  # new ones before Python looks for garbage; what Sphinx loads lives to the end


def build(profile: str, *, partial: bool = False) -> int:
    """Stage and build the site of a profile into ``_build/<profile>/html``, then its translations.

    Parameters
    ----------
    profile : str
        Whose run the pages show.
    partial : bool
        Whether chapters may be missing, as in ``make quick``: links to what their pages would show
        are then no errors.

    Returns
    -------
    int
        0, or 1 where Sphinx warned or failed; the pages are written in any case.
    """
    readings = reading.survey(ROOT)
    run = functools.partial(_run, partial=partial)
    folder = paths.build_dir(profile)
    source = stage(profile, readings)
    forget_unfinished(folder)
    failed = run(source, folder / "html", folder / "doctrees")
    failed |= translation.build(profile, run, readings)
    (folder / UNFINISHED).unlink()
    return failed


def _run(source: Path, target: Path, doctrees: Path, *, partial: bool) -> int:
    """Build one staged folder; return 1 where Sphinx warned or failed."""
    from jupyter_book.sphinx import build_sphinx

    # sphinx-external-toc asks every object in memory for its class, and torch warns of some
    warnings.filterwarnings("ignore", "`torch.distributed.reduce_op`", FutureWarning)
    gc.freeze()  # what is loaded by now stays; the same extension looks at every object
    clocks.set_back([source])
    clocks.forget_if_ahead(doctrees)
    status = build_sphinx(
        str(source),
        str(target),
        path_config=str(source / "_config.yml"),
        noconfig=True,
        confoverrides={
            "external_toc_path": str(source / "_toc.yml"),
            "latex_individualpages": False,
            "nitpicky": not partial,
        },
        doctreedir=str(doctrees),
        warningiserror=not partial,
        keep_going=True,
        quiet=True,
        really_quiet=partial,
    )
    return 0 if status == 0 else 1


def forget_unfinished(folder: Path) -> None:
    """Begin anew after a build of the site that was killed, and mark this one as begun.

    Sphinx takes a page that is newer than its source for finished, also where half of it is there.

    Parameters
    ----------
    folder : Path
        The build folder of the profile.
    """
    mark = folder / UNFINISHED
    if mark.exists():
        for path in (found for name in MADE for found in folder.glob(name)):
            shutil.rmtree(path, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()


def main() -> int:
    """Build the site of the profile named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--partial", action="store_true")
    args = parser.parse_args()
    gc.set_threshold(OBJECTS, 20, 100)
    failed = build(args.profile, partial=args.partial)
    gc.freeze()  # else Python looks through all pages at the end, which takes seconds
    return failed


if __name__ == "__main__":
    sys.exit(plainly("make site", main))
