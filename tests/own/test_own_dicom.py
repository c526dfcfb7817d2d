"""DICOM files: patients stay together, slices are slices, and no name leaves the header."""

import numpy as np
import pytest
from own_helpers import WORDS, blob, dicom, table

from medlib.own import find_cases
from medlib.own.headers import read_header
from medlib.own.reading import read_cases

SERIES = "1.2.826.0.1.3680043.8.498."


def collection(root, patients=12, slices=2):
    """Write a series of slices for each patient, a folder a class."""
    for p in range(patients):
        for s in range(slices):
            # half of the patients' folders repeat the name of the patient
            folder = f"{WORDS[0].lower()}_{WORDS[2]}" if p % 2 else "series"
            path = root / ("ill" if p % 2 else "healthy") / f"{folder}{p}" / f"im{s}.dcm"
            tags = {"PatientID": f"{WORDS[3]}{p}", "SeriesInstanceUID": f"{SERIES}{p + 1}"}
            dicom(path, blob(bool(p % 2), 10 * p + s).astype(np.uint16) * 16, **tags)
    return root


def test_patients_series_and_codes(tmp_path):
    found = find_cases(collection(tmp_path))
    assert len({case.patient for case in found.cases}) == 12
    assert found.cases[0].patient == "patient-0001"
    assert any("24 DICOM files belong to 12 series" in note for note in found.notes)
    assert any("are hidden here" in note for note in found.notes)
    assert not any(word.lower() in repr([(c.shown, c.patient) for c in found.cases]).lower()
                   for word in WORDS)  # fmt: skip


def test_the_patient_of_a_table_stands_over_the_header(tmp_path):
    for i in range(2):
        dicom(tmp_path / f"{i}.dcm", blob(bool(i), i), PatientID="same")
    rows = [["0.dcm", "a", "x"], ["1.dcm", "b", "y"]]
    assert len({c.patient for c in find_cases(table(tmp_path, ["path", "label", "patient"], rows))
                .cases}) == 2  # fmt: skip
    named = find_cases(table(tmp_path, ["path", "label"], [row[:2] for row in rows]))
    assert len({case.patient for case in named.cases}) == 1


def test_a_table_may_name_a_folder_of_slices(tmp_path):
    for s in range(3):
        dicom(tmp_path / "ct" / f"{s}.dcm", blob(True, s))
    dicom(tmp_path / "x.dcm", blob(False, 9), PatientID="other")
    found = find_cases(table(tmp_path, ["path", "label"], [["ct", "a"], ["x.dcm", "b"]]))
    assert [case.labels[0] for case in found.cases] == ["a", "a", "a", "b"]


@pytest.mark.parametrize(
    ("tags", "same"),
    [
        ({"PatientID": ""}, True),  # the name and the birth date stand for the patient
        ({"PatientID": "", "PatientName": "", "StudyInstanceUID": "1.2.3"}, True),
        ({"PatientID": "", "PatientName": ""}, False),
    ],
)
def test_without_an_id_name_or_study_stand_in(tmp_path, tags, same):
    paths = [dicom(tmp_path / f"{i}.dcm", blob(True, i), **tags) for i in range(2)]
    first, second = (read_header(path).patient for path in paths)
    assert (first == second) if same else first is second is None


def test_damaged_and_pictureless_files_are_listed_without_names(tmp_path):
    root = collection(tmp_path, 4, 1)
    whole = next(root.rglob("im0.dcm")).read_bytes()
    (root / "ill" / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    dicom(root / "ill" / "report.dcm", None)
    (root / "ill" / "words.dcm").write_text("nothing")
    pictures = read_cases(find_cases(root), (28,))
    said = {one.shown: one.why for one in pictures.skipped}
    assert said.keys() == {"ill/cut.dcm", "ill/report.dcm", "ill/words.dcm"}
    assert "without a picture" in said["ill/report.dcm"]
    assert not any(word in repr(said) for word in WORDS)
    assert len(pictures.cases) == 4


def test_what_the_header_says_of_burned_in_text_is_kept(tmp_path):
    path = dicom(tmp_path / "a" / "1.dcm", blob(True, 1), BurnedInAnnotation="YES")
    assert read_header(path).burned_in
    dicom(tmp_path / "b" / "1.dcm", blob(False, 2))
    assert [fact.burned_in for fact in read_cases(find_cases(tmp_path), (28,)).facts] == [
        True,
        False,
    ]


def test_no_name_leaves_the_headers(tmp_path, medlib):
    """Names, numbers and birth dates are in no file that is written, and in nothing printed."""
    root = collection(tmp_path / "set")
    bad = dicom(root / "ill" / "bad.dcm", None, PatientComments=" ".join(WORDS))
    (root / "ill" / "cut.dcm").write_bytes(bad.read_bytes()[:300])
    out = tmp_path / "out"
    done = medlib("train", root, "--out", out, "--model", "lenet5", "--steps", "8")
    assert done.code == 1, done.err
    written = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    printed = {"out": done.out.encode(), "err": done.err.encode()}
    audit = medlib("train", root, "--audit", "--json")
    printed |= {"audit": audit.out.encode(), "audit err": audit.err.encode()}
    assert "report.html" in written
    for name, content in (written | printed).items():
        for word in WORDS:
            assert word.lower().encode() not in content.lower(), (name, word)


def test_pictures_with_burned_in_text_are_not_shown(tmp_path, medlib):
    root = tmp_path / "set"
    for i in range(24):
        name = "ill" if i % 2 else "healthy"
        tags = {"PatientID": str(i), "BurnedInAnnotation": "YES"}
        dicom(root / name / f"{i}.dcm", blob(i % 3 == 0, i), **tags)
    out = tmp_path / "out"
    done = medlib("train", root, "--out", out, "--way", "scratch", "--model", "lenet5",
                  "--steps", "4")  # fmt: skip
    assert done.code == 0, done.err
    text = (out / "report.html").read_text()
    assert "No error can be shown" in text
    assert "24 pictures seem to carry text" in text
