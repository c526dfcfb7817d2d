"""The licences of everything that is installed for the book: ``book/licences.csv``, by `make lock`.

A package says its licence in four ways, from the newest to the oldest: an SPDX expression, a
classifier, a free text, and a file. The first that says something is taken and named.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from book.workflow.chapters import ROOT
from medlib.errors import MedlibError

FILE = ROOT / "book" / "licences.csv"
UNKNOWN = "not stated"
CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Other/Proprietary License": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
    "Public Domain": "public domain",
    "GNU General Public License (GPL)": "GPL",
}
NO_LICENCE = {"DFSG approved"}  # a classifier that only judges one
TEXTS = (
    (r"MPL-2\.0 AND MIT", "MPL-2.0 AND MIT"),
    (r"apache", "Apache-2.0"),
    (r"\bMIT\b", "MIT"),
    (r"2-clause BSD", "BSD-2-Clause"),
    (r"BSD[- ]3-Clause|3-Clause BSD", "BSD-3-Clause"),
    (r"\bBSD\b", "BSD"),
    (r"NVIDIA Proprietary", "LicenseRef-NVIDIA-Proprietary"),
)
FILES = (
    (r"\s*(The )?MIT License", "MIT"),
    (r"\s*Apache (Software )?License", "Apache-2.0"),
    (r".{0,4000}Redistributions of source code must retain", "BSD"),
)
KNOWN = {"cuda-toolkit": "LicenseRef-NVIDIA-Proprietary"}  # an empty package that asks for others


@dataclass(frozen=True)
class Licence:
    """What a package says of its licence.

    Attributes
    ----------
    package, version : str
        As pinned.
    licence : str
        SPDX identifier or expression where the package allows one; ``BSD`` where it does not say
        which.
    told_by : {"expression", "classifier", "text", "file", "its maker's other packages", ""}
        Where it says so.
    """

    package: str
    version: str
    licence: str
    told_by: str


def survey(pins: Mapping[str, str]) -> list[Licence]:
    """Return the licence of every pinned package, by what is installed here.

    Parameters
    ----------
    pins : mapping of str to str
        Version by package, as in ``constraints.txt``.

    Raises
    ------
    MedlibError
        Where one is not installed, or in another version: its licence may be another, too.
    """
    found = []
    for name, version in sorted(pins.items(), key=lambda each: canonicalize_name(each[0])):
        try:
            about = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise MedlibError(f"{name} is not installed: make install, then again") from None
        if about.version.partition("+")[0] != version.partition("+")[0]:
            raise MedlibError(f"{name} is here in {about.version}, not {version}: make install")
        found.append(Licence(name, version, *_told(name, about)))
    return found


def pinned(text: str) -> dict[str, str]:
    """Return version by package from the text of ``constraints.txt``."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.partition(";")[0].strip().split("==") for line in lines)


def to_csv(licences: list[Licence]) -> str:
    """Return the table as it is kept."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([each.name for each in fields(Licence)])
    writer.writerows(astuple(each) for each in licences)
    return out.getvalue()


def read(path: Path = FILE) -> list[Licence]:
    """Read the kept table."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [Licence(**row) for row in csv.DictReader(lines)]


def table(path: Path = FILE) -> str:
    """Return the page's tables: packages by licence, counted."""
    licences = read(path)
    counts = Counter(each.licence for each in licences)
    return "\n".join(_lines(licences, counts))


def _lines(licences: list[Licence], counts: Counter[str]) -> Iterator[str]:
    yield f"{len(licences)} packages, read from what they say themselves:"
    yield ""
    yield "| licence | number | packages |"
    yield "|---|---|---|"
    for licence, number in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        names = ", ".join(f"{p.package} {p.version}" for p in licences if p.licence == licence)
        yield f"| {licence} | {number} | {names} |"


def _told(name: str, about: metadata.Distribution) -> tuple[str, str]:
    """Return the licence and where it is told."""
    said = about.metadata
    if said.get("License-Expression"):
        return said["License-Expression"], "expression"
    classes = [each.split("::")[-1].strip() for each in said.get_all("Classifier") or []
               if each.startswith("License ::")]  # fmt: skip
    names = [CLASSIFIED[each] for each in classes if each not in NO_LICENCE and each in CLASSIFIED]
    text = _matching((said.get("License") or "")[:80], TEXTS, re.search)
    if names == ["BSD"] and text and text.startswith("BSD-"):
        return text, "text"
    if names:
        return " OR ".join(names) if len(names) < 3 else " AND ".join(names), "classifier"
    if text:
        return text, "text"
    files = [f for f in about.files or [] if f.name.upper().startswith(("LICEN", "COPYING"))]
    told = next(filter(None, (_matching(_text(f), FILES, re.match) for f in files)), "")
    if told:
        return told, "file"
    return (KNOWN[name], "its maker's other packages") if name in KNOWN else (UNKNOWN, "")


def _text(file: metadata.PackagePath) -> str:
    return file.locate().read_text(encoding="utf-8", errors="replace")


def _matching(text: str, known: tuple[tuple[str, str], ...], how: Callable[..., object]) -> str:
    """Return the name of the first pattern that the text fits."""
    return next((name for pattern, name in known if how(pattern, text, re.I | re.S)), "")
