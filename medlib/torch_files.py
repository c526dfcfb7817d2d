"""Read what ``torch.save`` wrote, also where the disk, the network or a stranger changed it.

PyTorch unpacks what is compressed, however large it becomes, and does not compare the checksums
that its files carry: a flipped bit in a weight would go unseen.
"""

import warnings
from pathlib import Path

import torch

from medlib.data.checksums import check_stored

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
    check_stored(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of foreign files, which are refused anyway
        return torch.load(path, map_location=device, weights_only=True)
