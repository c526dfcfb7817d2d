"""Volumes: a few slices of each, all on one side of a split, and said so."""

import contextlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from own_helpers import blob

from medlib.data.volumes import read_npz_volume
from medlib.errors import MedlibError
from medlib.own import find_cases
from medlib.own.reading import read_cases
from medlib.own.volumes import planes_of, read_plane
from medlib.pictures import PictureError


def volume(ill, seed, depth=9):
    return np.stack([blob(ill, 100 * seed + z) for z in range(depth)]).astype(np.int16) - 500


def nifti(path, values):
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(path))
    return path


def npz(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_slices_of_the_middle():
    assert planes_of(9, 3) == [2, 4, 6]
    assert planes_of(2, 3) == [0, 1]
    assert planes_of(101, 1) == [50]


@pytest.mark.parametrize("kind", ["nifti", "npz"])
def test_both_kinds_give_the_same_slices(tmp_path, kind):
    values = volume(True, 1)
    path = tmp_path / "a" / ("v.nii.gz" if kind == "nifti" else "v.npz")
    nifti(path, values) if kind == "nifti" else npz(path, volume=values)
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.round(np.clip((values[4] - low) / (high - low), 0, 1) * 255)
    found = read_plane(path, 4)
    np.testing.assert_array_equal(found.values, expected)
    assert found.changes[0] == "slice 5 of 9"


def test_slices_are_those_of_the_file_that_is_there_now(tmp_path, monkeypatch):
    monkeypatch.setattr("medlib.own.volumes.PREPARED", 100)  # several pieces a slice
    first, second = volume(True, 1), volume(False, 2)
    path = npz(tmp_path / "v.npz", volume=first)
    before = read_plane(path, 4).values
    path.unlink()
    npz(path, volume=second[:, :-1])
    found = read_plane(path, 4).values
    low, high = np.percentile(second[:, :-1], (0.5, 99.5))
    expected = np.round(np.clip((second[4, :-1] - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(found, expected)
    assert before.shape != found.shape


def test_a_volume_is_a_patient_and_the_note_is_plain(tmp_path):
    nifti(tmp_path / "a" / "1.nii.gz", volume(True, 1))
    npz(tmp_path / "b" / "2.npz", image=volume(False, 2))
    found = find_cases(tmp_path, slices=2)
    assert [case.patient for case in found.cases] == ["patient-0001"] * 2 + ["patient-0002"] * 2
    assert found.cases[0].shown == "a/1.nii.gz, slice 3"
    assert any("no three-dimensional model" in note for note in found.notes)
    assert read_cases(found, (28,)).images[28].shape == (4, 1, 28, 28)


def test_damaged_volumes_are_listed(tmp_path):
    nifti(tmp_path / "a" / "1.nii.gz", volume(True, 1))
    npz(tmp_path / "b" / "2.npz", image=volume(False, 2))
    (tmp_path / "a" / "bad.nii").write_bytes(b"nothing")
    (tmp_path / "b" / "bad.npz").write_bytes(b"nothing")
    npz(tmp_path / "b" / "two.npz", one=np.zeros(3), two=np.zeros(3))
    npz(tmp_path / "b" / "labelled.npz", volume=volume(True, 3), test_label=np.zeros(3))
    npz(tmp_path / "b" / "flat.npz", one=np.zeros(3))
    npz(tmp_path / "b" / "nan.npz", one=np.full((3, 4, 5), np.nan))
    said = {one.shown: one.why for one in find_cases(tmp_path).skipped}
    assert {name: why[:24] for name, why in said.items()} == {
        "a/bad.nii": "it is no NIfTI file, or ",
        "b/bad.npz": "it is damaged, or no .np",
        "b/flat.npz": "its array is float64 of ",
        "b/labelled.npz": "it holds labels beside i",
        "b/nan.npz": "it holds values that are",
        "b/two.npz": "it holds 2 arrays (one, ",
    }


def test_a_file_of_a_data_set_is_no_volume(tmp_path):
    """The door for volumes does not open the files that the lock is about."""
    path = npz(tmp_path / "set.npz", train_images=np.zeros((3, 4, 4)), test_labels=np.zeros(3))
    with pytest.raises(MedlibError, match="labels beside"):
        read_npz_volume(path)


@settings(max_examples=60, deadline=None)
@example(kind="npz", at=65, junk=b"\0")
@given(kind=st.sampled_from(["nii", "npz"]), at=st.integers(0, 500), junk=st.binary(min_size=1))
def test_a_damaged_volume_is_read_or_refused_with_a_sentence(tmp_path_factory, kind, at, junk):
    folder = tmp_path_factory.mktemp("v")
    if kind == "nii":
        path = nifti(folder / "v.nii", volume(True, 1, 3))
    else:
        path = npz(folder / "v.npz", v=volume(True, 1, 3))
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    with contextlib.suppress(PictureError):
        read_plane(path, 0)


def test_a_volume_that_promises_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("medlib.own.volumes.MOST_BYTES", 100)
    with pytest.raises(PictureError, match="32 x 32 x 9 voxels of 2 bytes"):
        read_plane(nifti(tmp_path / "v.nii.gz", volume(True, 1)), 0)


def test_a_blank_slice_is_refused(tmp_path):
    values = volume(True, 1)
    values[4] = 0
    with pytest.raises(PictureError, match="blank"):
        read_plane(npz(tmp_path / "v.npz", v=values), 4)


def test_training_and_predict_agree_on_slices(tmp_path, medlib):
    import csv

    for i in range(16):
        npz(tmp_path / "set" / ("ill" if i % 2 else "healthy") / f"{i}.npz",
            v=volume(bool(i % 2), i, 5))  # fmt: skip
    out, scores = tmp_path / "out", tmp_path / "scores.csv"
    done = medlib("train", tmp_path / "set", "--out", out, "--way", "scratch", "--slices", "2",
                  "--model", "lenet5", "--steps", "6")  # fmt: skip
    assert done.code == 0, done.err
    assert medlib("predict", out, tmp_path / "set", "--csv", scores).code == 0
    with scores.open() as file:
        new = {row["file"].split("set/")[1]: row for row in csv.DictReader(file)}
    assert len(new) == 32
    with (out / "test-predictions.csv").open() as file:
        for row in csv.DictReader(file):
            assert float(new[row["file"]]["ill"]) == pytest.approx(float(row["ill"]), abs=2e-6)
