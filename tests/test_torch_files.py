"""Files of PyTorch that a disk, a network or a stranger changed."""

import io
import zipfile
from pathlib import Path

import pytest
import torch

from medlib.torch_files import read_torch_file


def saved(path: Path) -> Path:
    torch.save({"weights": torch.arange(1000.0)}, path)
    return path


def rewritten(path: Path, compression: int) -> Path:
    """Write the same members again, as a zip program would."""
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    path.write_bytes(stream.getvalue())
    return path


def test_a_sound_file_is_read(tmp_path):
    found = read_torch_file(saved(tmp_path / "a.pt"))
    assert torch.equal(found["weights"], torch.arange(1000.0))
    read_torch_file(rewritten(tmp_path / "a.pt", zipfile.ZIP_STORED))


def test_torch_itself_does_not_see_a_flipped_bit_and_we_do(tmp_path):
    path = saved(tmp_path / "a.pt")
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(1000.0).numpy().tobytes()) + 2003
    content[place] ^= 64
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], torch.arange(1000.0))
    with pytest.raises(ValueError, match=r"data/0' is damaged \(wrong checksum\)"):
        read_torch_file(path)


def test_what_is_compressed_could_unpack_to_any_size_and_is_refused(tmp_path):
    with pytest.raises(ValueError, match="compressed, which torch.save does not do"):
        read_torch_file(rewritten(saved(tmp_path / "a.pt"), zipfile.ZIP_DEFLATED))


def test_parts_that_lie_over_each_other_are_refused(tmp_path):
    path = saved(tmp_path / "a.pt")
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
        for k in range(3):  # entries of the directory alone: they share the bytes of the first
            twin = zipfile.ZipInfo(f"twin{k}")
            twin.header_offset, twin.CRC = largest.header_offset, largest.CRC
            twin.file_size = twin.compress_size = largest.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    with pytest.raises(ValueError, match="claim more bytes than the file has"):
        read_torch_file(path)


def test_the_format_before_2020_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"a": 1}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="not in the format of PyTorch"):
        read_torch_file(path)
