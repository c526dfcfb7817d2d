"""Fingerprints: all that the result of a chapter depends on, in one small file a chapter.

Snakemake reruns a chapter when its fingerprint file is newer than its stamp. The file is written
only where its content changes, so a touched file or a changed comment reruns nothing, and a change
in one module of medlib reruns just the chapters whose imports reach that module.
"""

import ast
import hashlib
import json
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from book.workflow import chapters, imports, kept, source
from medlib import data, paths, results
from medlib.profiles import profile_named
from medlib.yaml_text import parsed

LONG_READER = "medlib.long_runs"
VERSIONED = ("torch", "numpy", "scikit-learn", "scikit-image", "matplotlib")


def fingerprint(stem: str, profile: str, seed: int, device: str) -> dict:
    """Return what the result of a chapter depends on."""
    found = kept.kept(f"sources/{stem}", _sources_key(stem), lambda: sources(stem))
    return {
        **found,
        "profile": {"name": profile, "workload": repr(profile_named(profile))},
        "seed": seed,
        "device": device,
        "data": data.data_status(found["cards"]) if found["cards"] else {},
    }


def sources(stem: str) -> dict:
    """Return the part of a fingerprint that follows from files of the checkout and versions."""
    notebook = source.read(chapters.chapter(stem).source)
    code = source.code(notebook)
    names = cards_named(code)
    modules = imports.reached(code)
    return {
        "chapter": stem,
        "source": hashlib.sha256(source.text(notebook).encode()).hexdigest()[:16],
        "medlib": {name: imports.module_hash(name) for name in sorted(modules)},
        "long": _long_edition() if LONG_READER in modules else "",
        "executor": _executor(),
        "claims": claims_of(stem),
        "cards": {name: _file_hash(f"data/{name}.yml") for name in names},
        "versions": {"python": platform.python_version(), **_versions()},
    }


def cards_named(code: str) -> list[str]:
    """Return the data sets that a chapter names as string literals."""
    strings = {n.value for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant)}
    return sorted(name for name in data.cards() if name in strings)


def long_edition() -> str:
    """Return a hash of the committed long runs, whose documents name the digest of each file."""
    digest = hashlib.sha256()
    for path in sorted(paths.package_file("results/long").rglob("*.json")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def claims_of(stem: str) -> list[dict]:
    """Return the parts of a chapter's claims that the run depends on (not their wording)."""
    return [
        {key: claim.get(key) for key in ("id", "kind", "metric", "data", "seeds", "long")}
        for claim in _claims()
        if claim.get("chapter") == stem
    ]


def write(stem: str, profile: str, seed: int, device: str) -> Path:
    """Write the fingerprint of a chapter where it changed; forget a run that failed."""
    path = paths.build_dir(profile) / "fingerprints" / f"{stem}.json"
    text = json.dumps(fingerprint(stem, profile, seed, device), indent=1, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        results.write_text(path, text)
    stamp = paths.build_dir(profile) / "stamps" / f"{stem}.json"
    if stamp.exists() and json.loads(stamp.read_text("utf-8"))["status"] == "failed":
        stamp.unlink()
    return path


def _sources_key(stem: str) -> str:
    """Return the digest of all files that `sources` may read, and the versions."""
    return kept.digest(chapters.chapter(stem).source.read_bytes(), _shared_key())


@cache
def _shared_key() -> str:
    """Return the digest of what all chapters share: code, claims, cards, long runs, versions."""
    long = sorted(paths.package_file("results/long").rglob("*.json"))
    cards = sorted(paths.package_file("data").glob("*.yml"))
    files = [paths.package_file("book/claims.yml"), *cards, *long]
    versions = [f"{name} {version}" for name, version in _versions().items()]
    return kept.digest(kept.code_digest(), kept.digest_of_files(files), *versions)


@cache
def _executor() -> str:
    return imports.code_hash(Path(__file__).with_name("execute.py").read_text("utf-8"))


@cache
def _long_edition() -> str:
    """Read the long runs once, for all the chapters that rest on them."""
    return long_edition()


@cache
def _claims() -> list[dict]:
    return parsed(paths.package_file("book/claims.yml").read_text("utf-8")) or []


@cache
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in VERSIONED}


def _file_hash(relative: str) -> str:
    return hashlib.sha256(paths.package_file(relative).read_bytes()).hexdigest()[:16]
