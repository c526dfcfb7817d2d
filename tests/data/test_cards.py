"""The cards: complete, in step with the medmnist package, the arrays and the bibliography."""

import importlib.util
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import yaml

from medlib import data, paths
from medlib.data import catalogue, store
from medlib.data.cards import read_card
from medlib.errors import MedlibError

MEDMNIST_2D = [
    "bloodmnist",
    "breastmnist",
    "chestmnist",
    "dermamnist",
    "octmnist",
    "organamnist",
    "organcmnist",
    "organsmnist",
    "pathmnist",
    "pneumoniamnist",
    "retinamnist",
    "tissuemnist",
]
HELD = ["breastmnist", "pneumoniamnist", "retinamnist", "nih1000", "busi128", "malaria50"]
ALL = sorted({*MEDMNIST_2D, *HELD, "wisconsin"})


@pytest.fixture(scope="module")
def info(tmp_path_factory) -> dict:
    """The official registry, from the installed package's own file (without importing torch)."""
    place = Path(importlib.util.find_spec("medmnist").origin).with_name("info.py")
    spec = importlib.util.spec_from_file_location("medmnist_info_alone", place)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # it makes a folder there
        spec.loader.exec_module(module)
    return module.INFO


def test_all_sets_have_a_card():
    assert sorted(data.cards()) == ALL


@pytest.mark.parametrize("name", MEDMNIST_2D)
def test_medmnist_cards_agree_with_the_official_registry(name, info):
    card, official = data.card(name), info[name]
    assert card.digests["md5"] == official["MD5"]
    assert card.origins[0]["url"] == official["url"]
    assert card.counts == official["n_samples"]
    assert card.channels == official["n_channels"]
    assert card.licence["name"] == official["license"]
    assert len(card.classes) == len(official["label"])
    if name != "retinamnist":  # the registry names its grades "0" to "4"
        assert list(card.classes) == list(official["label"].values())
    for size in (64, 128, 224):
        assert card.variants[size] == {
            "url": official[f"url_{size}"],
            "md5": official[f"MD5_{size}"],
        }
    task = {"binary-class": "binary", "ordinal-regression": "ordinal"}
    expected = task.get(official["task"], official["task"].partition(",")[0])
    assert card.task == expected


def test_the_generator_reads_the_registry_without_importing_it_and_writes_the_same_cards(
    info, tmp_path
):
    assert catalogue.registry() == info
    for name in MEDMNIST_2D:
        written = yaml.safe_load(paths.package_file(f"data/{name}.yml").read_text("utf-8"))
        for key, value in catalogue.medmnist_entries(name, info[name]).items():
            assert written[key] == value, f"{name}: {key}; run python -m medlib.data.catalogue"


@pytest.mark.parametrize("name", HELD)
def test_what_the_cards_count_is_measured(name, mirror):
    card = data.card(name)
    if card.layout != "sklearn" and store.find(card) is None:
        pytest.skip(f"not here: {name}")
    for key, value in catalogue.measured_entries(name).items():
        assert getattr(card, key) == value, f"{key}; run python -m medlib.data.catalogue"


def test_only_three_small_sets_and_the_table_are_downloaded_unasked():
    unasked = {card.name for card in data.cards().values() if not card.opt_in}
    assert unasked == {"breastmnist", "pneumoniamnist", "retinamnist", "wisconsin"}
    total = sum(data.card(name).download_bytes or 0 for name in unasked)
    assert 7e6 < total < 9e6


def test_pictures_are_publishable_only_where_the_licence_was_read_and_allows_it():
    for card in data.cards().values():
        if card.publishable and card.kind == "image":
            assert card.licence["read"]
            assert card.licence["name"] == "CC BY 4.0"


@pytest.mark.parametrize("name", ALL)
def test_a_card_is_complete(name):
    card = data.card(name)
    assert all((card.title, card.modality, card.licence["name"], card.citation, card.topics))
    assert card.digests
    assert all(origin["url"].startswith("https://") for origin in card.origins)
    assert set(card.supported) <= set(card.classes)
    if card.split["kind"] == "file":
        assert paths.package_file(card.split["file"]).is_file()
    for counts in card.class_counts.values():
        assert len(counts) == card.num_classes


def test_cited_works_stand_in_the_bibliography():
    bibliography = paths.package_file("book/references.bib")
    if not bibliography.is_file():
        pytest.skip("there is no bibliography yet")
    known = set(re.findall(r"^@\w+\{([^,\s]+)", bibliography.read_text("utf-8"), re.MULTILINE))
    cited = {card.citation for card in data.cards().values()}
    cited |= {flaw["source"] for card in data.cards().values() for flaw in card.flaws}
    keys = {key for key in cited if key != "measured" and not key.startswith("https://")}
    assert keys <= known


def test_a_card_cannot_be_changed_by_mistake():
    with pytest.raises(FrozenInstanceError):
        data.card("breastmnist").size = 5  # type: ignore[misc]
    listing = data.cards()
    listing.clear()
    assert data.cards()


def test_another_size_changes_file_digest_and_address():
    card = data.card("breastmnist").at_size(64)
    assert (card.file, card.size, card.opt_in) == ("breastmnist_64.npz", 64, True)
    assert card.digests["md5"] == data.card("breastmnist").variants[64]["md5"]
    assert data.card("breastmnist").at_size(28) is data.card("breastmnist")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "guessing"}, "task is 'guessing'"),
        ({"name": "other"}, "name is 'other', expected 'breastmnist'"),
        ({"counts": {"train": 1}}, "counts has"),
        ({"classes": ["a", "b", "c"]}, "a binary task with 3 classes"),
        ({"flaws": [{"what": "x"}]}, "each flaw needs"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_a_wrong_card_is_refused_with_its_file_and_entry(tmp_path, change, said):
    entries = yaml.safe_load(paths.package_file("data/breastmnist.yml").read_text("utf-8"))
    path = tmp_path / "breastmnist.yml"
    path.write_text(yaml.safe_dump({**entries, **change}), "utf-8")
    with pytest.raises(MedlibError, match=said) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_card_is_refused(tmp_path, text):
    path = tmp_path / "breastmnist.yml"
    path.write_text(text, "utf-8")
    with pytest.raises(MedlibError, match="cannot be read"):
        read_card(path)


def test_the_message_of_a_missing_set_lists_every_address():
    card = replace(data.card("busi128"))
    message = str(store.unavailable(card, "why"))
    assert all(origin["url"] in message for origin in card.origins)
