"""The model of "Try a model": folding, the files that the page loads, the page without a model."""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from book._ext import medlib_try, try_model
from medlib.errors import MedlibError
from medlib.models import create
from medlib.predict import predict_logits
from medlib.trust import reliability_curve
from medlib.trust.calibration import Temperature
from tests import two_pages

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"


@pytest.fixture(scope="module")
def networks() -> list[try_model.Frozen]:
    return try_model.read(RESULTS)[1]


def content_of(script: dict[str, bytes]) -> dict:
    (text,) = script.values()
    return json.loads(re.fullmatch(rb"receiveTryModel\((.*)\);\n", text, re.DOTALL)[1])


def images(count: int, size: int = 28) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 1, size, size)).astype(np.uint8)


def test_a_folded_network_answers_as_the_network(networks):
    pictures = images(32)
    for network in networks:
        module = network.saved.module
        plain = try_model.folded(module)
        assert not [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
        assert [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        wanted = predict_logits(module, pictures)
        found = predict_logits(plain.float(), pictures)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_the_weights_of_the_file_are_those_of_the_folded_network(networks):
    layers = try_model.described(networks[0].saved.module)
    weights = np.frombuffer(base64.b64decode(layers["weights"]), "<f4")
    plain = try_model.folded(networks[0].saved.module)
    first = plain.conv1.weight.detach().numpy().ravel()
    np.testing.assert_array_equal(weights[: first.size], first.astype("<f4"))
    np.testing.assert_array_equal(weights[-2:], plain.fc.bias.detach().numpy().astype("<f4"))
    assert len(weights) == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("name", ["resnet50", "vgg11", "resnet18"])
def test_a_network_that_the_script_cannot_compute_is_refused(name: str):
    size = 128 if name == "resnet18" else 32  # there its stem pools, which the script does not
    network = create(name, in_channels=1, num_classes=2, image_size=size)
    with pytest.raises(MedlibError, match="teach medlib-try-network.js"):
        try_model.folded(network)


def test_the_same_sources_give_the_same_bytes(monkeypatch):
    monkeypatch.setattr(try_model, "at_hand", lambda name: False)  # which costs two seconds less
    uncached = try_model.files.__wrapped__
    assert uncached(RESULTS) == uncached(RESULTS)


def test_the_files_name_pytorchs_answers_for_their_pictures(networks):
    first, others = map(content_of, try_model.files(RESULTS))
    pixels = [np.frombuffer(base64.b64decode(p["pixels"]), np.uint8) for p in first["pictures"]]
    pictures = np.stack(pixels).reshape(-1, 1, 28, 28)
    for network, given in zip(networks, first["networks"] + others["networks"], strict=True):
        wanted = predict_logits(network.saved.module, pictures)
        np.testing.assert_allclose(given["expected"], wanted, rtol=0, atol=1e-5)
        assert given["threshold"] == network.threshold


def test_calibration_counts_the_cases_of_each_bin():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 2)) * 3
    labels = (rng.random(300) < 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]) ** 0.5)).astype(int)
    found = try_model.calibration(labels, logits)
    fitted = Temperature().fit(labels, logits, logits=True)
    assert found["temperature"] == pytest.approx(fitted.temperature, abs=1e-5)
    curve = reliability_curve(labels, fitted.apply(logits, logits=True), positive=1, bins=10)
    counts, true = np.array(found["bins"]).T
    assert counts[counts > 0].tolist() == curve.count.tolist()
    np.testing.assert_allclose(true[counts > 0] / counts[counts > 0], curve.true)


def test_without_data_there_are_phantoms_and_no_calibration(monkeypatch):
    monkeypatch.setattr(try_model, "at_hand", lambda name: False)
    first, _ = try_model.files.__wrapped__(RESULTS)
    content = content_of(first)
    assert {each["kind"] for each in content["pictures"]} == {"phantom", "noise"}
    assert content["films"] is None
    assert content["networks"][0]["calibration"] is None


@pytest.mark.real_images("pneumoniamnist")
def test_the_films_are_validation_films_at_the_ends_of_their_class(networks):
    films = try_model.validation_films(RESULTS, "pneumoniamnist")
    content = content_of(try_model.files(RESULTS)[0])
    shown = [each for each in content["pictures"] if each["kind"] == "film"]
    logits = networks[0].logits(films.images)
    odds = dict(zip(films.index, logits[:, 1] - logits[:, 0], strict=True))
    chosen = [odds[int(each["name"].removeprefix("Film "))] for each in shown]
    for label, found in enumerate((chosen[:4], chosen[4:])):
        mine = [odds[i] for i in films.index[films.labels == label]]
        assert found == sorted(found)
        assert (found[0], found[-1]) == (min(mine), max(mine))


def test_a_network_that_was_not_frozen_is_refused(tmp_path: Path):
    copy = edition(tmp_path)
    path = try_model.artefact(copy, *try_model.FROZEN)
    frozen = json.loads(path.read_text("utf-8"))
    frozen["networks"]["0"]["digest"] = "0" * 64
    path.write_text(json.dumps(frozen), "utf-8")
    with pytest.raises(MedlibError, match="not the network that was frozen"):
        try_model.read(copy)


def edition(folder: Path) -> Path:
    """Copy what the page needs of the published edition."""
    copy = folder / "results"
    shutil.copytree(RESULTS / "cpu" / "artefacts", copy / "cpu" / "artefacts")
    return copy


def test_only_the_page_with_a_model_loads_its_script(tmp_path: Path):
    built = build(tmp_path, RESULTS)
    pages, site = built.pages, built.folder
    assert medlib_try.LOADER in pages["index"]
    assert medlib_try.LOADER not in pages["plain"]
    assert "Load the model, 0.5 MB" in pages["index"]
    for part in try_model.files(RESULTS):
        for name, content in part.items():
            assert (site / "_images" / name).read_bytes() == content
            assert name in pages["index"]


def test_files_of_before_are_removed(tmp_path: Path):
    folder = tmp_path / "_images"
    folder.mkdir()
    (folder / "try-model-00000000.js").write_text("old")
    medlib_try.write_files(RESULTS, tmp_path, medlib_try.render(*try_model.files(RESULTS)))
    assert len(list(folder.glob("try-*.js"))) == 2
    assert not (folder / "try-model-00000000.js").exists()


def test_a_page_without_networks_says_so(tmp_path: Path):
    pages = build(tmp_path, tmp_path / "nothing").pages
    assert medlib_try.ABSENT in pages["index"]
    assert medlib_try.LOADER not in pages["index"]


def build(folder: Path, published: Path) -> two_pages.Built:
    built = two_pages.build(folder, published, "medlib_try", "try-model")
    assert "medlib" not in built.warnings
    return built
