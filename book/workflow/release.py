"""Is this checkout ready to be published? Address, copies, and for a tagged release every claim.

Run by the workflow that publishes the site: ``python -m book.workflow.release``. On a tag, GitHub
sets ``GITHUB_REF_TYPE`` and ``GITHUB_REF_NAME``; by hand: ``--tag v0.1.0``.
"""

import argparse
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from book.workflow import chapters, compendium, sync
from medlib.errors import MedlibError
from medlib.yaml_text import parsed


def problems(root: Path = chapters.ROOT, tag: str = "") -> list[str]:
    """Return what stands in the way of publishing, one sentence each.

    Parameters
    ----------
    root : Path
        The checkout.
    tag : str
        Tag of the release, such as ``v0.1.0``; without one only the site is published.
    """
    found = [*_address(root), *_copies(root)]
    return found + [*_versions(root, tag), *_claims(root)] if tag else found


def _address(root: Path) -> Iterator[str]:
    """Compare the committed address with the repository that this runs in."""
    written = chapters.repository_url(root, environment=False)
    actual = chapters.repository_url(root)
    if written != actual:
        yield (
            f"repository.url in _config.yml is {written}, but this is {actual}: the Colab copies "
            "would install from elsewhere. Set it, run make sync, and commit both"
        )


def _copies(root: Path) -> Iterator[str]:
    changed = sync.out_of_step(root)
    if changed:
        yield f"out of step: {', '.join(changed)}. Run make sync and commit"


def _versions(root: Path, tag: str) -> Iterator[str]:
    """Compare the tag with the four places that name a version."""
    wanted = tag.removeprefix("v")
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    citation = parsed((root / "CITATION.cff").read_text("utf-8"))["version"]
    archive = json.loads((root / ".zenodo.json").read_text("utf-8"))["version"]
    places = {"pyproject.toml": project, "CITATION.cff": str(citation), ".zenodo.json": archive}
    for name, version in places.items():
        if version != wanted:
            yield f"the tag is {tag}, but {name} says {version}"
    heading = rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (root / "CHANGELOG.md").read_text("utf-8"), re.M):
        yield f"CHANGELOG.md has no heading '## [{wanted}] - YYYY-MM-DD'"


def _claims(root: Path) -> Iterator[str]:
    """A tagged release needs a published value for every claim."""
    book = compendium.read(root)
    missing = [claim for claim in book.promised if claim not in book.claims]
    if missing:
        yield f"{len(missing)} claims have no published value: {', '.join(missing)}"


def main(argv: list[str] | None = None) -> int:
    """Print the problems; 1 where there are any."""
    on_tag = os.environ.get("GITHUB_REF_TYPE") == "tag"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tag", default=os.environ.get("GITHUB_REF_NAME", "") if on_tag else "")
    tag = parser.parse_args(argv).tag
    try:
        found = problems(tag=tag)
    except MedlibError as error:
        found = [str(error)]
    for problem in found:
        print(f"not ready: {problem}")
    if not found:
        print(f"Ready to publish{f' {tag}' if tag else ''}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
