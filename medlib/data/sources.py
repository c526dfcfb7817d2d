"""Files inside a downloaded archive: read one by one, bounded in size, and held against git's hash.

Nothing is unpacked to disk, so no name inside an archive can point anywhere.
"""

import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medlib.errors import MedlibError

MAX_FILE = 64 << 20
MAX_FILES = 200_000
MAX_TOTAL = 8 << 30


@dataclass(frozen=True)
class SourceFile:
    """One file of an archive.

    Attributes
    ----------
    path : PurePosixPath
        Its path below the archive's top folder.
    content : bytes
    executable : bool
    """

    path: PurePosixPath
    content: bytes
    executable: bool = False


def files_in(archive: Path, below: str = "") -> Iterator[SourceFile]:
    """Read the files of a ``.zip`` or ``.tar.gz``, one after the other.

    Parameters
    ----------
    archive : Path
        The archive; all its files lie in one top folder, which is left out of their paths.
    below : str
        Only files below this folder.

    Raises
    ------
    MedlibError
        Where the archive is damaged, or holds more or larger files than a data set has.
    """
    total = count = 0
    try:
        reader = _zip_files if zipfile.is_zipfile(archive) else _tar_files
        for found in reader(archive, PurePosixPath(below)):
            total, count = total + len(found.content), count + 1
            if total > MAX_TOTAL or count > MAX_FILES:
                raise MedlibError(f"{archive} holds more than a data set should: refused")
            yield found
    except (
        OSError,
        EOFError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise MedlibError(
            f"{archive} is no readable archive ({error}): delete it and try again"
        ) from error


def _tar_files(archive: Path, below: PurePosixPath) -> Iterator[SourceFile]:
    with tarfile.open(archive, mode="r|*") as stream:
        for member in stream:
            path = _inside(member.name)
            if member.isfile() and path.is_relative_to(below):
                _check_size(archive, member.name, member.size)
                content = stream.extractfile(member).read()
                yield SourceFile(path, content, bool(member.mode & 0o100))


def _zip_files(archive: Path, below: PurePosixPath) -> Iterator[SourceFile]:
    with zipfile.ZipFile(archive) as stream:
        for info in stream.infolist():
            path = _inside(info.filename)
            if not info.is_dir() and path.is_relative_to(below):
                _check_size(archive, info.filename, info.file_size)
                yield SourceFile(path, stream.read(info), bool((info.external_attr >> 16) & 0o100))


def _inside(name: str) -> PurePosixPath:
    """Leave out the archive's top folder."""
    return PurePosixPath(*PurePosixPath(name).parts[1:])


def _check_size(archive: Path, name: str, size: int) -> None:
    if size > MAX_FILE:
        raise MedlibError(f"{archive}: {name} would be {size:,} bytes: refused")


@dataclass
class TreeHash:
    """The hash that git gives a folder, computed from its files.

    A pinned commit fixes this hash, so it proves every file below the folder at once.
    """

    _blobs: dict[PurePosixPath, tuple[str, bytes]] = field(default_factory=dict)

    def add(self, path: PurePosixPath, content: bytes, executable: bool = False) -> None:
        """Add a file; `path` is relative to the folder."""
        blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
        blob.update(content)
        self._blobs[path] = ("100755" if executable else "100644", blob.digest())

    def hexdigest(self) -> str:
        """Return the hash of the tree object."""
        root: dict = {}
        for path, entry in self._blobs.items():
            folder = root
            for part in path.parts[:-1]:
                folder = folder.setdefault(part, {})
            folder[path.name] = entry
        return _tree_digest(root).hex()


def _tree_digest(folder: dict) -> bytes:
    """Hash a folder as git does: entries sorted by name, folders as if their name ended in /."""
    lines = []
    for name, entry in folder.items():
        is_folder = isinstance(entry, dict)
        mode, digest = ("40000", _tree_digest(entry)) if is_folder else entry
        lines.append(((name + "/" if is_folder else name).encode(), mode, name, digest))
    body = b"".join(
        f"{mode} {name}".encode() + b"\0" + digest for _, mode, name, digest in sorted(lines)
    )
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).digest()


def read_gzip(path: Path, max_bytes: int = 256 << 20) -> bytes:
    """Read a ``.gz`` file that unpacks to at most `max_bytes`."""
    try:
        with gzip.open(path) as stream:
            content = stream.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MedlibError(f"{path} cannot be unpacked: {error}") from error
    if len(content) > max_bytes:
        raise MedlibError(f"{path} unpacks to more than {max_bytes:,} bytes: refused")
    return content
