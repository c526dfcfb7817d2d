"""Copies, warnings and splits: nothing is on two sides, and every doubt is said."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from own_helpers import blob, folders, save, table
from PIL import Image, ImageDraw, ImageFont

from medlib.own import OwnDataError, find_cases
from medlib.own.audit import audit, labels_of, without_copies
from medlib.own.burned import looks_burned_in
from medlib.own.cases import Case
from medlib.own.reading import Facts, Pictures, read_cases, usual_sizes
from medlib.own.splitting import groups_of, patients_of, split_pictures


def read(root, **options):
    found = find_cases(root, **options)
    return found, read_cases(found, (28,))


def test_one_of_two_copies_is_kept_and_none_where_labels_contradict(tmp_path):
    root = folders(tmp_path, 3)
    save(blob(False, 0), root / "benign" / "copy.png")
    save(blob(False, 1), root / "malignant" / "contradiction.png")
    _, pictures = read(root)
    kept = without_copies(pictures)
    shown = [case.shown for case in kept.cases]
    assert shown == [
        "benign/000.png",
        "benign/002.png",
        *(f"malignant/00{i}.png" for i in range(3)),
    ]
    said = {one.shown: one.why for one in kept.skipped}
    assert "same pixels as benign/000.png" in said["benign/copy.png"]
    assert "different labels" in said["malignant/contradiction.png"]
    assert "different labels" in said["benign/001.png"]


def test_of_copies_across_a_split_the_training_one_is_kept(tmp_path):
    for part in ("train", "val", "test"):
        folders(tmp_path / part, 1 + (part == "train"))
    _, pictures = read(tmp_path)
    kept = without_copies(pictures)
    assert {case.split for case in kept.cases} == {"train"}


def test_the_audit_counts_and_warns(tmp_path):
    root = folders(tmp_path, 4)
    for i in range(60):
        save(blob(True, 50 + i, 40), root / "malignant" / f"x{i}.png")
    found, pictures = read(root)
    seen = audit(pictures, found.classes, ("a note",))
    assert seen.classes == {"benign": 4, "malignant": 64}
    assert (seen.pictures, seen.patients) == (68, 0)
    assert seen.widths == (32, 40, 40)
    said = " ".join(seen.warnings)
    for words in ("no patient is named", "only 4 pictures", "16 to 1", "different sizes", "a note"):
        assert words in said
    assert seen.to_dict()["skipped"] == []


def test_pictures_without_a_patient_beside_others_with_one_are_counted_and_named(tmp_path):
    folders(tmp_path, 4)
    lines = [[f"{c}/{i:03d}.png", c, "anna" if i < 3 else ""]
             for c in ("benign", "malignant") for i in range(4)]  # fmt: skip
    found, pictures = read(table(tmp_path, ["path", "label", "patient"], lines))
    seen = audit(pictures, found.classes)
    assert (seen.patients, seen.unnamed) == (1, 2)
    assert "2 of 8 pictures name no patient" in " ".join(seen.warnings)
    known = [[path, label, "anna"] for path, label, _ in lines]
    found, pictures = read(table(tmp_path, ["path", "label", "patient"], known))
    assert "name no patient" not in " ".join(audit(pictures, found.classes).warnings)


def test_printed_text_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    plain = np.clip(rng.normal(90, 30, (300, 400)), 0, 255).astype(np.uint8)
    assert not looks_burned_in(plain)
    picture = Image.fromarray(plain)
    ImageDraw.Draw(picture).text((10, 10), "EXAMPLE NAME 02.01.1947", fill=255,
                                 font=ImageFont.load_default(size=18))  # fmt: skip
    assert looks_burned_in(np.asarray(picture))
    assert not looks_burned_in(np.full((50, 50), 255, np.uint8))


@pytest.mark.parametrize("name", ["camera", "cell", "coins", "astronaut"])
def test_photographs_have_no_text(name):
    from skimage import data

    picture = getattr(data, name)()
    grey = picture.mean(axis=2).astype(np.uint8) if picture.ndim == 3 else picture
    assert not looks_burned_in(grey)


def test_sizes_follow_the_files(tmp_path):
    assert usual_sizes(find_cases(folders(tmp_path / "a", 2, 20))) == (28, 28)
    assert usual_sizes(find_cases(folders(tmp_path / "b", 2, 90))) == (64, 90)
    assert usual_sizes(find_cases(folders(tmp_path / "c", 2, 300))) == (64, 128)
    assert usual_sizes(find_cases(folders(tmp_path / "d", 2, 300)), 40) == (40, 40)


# ---------------------------------------------------------------- splits


def pictures_of(patients, splits=None):
    """Return pictures without pixels, of the named patients."""
    splits = splits or [None] * len(patients)
    cases = tuple(
        Case(None, f"{i}.png", ("x",), patient=p, split=s)
        for i, (p, s) in enumerate(zip(patients, splits, strict=True))
    )
    facts = tuple(
        Facts(28, 28, 1.0, 1.0, str(i), str(i).encode(), False, ()) for i in range(len(cases))
    )
    return Pictures(cases, {28: np.zeros((len(cases), 1, 28, 28), np.uint8)}, facts, ())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_patient_is_on_two_sides_and_every_class_is_on_each(data):
    count = data.draw(st.integers(12, 60))
    patients = [f"p{data.draw(st.integers(0, count // 2))}" for _ in range(count)]
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    pictures = pictures_of(patients)
    try:
        rows = split_pictures(pictures, labels, ("a", "b"), data.draw(st.integers(0, 3)))
    except OwnDataError:  # too few patients of a class, as the test below says
        assume(False)
    together = np.sort(np.concatenate(list(rows.values())))
    np.testing.assert_array_equal(together, np.arange(count))
    sides = [{patients[i] for i in part} for part in rows.values()]
    assert sum(map(len, sides)) == len(set(patients))
    assert all(set(labels[part]) == {0, 1} for part in rows.values())


def test_without_patients_each_class_keeps_its_share():
    labels = np.array([0] * 100 + [1] * 50)
    rows = split_pictures(pictures_of([None] * 150), labels, ("a", "b"))
    assert {name: len(part) for name, part in rows.items()} == {"train": 90, "val": 30, "test": 30}
    assert (labels[rows["test"]] == 1).sum() == 10


def test_a_patient_on_two_sides_of_the_readers_split_is_refused(tmp_path):
    for i in range(6):
        save(blob(i % 2, i), tmp_path / f"{i}.png")
    rows = [[f"{i}.png", "ab"[i % 2], f"Anna{i % 3}", ("train", "val", "test")[i // 2]]
            for i in range(6)]  # fmt: skip
    found, pictures = read(table(tmp_path, ["path", "label", "patient", "split"], rows))
    labels = labels_of(pictures.cases, found.classes, found.multi_label)
    with pytest.raises(OwnDataError, match="on two sides of the split") as refused:
        split_pictures(pictures, labels, found.classes)
    assert "Anna" not in str(refused.value)
    assert ".png in" in str(refused.value)


def test_the_readers_split_stands_and_a_missing_part_is_cut_from_training():
    labels = np.tile([0, 1], 30)
    splits = ["train"] * 40 + ["test"] * 20
    rows = split_pictures(pictures_of([None] * 60, splits), labels, ("a", "b"))
    np.testing.assert_array_equal(rows["test"], np.arange(40, 60))
    assert len(rows["val"]) == 8
    with pytest.raises(OwnDataError, match="no training pictures"):
        split_pictures(pictures_of([None] * 60, ["test"] * 60), labels, ("a", "b"))
    splits = ["train"] * 40 + ["val"] * 19 + ["test"]
    with pytest.raises(OwnDataError, match="the test part has no picture of a"):
        split_pictures(pictures_of([None] * 60, splits), labels, ("a", "b"))


def test_a_finding_that_every_picture_carries_is_refused():
    labels = np.column_stack([np.ones(30, int), np.arange(30) % 2])
    with pytest.raises(OwnDataError, match="no picture without a"):
        split_pictures(pictures_of([None] * 30), labels, ("a", "b"))


def test_a_class_of_two_patients_is_refused():
    patients = ["p1", "p1", "p2", *(f"q{i}" for i in range(20))]
    labels = np.array([1] * 3 + [0] * 20)
    with pytest.raises(OwnDataError, match="the class b has pictures of 2 patients"):
        split_pictures(pictures_of(patients), labels, ("a", "b"))


def test_near_copies_stay_together_and_patients_are_named_for_the_intervals():
    pictures = pictures_of(["p1", None, "p1", None])
    facts = list(pictures.facts)
    facts[3] = Facts(28, 28, 1.0, 1.0, "3", facts[1].near, False, ())
    pictures = Pictures(pictures.cases, pictures.images, tuple(facts), ())
    assert groups_of(pictures).tolist() == [0, 1, 0, 1]
    assert patients_of(pictures, np.arange(4)).tolist() == ["p1", "picture-2", "p1", "picture-4"]
    assert patients_of(pictures_of([None]), np.arange(1)) is None
