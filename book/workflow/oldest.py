"""The oldest versions that the library allows, as pins: what the weekly workflow tries.

    python -m book.workflow.oldest > oldest.txt && pip install -r oldest.txt

A lower bound that nobody installs is a guess. The pins are the lower bounds of ``pyproject.toml``
for the library and its export; what makes and tests the book stays as it is in `constraints.txt`.
"""

import sys
import tomllib
from collections.abc import Iterable

from packaging.requirements import Requirement

from book.workflow.chapters import ROOT
from medlib.errors import MedlibError

GROUPS = ("export",)  # with the library's own dependencies


def oldest(requirements: Iterable[str]) -> list[str]:
    """Return each requirement pinned to its lower bound.

    Raises
    ------
    MedlibError
        For a requirement without one: then any version counts as supported.
    """
    return [_pin(Requirement(each)) for each in requirements]


def _pin(requirement: Requirement) -> str:
    bounds = [each.version for each in requirement.specifier if each.operator in {">=", "=="}]
    if len(bounds) != 1:
        raise MedlibError(f"pyproject.toml: {requirement} needs one lower bound, such as >=1.2")
    return f"{requirement.name}=={bounds[0]}"


def main() -> int:
    """Print the pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in GROUPS for each in extras[name])]
    print("\n".join(oldest(wanted)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
