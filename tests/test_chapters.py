"""The one map from file names to numbers, titles and addresses."""

from pathlib import Path

import pytest

from book.workflow import chapters as map_
from medlib.errors import MedlibError

CONFIG = "repository:\n  url: https://github.com/Someone/a-book\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    write(tmp_path, "03-10-side-by-side", "# Side by side\n")
    write(tmp_path, "03-05-resnet", "---\na: '# no title'\n---\n\n(here)=\n# ResNet  \n\n## Next\n")
    write(tmp_path, "06-01-convolution", "```{code-cell}\n# a comment\n```\n\n# Convolution\n")
    return tmp_path


def write(root: Path, stem: str, text: str) -> Path:
    path = root / "notebooks" / f"{stem}.md"
    path.write_text(text)
    return path


def test_chapters_come_in_the_order_of_the_book_with_shown_numbers(checkout):
    found = map_.chapters(checkout)
    assert [each.number for each in found] == ["3.5", "3.10", "A"]
    assert [each.title for each in found] == ["ResNet", "Side by side", "Convolution"]
    assert [each.part for each in found] == [3, 3, 6]


def test_a_chapter_knows_its_paths(checkout):
    found = map_.chapter("03-05-resnet", checkout)
    assert found.label == "3.5 ResNet"
    assert found.page == "notebooks/03-05-resnet.html"
    assert found.document == "notebooks/03-05-resnet"
    assert found.source == checkout / "notebooks" / "03-05-resnet.md"
    assert found.copy == checkout / "notebooks" / "03-05-resnet.ipynb"


def test_an_unknown_chapter_is_refused_with_those_there_are(checkout):
    with pytest.raises(MedlibError, match="03-05-resnet, 03-10-side-by-side"):
        map_.chapter("03-06-densenet", checkout)


@pytest.mark.parametrize(
    "stem", ["resnet", "3-5-resnet", "03-05-ResNet", "03-05-", "42-01-x", "06-27-x"]
)
def test_an_ill_formed_name_is_refused(stem):
    with pytest.raises(MedlibError, match="got"):
        map_.parse_stem(stem)


def test_a_source_without_title_or_with_a_number_in_it_is_refused(checkout):
    with pytest.raises(MedlibError, match="has no title"):
        map_.title_of(write(checkout, "03-06-a", "## Only a section\n"))
    with pytest.raises(MedlibError, match="the number comes from the file name"):
        map_.title_of(write(checkout, "03-06-b", "# 3.6 DenseNet\n"))


def test_pages_of_prose_have_numbers_too():
    assert map_.document_number("book/trust") == "0.1"
    assert map_.document_number("notebooks/03-05-resnet") == "3.5"
    assert map_.document_number("book/glossary") == "C"
    assert map_.document_number("book/authors") is None


def test_the_address_stands_in_the_configuration_and_a_fork_overrides_it(checkout, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "fork/a-book")
    assert map_.repository_url(checkout) == "https://github.com/fork/a-book"
    assert map_.repository_url(checkout, environment=False) == "https://github.com/Someone/a-book"
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert map_.repository_url(checkout) == "https://github.com/Someone/a-book"


@pytest.mark.parametrize("url", ["", "github.com/a/b", "https://github.com/a"])
def test_a_useless_address_is_refused(checkout, monkeypatch, url):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    (checkout / "_config.yml").write_text(f"repository:\n  url: '{url}'\n")
    with pytest.raises(MedlibError, match="https://github.com/OWNER/NAME"):
        map_.repository_url(checkout)


def test_the_site_is_derived_from_the_repository():
    assert map_.site_url("https://github.com/Someone/a-book") == "https://someone.github.io/a-book"
    assert map_.site_url("https://github.com/a/a.github.io") == "https://a.github.io"
    assert map_.latest_url("https://github.com/a/b") == "https://a.github.io/b/latest"


def test_a_release_has_numbers_and_its_folder_leaves_the_correction_out():
    assert map_.tag_numbers("v0.10.2") == (0, 10, 2)
    assert map_.tag_numbers("v1.2") == (1, 2, 0)
    assert map_.edition_folder("v0.10.2") == map_.edition_folder("v0.10") == "v0.10"
    for wrong in ("0.1.0", "v1", "v1.2.3.4", "v1.2-rc"):
        with pytest.raises(MedlibError, match="tagged vX.Y"):
            map_.tag_numbers(wrong)


def test_this_checkout_can_be_read(monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    stems = [each.stem for each in map_.chapters()]
    assert stems == sorted(stems)
    assert map_.site_url(map_.repository_url()).startswith("https://")
