"""Get a data set from where it is published: its official origin first, then the pinned second one.

An origin of kind ``file`` is the file itself. One of kind ``github`` or ``archive`` holds the
source pictures, from which `medlib.data.builders` makes the arrays. Other kinds (``page``,
``original``) name a place that a person can visit; they are not downloaded.
"""

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from medlib import paths
from medlib.data import archive, builders, download, store
from medlib.data.cards import Card
from medlib.data.download import PATIENT, Patience, Progress, disk_errors, fetch
from medlib.data.sources import SourceFile, TreeHash, files_in, read_gzip
from medlib.errors import DigestMismatch, MedlibError


def obtain(card: Card, patience: Patience = PATIENT, progress: Progress | None = None) -> Path:
    """Download a data set into the cache, unless it is here already.

    Parameters
    ----------
    card : Card
        The set.
    patience : Patience
        How long to wait for servers.
    progress : callable, optional
        Called with the bytes so far, and the total or None.

    Returns
    -------
    Path
        Its file, in the mirror or the cache.

    Raises
    ------
    DataUnavailable
        Where no origin could be used; the message says why, and how to place the file by hand.
    DigestMismatch
        Where an origin sent something else and no other could be used.
    """
    found = store.find(card)
    if found is not None:
        return found
    reasons: list[str] = []
    wrong: DigestMismatch | None = None
    for origin in card.origins:
        if origin["kind"] not in _ACQUIRE:
            continue
        try:
            return _ACQUIRE[origin["kind"]](card, origin, patience, progress)
        except DigestMismatch as error:
            wrong = error
        except download.DownloadFailed as error:
            reasons.append(str(error))
    if wrong is not None:
        raise wrong
    raise store.unavailable(card, "; ".join(reasons) or "it is not offered for download")


def _acquire_file(
    card: Card, origin: Mapping[str, Any], patience: Patience, progress: Progress | None
) -> Path:
    return fetch(
        origin["url"],
        store.placed(card),
        digest=("md5", card.digests["md5"]),
        max_bytes=2 * card.download_bytes if card.download_bytes else download.MAX_BYTES,
        patience=patience,
        progress=progress,
    )


def _acquire_pictures(
    card: Card, origin: Mapping[str, Any], patience: Patience, progress: Progress | None
) -> Path:
    """Download the source pictures, build the arrays, check both, keep the arrays."""
    packed = _fetch_archive(card, origin, patience, progress)
    try:
        arrays, tree = _built(card, origin, packed, patience)
        record = _judge(card, origin, arrays, tree, patience)
        target = store.placed(card)
        with disk_errors(target):
            store.sidecar(target).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
            archive.write_arrays(target, arrays)
    finally:  # right or wrong, it has served its purpose
        packed.unlink(missing_ok=True)
    return target


def _built(
    card: Card, origin: Mapping[str, Any], packed: Path, patience: Patience
) -> tuple[builders.Arrays, str]:
    """Build the arrays from an archive; return them with git's hash of the source folder."""
    folder = origin.get("folder", "")
    tree = TreeHash()
    extra = {
        name: _fetch_extra(card, name, entry, patience)
        for name, entry in origin.get("extra", {}).items()
    }
    try:
        files = _hashed(files_in(packed, folder), tree, folder)
        arrays = builders.BUILDERS[card.name](files, extra)
    except download.DownloadFailed:
        raise
    except MedlibError as error:
        raise download.DownloadFailed(f"{origin['url']} is not as expected: {error}") from error
    return arrays, tree.hexdigest()


def _fetch_archive(
    card: Card, origin: Mapping[str, Any], patience: Patience, progress: Progress | None
) -> Path:
    sha256 = origin.get("sha256")
    ending = ".zip" if origin["kind"] == "archive" else ".tar.gz"
    return fetch(
        origin["url"],
        paths.cache_dir() / "downloads" / f"{card.name}-{origin['kind']}{ending}",
        digest=("sha256", sha256) if sha256 else None,
        patience=patience,
        progress=progress,
    )


def _fetch_extra(card: Card, name: str, entry: Mapping[str, Any], patience: Patience) -> bytes:
    """Download a small companion file from the first of its addresses that works."""
    target = paths.cache_dir() / "downloads" / f"{card.name}-{name}.csv.gz"
    failures = []
    for url in entry["urls"]:
        try:
            return read_gzip(fetch(url, target, patience=patience))
        except download.DownloadFailed as error:
            failures.append(str(error))
        finally:
            target.unlink(missing_ok=True)
    raise download.DownloadFailed("; ".join(failures))


def _hashed(files: Iterable[SourceFile], tree: TreeHash, folder: str) -> Iterator[SourceFile]:
    """Pass files on while the hash of their folder is computed."""
    for file in files:
        tree.add(file.path.relative_to(PurePosixPath(folder)), file.content, file.executable)
        yield file


def _judge(
    card: Card, origin: Mapping[str, Any], arrays: builders.Arrays, tree: str, patience: Patience
) -> dict[str, Any]:
    """Decide whether built arrays may be kept, and write down what they were built from.

    The right digest proves them. Another one is what another Pillow may give: it is accepted only
    where labels and names are the right ones, and the source files themselves are proven, by the
    archive's sha256 or by git's tree hash.
    """
    found = archive.digest_of_arrays(arrays)
    same = found == card.digests["arrays"]
    proof: str | None = "arrays"
    if not same:
        right_facts = archive.digest_of_facts(arrays) == card.digests["facts"]
        proof = _proof_of_sources(card, origin, tree, patience) if right_facts else None
    if proof is None:
        raise DigestMismatch(
            store.mismatch(card, store.placed(card), "arrays", card.digests["arrays"], found)
            + f" Its labels or its source pictures (git tree {tree}) could not be proven either."
        )
    import PIL

    return {
        "arrays": found,
        "expected": card.digests["arrays"],
        "same": same,
        "proof": proof,
        "origin": origin["url"],
        "tree": tree,
        "pillow": PIL.__version__,
        "platform": platform.platform(),
    }


def _proof_of_sources(
    card: Card, origin: Mapping[str, Any], tree: str, patience: Patience
) -> str | None:
    """Name what proves the source files, or None."""
    if origin.get("sha256"):
        return "sha256"
    expected = origin.get("tree") or _tree_from_host(card, origin, patience)
    return "tree" if expected == tree else None


def _tree_from_host(card: Card, origin: Mapping[str, Any], patience: Patience) -> str | None:
    """Ask the host for the tree hash of the folder at the pinned commit."""
    if "trees" not in origin:
        return None
    target = paths.cache_dir() / "downloads" / f"{card.name}-tree.json"
    try:
        listing = json.loads(fetch(origin["trees"], target, patience=patience).read_bytes())
        found = {entry["path"]: entry["sha"] for entry in listing["tree"]}
        return found.get(origin["folder"])
    except (MedlibError, ValueError, KeyError, TypeError):
        return None
    finally:
        target.unlink(missing_ok=True)


_Acquire = Callable[[Card, Mapping[str, Any], Patience, Progress | None], Path]
_ACQUIRE: dict[str, _Acquire] = {
    "file": _acquire_file,
    "archive": _acquire_pictures,
    "github": _acquire_pictures,
}
