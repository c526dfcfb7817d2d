"""Build the site from the stage folder with Jupyter Book's own Sphinx call, warnings as errors."""

import argparse
import functools
import sys
from pathlib import Path

from book.workflow import clocks, reading, translation
from book.workflow.plainly import plainly
from book.workflow.stage import ROOT, stage
from medlib import paths


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
    failed = run(stage(profile, readings), folder / "html", folder / "doctrees")
    return failed | translation.build(profile, run, readings)


def _run(source: Path, target: Path, doctrees: Path, *, partial: bool) -> int:
    """Build one staged folder; return 1 where Sphinx warned or failed."""
    from jupyter_book.sphinx import build_sphinx

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


def main() -> int:
    """Build the site of the profile named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--partial", action="store_true")
    args = parser.parse_args()
    return build(args.profile, partial=args.partial)


if __name__ == "__main__":
    sys.exit(plainly("make site", main))
