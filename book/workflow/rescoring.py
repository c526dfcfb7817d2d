"""Re-score the published edition once, and again only when the edition or the arithmetic changes.

`make book` shows in two places what `medlib.verify.rescore` finds, and a change of a chapter's text
moves neither the committed scores nor the code that reads them. `make verify` always computes anew.
"""

import platform
from importlib import metadata
from pathlib import Path

from book.workflow import imports, kept
from medlib import paths, verify

LIBRARIES = ("numpy", "scipy", "torch")


def report(profile: str, published: Path | None = None) -> verify.Report:
    """Return what `medlib.verify.verify` returns, re-scoring only what has changed.

    Parameters
    ----------
    profile : str
        The profile whose run is compared.
    published : Path, optional
        The edition's folder.
    """
    return verify.verify(profile, published=published, rescoring=rescore)


def rescore(published: Path) -> tuple[int, list[str]]:
    """Return what `medlib.verify.rescore` returns for an edition, from memory where nothing moved.

    Parameters
    ----------
    published : Path
        The edition's folder, ``results/<profile>``.
    """
    files, problems = kept.kept(
        f"rescored/{published.name}", edition_key(published), lambda: verify.rescore(published)
    )
    return files, problems


def edition_key(published: Path) -> str:
    """Return the digest of all that re-scoring an edition depends on.

    The files of the edition and of the long runs that its claims may rest on, the modules that
    `medlib.verify` reaches, the libraries below them, and the place: problems name their files.
    """
    folders = sorted({published, published.parent / verify.LONG})
    files = [path for each in folders for path in sorted(each.rglob("*")) if path.is_file()]
    modules = sorted(imports.reached("import medlib.verify\nimport medlib.evaluate"))
    code = [f"{name} {imports.module_hash(name)}" for name in modules]
    versions = [f"{name} {metadata.version(name)}" for name in LIBRARIES]
    place = f"{paths.base_dir()} {platform.machine()} {platform.python_version()}"
    return kept.digest(kept.digest_of_files(files, published.parent), place, *code, *versions)
