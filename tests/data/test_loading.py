"""Loading: where the file is looked for, what is checked, and what stays behind."""

import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from data_helpers import medmnist_arrays, packed

from medlib import data
from medlib.data import DataUnavailable, DigestMismatch, loading, locked, store
from medlib.errors import MedlibError


def place(content: bytes, folder, name: str = "breastmnist.npz") -> None:
    (folder / name).write_bytes(content)


def test_importing_and_loading_needs_no_heavy_library():
    heavy = "{'torch', 'sklearn', 'pandas', 'matplotlib', 'medmnist'}"
    code = f"import sys, medlib.data as d; d.cards(); print(len({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_without_network_and_mirror_it_fails_within_two_seconds_and_says_what_to_do(cache):
    started = time.monotonic()
    with pytest.raises(DataUnavailable) as caught:
        data.load("breastmnist")
    assert time.monotonic() - started < 2
    message = str(caught.value)
    card = data.card("breastmnist")
    for part in (
        "'breastmnist'",
        str(cache / "breastmnist.npz"),
        card.digests["md5"],
        card.origins[0]["url"],
        "medlib data get breastmnist",
        "MEDLIB_MIRROR",
    ):
        assert part in message
    assert "\n" not in message


def test_a_set_that_nobody_asked_for_is_not_downloaded(cache, monkeypatch):
    from medlib.data import origins

    monkeypatch.setattr(origins, "obtain", lambda *a, **k: pytest.fail("tried to download"))
    with pytest.raises(
        DataUnavailable, match="only downloaded when asked for.*medlib data get path"
    ):
        data.load("pathmnist")


def test_a_default_set_is_downloaded_into_the_cache(cache, tiny, server, cards_are):
    card, content = tiny
    url = server.put("/breastmnist.npz", content)
    cards_are(replace(card, origins=({"kind": "file", "url": url},)))
    first, second = data.load("breastmnist"), data.load("breastmnist")
    assert len(server.asked) == 1
    assert np.array_equal(first.train.images, second.train.images)
    assert first.source["path"] == str(cache / "breastmnist.npz")


def test_the_mirror_comes_before_the_cache(cache, tiny, cards_are, tmp_path, monkeypatch):
    card, content = tiny
    cards_are(card)
    place(content, cache)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("MEDLIB_MIRROR", str(mirror))
    assert data.load("breastmnist").source["path"].startswith(str(cache))
    place(content, mirror)
    assert data.load("breastmnist").source["path"].startswith(str(mirror))


def test_arrays_come_in_one_form(cache, tiny, cards_are):
    card, content = tiny
    cards_are(card)
    place(content, cache)
    found = data.load("breastmnist")
    assert found.train.images.shape == (6, 1, 28, 28)
    assert found.train.images.dtype == np.uint8
    assert found.train.labels.dtype == np.int64
    assert found.train.labels.shape == (6,)
    assert found.train.features.shape == (6, 784)
    assert found.val.index.tolist() == [0, 1]
    assert (found.name, found.task, found.num_classes, found.in_channels, found.image_size) == (
        "breastmnist",
        "binary",
        2,
        1,
        28,
    )


def test_colour_images_have_their_channels_first(cache, tiny, cards_are):
    arrays = medmnist_arrays({"train": 3, "val": 1, "test": 1}, channels=3)
    content = packed(arrays)
    card = replace(
        tiny[0],
        channels=3,
        counts={"train": 3, "val": 1, "test": 1},
        digests={"md5": loading.archive.hashlib.md5(content).hexdigest()},
    )
    cards_are(card)
    place(content, cache)
    images = data.load("breastmnist").train.images
    assert images.shape == (3, 3, 28, 28)
    assert np.array_equal(images[1, 2], arrays["train_images"][1, :, :, 2])


def test_a_wrong_digest_is_refused_and_nothing_is_lost(cache, tiny, cards_are):
    card, content = tiny
    cards_are(card)
    place(content + b"x", cache)
    with pytest.raises(DigestMismatch) as caught:
        data.load("breastmnist")
    message = str(caught.value)
    for part in (str(cache / "breastmnist.npz"), card.digests["md5"], card.origins[0]["url"]):
        assert part in message
    assert "medlib data get breastmnist" in message
    assert (cache / "breastmnist.npz").read_bytes() == content + b"x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("train_images"), "lacks the array 'train_images'"),
        (
            lambda a: a.update(train_images=a["train_images"][:5]),
            r"expected uint8 \(6, 1, 28, 28\)",
        ),
        (lambda a: a.update(val_images=a["val_images"].astype(float)), "val_images is float64"),
        (lambda a: a.update(train_labels=a["train_labels"] + 7), "labels .* run from 7 to 8"),
        (lambda a: a.update(train_labels=a["train_labels"][:3]), r"labels is int64 \(3, 1\)"),
        (lambda a: a.update(train_images=np.zeros((9000, 99, 99), "u1")), "would unpack to"),
        (
            lambda a: a.update(val_images=a["val_images"].reshape(-1)),
            r"expected uint8 \(2, 1, 28, 28\)",
        ),
    ],
)
def test_a_file_that_does_not_fit_its_card_is_refused(cache, tiny, cards_are, change, said):
    arrays = medmnist_arrays({"train": 6, "val": 2, "test": 4})
    change(arrays)
    content = packed(arrays)
    digest = loading.archive.hashlib.md5(content).hexdigest()
    cards_are(replace(tiny[0], digests={"md5": digest}))
    place(content, cache)
    with pytest.raises(MedlibError, match=said):
        data.load("breastmnist")


def test_a_damaged_file_in_the_cache_gives_one_line(cache, tiny, cards_are):
    content = tiny[1][:-200]
    cards_are(replace(tiny[0], digests={"md5": loading.archive.hashlib.md5(content).hexdigest()}))
    place(content, cache)
    with pytest.raises(MedlibError, match="cannot be read.*delete it and run 'medlib data get'"):
        data.load("breastmnist")


def test_an_unreadable_cache_is_named(cache, tiny, cards_are, monkeypatch):
    cards_are(tiny[0])
    place(tiny[1], cache)

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(MedlibError, match=r"breastmnist\.npz cannot be read: Permission denied"):
        data.load("breastmnist")


def test_a_cache_that_is_no_folder_is_named(tiny, cards_are, cache, monkeypatch, server):
    url = server.put("/breastmnist.npz", tiny[1])
    cards_are(replace(tiny[0], origins=({"kind": "file", "url": url},)))
    (cache / "file").write_text("")
    monkeypatch.setenv("MEDLIB_CACHE", str(cache / "file" / "below"))
    with pytest.raises(MedlibError, match="cannot be written.*set MEDLIB_CACHE"):
        data.load("breastmnist")


def test_unknown_names_and_sizes_are_answered_with_those_there_are(cache):
    with pytest.raises(MedlibError, match="unknown data set 'mnist'.*breastmnist, busi128"):
        data.load("mnist")
    with pytest.raises(MedlibError, match="no images of 32 px: choose one of 28, 64, 128, 224"):
        data.load("breastmnist", size=32)


def test_another_size_is_another_file_that_must_be_asked_for(cache):
    with pytest.raises(DataUnavailable, match=r"breastmnist_64\.npz \(md5 742edef2a1fd"):
        data.load("breastmnist", size=64)


def test_wisconsin_is_real_without_any_download(cache):
    found = data.load("wisconsin")
    assert found.train.images.shape == (341, 30)
    assert found.train.images.dtype == np.float64
    assert found.train.features is not None
    assert found.test.labels is None
    assert len(found.card.feature_names) == 30


def test_arrays_built_here_by_another_pillow_warn_and_are_recorded(cache, mirror, monkeypatch):
    card = data.card("nih1000")
    arrays = loading.archive.read_arrays(mirror / "nih1000.npz")
    arrays["images"][0, 0, 0] ^= 1
    loading.archive.write_arrays(cache / "nih1000.npz", arrays)
    with pytest.raises(DigestMismatch, match="arrays expected"):
        data.load("nih1000")
    found = loading.archive.digest_of_arrays(arrays)
    store.sidecar(cache / "nih1000.npz").write_text(
        f'{{"arrays": "{found}", "proof": "tree", "pillow": "99.0"}}'
    )
    with pytest.warns(UserWarning, match=r"built here by Pillow 99.0 and differs"):
        loaded = data.load("nih1000")
    assert loaded.source["differs"] is True
    assert loaded.source["digest"] == found != card.digests["arrays"]


@pytest.mark.parametrize("name", ["breastmnist", "pneumoniamnist", "retinamnist"])
@pytest.mark.real_images
def test_the_real_small_sets(name):
    found = data.load(name)
    for split in ("train", "val", "test"):
        assert len(getattr(found, split)) == found.card.counts[split]
    assert np.bincount(found.train.labels).tolist() == list(found.card.class_counts["train"])
    assert found.test.labels is None
    assert len(locked.read_test_labels(found)) == found.card.counts["test"]


@pytest.mark.parametrize("name", ["nih1000", "busi128", "malaria50"])
def test_the_real_larger_sets(name, mirror):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = data.load(name)
    rows = np.concatenate([found.train.index, found.val.index, found.test.index])
    assert np.array_equal(np.sort(rows), np.arange(sum(found.card.counts.values())))
    assert found.test.labels is None
    assert found.test.masks is None
    assert (found.train.masks is not None) == found.card.masks
    if found.card.groups:
        sides = [set(getattr(found, s).groups) for s in ("train", "val", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides))


def test_busi_and_breastmnist_agree_picture_by_picture(mirror):
    """BreastMNIST is BUSI: reduced to 28 px, the pictures of each split are the same ones."""
    busi, breast = data.load("busi128"), data.load("breastmnist")
    malignant = busi.class_names.index("malignant")
    for split in ("train", "val"):
        same = (getattr(busi, split).labels == malignant).sum()
        assert same == (getattr(breast, split).labels == 0).sum()
    likeness = np.zeros((78, 78))
    for aspect in np.arange(1.0, 1.75, 0.05):
        for turn in (lambda images: images, lambda images: images.swapaxes(2, 3)):
            found = compared(turn(busi.val.images), turn(breast.val.images), aspect)
            likeness = np.maximum(likeness, found)
    best = likeness.max(axis=0)
    assert best.min() > 0.97  # every picture of the one val split is in the other
    assert len(set(likeness.argmax(axis=0))) > 70  # few are so alike that they change places


def compared(large: np.ndarray, small: np.ndarray, aspect: float) -> np.ndarray:
    """Correlate pictures: BUSI's were squeezed to a square, MedMNIST's cut to one."""
    width = int(128 / aspect)
    edge = (128 - width) // 2
    cut = large[:, 0, :, edge : edge + width]
    return standardised(reduced(cut)) @ standardised(small[:, 0]).T


def reduced(images: np.ndarray) -> np.ndarray:
    """Reduce to 28 px: means of blocks."""
    for axis in (1, 2):
        edges = np.linspace(0, images.shape[axis], 29).astype(int)
        sizes = np.diff(edges).reshape([-1 if k == axis else 1 for k in range(3)])
        images = np.add.reduceat(images.astype(float), edges[:-1], axis=axis) / sizes
    return images


def standardised(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(float)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_the_chest_films_carry_age_sex_and_view(mirror):
    films = data.load("nih1000")
    assert films.train.labels.shape == (600, 14)
    assert set(films.train.extras["view"]) == {"PA", "AP"}
    assert set(films.train.extras["sex"]) == {"M", "F"}
    assert films.test.extras["age"].min() > 0


def twins(images: np.ndarray) -> list[list[int]]:
    """Groups of rows whose pictures are the same, byte by byte."""
    rows: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(image.tobytes(), []).append(row)
    return [group for group in rows.values() if len(group) > 1]


def sides(name: str) -> list[list[tuple[str, int]]]:
    """Groups of identical pictures of a set, each as (split, position)."""
    found = data.load(name)
    parts = [("train", found.train), ("val", found.val), ("test", found.test)]
    places = [(split, int(k)) for split, part in parts for k in part.index]
    images = np.concatenate([part.images for _, part in parts])
    return [[places[row] for row in group] for group in twins(images)]


@pytest.mark.real_images
def test_the_duplicates_that_the_cards_name_are_there():
    assert sides("breastmnist") == [[("train", 115), ("test", 76)]]
    groups = sides("pneumoniamnist")
    crossing = [group for group in groups if len({split for split, _ in group}) > 1]
    assert (len(groups), len(crossing)) == (27, 8)
    assert all({split for split, _ in group} == {"train", "val"} for group in crossing)
    assert sides("retinamnist") == []


def test_the_contradicting_pair_of_busi_is_there(mirror):
    arrays = loading.archive.read_arrays(mirror / "busi128.npz", ["images", "source_file"])
    (pair,) = twins(arrays["images"])
    assert arrays["source_file"][pair].tolist() == ["benign (433).png", "malignant (145).png"]
