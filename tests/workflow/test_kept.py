"""What is remembered between builds: right where nothing changed, never where something did."""

import json
import shutil

import pytest

from book.workflow import build, chapters, fingerprint, imports, kept, lint, lock_check, rescoring
from medlib import paths, results, verify


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty build folder."""
    monkeypatch.setenv("MEDLIB_BUILD", str(tmp_path / "build"))
    return paths.build_dir("kept")


class Counted:
    """A computation that counts how often it is done."""

    def __init__(self, value=1):
        self.value, self.calls = value, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.value


def test_a_value_is_made_once_a_key(folder):
    make = Counted([1, "two"])
    assert kept.kept("some/thing", "a", make) == [1, "two"]
    assert kept.kept("some/thing", "a", make) == [1, "two"]
    assert make.calls == 1
    make.value = [3]
    assert kept.kept("some/thing", "b", make) == [3]
    assert kept.kept("some/thing", "a", make) == [3]  # one entry a name: the older one is gone
    assert make.calls == 3
    assert [path.name for path in folder.rglob("*.json")] == ["thing.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": "a"}', '"text"', "\udcff"])
def test_a_damaged_entry_is_made_anew(folder, damage):
    kept.kept("thing", "a", Counted(1))
    (folder / "thing.json").write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert kept.kept("thing", "a", Counted(2)) == 2


def test_deleting_what_was_kept_is_safe(folder):
    kept.kept("thing", "a", Counted(1))
    shutil.rmtree(folder)
    assert kept.kept("thing", "a", Counted(2)) == 2


def test_a_digest_knows_where_a_part_ends(tmp_path):
    assert kept.digest("ab", "c") != kept.digest("a", "bc")
    assert kept.digest("abc") == kept.digest(b"abc")
    (tmp_path / "one").write_text("1")
    first = kept.digest_of_files([tmp_path / "one"], tmp_path)
    (tmp_path / "one").rename(tmp_path / "two")
    assert kept.digest_of_files([tmp_path / "two"], tmp_path) != first


# ---------------------------------------------------------------- re-scoring


@pytest.fixture
def edition(tmp_path, folder, monkeypatch):
    """A small edition beside long runs, and a re-scoring that only counts."""
    for name in ("cpu/scores/01-01-one/a.csv", "long/scores/x/b.csv"):
        results.write_text(tmp_path / "results" / name, "1,2\n")
    counted = Counted((2, []))
    monkeypatch.setattr(verify, "rescore", counted)
    return tmp_path / "results", counted


def test_an_edition_is_rescored_once(edition):
    place, counted = edition
    assert rescoring.rescore(place / "cpu") == (2, [])
    assert rescoring.rescore(place / "cpu") == (2, [])
    assert counted.calls == 1


@pytest.mark.parametrize("name", ["cpu/scores/01-01-one/a.csv", "long/scores/x/b.csv"])
def test_a_changed_score_is_never_answered_from_memory(edition, name):
    place, counted = edition
    rescoring.rescore(place / "cpu")
    (place / name).write_text("1,3\n")
    counted.value = (2, ["it differs"])
    assert rescoring.rescore(place / "cpu") == (2, ["it differs"])
    (place / name).unlink()
    rescoring.rescore(place / "cpu")
    assert counted.calls == 3


def test_changed_arithmetic_is_never_answered_from_memory(edition, monkeypatch):
    place, counted = edition
    rescoring.rescore(place / "cpu")
    known = imports.module_hash
    for module in ("medlib.verify", "medlib.metrics", "medlib.intervals", "medlib.cases"):
        other = lambda name, module=module: "other" if name == module else known(name)  # noqa: E731
        monkeypatch.setattr(imports, "module_hash", other)
        before = counted.calls
        rescoring.rescore(place / "cpu")
        assert counted.calls == before + 1, module


def test_make_verify_computes_anew(edition, monkeypatch):
    place, counted = edition
    monkeypatch.setattr("medlib.results.published_dir", lambda profile: place / profile)
    for _ in range(2):
        verify.verify("cpu")
    assert counted.calls == 4  # the edition and the long runs, twice


# ---------------------------------------------------------------- fingerprints and gates


def test_a_kept_fingerprint_is_the_one_that_is_computed(folder):
    stem = chapters.chapters()[0].stem
    first = fingerprint.fingerprint(stem, "fast", 0, "auto")
    again = fingerprint.fingerprint(stem, "fast", 0, "auto")
    assert json.dumps(first) == json.dumps(again)
    assert fingerprint.sources(stem).items() <= first.items()
    assert fingerprint.fingerprint(stem, "cpu", 0, "auto")["profile"] != first["profile"]


@pytest.mark.parametrize("changed", ["_shared_key", "code_digest", "source"])
def test_a_fingerprint_follows_what_it_is_made_from(folder, monkeypatch, tmp_path, changed):
    stem = "01-01-one"
    path = tmp_path / f"{stem}.md"
    path.write_text("# One\n\n```{code-cell}\nimport medlib.metrics\n```\n", encoding="utf-8")
    chapter = chapters.Chapter(stem, 1, "1.1", "One", path, f"notebooks/{stem}.html")
    monkeypatch.setattr(chapters, "chapter", lambda name: chapter)
    counted = Counted({"cards": []})
    monkeypatch.setattr(fingerprint, "sources", counted)
    fingerprint._shared_key.cache_clear()
    for _ in range(2):
        fingerprint.fingerprint(stem, "fast", 0, "auto")
    assert counted.calls == 1
    if changed == "source":
        path.write_text(path.read_text("utf-8").replace("# One", "# Other"), encoding="utf-8")
    elif changed == "code_digest":
        monkeypatch.setattr(kept, "code_digest", lambda: "other")
        fingerprint._shared_key.cache_clear()
    else:
        monkeypatch.setattr(fingerprint, "_shared_key", lambda: "other")
    fingerprint.fingerprint(stem, "fast", 0, "auto")
    assert counted.calls == 2


def test_the_lint_is_kept_for_this_checkout_by_content(tmp_path, folder, monkeypatch):
    write_chapter(tmp_path, "medlib.record('unknown', value=1)")
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    first = [str(each) for each in lint.lint(tmp_path)]
    assert any("'unknown' is recorded" in line for line in first)
    assert [str(each) for each in lint.lint(tmp_path)] == first
    monkeypatch.setattr(lint, "check_chapter", None)  # it would fail if it were called again
    assert [str(each) for each in lint.lint(tmp_path)] == first
    monkeypatch.undo()
    write_chapter(tmp_path, "medlib.record('another', value=1)")
    assert any("'another' is recorded" in str(each) for each in lint.lint(tmp_path))


def test_the_lock_check_is_kept_for_this_checkout_by_content(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(lock_check, "ROOT", tmp_path)
    write_chapter(tmp_path, "from medlib.data import locked")
    first = lock_check.check(tmp_path)
    assert {each.rule for each in first} == {"lock"}
    assert lock_check.check(tmp_path) == first
    write_chapter(tmp_path, "import medlib")
    assert lock_check.check(tmp_path) == []
    helper = tmp_path / "medlib" / "helper.py"
    helper.parent.mkdir()
    helper.write_text("from medlib.data import locked\n\n\ndef peep():\n    return locked.read\n")
    write_chapter(tmp_path, "import medlib.helper\nmedlib.helper.peep()")
    assert any("helper.peep" in str(each) for each in lock_check.check(tmp_path))
    helper.write_text("def peep():\n    return 1\n")
    assert lock_check.check(tmp_path) == []  # the chapter is the same, what it calls is not


def write_chapter(root, code):
    """Write the only chapter of a made-up checkout."""
    (root / "notebooks").mkdir(exist_ok=True)
    (root / "book").mkdir(exist_ok=True)
    (root / "book" / "claims.yml").write_text("[]\n")
    text = f"# One\n\n```{{code-cell}}\n{code}\n```\n"
    (root / "notebooks" / "01-01-one.md").write_text(text, encoding="utf-8")


def test_what_was_deleted_is_made_again(folder):
    stems, page = ["01-01-one"], "html/notebooks/01-01-one.html"
    built = paths.build_dir("fast")
    for name in ("stamps/01-01-one.json", page, "html/index.html"):
        results.write_text(built / name, "{}")
    assert build._all_here(stems, "fast", None)
    (built / page).unlink()
    assert not build._all_here(stems, "fast", None)
