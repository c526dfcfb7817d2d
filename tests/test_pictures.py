"""Pictures from files: every format, what is done to them, and what is refused, with a reason."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from medlib import pictures
from medlib.errors import MedlibError
from medlib.pictures import PictureError, find_files, fit_square, read_picture, read_pictures
from tests.dicom_files import write_dicom

pydicom = pytest.importorskip("pydicom")

NAME = "SECRET^PERSON"
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (28, 28, 3), dtype=np.uint8)


def read(path, channels=1, size=28, fit="squeeze"):
    return read_picture(path, channels=channels, size=size, fit=fit)


def kept(array, path):
    Image.fromarray(array).save(path)
    return path


def dicom(path, pixels, **tags):
    """Write a small DICOM file that names a patient."""
    return write_dicom(path, pixels, **{"PatientName": NAME, "PatientID": NAME, **tags})


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_formats_come_back_unchanged(tmp_path, suffix):
    found = read(kept(GREY, tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(found.image, GREY[None])
    assert found.changes == ()
    colour = read(kept(COLOUR, tmp_path / f"b{suffix}"), channels=3)
    np.testing.assert_array_equal(colour.image, COLOUR.transpose(2, 0, 1))


def test_jpeg_comes_back_nearly(tmp_path):
    smooth = np.linspace(0, 255, 28 * 28).reshape(28, 28).astype(np.uint8)
    found = read(kept(smooth, tmp_path / "a.jpg")).image[0]
    assert np.abs(found.astype(int) - smooth).max() < 16


def test_channels_are_converted_and_named(tmp_path):
    grey = read(kept(COLOUR, tmp_path / "a.png"))
    expected = np.asarray(Image.fromarray(COLOUR).convert("L"))
    np.testing.assert_array_equal(grey.image[0], expected)
    assert grey.changes == ("colour to grey",)
    three = read(kept(GREY, tmp_path / "b.png"), channels=3)
    assert three.changes == ("grey in three channels",)
    assert (three.image == GREY).all()
    stored_as_colour = np.repeat(GREY[..., None], 3, axis=2)
    assert read(kept(stored_as_colour, tmp_path / "c.png")).changes == ()


def test_transparency_palettes_and_bits(tmp_path):
    clear = np.dstack([COLOUR, GREY])
    found = read(kept(clear, tmp_path / "a.png"), channels=3)
    np.testing.assert_array_equal(found.image, COLOUR.transpose(2, 0, 1))
    assert found.changes == ("transparency left out",)
    Image.fromarray(GREY).convert("P").save(tmp_path / "p.png")
    np.testing.assert_array_equal(read(tmp_path / "p.png").image[0], GREY)
    bits = kept(GREY > 100, tmp_path / "bits.png")
    np.testing.assert_array_equal(read(bits).image[0], 255 * (GREY > 100))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_mapped_and_named(tmp_path, suffix):
    deep = GREY.astype(np.uint16) * 200 + 7
    found = read(kept(deep, tmp_path / f"a{suffix}"))
    assert (found.image.min(), found.image.max()) == (0, 255)
    assert "mapped to 0 to 255" in found.changes[0]
    assert np.corrcoef(found.image.ravel(), GREY.ravel())[0, 1] > 0.9999


def test_orientation_and_pages(tmp_path):
    sideways = Image.fromarray(GREY)
    exif = sideways.getexif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png").image[0], np.rot90(GREY, -1))
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:])
    found = read(tmp_path / "b.tif")
    np.testing.assert_array_equal(found.image[0], GREY)
    assert found.changes == ("first of 2 pages",)


# ---------------------------------------------------------------- size


def test_fits_differ_as_they_say():
    wide = np.tile(np.arange(60, dtype=np.uint8) * 4, (30, 1))
    squeezed, changes = fit_square(wide, 30, "squeeze")
    assert changes == ["60 x 30 to 30 x 30 pixels", "squeezed"]
    assert (squeezed[0, 0], squeezed[0, -1]) == pytest.approx((2, 234), abs=3)
    cropped, _ = fit_square(wide, 30, "crop")
    np.testing.assert_array_equal(cropped, wide[:, 15:45])
    padded, _ = fit_square(wide, 60, "pad")
    np.testing.assert_array_equal(padded[15:45], wide)
    assert padded[:15].max() == padded[45:].max() == 0
    with pytest.raises(MedlibError, match="choose one of squeeze, crop, pad"):
        fit_square(wide, 30, "stretch")


def test_large_pictures_are_averaged_not_sampled(tmp_path):
    board = (np.indices((280, 280)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = read(kept(board, tmp_path / "a.png"))
    assert np.abs(found.image.astype(int) - 127).max() <= 10


# ---------------------------------------------------------------- DICOM


def test_dicom_without_a_window_goes_from_least_to_most(tmp_path):
    values = GREY.astype(np.int16) * 10 - 1000
    found = read(dicom(tmp_path / "a.dcm", values, RescaleSlope="2", RescaleIntercept="5"))
    assert (found.image.min(), found.image.max()) == (0, 255)
    low, high = 2 * int(values.min()) + 5, 2 * int(values.max()) + 5
    assert found.changes == (f"intensities {low} to {high} mapped to 0 to 255",)


def test_dicom_window_as_the_standard_says(tmp_path):
    values = np.arange(28 * 28, dtype=np.int16).reshape(28, 28)
    tags = {"WindowCenter": ["400", "9"], "WindowWidth": ["200", "9"]}
    found = read(dicom(tmp_path / "a.dcm", values, **tags))
    image = found.image[0].ravel()
    assert found.changes == ("window centre 400, width 200",)
    assert set(image[: 400 - 100 + 1]) == {0}
    assert set(image[500:]) == {255}
    assert image[400] == round(255 * (0.5 / 199 + 0.5))


def test_dicom_inverted_colour_and_without_suffix(tmp_path):
    dark = dicom(tmp_path / "a.dcm", GREY, PhotometricInterpretation="MONOCHROME1")
    found = read(dark).image[0].astype(float)
    assert np.corrcoef(found.ravel(), GREY.ravel())[0, 1] < -0.999
    colour = dicom(tmp_path / "no-suffix", COLOUR)
    np.testing.assert_array_equal(read(colour, channels=3).image, COLOUR.transpose(2, 0, 1))
    assert find_files([tmp_path])[0] == [tmp_path / "a.dcm", tmp_path / "no-suffix"]


def test_dicom_frames(tmp_path):
    frames = np.concatenate([GREY, 255 - GREY])
    path = dicom(tmp_path / "a.dcm", frames, NumberOfFrames=2, Rows=28)
    found = read(path)
    assert found.changes[0] == "first of 2 frames"
    assert np.corrcoef(found.image.ravel(), GREY.ravel())[0, 1] > 0.999


def test_no_patient_is_named_whatever_is_wrong(tmp_path, capsys, caplog):
    good = dicom(tmp_path / "good.dcm", GREY).read_bytes()
    dicom(tmp_path / "size.dcm", GREY, Rows=900)
    dicom(tmp_path / "type.dcm", GREY, BitsAllocated=7, WindowCenter="3")
    dicom(tmp_path / "huge.dcm", GREY, Rows=60000, Columns=60000)
    for cut in (len(good) // 4, len(good) // 2, len(good) - 300):
        (tmp_path / f"cut{cut}.dcm").write_bytes(good[:cut])
    (tmp_path / "text.dcm").write_text(f"this is {NAME}")
    (tmp_path / "odd.dcm").write_bytes(good.replace(b"PN", b"IS"))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = read_pictures(find_files([tmp_path])[0], channels=1, size=28)
    reasons = {path.name: why for path, why in found.skipped}
    assert {one.path.name for one in found.read} <= {"good.dcm", "odd.dcm"}
    assert len(reasons) >= 7
    assert "60000 x 60000 pixels" in reasons["huge.dcm"]
    said = capsys.readouterr()
    everything = [*reasons.values(), said.out, said.err, caplog.text, *map(str, warned)]
    assert "SECRET" not in "\n".join(everything)


def test_dicom_that_is_no_picture_or_zipped(tmp_path):
    report = dicom(tmp_path / "a.dcm", GREY)
    without = pydicom.dcmread(report)
    del without.PixelData
    without.save_as(report)
    with pytest.raises(PictureError, match="without a picture"):
        read(report)
    zipped = pydicom.dcmread(dicom(tmp_path / "b.dcm", GREY))
    zipped.file_meta.TransferSyntaxUID = pictures.DEFLATED
    zipped.save_as(tmp_path / "b.dcm")
    with pytest.raises(PictureError, match="zipped"):
        read(tmp_path / "b.dcm")


# ---------------------------------------------------------------- refused


def png_of(width, height):
    """Return a PNG that claims a size and holds nearly nothing."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    for side in (9000, 12000, 60000):
        (tmp_path / "bomb.png").write_bytes(png_of(side, side))
        with pytest.raises(PictureError, match="at most 80 million are read"):
            read(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = kept(RNG.integers(0, 256, (90, 90), dtype=np.uint8), tmp_path / f"a{suffix}")
    whole = path.read_bytes()
    for cut in (20, 200, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:cut])
        with pytest.raises(PictureError, match="damaged or truncated|is no PNG"):
            read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"hello" * 50, "is no PNG"), (b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9, "is no PNG")],
)
def test_what_is_no_picture_is_refused(tmp_path, content, said):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PictureError, match=said):
        read(tmp_path / "a.png")


def test_blank_pictures_folders_and_numbers_that_are_none(tmp_path):
    with pytest.raises(PictureError, match="blank: every pixel has the value 7"):
        read(kept(np.full((30, 30), 7, np.uint8), tmp_path / "blank.png"))
    with pytest.raises(PictureError, match="no such file"):
        read(tmp_path / "nosuch.png")
    with pytest.raises(PictureError, match="cannot be opened"):
        read(tmp_path)
    wild = GREY.astype(np.float32)
    wild[0, 0] = np.nan
    with pytest.raises(PictureError, match="no numbers"):
        read(kept(wild, tmp_path / "nan.tif"))


def test_folders_are_searched_and_the_rest_is_listed(tmp_path):
    (tmp_path / "b" / ".git").mkdir(parents=True)
    for name in ("z.png", "b/a.JPG", "b/labels.csv", "b/.git/x.png", "README"):
        (tmp_path / name).write_bytes(b"x")
    files, others = find_files([tmp_path, "named.any"])
    assert [str(path) for path in files] == [*map(str, [tmp_path / "b/a.JPG", tmp_path / "z.png"]),
                                             "named.any"]  # fmt: skip
    assert others == [tmp_path / "README", tmp_path / "b/labels.csv"]


def test_nothing_read_is_an_empty_array(tmp_path):
    found = read_pictures([tmp_path / "nosuch.png"], channels=3, size=28)
    assert found.images.shape == (0, 3, 28, 28)
    assert len(found.skipped) == 1


def test_a_page_without_dimensions_is_a_damaged_picture(tmp_path):
    path = tmp_path / "pages.tif"
    page = Image.fromarray(np.zeros((4, 4), np.uint8))
    page.save(path, save_all=True, append_images=[page])
    whole = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", whole, 4)
    (entries,) = struct.unpack_from("<H", whole, first)
    (second,) = struct.unpack_from("<I", whole, first + 2 + 12 * entries)
    assert struct.unpack_from("<H", whole, second + 2) == (256,)  # the width
    struct.pack_into("<H", whole, second + 2, 255)
    path.write_bytes(whole)
    with pytest.raises(PictureError, match="damaged or truncated"):
        read_picture(path, channels=1, size=4)
