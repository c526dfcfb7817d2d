"""Damaged files, in short: a sample of what ``tests/stress/test_garbage_stress.py`` feeds."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from medlib.claims import ClaimsError, read_claims
from medlib.data.cards import read_card
from medlib.errors import MedlibError
from medlib.own.cases import OwnDataError
from medlib.own.table import find_in_table
from tests import damage
from tests.feeding import MEMORY, SECONDS, Fed, feed

SPECIAL, RANDOM = 4, 3  # of each kind


def sample() -> dict[str, list[int]]:
    """Choose some inputs of each kind; those that take seconds to make are for the long form."""
    chance = random.Random(10)
    plan = {}
    for kind in damage.KINDS:
        special = list(damage.specials(kind).values())
        cheap = [k for k, content in enumerate(special) if not callable(content)]
        chosen = chance.sample(cheap, min(SPECIAL, len(cheap)))
        random_ones = [len(special) + chance.randrange(1000) for _ in range(RANDOM)]
        plan[kind] = sorted(chosen) + random_ones
    return plan


@pytest.fixture(scope="module")
def fed() -> list[Fed]:
    return feed(sample())


def test_each_is_read_correctly_or_refused_in_one_line_that_names_it(fed: list[Fed]):
    assert len(fed) == sum(map(len, sample().values())) >= 100
    assert [f"{one.kind} {one.number} ({one.name}): {one.fault}" for one in fed if one.fault] == []


def test_neither_time_nor_memory_runs_away(fed: list[Fed]):
    assert max(one.seconds for one in fed) < SECONDS
    assert max(one.bytes for one in fed) < MEMORY


def test_some_are_read_and_some_refused(fed: list[Fed]):
    """A harness that refuses or accepts everything would find nothing."""
    codes = {one.answer.partition(":")[0] for one in fed}
    assert codes == {"0", "1", "2"}


def test_the_same_damage_in_every_run():
    for kind in ("npz", "table", "claims"):
        number = len(damage.specials(kind)) + 7
        assert damage.damaged(kind, number) == damage.damaged(kind, number)
        assert damage.damaged(kind, number) != damage.damaged(kind, number + 7)


def test_the_canary_sings_where_a_pickle_is_loaded_without_care(tmp_path, monkeypatch):
    import pickle

    monkeypatch.setenv(damage.CANARY, str(tmp_path / "medlib-canary"))
    pickle.loads(damage.payload())
    assert (tmp_path / "medlib-canary").exists()


# ---------------------------------------------------------------- parsers, for any content


def tried(read: Callable[[], Any], refusal: type[MedlibError]) -> tuple[Any, str]:
    """Return what was read, or None and what the refusal said; anything else is raised."""
    try:
        return read(), ""
    except refusal as error:
        return None, str(error)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
known = st.sampled_from(["id", "chapter", "kind", "metric", "sentence", "seeds", "reference"])


@settings(max_examples=50, deadline=None)
@given(entries=st.lists(st.dictionaries(known, trees, max_size=7) | trees, max_size=3))
def test_claims_of_any_content_are_read_or_refused(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("claims") / "claims.yml"
    path.write_text(yaml.safe_dump(entries, allow_unicode=True), "utf-8")
    found, said = tried(lambda: read_claims(path), ClaimsError)
    assert str(path) in said if found is None else set(found) == {e["id"] for e in entries}


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=60) | st.text(alphabet='path,label"\r\n;\t\\ x/..', max_size=80))
def test_tables_of_any_content_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    head = b"path,label\n" if len(content) % 2 else b""
    path.write_bytes(head + (content if isinstance(content, bytes) else content.encode()))
    found, said = tried(lambda: find_in_table(path), OwnDataError)
    if found is None:
        assert str(path) in said
    else:
        assert all(case.path.resolve().is_relative_to(path.parent) for case in found.cases)


@settings(max_examples=25, deadline=None)
@given(at=st.integers(0, 60_000), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_model_goes_unseen(tmp_path_factory, at, bit):
    from medlib.saved import load_model

    sound = damage.sound_model()
    path = tmp_path_factory.mktemp("models") / "model.pt"
    content = bytearray(sound)
    content[at % len(sound)] ^= 1 << bit
    path.write_bytes(content)
    found, said = tried(lambda: load_model(path).digest, MedlibError)
    if found is None:
        assert str(path) in said
    else:  # a bit of the zip file that stands for nothing
        path.write_bytes(sound)
        assert found == load_model(path).digest


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 3000), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_checkpoint_goes_unseen(tmp_path_factory, at, bit):
    import torch

    path = tmp_path_factory.mktemp("checkpoints") / "checkpoint.pt"
    write_checkpoint(path, {"weights": torch.arange(90.0), "epoch": 3})
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    found, said = tried(lambda: read_checkpoint(path), CheckpointError)
    if found is None:
        assert str(path) in said
    else:  # a bit of the zip file that stands for nothing
        assert found["epoch"] == 3
        assert torch.equal(found["weights"], torch.arange(90.0))


entries = yaml.safe_load(damage.sound_card())


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(entries)), value=trees)
def test_a_card_with_any_entry_is_read_or_refused(tmp_path_factory, name, value):
    path = tmp_path_factory.mktemp("cards") / "breastmnist.yml"
    path.write_text(yaml.safe_dump(entries | {name: value}, allow_unicode=True), "utf-8")
    found, said = tried(lambda: read_card(path), MedlibError)
    assert str(path) in said if found is None else found.num_classes >= 0
    assert "\n" not in said
