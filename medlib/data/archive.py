"""Read ``.npz`` files of strangers: no pickles, no surprises in size, one-line errors."""

import hashlib
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from medlib.errors import MedlibError

MAX_BYTES = 8 << 30
PIXELS = ("images", "masks")
REMEDY = "delete it and run 'medlib data get' again"


def read_arrays(
    path: Path, names: Iterable[str] | None = None, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Read arrays from an ``.npz`` file.

    Parameters
    ----------
    path : Path
        The file.
    names : iterable of str, optional
        Which arrays; all of them where omitted.
    max_bytes : int
        Refuse a file whose arrays claim more than this, before unpacking any.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    MedlibError
        Where the file is unreadable, damaged, too large, holds objects, or lacks an array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = list(members) if names is None else list(names)
            _require(path, wanted, members)
            _limit(path, sum(members[name].file_size for name in wanted), max_bytes)
            return {name: _read(archive, members[name]) for name in wanted}
    except MedlibError:
        raise
    except _UNREADABLE as error:
        raise MedlibError(f"{path} cannot be read: {_reason(error)}; {REMEDY}") from error


# What zipfile, zlib and numpy raise over damaged, encrypted or hostile files.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    IndexError,
    struct.error,
    tokenize.TokenError,  # of numpy, over the header of an array that was cut
    zipfile.BadZipFile,
    zlib.error,
)


def array_names(path: Path) -> set[str]:
    """Return the names of the arrays in an ``.npz`` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except _UNREADABLE as error:
        raise MedlibError(f"{path} cannot be read: {_reason(error)}; {REMEDY}") from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an ``.npz`` file through a temporary one, so that it is whole or absent."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    partial.replace(path)


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 over names, types, shapes and contents of arrays.

    It does not depend on how a zip file was written: for each name in sorted order,
    ``name|dtype|shape|`` and then the bytes in C order.
    """
    found = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        found.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        found.update(values.reshape(-1).view(np.uint8))
    return found.hexdigest()


def digest_of_facts(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the digest of all that is not pixels: labels, patients, names and the like."""
    return digest_of_arrays({name: a for name, a in arrays.items() if name not in PIXELS})


def digest_of_file(path: Path, algorithm: str) -> str:
    """Return the digest of a file's bytes (``md5``, ``sha256`` ...)."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, algorithm).hexdigest()
    except OSError as error:
        raise MedlibError(f"{path} cannot be read: {_reason(error)}") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """Read one member whose header promises no more than the archive's directory does."""
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(stream)
        if dtype.hasobject:
            raise ValueError(f"array '{info.filename}' holds Python objects, which are refused")
        promised = math.prod(shape) * dtype.itemsize
        if promised > info.file_size:
            raise ValueError(f"array '{info.filename}' promises {promised} bytes, holds fewer")
        content = _read_exactly(stream, promised, info.filename)
    values = np.frombuffer(content, dtype=dtype)  # of a bytearray, hence writable
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _read_exactly(stream: IO[bytes], size: int, name: str) -> bytearray:
    """Read `size` bytes, after which the stream must end (which also checks the zip's CRC)."""
    content = bytearray(size)
    view, filled = memoryview(content), 0
    while filled < size:
        piece = stream.read(min(size - filled, 1 << 20))
        if not piece:
            break
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != size or stream.read(1):
        raise ValueError(f"array '{name}' has the wrong length")
    return content


def _require(path: Path, wanted: Iterable[str], members: Mapping[str, object]) -> None:
    missing = [name for name in wanted if name not in members]
    if missing:
        raise MedlibError(
            f"{path} lacks the array {missing[0]!r} (it holds {', '.join(sorted(members))}); "
            f"{REMEDY}"
        )


def _limit(path: Path, found: int, max_bytes: int) -> None:
    if found > max_bytes:
        raise MedlibError(
            f"{path} would unpack to {found:,} bytes, more than the {max_bytes:,} allowed; {REMEDY}"
        )


def _reason(error: BaseException) -> str:
    """Put an error into one line, without the path that the caller names anyway."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
