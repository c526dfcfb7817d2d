"""Folders and tables: what is found, what is left out, and the sentences that say why."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_helpers import blob, dicom, folders, save, table

from medlib.errors import MedlibError
from medlib.own import OwnDataError, find_cases
from medlib.own.cases import Case, Found, hide_names, with_codes
from medlib.own.finding import ordered_classes
from medlib.own.headers import read_header
from medlib.own.reading import read_case, read_cases
from medlib.pictures import PictureError


def test_a_folder_a_class(tmp_path):
    found = find_cases(folders(tmp_path / "set", 3))
    assert found.classes == ("benign", "malignant")
    assert [case.shown for case in found.cases][:2] == ["benign/000.png", "benign/001.png"]
    assert [case.labels for case in found.cases] == [("benign",)] * 3 + [("malignant",)] * 3
    assert all(case.patient is None and case.split is None for case in found.cases)


def test_folders_of_splits_and_of_patients(tmp_path):
    for part in ("train", "Validation", "test"):
        for name in ("ill", "healthy"):
            save(blob(True, 0), tmp_path / part / name / "anna" / "1.png")
    found = find_cases(tmp_path, patient_folders=True)
    assert {case.split for case in found.cases} == {"train", "val", "test"}
    assert {case.patient for case in found.cases} == {"patient-0001"}
    assert found.classes == ("healthy", "ill")
    assert any("--patient-folders" in note for note in find_cases(tmp_path).notes)


def test_what_is_no_picture_is_listed_and_hidden_files_are_not(tmp_path):
    root = folders(tmp_path, 2)
    (root / "benign" / "notes.txt").write_text("x")
    (root / "benign" / ".DS_Store").write_text("x")
    save(blob(True, 5), root / "loose.png")
    said = {one.shown: one.why for one in find_cases(root).skipped}
    assert said.keys() == {"benign/notes.txt", "loose.png"}
    assert "does not look like a picture" in said["benign/notes.txt"]
    assert "lies in no class" in said["loose.png"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: root / "nowhere", "there is nothing at"),
        (lambda root: root, "holds no folders"),
        (lambda root: (root / "a").mkdir() or root, "there are no pictures"),
        (lambda root: save(blob(True, 0), root / "only" / "1.png") and root, "one class only"),
        (lambda root: save(blob(True, 0), root / "1.png"), "neither a folder nor a table"),
        (lambda root: [(root / n).mkdir() for n in ("train", "cats")] and root, "also 'cats'"),
    ],
)
def test_folders_that_cannot_be_used_get_a_sentence(tmp_path, make, said):
    with pytest.raises(OwnDataError, match=said):
        find_cases(make(tmp_path))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_patients_and_splits(tmp_path, separator):
    for i in range(4):
        save(blob(i % 2, i), tmp_path / "p" / f"{i}.png")
    rows = [[f"p/{i}.png", "ill" if i % 2 else "normal", f"Anna {i // 2}", "training"]
            for i in range(4)]  # fmt: skip
    path = table(tmp_path, ["Path", "label", "patient", "split"], rows, separator)
    found = find_cases(path)
    assert found.classes == ("normal", "ill")
    assert [case.patient for case in found.cases] == ["patient-0001"] * 2 + ["patient-0002"] * 2
    assert {case.split for case in found.cases} == {"train"}
    assert "Anna" not in repr(found)


def test_several_findings_a_picture(tmp_path):
    for i in range(3):
        save(blob(True, i), tmp_path / f"{i}.png")
    path = table(tmp_path, ["path", "labels"], [["0.png", "a; b"], ["1.png", ""], ["2.png", "b|b"]])
    found = find_cases(path)
    assert found.multi_label
    assert [case.labels for case in found.cases] == [("a", "b"), (), ("b",)]
    assert found.classes == ("a", "b")


def test_one_finding_alone_is_two_classes(tmp_path):
    for i in range(2):
        save(blob(True, i), tmp_path / f"{i}.png")
    found = find_cases(table(tmp_path, ["path", "labels"], [["0.png", "nodule"], ["1.png", ""]]))
    assert not found.multi_label
    assert found.classes == ("no nodule", "nodule")
    assert [case.labels for case in found.cases] == [("nodule",), ("no nodule",)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["file", "label"], "no column 'path'"),
        (["path", "class"], "neither 'label' nor 'labels'"),
        (["path", "label", "labels"], "both 'label' and 'labels'"),
        (["path", "label", "label"], "the column 'label' twice"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(tmp_path, columns, said):
    with pytest.raises(OwnDataError, match=said):
        find_cases(table(tmp_path, columns, [["a.png"] + ["x"] * (len(columns) - 1)]))


def test_lines_that_cannot_be_used_are_left_out_with_their_number(tmp_path):
    inside = tmp_path / "set"
    save(blob(True, 1), inside / "a.png")
    save(blob(False, 2), inside / "b.png")
    save(blob(False, 3), tmp_path / "outside.png")
    (inside / "link.png").symlink_to(tmp_path / "outside.png")
    (inside / "empty").mkdir()
    rows = [
        ["a.png", "x", "train"],
        ["b.png", "y", "train"],
        ["../outside.png", "x", "train"],
        ["link.png", "x", "train"],
        ["/etc/hostname", "x", "train"],
        ["gone.png", "x", "train"],
        ["", "x", "train"],
        ["a.png", "", "train"],
        ["b.png", "y", "later"],
        ["empty", "y", "train"],
        ["a\0.png", "y", "train"],
    ]
    path = table(inside, ["path", "label", "split"], rows[:-1])
    found = find_cases(path)
    said = {one.shown.split("line ")[1]: one.why for one in found.skipped}
    assert {line: why[:20] for line, why in said.items()} == {
        "4": "its path leads out o",
        "5": "its path leads out o",
        "6": "its path leads out o",
        "7": "there is no file at ",
        "8": "it has no path: fill",
        "9": "it has no label: fil",
        "10": "its split is none of",
        "11": "its path is a folder",
    }
    assert [case.shown for case in found.cases] == ["a.png", "b.png"]


def test_a_picture_that_is_named_twice(tmp_path):
    for name in "abc":
        save(blob(True, ord(name)), tmp_path / f"{name}.png")
    rows = [["a.png", "x"], ["a.png", "x"], ["b.png", "x"], ["b.png", "y"], ["c.png", "y"]]
    found = find_cases(table(tmp_path, ["path", "label"], rows))
    assert [case.shown for case in found.cases] == ["a.png", "c.png"]
    assert {one.shown: one.why[:41] for one in found.skipped} == {
        "a.png": "the table names it twice: it is used once",
        "b.png": "the table names it twice, with different ",
    }


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_table_give_cases_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_bytes(content)
    with contextlib.suppress(MedlibError):  # any other error fails
        find_cases(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_any_path_in_a_table_is_a_sentence(tmp_path_factory, written):
    folder = tmp_path_factory.mktemp("any")
    rows = [[text, "x"] for text in written]
    with pytest.raises(MedlibError):
        find_cases(table(folder, ["path", "label"], rows))


def test_the_class_that_means_health_comes_first(tmp_path):
    def classes(*names, positive=None):
        cases = tuple(Case(tmp_path, "x", (name,)) for name in names)
        return ordered_classes(Found(tmp_path, "t", cases), positive)

    assert classes("normal", "abnormal") == ("normal", "abnormal")
    assert classes("normal or benign", "malignant") == ("normal or benign", "malignant")
    assert classes("no_tumour", "tumour") == ("no_tumour", "tumour")
    assert classes("a", "b") == ("a", "b")
    assert classes("a", "b", positive="a") == ("b", "a")
    assert classes("c", "a", "b") == ("a", "b", "c")
    with pytest.raises(OwnDataError, match="--positive takes one of two"):
        classes("a", "b", positive="z")


def test_codes_are_numbers_in_the_order_of_the_files(tmp_path):
    cases = tuple(Case(tmp_path, str(i), ("a",), patient=p) for i, p in enumerate("zazb"))
    found = with_codes(Found(tmp_path, "t", cases))
    assert [case.patient[-1] for case in found.cases] == ["1", "2", "1", "3"]
    nobody = replace(cases[0], patient=None)
    assert with_codes(Found(tmp_path, "t", (nobody,))).cases[0].patient is None


def test_names_are_hidden_whole_or_as_words():
    assert hide_names("DOE_JOHN/ct.dcm", {"JOHN", "DOE"}) == "[name hidden]_[name hidden]/ct.dcm"
    assert hide_names("does/johnson.dcm", {"JOHN", "DOE"}) == "does/[name hidden]son.dcm"


# ---------------------------------------------------------------- reading


def test_damaged_files_are_listed_and_the_others_go_on(tmp_path):
    root = folders(tmp_path, 3)
    whole = (root / "benign" / "000.png").read_bytes()
    (root / "benign" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "benign" / "empty.png").write_bytes(b"")
    (root / "benign" / "words.png").write_text("no picture")
    save(np.full((32, 32), 7, np.uint8), root / "malignant" / "blank.png")
    pictures = read_cases(find_cases(root), (28,))
    assert len(pictures.cases) == 6
    said = {one.shown: one.why for one in pictures.skipped}
    assert "truncated" in said["benign/cut.png"]
    assert "empty" in said["benign/empty.png"]
    assert "no PNG" in said["benign/words.png"]
    assert "blank" in said["malignant/blank.png"]


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["png", "jpg", "tif", "bmp", "dcm"]),
    at=st.floats(0, 1),
    junk=st.binary(max_size=20),
    cut=st.booleans(),
)
def test_a_damaged_picture_is_read_or_refused_with_a_sentence(
    tmp_path_factory, kind, at, junk, cut
):
    folder = tmp_path_factory.mktemp("d")
    path = folder / f"a.{kind}"
    dicom(path, blob(True, 0)) if kind == "dcm" else save(blob(True, 0), path)
    whole = path.read_bytes()
    place = int(at * len(whole))
    path.write_bytes(whole[:place] + junk + (b"" if cut else whole[place + len(junk) :]))
    read_header(path)
    with contextlib.suppress(PictureError):
        read_case(Case(path, "a", ("x",)))


def test_a_huge_picture_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("medlib.pictures.MOST_PIXELS", 1000)
    root = folders(tmp_path, 2, size=30)
    save(blob(True, 9, 64), root / "benign" / "huge.png")
    pictures = read_cases(find_cases(root), (28,))
    assert "64 x 64 pixels" in {o.shown: o.why for o in pictures.skipped}["benign/huge.png"]


def test_no_usable_picture_is_an_error_that_names_the_first(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_text("words")
    with pytest.raises(OwnDataError, match=r"none of the 2 pictures.*a/x\.png"):
        read_cases(find_cases(tmp_path), (28,))


def test_colours_anywhere_make_three_channels(tmp_path):
    root = folders(tmp_path, 2)
    colour = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    save(colour, root / "benign" / "colour.png")
    grey = np.repeat(blob(True, 3)[..., None], 3, axis=2)
    assert read_cases(find_cases(root), (28, 16)).images[16].shape == (5, 3, 16, 16)
    (root / "benign" / "colour.png").unlink()
    save(grey, root / "benign" / "grey-in-colour.png")
    assert read_cases(find_cases(root), (28,)).channels == 1
