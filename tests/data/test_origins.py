"""Building data sets from published pictures: recipes, proofs, and what happens when they fail."""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from medlib import data
from medlib.data import archive, builders, download, origins, sources, store
from medlib.data.download import Patience
from medlib.data.sources import SourceFile, TreeHash
from medlib.errors import DataUnavailable, DigestMismatch, MedlibError

QUICK = Patience(connect=1.0, stall=0.5, attempts=2, pause=0.01)


def png(size: tuple[int, int], seed: int, mode: str = "RGB") -> bytes:
    rng = np.random.default_rng(seed)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def mask_png(size: tuple[int, int], box: tuple[int, int, int, int]) -> bytes:
    picture = np.zeros((size[1], size[0]), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = 255
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


BUSI = {
    "benign/benign (2).png": png((60, 40), 1),
    "benign/benign (2)_mask.png": mask_png((60, 40), (0, 0, 30, 20)),
    "benign/benign (2)_mask_1.png": mask_png((60, 40), (30, 20, 60, 40)),
    "benign/benign (10).png": png((30, 30), 2),
    "benign/benign (10)_mask.png": mask_png((30, 30), (0, 0, 15, 30)),
    "malignant/malignant (1).png": png((50, 50), 3),
    "normal/normal (1).png": png((20, 20), 4, "L"),
    "normal/._normal (1).png": b"macOS",
    "readme.txt": b"hello",
}


def files_of(pictures: dict[str, bytes]) -> list[SourceFile]:
    return [SourceFile(PurePosixPath(path), content) for path, content in pictures.items()]


def tarred(pictures: dict[str, bytes], top: str = "repo-123", folder: str = "data") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as out:
        for path, content in {f"{folder}/{p}": c for p, c in pictures.items()}.items():
            info = tarfile.TarInfo(f"{top}/{path}")
            info.size, info.mode = len(content), 0o664
            out.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(pictures: dict[str, bytes], top: str = "Dataset_BUSI_with_GT") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        for path, content in pictures.items():
            out.writestr(f"{top}/{path}", content)
    return stream.getvalue()


def tree_of(pictures: dict[str, bytes]) -> str:
    tree = TreeHash()
    for path, content in pictures.items():
        tree.add(PurePosixPath(path), content)
    return tree.hexdigest()


BUILT = builders.build_busi128(files_of(BUSI), {})
EXPECTED = archive.digest_of_arrays(BUILT)


def busi_card(*places: dict, digest: str = EXPECTED) -> data.Card:
    digests = {"arrays": digest, "facts": archive.digest_of_facts(BUILT)}
    return replace(data.card("busi128"), origins=places, digests=digests)


# ---------------------------------------------------------------- recipes


def test_busi_is_grey_sorted_resized_and_its_masks_are_joined():
    arrays = builders.build_busi128(reversed(files_of(BUSI)), {})
    names = ["benign (10).png", "benign (2).png", "malignant (1).png", "normal (1).png"]
    assert arrays["source_file"].tolist() == names
    assert arrays["labels"].tolist() == [1, 1, 2, 0]
    assert arrays["images"].shape == arrays["masks"].shape == (4, 128, 128)
    both = arrays["masks"][1]
    assert both[:64, :64].all()
    assert both[64:, 64:].all()
    assert not both[:64, 64:].any()
    assert not arrays["masks"][3].any()
    assert set(np.unique(arrays["masks"])) == {0, 1}
    grey = Image.open(io.BytesIO(BUSI["benign/benign (10).png"])).convert("L")
    resized = np.asarray(grey.resize((128, 128), Image.Resampling.BILINEAR))
    assert np.array_equal(arrays["images"][0], resized)


def test_malaria_takes_patients_from_names_and_strips_the_class():
    cells = {
        "train/Parasitized/C100P61ThinF_IMG_1_cell_2.png": png((50, 50), 1),
        "valid/Uninfected/UninfectedC1_thinF_IMG_1_cell_9.png": png((50, 50), 2),
        "valid/Parasitized/ParasitizedC37BP2_cell_1.png": png((50, 50), 3),
        "valid/.DS_Store": b"",
    }
    arrays = builders.build_malaria50(files_of(cells), {})
    assert arrays["labels"].tolist() == [0, 1, 1]
    assert arrays["patient"].tolist() == ["C1", "C100P61", "C37"]
    assert arrays["source_file"][1] == "C100P61ThinF_IMG_1_cell_2.png"
    with pytest.raises(MedlibError, match=r"expected pictures of 50x50 px"):
        builders.build_malaria50(files_of({"Uninfected/C1_a.png": png((40, 50), 1)}), {})
    with pytest.raises(MedlibError, match="does not begin with a patient"):
        builders.build_malaria50(files_of({"Uninfected/x.png": png((50, 50), 1)}), {})


TABLE = (
    b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    b"00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA\n"
    b"00000002_000.png,No Finding,0,2,080Y,F,AP\n"
    b"00000003_000.png,Hernia,0,3,81,F,PA\n"
)


def test_nih_joins_pictures_and_table_by_name():
    films = {f"test/x/0000000{k}_000.png": png((64, 64), k, "L") for k in (2, 1)}
    arrays = builders.build_nih1000(files_of(films), {"labels": TABLE})
    names = arrays["label_names"].tolist()
    assert arrays["source_file"].tolist() == ["00000001_000.png", "00000002_000.png"]
    assert [names[k] for k in np.flatnonzero(arrays["labels"][0])] == ["Cardiomegaly", "Emphysema"]
    assert not arrays["labels"][1].any()
    assert arrays["age"].tolist() == [57, 80]
    assert arrays["patient"].dtype == np.int32
    films["test/x/00000009_000.png"] = png((64, 64), 9, "L")
    with pytest.raises(MedlibError, match=r"lacks 1 pictures, such as 00000009_000\.png"):
        builders.build_nih1000(files_of(films), {"labels": TABLE})


@pytest.mark.parametrize(("name", "sizes"), [("busi128", 128), ("malaria50", 50), ("nih1000", 64)])
def test_the_recipes_give_the_layout_of_the_mirrored_arrays(name, sizes, mirror):
    """Types and names take part in the digest, so a recipe must get them right as well."""
    real = archive.read_arrays(mirror / f"{name}.npz")
    pictures = {
        "busi128": BUSI,
        "malaria50": {"Uninfected/C1_cell.png": png((50, 50), 1)},
        "nih1000": {"a/00000001_000.png": png((64, 64), 1)},
    }[name]
    built = builders.BUILDERS[name](files_of(pictures), {"labels": TABLE})
    assert set(built) == set(real)
    for key, values in built.items():
        kind = "U" if real[key].dtype.kind == "U" else real[key].dtype
        assert values.dtype.kind == "U" if kind == "U" else values.dtype == kind
        assert values.shape[1:] == real[key].shape[1:]
    assert np.array_equal(built["label_names"], real["label_names"])
    assert built["label_names"].dtype == real["label_names"].dtype
    order = real["source_file"].tolist()
    keys = list(zip(real["labels"].tolist(), order, strict=True)) if name == "malaria50" else order
    assert keys == sorted(keys)


def test_a_picture_that_is_none_is_named():
    with pytest.raises(MedlibError, match=r"benign \(3\)\.png is no readable PNG"):
        builders.build_busi128(files_of({"benign/benign (3).png": b"GIF89a"}), {})


# ---------------------------------------------------------------- archives and git's hash


def test_the_tree_hash_is_git_s(tmp_path):
    assert TreeHash().hexdigest() == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "data"
    tree = TreeHash()
    for path, content in {**BUSI, "a.txt": b"1", "a/b": b"2", "a-b/c": b"3", "run": b"4"}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if path == "run" else 0o644)
        tree.add(PurePosixPath(path), content, executable=path == "run")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.autocrlf=false", "-c", "core.fileMode=true", *arguments]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "-q")
    git("add", "-f", ".")
    assert tree.hexdigest() == git("write-tree")


@pytest.mark.parametrize("pack", [tarred, lambda files: zipped(files, "repo/data")])
def test_files_are_read_below_the_top_folder(tmp_path, pack):
    path = tmp_path / "archive"
    path.write_bytes(pack({"x/a.txt": b"1", "b.txt": b"2"}))
    found = {str(f.path): f.content for f in sources.files_in(path)}
    assert found == {"data/x/a.txt": b"1", "data/b.txt": b"2"}
    assert [str(f.path) for f in sources.files_in(path, "data/x")] == ["data/x/a.txt"]


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", tarred(BUSI)[:-2000], zipped(BUSI)[:-9]]
)
def test_a_damaged_archive_gives_one_line(tmp_path, content):
    path = tmp_path / "archive"
    path.write_bytes(content)
    with pytest.raises(MedlibError, match="no readable archive") as caught:
        list(sources.files_in(path))
    assert "\n" not in str(caught.value)


def test_an_archive_bomb_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "archive"
    path.write_bytes(tarred({"big.png": bytes(5000)}))
    monkeypatch.setattr(sources, "MAX_FILE", 1000)
    with pytest.raises(MedlibError, match=r"big\.png would be 5,000 bytes: refused"):
        list(sources.files_in(path))
    monkeypatch.undo()
    monkeypatch.setattr(sources, "MAX_FILES", 3)
    path.write_bytes(tarred({f"{k}.png": b"" for k in range(5)}))
    with pytest.raises(MedlibError, match="more than a data set should"):
        list(sources.files_in(path))


# ---------------------------------------------------------------- from the origin to the cache


def official(server, content: bytes, *script: str) -> dict:
    url = server.put("/Dataset_BUSI.zip", content, *script)
    return {"kind": "archive", "url": url, "sha256": hashlib.sha256(zipped(BUSI)).hexdigest()}


def second(server, pictures: dict = BUSI, tree: str | None = None) -> dict:
    listing = {"tree": [{"path": "data", "sha": tree or tree_of(pictures)}]}
    return {
        "kind": "github",
        "url": server.put("/archive/abc.tar.gz", tarred(pictures)),
        "folder": "data",
        "trees": server.put("/git/trees/abc", json.dumps(listing).encode()),
    }


def kept(cache) -> list[str]:
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())


def test_the_official_origin_comes_first_and_leaves_only_the_arrays(server, cache):
    card = busi_card(official(server, zipped(BUSI)), second(server))
    path = origins.obtain(card, QUICK)
    assert archive.digest_of_arrays(archive.read_arrays(path)) == EXPECTED
    assert kept(cache) == ["busi128.npz", "busi128.npz.json"]
    record = store.built_here(path)
    assert record["same"] is True
    assert record["proof"] == "arrays"
    assert record["tree"] == tree_of(BUSI)
    assert [asked[0] for asked in server.asked] == ["/Dataset_BUSI.zip"]


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "404"), (b"", "html"), (zipped({"x.png": b""}), "ok"), (b"rubbish", "ok")],
)
def test_the_second_origin_helps_where_the_official_one_fails(server, cache, content, word):
    card = busi_card(official(server, content, word), second(server))
    assert archive.digest_of_arrays(archive.read_arrays(origins.obtain(card, QUICK))) == EXPECTED


def test_pages_are_named_but_not_downloaded(server, cache):
    page = {"kind": "page", "url": "https://example.org/portal"}
    origins.obtain(busi_card(page, second(server)), QUICK)
    with pytest.raises(DataUnavailable, match=r"not offered for download.*example\.org/portal"):
        origins.obtain(replace(busi_card(page), file="other.npz"), QUICK)


def test_other_arrays_from_proven_pictures_are_kept_with_a_warning(server, cache, monkeypatch):
    card = busi_card(second(server), digest="0" * 64)
    path = origins.obtain(card, QUICK)
    record = store.built_here(path)
    assert (record["same"], record["proof"], record["arrays"]) == (False, "tree", EXPECTED)
    with pytest.warns(UserWarning, match="differs from the published arrays"):
        found = store.verify_arrays(card, path, archive.read_arrays(path))
    assert found == {"digest": EXPECTED, "differs": True}


def test_the_archive_s_sha256_is_a_proof_as_well(server, cache):
    path = origins.obtain(busi_card(official(server, zipped(BUSI)), digest="0" * 64), QUICK)
    assert store.built_here(path)["proof"] == "sha256"


@pytest.mark.parametrize("tree", ["f" * 40, None])
def test_other_arrays_from_unproven_pictures_are_refused(server, cache, tree):
    place = second(server, tree=tree)
    if tree is None:
        server.put("/git/trees/abc", b"", "500")
    with pytest.raises(DigestMismatch) as caught:
        origins.obtain(busi_card(place, digest="0" * 64), QUICK)
    for part in ("0" * 64, EXPECTED, tree_of(BUSI), "could not be proven"):
        assert part in str(caught.value)
    assert kept(cache) == []


def test_other_labels_are_refused_even_from_proven_pictures(server, cache):
    """Another Pillow may change pixels, never labels, patients or names."""
    card = busi_card(second(server), digest="0" * 64)
    card = replace(card, digests={**card.digests, "facts": "1" * 64})
    with pytest.raises(DigestMismatch, match="could not be proven"):
        origins.obtain(card, QUICK)
    assert kept(cache) == []


def test_pictures_that_do_not_fit_the_recipe_are_a_reason_not_a_crash(server, cache):
    broken = {**BUSI, "benign/benign (2).png": b"no picture"}
    with pytest.raises(DataUnavailable, match=r"benign \(2\)\.png is no readable PNG"):
        origins.obtain(busi_card(second(server, broken)), QUICK)
    assert kept(cache) == []


def test_the_films_need_their_table_from_the_first_address_that_works(server, cache):
    films = {"test/x/00000001_000.png": png((64, 64), 1, "L")}
    arrays = builders.build_nih1000(files_of(films), {"labels": TABLE})
    place = {
        **second(server, films),
        "extra": {
            "labels": {
                "urls": [
                    server.put("/gone.csv.gz", b"", "404"),
                    server.put("/table.csv.gz", gzip.compress(TABLE)),
                ]
            }
        },
    }
    digest = {"arrays": archive.digest_of_arrays(arrays)}
    card = replace(data.card("nih1000"), origins=(place,), digests=digest)
    origins.obtain(card, QUICK)
    assert kept(cache) == ["nih1000.npz", "nih1000.npz.json"]
    server.put("/table.csv.gz", b"not gzip")
    with pytest.raises(MedlibError, match="cannot be unpacked"):
        origins.obtain(replace(card, file="again.npz"), QUICK)


def test_a_full_disk_while_writing_the_arrays_is_a_sentence(server, cache, monkeypatch):
    def full(path: object, arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write_arrays", full)
    with pytest.raises(MedlibError, match="the disk is full.*MEDLIB_CACHE"):
        origins.obtain(busi_card(second(server)), QUICK)
    assert "busi128.npz" not in kept(cache)


def test_every_card_names_an_origin_that_can_be_acquired_or_is_installed():
    for card in data.cards().values():
        kinds = {origin["kind"] for origin in card.origins}
        assert kinds & {"file", "archive", "github", "installed"}, card.name
        if kinds & {"archive", "github"}:
            assert card.name in builders.BUILDERS
    assert issubclass(download.Offline, MedlibError)
