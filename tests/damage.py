"""Damaged files, made on purpose: the same ones in every run.

`damaged` makes the inputs of a kind by number: first those written by hand, each with an idea
behind it (a pickle that would run, a zip that unpacks to gigabytes), then sound files with random
damage. All chance comes from the kind and the number, so that a failure can be made again.
"""

import contextlib
import gzip
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

CANARY = "MEDLIB_CANARY"  # set to the file that code inside a damaged file would create
HUGE = 4 << 30  # bytes that a bomb claims or unpacks to


@dataclass(frozen=True)
class Damaged:
    """A damaged file.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    name : str
        What was done to it; unique within its kind.
    content : bytes
        What it holds.
    """

    kind: str
    name: str
    content: bytes


Content = bytes | Callable[[], bytes]  # a function where making it takes seconds


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    about : str
        What it is, as a table of findings names it.
    ending : str
        Of its name.
    sound : callable
        Makes an undamaged one.
    special : callable
        Makes those that were thought up for this kind, by name.
    weight : int
        Its share of the random damages.
    """

    about: str
    ending: str
    sound: Callable[[], bytes]
    special: Callable[[], Mapping[str, Content]]
    weight: int = 1


class Runs:
    """Creates the canary's file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return _touch, (CANARY,)


def _touch(name: str) -> None:
    Path(os.environ[name]).touch()


def payload() -> bytes:
    """Return a pickle that creates the canary's file when it is loaded without care."""
    return pickle.dumps(Runs())


def damaged(kind: str, number: int) -> Damaged:
    """Return an input of a kind: the special ones come first, then random damage."""
    special = list(specials(kind).items())
    if number >= len(special):
        return _at_random(kind, KINDS[kind].sound(), number - len(special))
    name, content = special[number]
    return Damaged(kind, name, content() if callable(content) else content)


@cache
def specials(kind: str) -> Mapping[str, Content]:
    """Return the inputs that were thought up for a kind."""
    return KINDS[kind].special()


def _at_random(kind: str, sound: bytes, number: int) -> Damaged:
    """Damage a sound file; the number alone decides how."""
    rng = np.random.default_rng([number, *kind.encode()])
    how = HURTS[number % len(HURTS)]
    return Damaged(kind, f"{how.__name__.strip('_')} {number}", how(bytearray(sound), rng))


# ---------------------------------------------------------------- damage to any file


def _flip_bits(content: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, len(content), int(2 ** rng.uniform(0, 7))):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _truncate(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content[: int(rng.integers(0, len(content)))])


def _overwrite(content: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(content)))
    end = min(len(content), start + int(2 ** rng.uniform(0, 9)))
    junk = rng.integers(0, 256, end - start, dtype=np.uint8) * int(rng.integers(2))
    content[start:end] = junk.tobytes()
    return bytes(content)


def _cut_out(content: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(content)))
    del content[start : start + int(2 ** rng.uniform(0, 8))]
    return bytes(content)


def _repeat(content: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(content)))
    piece = content[start : start + int(2 ** rng.uniform(2, 9))]
    content[start:start] = bytes(piece) * int(rng.integers(1, 20))
    return bytes(content)


def _extreme_numbers(content: bytearray, rng: np.random.Generator) -> bytes:
    """Put the numbers that programs stumble over where a length or a size may stand."""
    extremes = (b"\xff" * 4, b"\x7f" + b"\xff" * 3, b"\xff" * 3 + b"\x7f", b"\0" * 4, b"\xff" * 8)
    head = len(content) if rng.integers(2) else min(len(content), 512)
    for _ in range(int(rng.integers(1, 4))):
        number = extremes[int(rng.integers(len(extremes)))]
        place = int(rng.integers(0, head))
        content[place : place + len(number)] = number
    return bytes(content)


WORDS = (
    *(b"nan", b"-1", b"1e999", b"99999999999999999999", b"", b"\xff\xfe", b"\0", b'"', b"\n"),
    *(b"!!python/object/apply:os.getcwd []", b"null", b"[", b"{", b"&a [*a]", b"\x1b[31m"),
    *(b"../../etc/passwd", b"<script>", "\u202e".encode(), b"=1+1", b",,,,", b": : :"),
)


def _words(content: bytearray, rng: np.random.Generator) -> bytes:
    """Replace a word or number of a text by another, or by what no text should hold."""
    pieces = bytes(content).split(b" ") if rng.integers(2) else bytes(content).split(b",")
    joint = b" " if b" ".join(pieces) == content else b","
    for _ in range(int(rng.integers(1, 4))):
        pieces[int(rng.integers(len(pieces)))] = WORDS[int(rng.integers(len(WORDS)))]
    return joint.join(pieces)


HURTS = (_flip_bits, _truncate, _overwrite, _cut_out, _repeat, _extreme_numbers, _words)


# ---------------------------------------------------------------- .npz


def npz(**arrays: np.ndarray) -> bytes:
    """Return the bytes of a ``.npz`` file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def set_arrays() -> dict[str, np.ndarray]:
    """Return the arrays of a tiny BreastMNIST, 6, 2 and 4 images."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return arrays


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return the bytes of a zip file."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as file:
        warnings.simplefilter("ignore")  # of a name that stands there twice
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def npy_header(shape: str, dtype: str = "'|u1'") -> bytes:
    """Return the header of an ``.npy`` array that promises a shape and a type."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def _bomb(name: str, head: bytes, size: int = HUGE) -> bytes:
    """Return a zip file with one member that unpacks to a head and `size` zeros."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open(name, "w", force_zip64=True) as member,
    ):
        member.write(head)
        block = bytes(1 << 24)
        for _ in range(size // len(block)):
            member.write(block)
        member.write(bytes(size % len(block)))
    return stream.getvalue()


def _npz_bomb() -> bytes:
    return _bomb("train_images.npy", npy_header(f"({HUGE // (28 * 28)}, 28, 28)"))


def _promises(old: str, new: bytes) -> bytes:
    """Return the tiny set with one array replaced by given bytes."""
    members = {}
    for name, values in set_arrays().items():
        stream = io.BytesIO()
        np.save(stream, values)
        members[f"{name}.npy"] = stream.getvalue()
    return zipped(members | {f"{old}.npy": new})


def _npz_special() -> dict[str, Content]:
    sound = set_arrays()
    objects = np.array([Runs()], dtype=object)
    changed = {
        "an object array": {"train_images": objects},
        "object labels": {"train_labels": objects},
        "float images": {"train_images": sound["train_images"].astype(float)},
        "signed images": {"train_images": sound["train_images"].astype(np.int8)},
        "complex labels": {"train_labels": sound["train_labels"].astype(complex)},
        "text labels": {"train_labels": sound["train_labels"].astype(str)},
        "labels that are no numbers": {"train_labels": np.full((6, 1), np.nan)},
        "labels beyond the classes": {"train_labels": sound["train_labels"] + 7},
        "labels with two columns": {"train_labels": np.zeros((6, 2), np.uint8)},
        "a label without a shape": {"train_labels": np.uint8(1)},
        "too few images": {"train_images": sound["train_images"][:3]},
        "images without a case": {"train_images": sound["train_images"][:0]},
        "five axes": {"train_images": sound["train_images"][None, None]},
        "other sides": {"train_images": sound["train_images"][:, :20]},
        "structured images": {"train_images": np.zeros(6, [("a", "u1"), ("b", "f8")])},
        "dates": {"train_images": np.zeros((6, 28, 28), "M8[s]")},
        "void images": {"train_images": np.zeros((6, 28, 28), "V1")},
    }
    found = {name: npz(**sound | new) for name, new in changed.items()}
    without = {k: v for k, v in sound.items() if k != "val_labels"}
    found["an array is missing"] = npz(**without)
    shapes = {
        "a negative shape": "(-1, 28, 28)",
        "a shape of a million axes": "(" + "1, " * 20000 + ")",
        "an enormous shape": "(9999999999, 28, 28)",
        "a shape that overflows": "(4611686018427387904, 4, 4)",
        "a shape that is code": "(__import__('os').getpid(), 28, 28)",
        "a shape that is no tuple": "'abc'",
        "a shape of booleans": "(True, 28, 28)",
    }
    found |= {k: _promises("train_images", npy_header(v)) for k, v in shapes.items()}
    types = {"a type that is objects": "'|O'", "a type that is code": "__import__('os')",
             "a type of no size": "'|V0'", "a nested type": str([("a", "|u1")] * 500)}  # fmt: skip
    found |= {k: _promises("train_images", npy_header("(6, 28, 28)", v)) for k, v in types.items()}
    found |= {
        "a bare pickle": payload(),
        "a pickle for an array": _promises("train_images", payload()),
        "version 9": _promises("train_images", b"\x93NUMPY\x09\x00" + npy_header("(6,)")[8:]),
        "a header of a gigabyte": _promises("train_images", b"\x93NUMPY\x02\x00\xff\xff\xff\x3f{"),
        "brackets without end": _promises("train_images", npy_header("(" * 5000)),
        "no members": zipped({}),
        "names that climb": zipped({"../../train_images.npy": b"abc"}),
        "an empty file": b"",
        "a web page": b"<!doctype html><html><body>Please log in</body></html>",
    }
    return found | {"a zip bomb": _npz_bomb}


# ---------------------------------------------------------------- pictures


def grey(size: int = 40) -> np.ndarray:
    """Return a noisy picture ``(size, size)`` uint8."""
    return np.random.default_rng(1).integers(0, 230, (size, size), dtype=np.uint8)


def picture(form: str, values: np.ndarray | None = None, **options: object) -> bytes:
    """Return a picture as PNG, JPEG, TIFF or BMP."""
    stream = io.BytesIO()
    Image.fromarray(grey() if values is None else values).save(stream, form, **options)
    return stream.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def _png(width: int, height: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + _chunk(b"IEND", b"")


@cache
def _zeros(size: int) -> bytes:
    """Return zeros, packed by zlib."""
    packer = zlib.compressobj(1)
    block = bytes(1 << 24)
    return b"".join([*(packer.compress(block) for _ in range(size // len(block))), packer.flush()])


def _png_special() -> dict[str, Content]:
    def text() -> bytes:
        bomb = _chunk(b"zTXt", b"Comment\0\0" + _zeros(1 << 28))
        return _png(40, 40, 8, 0, bomb, _chunk(b"IDAT", b""))

    def largest() -> bytes:
        return _png(7000, 7000, 16, 2, _chunk(b"IDAT", zlib.compress(_rows(7000, 42000), 1)))

    colours = np.stack([grey()] * 3, axis=2)
    return {
        "a bomb of 4 billion pixels": lambda: _png(
            65000, 65000, 8, 0, _chunk(b"IDAT", _zeros(1 << 26))
        ),
        "a bomb of 16-bit colours": lambda: _png(
            30000, 30000, 16, 2, _chunk(b"IDAT", _zeros(1 << 28))
        ),
        "the largest that is read": largest,
        "a bomb of text": text,
        "no pixels": _png(0, 0, 8, 0),
        "a width below zero": _png(0xFFFFFFFF, 2, 8, 0),
        "a depth of 9": _png(40, 40, 9, 0, _chunk(b"IDAT", zlib.compress(bytes(4000)))),
        "a palette that is missing": _png(
            40, 40, 8, 3, _chunk(b"IDAT", zlib.compress(bytes(1640)))
        ),
        "a PNG named JPEG": picture("JPEG"),
        "a GIF named PNG": picture("GIF"),
        "PostScript named PNG": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "an empty file": b"",
        "one byte": b"\x89",
        "a pickle": payload(),
        "a blank picture": picture("PNG", np.full((40, 40), 9, np.uint8)),
        "a picture of one pixel": picture("PNG", grey(1)),
        "a picture of one line": picture("PNG", grey()[:1]),
        "a sound picture in colours": picture("PNG", colours),
        "a text chunk with nonsense": _png(40, 40, 8, 0, _chunk(b"iTXt", b"\xff" * 50)),
    }


def _rows(height: int, width: int) -> bytes:
    """Return the lines of a PNG: a filter byte, then values that are not all the same."""
    line = b"\0" + bytes(width - 2) + b"\x01\x02"
    return line * height


def _exif(content: bytes) -> bytes:
    """Return a JPEG with an EXIF segment of these bytes."""
    segment = b"\xff\xe1" + struct.pack(">H", len(content) + 8) + b"Exif\0\0" + content
    return b"\xff\xd8" + segment + picture("JPEG")[2:]


def _jpeg_special() -> dict[str, Content]:
    sound = picture("JPEG")
    size = sound.index(b"\xff\xc0") + 5
    large = sound[:size] + struct.pack(">HH", 65000, 65000) + sound[size + 4 :]
    turned = b"II*\0\x08\0\0\0\x01\0\x12\x01"
    return {
        "a bomb of 4 billion pixels": large,
        "EXIF without an end": _exif(turned),
        "EXIF turned by text": _exif(turned + struct.pack("<HI", 2, 4) + b"abcd" + bytes(4)),
        "EXIF turned by 99": _exif(turned + struct.pack("<HI", 3, 1) + b"\x63\0\0\0" + bytes(4)),
        "EXIF that points at itself": _exif(
            b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0"
        ),
        "EXIF of ones": _exif(b"\xff" * 60),
        "only a start": b"\xff\xd8",
        "a progressive one": picture("JPEG", progressive=True),
        "without tables": sound.replace(b"\xff\xdb", b"\xff\xfe"),
        "two ends": sound + sound,
    }


def _tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"", after: int = 0) -> bytes:
    """Return a TIFF of one directory: (tag, type, count, value) and what follows."""
    body = struct.pack("<H", len(entries))
    body += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + body + struct.pack("<I", after) + tail


def _sound_tiff() -> bytes:
    return picture("TIFF", compression="tiff_lzw")


def _tiff_special() -> dict[str, Content]:
    plain = [(256, 4, 1, 40), (257, 4, 1, 40), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
             (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, 40), (279, 4, 1, 1600)]  # fmt: skip

    def changed(**new: int) -> list[tuple[int, int, int, int]]:
        return [(t, k, n, new.get(f"t{t}", v)) for t, k, n, v in plain]

    tail = bytes(200) + grey().tobytes()
    large = np.random.default_rng(2).random((40, 40)).astype(np.float32)
    return {
        "a bomb of 4 billion pixels": _tiff(changed(t256=65000, t257=65000), tail),
        "directories in a circle": _tiff(plain, tail, after=8),
        "a directory far behind the end": _tiff(plain, tail, after=0x7FFFFFFF),
        "a directory of 65,535 entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(600),
        "a count of 4 billion": _tiff([*plain[:5], (273, 4, 0xFFFFFFFF, 8), *plain[6:]], tail),
        "an unknown compression": _tiff(changed(t259=12345), tail),
        "LZW of nonsense": _tiff(changed(t259=5), tail),
        "deflate of nonsense": _tiff(changed(t259=8), tail),
        "fax of nonsense": _tiff(changed(t259=4, t258=1), tail),
        "JPEG of nonsense": _tiff(changed(t259=7), tail),
        "no pixels": _tiff(changed(t256=0), tail),
        "bits that there are not": _tiff(changed(t258=77), tail),
        "a negative strip": _tiff(changed(t279=-1 & 0xFFFFFFFF), tail),
        "floats that are no numbers": picture("TIFF", large * np.nan),
        "floats of every size": picture("TIFF", large * np.float32(1e38)),
        "16 bits": picture("TIFF", grey().astype(np.uint16) * 200),
        "32 bits": picture("TIFF", grey().astype(np.int32) * -9999),
        "two hundred pages": picture(
            "TIFF", save_all=True, append_images=[Image.fromarray(grey(4))] * 200
        ),
        "BigTIFF of nothing": b"II+\0\x08\0\0\0" + b"\xff" * 8,
    }


def _bmp_special() -> dict[str, Content]:
    sound = picture("BMP")
    return {
        "a bomb": sound[:18] + struct.pack("<ii", 1 << 30, 1 << 30) + sound[26:],
        "a height below zero": sound[:22] + struct.pack("<i", -(1 << 31)) + sound[26:],
        "a palette of billions": sound[:46] + b"\xff" * 4 + sound[50:],
        "a compression of its own": sound[:30] + struct.pack("<I", 11) + sound[34:],
        "RLE that never ends": sound[:30]
        + struct.pack("<I", 1)
        + sound[34:54]
        + b"\0\2\xff\xff" * 999,
    }


# ---------------------------------------------------------------- DICOM


def dicom(pixels: np.ndarray | None = None, **tags: object) -> bytes:
    """Return a DICOM file with these tags."""
    from tests.dicom_files import write_dicom

    with TemporaryDirectory() as folder:
        values = grey().astype(np.uint16) * 16 if pixels is None else pixels
        tags = {"PatientName": "SECRETSON^ADELHEID", "PatientID": "MRN778899"} | tags
        return write_dicom(Path(folder) / "one.dcm", values, **tags).read_bytes()


@cache
def _sound_dicom() -> bytes:
    return dicom(WindowCenter="2000", WindowWidth="3000", RescaleSlope="1", RescaleIntercept="0")


def _dicom_special() -> dict[str, Content]:
    sound = _sound_dicom()
    rows = b"\x28\0\x10\0US\x02\0"
    columns = b"\x28\0\x11\0US\x02\0"

    def sides(height: int, width: int) -> bytes:
        content = _after(sound, rows, struct.pack("<H", height))
        return _after(content, columns, struct.pack("<H", width))

    texts = {
        "a window of words": {"WindowCenter": ["2000", "1"], "WindowWidth": ["0", "0"]},
        "a window of none": {"WindowWidth": "-5", "WindowCenter": "1"},
        "a slope of nothing": {"RescaleSlope": "0", "RescaleIntercept": "0"},
        "a slope beyond all numbers": {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
        "frames without end": {"NumberOfFrames": "2147483647"},
        "no frames": {"NumberOfFrames": "0"},
        "another photometry": {"PhotometricInterpretation": "XYZ"},
        "a palette that is missing": {"PhotometricInterpretation": "PALETTE COLOR"},
        "two bits stored": {"BitsStored": 2, "HighBit": 1},
        "more bits stored than there are": {"BitsStored": 60, "HighBit": 59},
        "three samples that are one": {"SamplesPerPixel": 3, "PlanarConfiguration": 1},
    }
    found = {name: dicom(**tags) for name, tags in texts.items()}
    return found | {
        "a bomb of 4 billion pixels": sides(65535, 65535),
        "no pixels": sides(0, 0),
        "one line more than there is": sides(41, 40),
        "a preamble alone": bytes(128) + b"DICM",
        "a length without an end": _after(sound, b"\xe0\x7f\x10\0OW\0\0", b"\xff" * 4),
        "deflated": sound.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"),
        "an unknown transfer syntax": sound.replace(
            b"1.2.840.10008.1.2.1\0", b"1.2.3.4.5.6.7.8.9.1\0"
        ),
        "JPEG 2000 of nonsense": sound.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4.90"),
        "a report without a picture": dicom(np.zeros((0, 0), np.uint16)),
        "sequences in sequences": sound[:132] + b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff" * 3000,
        "an empty file": b"",
    }


def _after(content: bytes, mark: bytes, new: bytes) -> bytes:
    """Replace the bytes behind a mark."""
    place = content.index(mark) + len(mark)
    return content[:place] + new + content[place + len(new) :]


# ---------------------------------------------------------------- volumes


@cache
def _sound_nifti() -> bytes:
    import SimpleITK

    values = np.random.default_rng(3).integers(0, 900, (9, 24, 24)).astype(np.int16)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "v.nii"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(path))
        return path.read_bytes()


def _nifti_with(offset: int, form: str, *values: float) -> bytes:
    content = bytearray(_sound_nifti())
    struct.pack_into(f"<{form}", content, offset, *values)
    return bytes(content)


def _nifti_special() -> dict[str, Content]:
    return {
        "a bomb of 30 billion voxels": _nifti_with(42, "hhh", 32767, 32767, 32767),
        "no axes": _nifti_with(40, "h", 0),
        "seven axes": _nifti_with(40, "hhhhhhhh", 7, 24, 24, 9, 2, 2, 2, 2),
        "axes below zero": _nifti_with(42, "hhh", -24, -24, -9),
        "another type": _nifti_with(70, "hh", 2304, 32),
        "complex numbers": _nifti_with(70, "hh", 32, 64),
        "colours": _nifti_with(70, "hh", 128, 24),
        "a type that there is not": _nifti_with(70, "hh", 9999, 7),
        "voxels far behind the end": _nifti_with(108, "f", 1e30),
        "voxels before the start": _nifti_with(108, "f", -352.0),
        "voxels at no place": _nifti_with(108, "f", float("nan")),
        "a slope that is no number": _nifti_with(112, "ff", float("nan"), float("inf")),
        "spacings of nothing": _nifti_with(76, "8f", *[0.0] * 8),
        "spacings that are no numbers": _nifti_with(76, "8f", *[float("nan")] * 8),
        "directions that are no numbers": _nifti_with(252, "hh6f", 1, 1, *[float("nan")] * 6),
        "a header of another size": _nifti_with(0, "i", 1234),
        "two files in one": _nifti_with(344, "4s", b"ni1\0"),  # type: ignore[arg-type]
        "a MetaImage that points elsewhere": (
            b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
            b"ElementDataFile = /etc/passwd\n"
        ),
        "an empty file": b"",
    }


def _gzip_bomb() -> bytes:
    """Return a packed volume whose header tells the truth about gigabytes of zeros."""
    head = _nifti_with(42, "hhh", 512, 512, 1900)[:352]  # 498 million voxels of 4 bytes
    head = head[:70] + struct.pack("<hh", 16, 32) + head[74:]
    packer = zlib.compressobj(1, wbits=31)
    body = [packer.compress(head + np.arange(4096, dtype="<f4").tobytes())]
    block = bytes(1 << 24)
    body += [packer.compress(block) for _ in range(1 + 512 * 512 * 1900 * 4 // len(block))]
    return b"".join([*body, packer.flush()])


def _packed_nifti() -> bytes:
    return gzip.compress(_sound_nifti(), mtime=0)


def _nifti_gz_special() -> dict[str, Content]:
    return {
        "a bomb of 2 GB": _gzip_bomb,
        "no gzip at all": _sound_nifti(),
        "gzip of gzip": gzip.compress(gzip.compress(_sound_nifti())),
        "half a gzip": gzip.compress(_sound_nifti())[:2000],
        "gzip of nothing": gzip.compress(b""),
        "gzip of a header": gzip.compress(_sound_nifti()[:352]),
    }


@cache
def _sound_volume() -> bytes:
    return npz(volume=np.random.default_rng(3).integers(0, 900, (9, 24, 24)).astype(np.int16))


def _volume_bomb(side: int) -> bytes:
    head = npy_header(f"(3, {side}, {side})") + bytes(range(256))
    return _bomb("volume.npy", head, 3 * side * side - 256)


def _volume_special() -> dict[str, Content]:
    values = np.random.default_rng(3).random((3, 24, 24))
    return {
        "a bomb of 2 GB": lambda: _volume_bomb(25_820),
        "the largest that is read": lambda: _volume_bomb(17_700),
        "objects": npz(volume=np.array([Runs()], object)),
        "words": npz(volume=np.full((3, 4, 4), "abc")),
        "complex numbers": npz(volume=values.astype(complex)),
        "nothing": npz(volume=values[:0]),
        "a number": npz(volume=np.float64(3)),
        "four axes": npz(volume=values[None]),
        "infinite": npz(volume=values * np.inf),
        "beyond float64": npz(
            volume=np.full((3, 4, 4), 1.7e308) * np.sign(values[:, :4, :4] - 0.5)
        ),
        "no numbers": npz(volume=values * np.nan),
        "half floats": npz(volume=values.astype(np.float16)),
        "long doubles": npz(volume=values.astype(np.longdouble)),
        "the other order of bytes": npz(volume=values.astype(">f8")),
        "dates": npz(volume=np.zeros((3, 4, 4), "M8[s]")),
        "a promise of 8 GB": zipped({"volume.npy": npy_header("(2, 65536, 65536)")}),
    }


# ---------------------------------------------------------------- models and checkpoints


def saved_bytes(content: object) -> bytes:
    """Return what `torch.save` writes."""
    import torch

    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


@cache
def sound_model() -> bytes:
    """Return a LeNet as ``medlib train`` saves it, untrained."""
    import torch

    from medlib.saved import ModelSpec, save_model

    torch.manual_seed(0)
    spec = ModelSpec("lenet5", 1, 2, 28, "binary", ("benign", "malignant"))
    data = {
        "kind": "phantom",
        "name": "breastmnist",
        "digest": "phantom-0",
        "train": 546,
        "val": 78,
    }
    with TemporaryDirectory() as folder:
        path = save_model(
            spec.build(), Path(folder) / "m.pt", spec=spec,
            provenance={"data": data, "seed": 0, "recipe_values": {"select": "last"}},
        )  # fmt: skip
        return path.read_bytes()


def _content() -> dict:
    import torch

    return torch.load(io.BytesIO(sound_model()), weights_only=True)


def _model_special() -> dict[str, Content]:
    import torch

    sound = _content()
    network, weights = sound["network"], sound["weights"]
    first = next(iter(weights))
    provenance = sound["provenance"]
    changed: dict[str, dict] = {
        "a foreign format": {"format": "other"},
        "a schema of words": {"schema": "two"},
        "a schema that is no number": {"schema": float("nan")},
        "no network": {"network": None},
        "a network of a list": {"network": [1, 2]},
        "an unknown network": {"network": network | {"name": "nonet"}},
        "a network with a name of bytes": {"network": network | {"name": b"lenet5"}},
        "a network named by a list": {"network": network | {"name": ["lenet5"]}},
        "a million classes": {"network": network | {"num_classes": 10**6}},
        "as many classes as memory": {
            "network": network | {"num_classes": 10**12, "classes": ["a", "b"]}
        },
        "classes of None": {"network": network | {"classes": None}},
        "classes of text with orders to a terminal": {
            "network": network | {"classes": ["\x1b[2J\x1b[31m", "b\nc"]}
        },
        "an unknown task": {"network": network | {"task": "any"}},
        "a task of a list": {"network": network | {"task": ["binary"]}},
        "options of words": {"network": network | {"options": {"width": "wide"}}},
        "options unknown": {"network": network | {"options": {"__class__": 1}}},
        "options that are no table": {"network": network | {"options": 7}},
        "pictures of a million pixels a side": {"network": network | {"image_size": 10**6}},
        "pictures of no size": {"network": network | {"image_size": 0}},
        "pictures of half a pixel": {"network": network | {"image_size": 28.5}},
        "pictures of minus 28": {"network": network | {"image_size": -28}},
        "no channels": {"network": network | {"in_channels": 0}},
        "seven channels": {"network": network | {"in_channels": 7}},
        "another normalisation": {"normalisation": {"mean": 0}},
        "no weights": {"weights": {}},
        "weights of a list": {"weights": [1]},
        "weights of words": {"weights": dict.fromkeys(weights, "abc")},
        "weights of another shape": {"weights": weights | {first: torch.zeros(3)}},
        "weights of whole numbers": {"weights": weights | {first: weights[first].int()}},
        "weights that are no numbers": {"weights": weights | {first: weights[first] * torch.nan}},
        "weights of complex numbers": {"weights": weights | {first: weights[first] + 0j}},
        "sparse weights": {"weights": weights | {first: weights[first].to_sparse()}},
        "weights on no device": {"weights": weights | {first: weights[first].to("meta")}},
        "one weight too many": {"weights": weights | {"more": torch.zeros(1)}},
        "weights with numbers for names": {"weights": weights | {7: torch.zeros(1)}},
        "no provenance": {"provenance": None},
        "a seed of words": {"provenance": provenance | {"seed": "one"}},
        "a seed below zero": {"provenance": provenance | {"seed": -5}},
        "a fit that there is not": {"provenance": provenance | {"fit": "stretch"}},
        "a fit of a list": {"provenance": provenance | {"fit": ["pad"]}},
        "slices of words": {"provenance": provenance | {"slices": "three"}},
        "slices without end": {"provenance": provenance | {"slices": 10**12}},
        "data of a list": {"provenance": provenance | {"data": {"kind": "card", "name": ["x"]}}},
        "a data set that there is not": {
            "provenance": provenance | {"data": {"kind": "card", "name": "../../x"}}
        },
        "a recipe that selects a list": {
            "provenance": provenance | {"recipe_values": {"select": []}}
        },
    }
    found = {name: saved_bytes(sound | new) for name, new in changed.items()}
    for key in sound:
        found[f"without {key}"] = saved_bytes({k: v for k, v in sound.items() if k != key})
    big = torch.zeros(1).expand(1 << 40)
    found |= {
        "a pickle that runs": payload(),
        "a pickle that runs, in a zip": zipped({"m/data.pkl": payload(), "m/version": b"3"}, 0),
        "an object that runs": saved_bytes({"format": "medlib-model", "x": Runs()}),
        "a tensor of a terabyte without memory": saved_bytes(sound | {"weights": {first: big}}),
        "the old format": _old_format(sound),
        "the old format that promises a terabyte": _old_format(sound, promise=True),
        "an .npz": npz(a=np.zeros(3)),
        "a list": saved_bytes([1, 2, 3]),
        "a tensor": saved_bytes(torch.zeros(3)),
        "an empty file": b"",
        "ten thousand lists in lists": b"\x80\x02" + b"(" * 10000 + b"l" * 10000 + b".",
    }
    return found | {"a zip bomb": _model_bomb}


def _old_format(content: object, promise: bool = False) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    found = stream.getvalue()
    return found.replace(b"K\x96", b"\x8a\x06\0\0\0\0\0\x01") if promise else found


def _model_bomb() -> bytes:
    """Return a model file whose first tensor unpacks to gigabytes."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sound_model())) as source,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for info in source.infolist():
            if not info.filename.endswith("data/0"):
                target.writestr(info.filename, source.read(info))
                continue
            with target.open(info.filename, "w", force_zip64=True) as member:
                block = bytes(1 << 24)
                for _ in range(HUGE // len(block)):
                    member.write(block)
    return stream.getvalue()


TRAIN = ("train", "breastmnist", "--phantom", "--model", "lenet5", "--device", "cpu",
         "--steps", "20")  # fmt: skip


@cache
def sound_checkpoint() -> bytes:
    """Return the checkpoint of ``medlib train``, stopped behind its first epoch."""
    from medlib import cli
    from tests.stops import stopped_training

    with TemporaryDirectory() as folder, stopped_training():
        with contextlib.redirect_stderr(io.StringIO()):
            cli.main([*TRAIN, "--out", folder])
        return (Path(folder) / "checkpoint.pt").read_bytes()


def _checkpoint_special() -> dict[str, Content]:
    import torch

    sound = torch.load(io.BytesIO(sound_checkpoint()), weights_only=True)
    found = {
        f"without {key}": saved_bytes({k: v for k, v in sound.items() if k != key}) for key in sound
    }
    found |= {f"{key} of words": saved_bytes(sound | {key: "abc"}) for key in sound}
    found |= {f"{key} of None": saved_bytes(sound | {key: None}) for key in sound}
    found |= {f"{key} of a list": saved_bytes(sound | {key: [1, -1]}) for key in sound}
    return found | {
        "a pickle that runs": payload(),
        "an object that runs": saved_bytes(sound | {"x": Runs()}),
        "an empty file": b"",
        "a model": sound_model(),
        "a tensor": saved_bytes(torch.zeros(3)),
    }


# ---------------------------------------------------------------- ONNX


@cache
def sound_onnx() -> bytes:
    """Return a LeNet as ``medlib train`` exports it."""
    from medlib.own.outputs import quietly
    from medlib.saved import export_onnx, load_model

    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        path.write_bytes(sound_model())
        quietly(export_onnx, load_model(path), path.with_suffix(".onnx"))
        return path.with_suffix(".onnx").read_bytes()


def _onnx_special() -> dict[str, Content]:
    import onnx

    def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
        model = onnx.load_from_string(sound_onnx())
        change(model)
        return model.SerializeToString()

    def outside(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../etc/passwd")

    def wide(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 10**6

    def double(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE

    return {
        "weights outside the file": changed(outside),
        "pictures of a million lines": changed(wide),
        "an input of another type": changed(double),
        "no input": changed(lambda m: m.graph.ClearField("input")),
        "no nodes": changed(lambda m: m.graph.ClearField("node")),
        "no graph": changed(lambda m: m.ClearField("graph")),
        "no metadata": changed(lambda m: m.ClearField("metadata_props")),
        "a version of the future": changed(lambda m: setattr(m, "ir_version", 999)),
        "an operator of nobody": changed(lambda m: setattr(m.graph.node[0], "op_type", "Nobody")),
        "a circle": changed(lambda m: m.graph.node[0].input.__setitem__(0, m.graph.output[0].name)),
        "a pickle": payload(),
        "an empty file": b"",
    }


# ---------------------------------------------------------------- tables, YAML, JSON


@cache
def sound_table() -> bytes:
    """Return a table of 12 pictures ``p0.png`` to ``p11.png``."""
    lines = ["path,label,patient,split"]
    for k in range(12):
        split = ("train", "train", "val", "test")[k % 4]
        lines.append(f"p{k}.png,{'ill' if k % 2 else 'healthy'},patient {k},{split}")
    return ("\n".join(lines) + "\n").encode()


def _table_special() -> dict[str, Content]:
    sound = sound_table()
    first = b"path,label,patient,split\n"
    return {
        "a name of a column with two lines": b'"path\nand more",label\np0.png,ill\n',
        "a column of orders to a terminal": b"path\x1b[2J,label\np0.png,ill\n",
        "a cell beyond the limit": first + b"p0.png," + b"x" * 200_000 + b",a,train\n",
        "a quote without an end": sound + b'"' + b"p0.png,ill,a,train\n" * 20_000,
        "a path that leads out": first + b"../../../etc/passwd,ill,a,train\n",
        "an absolute path": first + b"/etc/passwd,ill,a,train\n",
        "a device": first + b"/dev/zero,ill,a,train\n/dev/urandom,healthy,b,train\n",
        "a path of 10,000 letters": first + b"a" * 10_000 + b",ill,a,train\n",
        "a path of no letters": first + b"\xe2\x80\xae,ill,a,train\n",
        "a million columns": b"path,label" + b",x" * 100_000 + b"\np0.png,ill\n",
        "UTF-16": "path,label\np0.png,ill\n".encode("utf-16"),
        "a byte of zero": sound.replace(b"ill", b"i\0l"),
        "lone carriage returns": sound.replace(b"\n", b"\r"),
        "formulas": sound.replace(b"ill", b"=cmd|' /C calc'!A0"),
        "labels of code": sound.replace(b"ill", b"<img src=x onerror=alert(1)>"),
        "labels that are paths": sound.replace(b"ill", b"../../ill"),
        "only a header": first,
        "no header": sound.removeprefix(first),
        "an empty file": b"",
        "one class": sound.replace(b"healthy", b"ill"),
        "one patient on two sides": sound.replace(b"patient", b"same,").replace(b"same, ", b"same"),
        "splits of nonsense": sound.replace(b"train", b"maybe"),
        "the same line a thousand times": first + b"p0.png,ill,a,train\n" * 1000,
        "a folder": first + b".,ill,a,train\n",
        "spaces for cells": first + b" , , , \n" * 50,
        "a picture": picture("PNG"),
        "a pickle": payload(),
    }


@cache
def sound_scores() -> bytes:
    """Return a file of scores of 40 cases."""
    rng = np.random.default_rng(4)
    lines = ["index,label,p0,p1"]
    for k in range(40):
        value = round(float(rng.uniform(0.05, 0.95)), 6)
        lines.append(f"{k},{k % 2},{1 - value:.6f},{value:.6f}")
    return ("\n".join(lines) + "\n").encode()


def _scores_special() -> dict[str, Content]:
    sound = sound_scores()
    return {
        "no lines": b"index,label,p0,p1\n",
        "no columns": b"\n\n\n",
        "an empty file": b"",
        "a cell beyond the limit": sound + b"40,1," + b"1" * 200_000 + b",0\n",
        "a quote without an end": sound + b'"',
        "lone carriage returns": sound.replace(b"\n", b"\r"),
        "a byte of zero": sound.replace(b"0.", b"\0.", 3),
        "no UTF-8": sound.replace(b"label", b"l\xe4bel"),
        "ragged lines": sound.replace(b"\n3,", b"\n3,4,5,6,7,8,"),
        "columns twice": sound.replace(b"p0,p1", b"p1,p1"),
        "more columns": sound.replace(b"p0,p1", b"p0,p7"),
        "labels beyond the classes": sound.replace(b"5,1,", b"5,9,"),
        "labels below zero": sound.replace(b"5,1,", b"5,-1,"),
        "labels of words": sound.replace(b"5,1,", b"5,ill,"),
        "labels of a number beyond 64 bits": sound.replace(b"5,1,", b"5,99999999999999999999,"),
        "probabilities that are no numbers": sound.replace(b"0.", b"nan.", 1).replace(
            b"nan.", b"nan#"
        ),
        "probabilities without end": sound.replace(b",0.", b",inf;", 1).replace(b";", b","),
        "probabilities above one": sound.replace(b",0.", b",7.", 2),
        "the same index twice": sound.replace(b"\n7,", b"\n6,"),
        "an index of a fraction": sound.replace(b"\n7,", b"\n7.5,"),
        "a pickle": payload(),
    }


YAML = {
    "a tag that runs": b'- !!python/object/apply:os.mknod ["medlib-canary"]\n',
    "a tag that opens a module": b"- !!python/module:os\n",
    "ten laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((n + 1, n + 1) + (n,) * 9)
        for n in range(97, 107)
    ),
    "an anchor that holds itself": b"&a [*a, *a]\n",
    "brackets without end": b"[" * 3000,
    "maps in maps": b"".join(b" " * k + b"a:\n" for k in range(1500)),
    "a date that there is not": b"- 2001-99-99\n",
    "a number of ten thousand digits": b"- " + b"9" * 10_000 + b"\n",
    "no UTF-8": b"- caf\xe9\n",
    "a byte of zero": b"- a\0b\n",
    "a tabulator": b"a:\n\t- b\n",
    "two documents": b"--- a\n--- b\n",
    "a key of a list": b"? [a, b]\n: c\n",
    "the same key twice": b"a: 1\na: 2\n",
    "a number": b"7\n",
    "a text": b"hello\n",
    "a list of numbers": b"[1, 2, 3]\n",
    "nothing": b"",
    "not a number": b".nan\n",
    "a pickle": payload(),
}  # fmt: skip


@cache
def sound_card() -> bytes:
    """Return the card of BreastMNIST."""
    from medlib import paths

    return paths.package_file("data/breastmnist.yml").read_bytes()


def _card_special() -> dict[str, Content]:
    import yaml

    entries = yaml.safe_load(sound_card())
    found = dict(YAML)
    for key in entries:
        for name, value in {"None": None, "a number": 7, "a text": "abc", "a list": [1, [2]],
                            "a table": {"a": {"b": 1}}}.items():  # fmt: skip
            found[f"{key} is {name}"] = yaml.safe_dump(entries | {key: value}).encode()
        found[f"without {key}"] = yaml.safe_dump(
            {k: v for k, v in entries.items() if k != key}
        ).encode()
    return found


@cache
def sound_claims() -> bytes:
    """Return two claims of a toy book."""
    return b"""\
- id: net-auc
  chapter: 03-05-resnet
  sentence: It is so.
  kind: score
  metric: auc
  data: toy
  seeds: 3
  reference: {value: 0.9, source: someone2020}
- id: net-size
  chapter: 03-05-resnet
  sentence: So many.
  kind: count
  metric: parameters
"""


def _claims_special() -> dict[str, Content]:
    import yaml

    entries = yaml.safe_load(sound_claims())
    found = dict(YAML)
    for key in (*entries[0], "headline", "long", "other"):
        for name, value in {"None": None, "a number": -7, "not a number": float("nan"),
                            "a text": "a\nb", "a list": [1, [2]],
                            "a table": {"a": {"b": 1}}}.items():  # fmt: skip
            found[f"{key} is {name}"] = yaml.safe_dump(
                [entries[0] | {key: value}, entries[1]]
            ).encode()
    return found


# ---------------------------------------------------------------- chapters and notebooks


@cache
def sound_chapter() -> bytes:
    """Return the source of a chapter."""
    return b"""\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A chapter

Some text, and `code`.

```{code-cell} python3
:tags: [parameters]
profile = "cpu"
seed = 0
device = "auto"
```

```{code-cell} python3
import medlib

run = medlib.begin("03-05-resnet", profile=profile, seed=seed, device=device)
model = run.take("03-01-lenet", "model.pt")
data = run.load("breastmnist")
```
"""


def _chapter_special() -> dict[str, Content]:
    sound = sound_chapter()
    return {
        "Python that does not parse": sound.replace(b"import medlib", b"import ("),
        "Python with a byte of zero": sound.replace(b"import medlib", b"x = '\0'"),
        "indented by halves": sound.replace(b"run = ", b"  run = "),
        "brackets without end": sound.replace(b"import medlib", b"(" * 5000),
        "sums without end": sound.replace(b"import medlib", b"x = " + b"1 + " * 20_000 + b"1"),
        "a number of ten thousand digits": sound.replace(b"import medlib", b"x = " + b"9" * 10_000),
        "a shell": sound.replace(b"import medlib", b"!touch medlib-canary"),
        "a header of nonsense": sound.replace(b"jupytext:", b"jupytext: [}"),
        "a header that runs": sound.replace(
            b"jupytext:", b"a: !!python/object/apply:os.getcwd []\njupytext:"
        ),
        "a header without an end": sound.replace(b"---\n\n#", b"\n#"),
        "a header of a list": b"---\n- a\n- b\n---\n# A chapter\n",
        "tags of nonsense": sound.replace(b"[parameters]", b"[parameters"),
        "tags of a number": sound.replace(b"[parameters]", b"7"),
        "a cell without an end": sound + b"```{code-cell} python3\nx = 1\n",
        "no UTF-8": sound.replace(b"Some", b"S\xf6me"),
        "no title": sound.replace(b"# A chapter", b"A chapter"),
        "take of a number": sound.replace(b'"03-01-lenet"', b"7"),
        "an empty file": b"",
        "a notebook": sound_notebook(),
        "a pickle": payload(),
    }


@cache
def sound_notebook() -> bytes:
    """Return an executed notebook."""
    import nbformat

    output = nbformat.v4.new_output("stream", text="hello\n")
    cells = [
        nbformat.v4.new_markdown_cell("# A chapter"),
        nbformat.v4.new_code_cell("print('hello')", outputs=[output], execution_count=1),
    ]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()


def _notebook_special() -> dict[str, Content]:
    plain = json.loads(sound_notebook())
    changed = {
        "no cells": {"cells": None},
        "cells of numbers": {"cells": [1, 2]},
        "cells of a table": {"cells": {"a": 1}},
        "a cell of no kind": {"cells": [{"source": "x"}]},
        "a source of numbers": {"cells": [{"cell_type": "code", "source": [1, 2], "metadata": {}}]},
        "no metadata": {"metadata": None},
        "version 99": {"nbformat": 99},
        "version of words": {"nbformat": "four"},
        "version 2": {"nbformat": 2},
    }
    found = {name: json.dumps(plain | new).encode() for name, new in changed.items()}
    return found | {
        "brackets without end": b"[" * 100_000,
        "a number": b"7",
        "a list": b"[]",
        "half of it": sound_notebook()[:100],
        "an empty file": b"",
        "no UTF-8": sound_notebook().replace(b"hello", b"h\xe9llo"),
        "a pickle": payload(),
    }


KINDS = {
    "npz": Kind("data sets (`.npz`)", ".npz", lambda: npz(**set_arrays()), _npz_special, 3),
    "png": Kind("PNG pictures", ".png", lambda: picture("PNG"), _png_special, 2),
    "jpeg": Kind("JPEG pictures", ".jpg", lambda: picture("JPEG"), _jpeg_special, 2),
    "tiff": Kind("TIFF pictures", ".tif", _sound_tiff, _tiff_special, 2),
    "bmp": Kind("BMP pictures", ".bmp", lambda: picture("BMP"), _bmp_special),
    "dicom": Kind("DICOM pictures", ".dcm", _sound_dicom, _dicom_special, 3),
    "nifti": Kind("NIfTI volumes", ".nii", _sound_nifti, _nifti_special, 2),
    "nifti.gz": Kind("packed NIfTI volumes", ".nii.gz", _packed_nifti, _nifti_gz_special),
    "volume": Kind("volumes in `.npz`", ".npz", _sound_volume, _volume_special, 2),
    "model": Kind("saved models", ".pt", sound_model, _model_special, 3),
    "checkpoint": Kind("checkpoints", ".pt", sound_checkpoint, _checkpoint_special),
    "onnx": Kind("ONNX models", ".onnx", sound_onnx, _onnx_special, 2),
    "table": Kind("tables of pictures (CSV)", ".csv", sound_table, _table_special, 2),
    "scores": Kind("scores of an edition (CSV)", ".csv", sound_scores, _scores_special, 2),
    "card": Kind("data cards (YAML)", ".yml", sound_card, _card_special),
    "claims": Kind("claims (YAML)", ".yml", sound_claims, _claims_special, 2),
    "chapter": Kind("chapters (MyST)", ".md", sound_chapter, _chapter_special, 2),
    "notebook": Kind("executed notebooks", ".ipynb", sound_notebook, _notebook_special, 2),
}
