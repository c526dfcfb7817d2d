"""The checksums inside a zip file, compared without handing out what it holds."""

import zipfile
from pathlib import Path

__all__ = ["check_stored"]


def check_stored(path: Path) -> None:
    """Refuse a zip file whose members are compressed, lie over each other, or are damaged.

    What passes unpacks to no more bytes than the file has.

    Raises
    ------
    ValueError
        The message says what is wrong and does not name the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in members):
                raise ValueError("a part of it is compressed, which torch.save does not do")
            if sum(info.file_size for info in members) > path.stat().st_size:
                raise ValueError("its parts claim more bytes than the file has")
            damaged = archive.testzip()
    except OSError as error:  # of a directory that points before the start of the file
        raise ValueError(f"its directory is damaged ({error})") from error
    if damaged is not None:
        raise ValueError(f"its part {damaged!r} is damaged (wrong checksum)")
