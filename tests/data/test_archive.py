"""Reading .npz files of strangers."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.data import archive
from medlib.errors import MedlibError


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def member(header: str, content: bytes) -> bytes:
    """An .npy member with a header of our own making."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def zipped(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("images.npy", content)
    return path


@pytest.mark.parametrize(
    "values",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["a", "longer"]),
        np.array(5),
        np.zeros((0, 3), np.int64),
    ],
)
def test_what_numpy_writes_is_read_back_and_may_be_changed(tmp_path, values):
    found = archive.read_arrays(save(tmp_path / "a.npz", x=values))["x"]
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)
    assert found.flags.writeable


def test_only_the_arrays_asked_for_are_read(tmp_path):
    path = save(tmp_path / "a.npz", x=np.ones(3), y=np.zeros(2))
    assert list(archive.read_arrays(path, ["y"])) == ["y"]
    with pytest.raises(MedlibError, match=r"lacks the array 'z' \(it holds x, y\)"):
        archive.read_arrays(path, ["z"])


def test_python_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(MedlibError, match="Python objects"):
        archive.read_arrays(tmp_path / "a.npz")


def test_a_pickle_in_disguise_never_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with pytest.raises(MedlibError):
        archive.read_arrays(zipped(tmp_path / "a.npz", pickle.dumps(Bomb())))
    assert not (tmp_path / "ran").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = save(tmp_path / "a.npz", x=np.zeros(50_000_000, np.uint8))
    assert path.stat().st_size < 100_000
    with pytest.raises(MedlibError, match=r"would unpack to 50,000,128 bytes, more than the 1,000"):
        archive.read_arrays(path, max_bytes=1000)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (900000000000,), }"
    path = zipped(tmp_path / "a.npz", member(header, b"abc"))
    with pytest.raises(MedlibError, match="promises 900000000000 bytes"):
        archive.read_arrays(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': 'rubbish', 'fortran_order': False, 'shape': (3,), }",
        "__import__('os').system('false')",
        "",
    ],
)
def test_a_header_that_lies_gives_one_line(tmp_path, header):
    with pytest.raises(MedlibError) as caught:
        archive.read_arrays(zipped(tmp_path / "a.npz", member(header, b"abc")))
    assert "\n" not in str(caught.value)
    assert "medlib data get" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_an_error_or_the_right_values(tmp_path_factory, data):
    values = np.arange(300, dtype=np.int16)
    stream = io.BytesIO()
    np.savez_compressed(stream, x=values)
    content = bytearray(stream.getvalue())
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[where] ^= data.draw(st.integers(1, 255))
    else:
        del content[where:]
    path = tmp_path_factory.mktemp("damage") / "a.npz"
    path.write_bytes(content)
    found, said = {}, ""
    try:
        found = archive.read_arrays(path, max_bytes=10_000)
    except MedlibError as error:
        said = str(error)
    assert "\n" not in said
    assert all(np.array_equal(array, values) for array in found.values())


def test_a_folder_and_a_missing_file_give_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.npz"):
        with pytest.raises(MedlibError, match="cannot be read"):
            archive.read_arrays(path)


def test_the_digest_depends_on_names_types_shapes_and_values_only(tmp_path):
    values = np.arange(12, dtype=np.int32).reshape(3, 4)
    digest = archive.digest_of_arrays({"x": values, "y": np.array(["a"])})
    assert digest == archive.digest_of_arrays(
        {"y": np.array(["a"]), "x": np.asfortranarray(values)}
    )
    for other in (values.astype(np.int64), values.reshape(4, 3), values + 1):
        assert digest != archive.digest_of_arrays({"x": other, "y": np.array(["a"])})
    assert archive.digest_of_arrays({}) == archive.hashlib.sha256().hexdigest()


def test_arrays_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    archive.write_arrays(path, {"x": np.ones(2)})

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.np, "savez_compressed", fail)
    with pytest.raises(OSError, match="No space"):
        archive.write_arrays(path, {"x": np.zeros(2)})
    assert np.array_equal(archive.read_arrays(path)["x"], np.ones(2))
