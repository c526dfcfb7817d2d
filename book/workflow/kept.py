"""What the workflow worked out before, kept below ``_build/kept`` with what it was made from.

An entry is one small file that names a key, the digest of all that the value depends on: inputs,
settings, and the code that computes. It counts only where the key is the same, so that it can be
missing, damaged or old and cost nothing but time. The next value takes its place: nothing piles up.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from medlib import paths, results

ROOT = Path(__file__).resolve().parents[2]
CODE = ("medlib", "book")
PARSERS = ("jupytext", "markdown-it-py", "nbformat", "numpy", "PyYAML", "scikit-learn", "torch")


def kept(name: str, key: str, make: Callable[[], Any]) -> Any:
    """Return a value that was kept under the same key, or make it and keep it.

    Parameters
    ----------
    name : str
        Which value it is: the path of its file below the folder, without ending.
    key : str
        Digest of all that it depends on; see `digest`.
    make : callable
        Computes the value: plain values that JSON gives back as they were.
    """
    path = paths.build_dir("kept") / f"{name}.json"
    found = _read(path)
    if found.get("key") == key and "value" in found:
        return found["value"]
    value = make()
    results.write_text(path, json.dumps({"key": key, "value": value}, ensure_ascii=False))
    return value


def of_file(name: str, path: Path, make: Callable[[], Any], *parts: str) -> Any:
    """Return what a file of this checkout gives; one of another checkout is read anew.

    Parameters
    ----------
    name : str
        Which value it is, as for `kept`.
    path : Path
        The file.
    make : callable
        Reads it.
    *parts : str
        What else the value depends on, beside the code.
    """
    if not path.is_relative_to(ROOT):
        return make()
    return kept(name, digest(path.read_bytes(), code_digest(), *parts), make)


def anew(name: str, key: str, make: Callable[[], Any]) -> Any:
    """Make a value without keeping it: for checkouts that are not this one."""
    return make()


def digest(*parts: str | bytes) -> str:
    """Return one digest of several texts or bytes; where one ends and the next begins counts."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        total.update(f"{len(content)}:".encode() + content)
    return total.hexdigest()


def digest_of_files(files: Iterable[Path], root: Path = ROOT) -> str:
    """Return one digest of the names and the bytes of files, in the order given."""
    total = hashlib.sha256()
    for path in files:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        total.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@cache
def code_digest() -> str:
    """Return the digest of all code that may compute a value: ours by content, others' by version.

    It is coarse on purpose: any change in the workflow or the library makes all values anew.
    """
    files = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    versions = [f"{name} {metadata.version(name)}" for name in PARSERS]
    return digest(digest_of_files(files), platform.python_version(), *versions)


def _read(path: Path) -> dict[str, Any]:
    """Return an entry; nothing where it is missing or damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
