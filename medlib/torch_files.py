"""Read what ``torch.save`` wrote, also where the disk, the network or a stranger changed it.

PyTorch unpacks what is compressed, however large it becomes, and does not compare the checksums
that its files carry: a flipped bit in a weight would go unseen.
"""

import warnings
import zipfile
from pathlib import Path

import torch

__all__ = ["read_torch_file"]


def read_torch_file(path: Path, *, device: str = "cpu") -> object:
    """Return what a file holds, without running any code of it.

    Parameters
    ----------
    path : Path
        A file of ``torch.save``; it takes no more memory than the file is long.
    device : str
        Where its tensors go.

    Raises
    ------
    Exception
        Whatever the unpickler stumbles over in a damaged or foreign file, and ValueError where a
        checksum is wrong. The caller says what to do.
    """
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            raise ValueError("not in the format of PyTorch 1.6 and later")
    try:
        _check_members(path)
    except OSError as error:  # of the archive's directory, which points before the file's start
        raise ValueError(f"its directory is damaged ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of foreign files, which are refused anyway
        return torch.load(path, map_location=device, weights_only=True)


def _check_members(path: Path) -> None:
    """Refuse members that are compressed, lie over each other, or fail their checksum."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in members):
            raise ValueError("a part of it is compressed, which torch.save does not do")
        if sum(info.file_size for info in members) > path.stat().st_size:
            raise ValueError("its parts claim more bytes than the file has")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"its part {damaged!r} is damaged (wrong checksum)")
