"""Where the files of a data set lie on this machine: the mirror first, then the cache."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medlib import paths
from medlib.data import archive
from medlib.data.cards import Card
from medlib.errors import DataUnavailable, DigestMismatch, MedlibError


def find(card: Card) -> Path | None:
    """Return the file of a data set in the mirror or the cache, or None where it is in neither."""
    for folder in (paths.mirror_dir(), paths.cache_dir()):
        if folder is not None and _is_file(folder / card.file):
            return folder / card.file
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise MedlibError(
            f"{path} cannot be looked at ({error.strerror}): check the folder's permissions, or "
            f"point MEDLIB_MIRROR or MEDLIB_CACHE elsewhere"
        ) from error


def placed(card: Card) -> Path:
    """Return where the file of a data set belongs: the path in the cache, there or not."""
    return paths.cache_dir() / card.file


def sidecar(path: Path) -> Path:
    """Return where it is written down how a file was built on this machine."""
    return path.with_name(path.name + ".json")


def built_here(path: Path) -> Mapping[str, Any]:
    """Return what is written down about a file that was built on this machine, or nothing."""
    try:
        found = json.loads(sidecar(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def verify_arrays(card: Card, path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Compare arrays with the digest on the card.

    Arrays that were built here from proven source pictures may differ (another Pillow rounds
    otherwise): then a warning is shown, and the difference stays on record.

    Returns
    -------
    dict
        ``digest``, and ``differs`` where it is not the card's.

    Raises
    ------
    DigestMismatch
        Where they differ for no known reason.
    """
    expected, found = card.digests["arrays"], archive.digest_of_arrays(arrays)
    if found == expected:
        return {"digest": found}
    record = built_here(path)
    if record.get("arrays") != found or record.get("proof") not in {"sha256", "tree"}:
        raise DigestMismatch(mismatch(card, path, "arrays", expected, found))
    warnings.warn(
        f"'{card.name}' was built here by Pillow {record.get('pillow')} and differs from the "
        f"published arrays (digest {found}, published {expected}); its source pictures are the "
        f"right ones. Results may differ in the last digits",
        stacklevel=4,
    )
    return {"digest": found, "differs": True}


def verify_file(card: Card, path: Path) -> None:
    """Compare a file with the digest on its card, where the card has one of the whole file.

    Raises
    ------
    DigestMismatch
        Where they differ; the message names the file, both digests, the URL and the remedy.
    """
    expected = card.digests.get("md5")
    if expected is not None:
        found = archive.digest_of_file(path, "md5")
        if found != expected:
            raise DigestMismatch(mismatch(card, path, "md5", expected, found))


def mismatch(card: Card, path: Path, kind: str, expected: str, found: str) -> str:
    """Put a wrong digest into words."""
    return (
        f"{path} is not the file that the card of '{card.name}' names: "
        f"{kind} expected {expected}, found {found}. Delete it and run "
        f"'medlib data get {card.name}', or place the right file there by hand "
        f"(from {urls(card)})."
    )


def unavailable(card: Card, reason: str) -> DataUnavailable:
    """Return the error of a set that is not here, with all that is needed to place it by hand."""
    shown = {kind: value for kind, value in card.digests.items() if kind != "facts"}
    digest = ", ".join(f"{kind} {value}" for kind, value in shown.items())
    mirror = paths.mirror_dir() or "not set"
    return DataUnavailable(
        f"the data set '{card.name}' is not here: {reason}. "
        f"Run 'medlib data get {card.name}' on a machine with a network, or place the file "
        f"{card.file} ({digest}) by hand at {placed(card)} or in the folder named by "
        f"MEDLIB_MIRROR (now: {mirror}). It comes from {urls(card)}."
    )


def urls(card: Card) -> str:
    """Return the addresses of a data set, official one first, as part of a sentence."""
    return " or ".join(str(origin["url"]) for origin in card.origins)
