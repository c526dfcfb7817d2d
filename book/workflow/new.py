"""`make new CHAPTER=05-01-vit TITLE="Transformers"`: a chapter that runs, ready to be written.

Writes the source from `skeleton.md`, an entry in `_toc.yml` and a claim in `book/claims.yml`. Every
place that waits for its author begins with `WRITE:`.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from book.workflow import chapters
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

SKELETON = Path(__file__).with_name("skeleton.md")
CLAIM = """
- id: {name}-breast-auc
  chapter: {stem}
  sentence: "WRITE: one sentence that says what the number means, before the first run."
  kind: score
  metric: auc
  data: breastmnist
  seeds: 3
"""
CAPTION = re.compile(r"\s*- caption: *(?P<text>.+)")
ENTRY = re.compile(r"\s*- file: *(?P<document>\S+).*")


def new(stem: str, title: str | None = None, root: Path = chapters.ROOT) -> list[Path]:
    """Create a chapter and return the files that were written or changed.

    Parameters
    ----------
    stem : str
        File name without its ending, ``PP-CC-name``.
    title : str, optional
        Its heading; made from the name where omitted.
    root : Path
        The checkout.

    Raises
    ------
    MedlibError
        For an ill-formed name, and where the chapter, its place or its claim exists: nothing is
        written then.
    """
    name = chapters.parse_stem(stem)[2]
    source, claims, toc = (
        root / each for each in (f"notebooks/{stem}.md", "book/claims.yml", "_toc.yml")
    )
    _check_free(stem, name, root)
    contents = {
        source: skeleton(stem, title or name.replace("-", " ").capitalize()),
        claims: claims.read_text("utf-8").rstrip("\n") + "\n" + CLAIM.format(name=name, stem=stem),
        toc: with_entry(toc.read_text("utf-8"), stem),
    }
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return list(contents)


def skeleton(stem: str, title: str) -> str:
    """Return the source of a new chapter."""
    name = chapters.parse_stem(stem)[2]
    text = SKELETON.read_text("utf-8")
    return text.replace("@STEM@", stem).replace("@NAME@", name).replace("@TITLE@", title)


def with_entry(toc: str, stem: str) -> str:
    """Return the contents with a chapter added at its place; comments and order stay.

    Parameters
    ----------
    toc : str
        Text of ``_toc.yml``.
    stem : str
        The new chapter, which goes behind the chapters of its part that come before it.
    """
    lines = toc.rstrip("\n").split("\n")
    parts = _parts(lines)
    part = chapters.parse_stem(stem)[0]
    entry = f"      - file: notebooks/{stem}"
    at = next((i for i, (number, _, _) in enumerate(parts) if number == part), None)
    if at is None:
        before = next((start for number, start, _ in parts if number > part), len(lines))
        lines[before:before] = [f"  - caption: {_caption(part)}", "    chapters:", entry]
    else:
        lines.insert(_behind(lines, parts[at][1], parts[at][2], stem), entry)
    return "\n".join(lines) + "\n"


def _check_free(stem: str, name: str, root: Path) -> None:
    """Refuse what would overwrite or double a chapter."""
    if (root / "notebooks" / f"{stem}.md").exists():
        raise MedlibError(f"notebooks/{stem}.md exists already: nothing was written")
    place = stem[:5]
    for other in sorted((root / "notebooks").glob(f"{place}-*.md")):
        raise MedlibError(f"the place {place} is taken by notebooks/{other.name}: choose another")
    known = parsed((root / "book" / "claims.yml").read_text("utf-8")) or []
    if any(claim.get("id") == f"{name}-breast-auc" for claim in known):
        raise MedlibError(f"the claim {name}-breast-auc exists already: choose another name")


def _parts(lines: list[str]) -> list[tuple[int, int, int]]:
    """Return (number of the part, first line, line behind the last) of each part."""
    found = [(i, CAPTION.fullmatch(line)) for i, line in enumerate(lines)]
    starts = [(i, _number(match["text"])) for i, match in found if match]
    ends = [start for start, _ in starts[1:]] + [len(lines)]
    return [(number, start, end) for (start, number), end in zip(starts, ends, strict=True)]


def _number(caption: str) -> int:
    """Return the number of a part from its caption; the front is part 0."""
    match = re.search(r"Parts? (\d+)", caption)
    return int(match[1]) if match else 0


def _caption(part: int) -> str:
    title = chapters.PARTS[part].replace(": ", ", ")
    return f"Part {part} · {title}" if part else title


def _behind(lines: list[str], start: int, end: int, stem: str) -> int:
    """Return the line before which the entry of a chapter belongs within its part."""
    at = start + 2
    for i in range(start, end):
        match = ENTRY.fullmatch(lines[i])
        name = match["document"].rsplit("/", 1)[-1] if match else ""
        if chapters.STEM.fullmatch(name) and name < stem:
            at = i + 1
    return at


def main(argv: Sequence[str] | None = None) -> int:
    """Create the chapter named on the command line and say what to do next."""
    parser = argparse.ArgumentParser(prog="make new", description=__doc__.split("\n")[0])
    parser.add_argument("chapter", nargs="?", default="", help="such as 05-01-vit")
    parser.add_argument("--title", help="its heading, without a number")
    args = parser.parse_args(argv)
    try:
        written = new(args.chapter, args.title)
    except MedlibError as error:
        print(f"make new: {error}", file=sys.stderr)
        return 2
    print("Written: " + ", ".join(path.relative_to(chapters.ROOT).as_posix() for path in written))
    print(f"Next: make quick PROFILE=fast CHAPTER={args.chapter}; then fill in what says 'WRITE:'.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
