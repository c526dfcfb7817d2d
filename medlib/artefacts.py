"""Artefacts: files that one chapter leaves for another, such as a model or a list of kept images.

A chapter writes them to ``_build/<profile>/artefacts/<chapter>``. The workflow finds each
``run.take("<chapter>", ...)`` in a chapter's code and executes the chapter that is named there
before. The published edition holds a copy of each file, so that a chapter also runs alone.
"""

from pathlib import Path

from medlib import paths
from medlib.errors import MedlibError

FOLDER = "artefacts"
LIMIT = 1 << 20  # bytes that one chapter may leave
EDITION = "cpu"  # whose copies stand in where a run has none


def path_to_leave(build: Path, chapter: str, name: str) -> Path:
    """Return where a chapter writes an artefact; the folder is made.

    Parameters
    ----------
    build : Path
        Build folder of the run's profile.
    chapter : str
        The chapter that writes.
    name : str
        File name, without a folder.

    Raises
    ------
    MedlibError
        For a name that is no plain file name.
    """
    path = build / FOLDER / chapter / _checked(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def path_to_take(build: Path, chapter: str, name: str, edition: Path | None = None) -> Path:
    """Return the artefact that another chapter left: this run's, else the edition's.

    Parameters
    ----------
    build : Path
        Build folder of the run's profile.
    chapter, name : str
        The chapter that wrote it, and the file's name.
    edition : Path, optional
        Folder of the published edition; ``results/cpu`` where omitted.

    Raises
    ------
    MedlibError
        Where neither has it; the message says which chapter to run first.
    """
    own = build / FOLDER / chapter / _checked(name)
    if own.is_file():
        return own
    published = (edition or paths.package_file(f"results/{EDITION}")) / FOLDER / chapter / name
    if published.is_file():
        print(f"{name} of chapter {chapter}: not made on this machine, taken as published.")
        return published
    raise MedlibError(
        f"{name} is made by chapter {chapter}, which has not been run here, and no copy of it is "
        f"published: run notebooks/{chapter}.md first"
    )


def left_by(build: Path, chapter: str) -> dict[str, Path]:
    """Return the artefacts of a chapter's last run by name."""
    folder = build / FOLDER / chapter
    return {path.name: path for path in sorted(folder.glob("*")) if path.is_file()}


def clear(build: Path, chapter: str) -> None:
    """Remove what an earlier run of a chapter left, so that none of it outlives its maker."""
    for path in left_by(build, chapter).values():
        path.unlink()


def _checked(name: str) -> str:
    if not name or name != Path(name).name or name.startswith("."):
        raise MedlibError(f"an artefact needs a plain file name, such as 'model.pt', got {name!r}")
    return name
