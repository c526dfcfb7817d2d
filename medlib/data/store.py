"""Where the files of a data set lie on this machine: the mirror first, then the cache."""

from pathlib import Path

from medlib import paths
from medlib.data import archive
from medlib.data.cards import Card
from medlib.errors import DataUnavailable, DigestMismatch


def find(card: Card) -> Path | None:
    """Return the file of a data set in the mirror or the cache, or None where it is in neither."""
    for folder in (paths.mirror_dir(), paths.cache_dir()):
        if folder is not None and (folder / card.file).is_file():
            return folder / card.file
    return None


def placed(card: Card) -> Path:
    """Return where the file of a data set belongs: the path in the cache, there or not."""
    return paths.cache_dir() / card.file


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
    digest = ", ".join(f"{kind} {value}" for kind, value in card.digests.items())
    return DataUnavailable(
        f"the data set '{card.name}' is not here: {reason}. "
        f"Run 'medlib data get {card.name}' on a machine with a network, or place the file "
        f"{card.file} ({digest}) by hand at {placed(card)} or in the folder named by "
        f"MEDLIB_MIRROR. It comes from {urls(card)}."
    )


def urls(card: Card) -> str:
    """Return the addresses of a data set, official one first, as part of a sentence."""
    return " or ".join(str(origin["url"]) for origin in card.origins)
