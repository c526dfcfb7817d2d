"""The site's Sphinx extension on a small book: numbers, folds, and what is built again."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIGURE = "\n```{{figure}} dot.svg\n:name: {name}\n:alt: A dot.\n\nA caption.\n```\n"
CHAPTER = (
    "# 3.5 Residual networks\n\nA first paragraph that tells what the chapter is about.\n"
    + FIGURE.format(name="fig-one")
    + FIGURE.format(name="fig-two")
    + "\nSee {numref}`fig-two` and {eq}`eq-sum`.\n\n```{math}\n:label: eq-sum\n1 + 1\n```\n\n"
    ":::{admonition} Solution\n:class: dropdown\nThe answer.\n:::\n"
)
PAGES = {
    "book/index": "# Home\n\n```{toctree}\n/book/trust\n/notebooks/03-05-resnet\n/book/plain\n```",
    "book/trust": "# Trust\n\n{numref}`fig-two`\n" + FIGURE.format(name="fig-trust"),
    "book/plain": "# Plain\n\nText.\n" + FIGURE.format(name="fig-plain"),
    "notebooks/03-05-resnet": CHAPTER,
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book of four pages, not yet built."""
    for name, text in PAGES.items():
        write(tmp_path, name, text)
        (tmp_path / "src" / Path(name).parent / "dot.svg").write_text(
            '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', encoding="utf-8"
        )
    return tmp_path


def write(book: Path, name: str, text: str) -> None:
    path = book / "src" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def build(book: Path) -> dict[str, str]:
    """Build the book and return the pages that were written, by name."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    settings = {
        "extensions": ["myst_parser", "medlib_claims", "medlib_site", "medlib_finder"],
        "html_baseurl": "https://ann.github.io/book/latest/",
        "master_doc": "book/index",
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "numfig": True,
        "numfig_secnum_depth": 0,
        "html_static_path": [],
        "medlib_build_dir": str(book / "build"),
        "medlib_published_dir": str(book / "results"),
    }
    source, target = str(book / "src"), str(book / "html")
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        with patch_docutils(source), docutils_namespace():
            app = Sphinx(source, None, target, str(book / "trees"), "html", settings, None, None)
            written: list[str] = []
            app.connect("html-page-context", lambda _, page, *rest: written.append(page))
            app.build()
    finally:
        sys.path.remove(str(ROOT / "book" / "_ext"))
    return {
        page: (book / "html" / f"{page}.html").read_text(encoding="utf-8")
        for page in written
        if page in PAGES
    }


def numbers(html: str) -> list[str]:
    return re.findall(r'class="caption-number">([^<]*\d)', html)


def test_figures_count_by_chapter(book: Path):
    pages = build(book)
    assert numbers(pages["notebooks/03-05-resnet"]) == ["Fig. 3.5.1", "Fig. 3.5.2"]
    assert numbers(pages["book/trust"]) == ["Fig. 0.1.1"]
    assert numbers(pages["book/plain"]) == ["Fig. 1"]


def test_references_show_the_same_numbers(book: Path):
    pages = build(book)
    assert "Fig. 3.5.2</span></a>" in pages["book/trust"]
    assert "(3.5.1)" in pages["notebooks/03-05-resnet"]


def test_prose_titles_get_their_number(book: Path):
    pages = build(book)
    assert "<h1>0.1 Trust" in pages["book/trust"]
    assert "<h1>Home" in pages["book/index"]


def test_folds_are_details(book: Path):
    page = build(book)["notebooks/03-05-resnet"]
    fold = page.partition("<details")[2].partition("</details>")[0]
    assert '<summary class="admonition-title">Solution</summary>' in fold
    assert "The answer." in fold


def test_first_paragraph_describes_the_page(book: Path):
    page = build(book)["notebooks/03-05-resnet"]
    assert 'name="description" content="A first paragraph that tells what' in page


def test_pages_can_be_found_from_elsewhere(book: Path):
    write(book, "book/plain", PAGES["book/plain"] + "\n多标签分类\n")
    page = build(book)["notebooks/03-05-resnet"]
    url = "https://ann.github.io/book/latest"
    assert f'property="og:url" content="{url}/notebooks/03-05-resnet.html"' in page
    assert 'property="og:title" content="3.5 Residual networks"' in page
    card = "_images/preview/notebooks-03-05-resnet.png"
    assert f'property="og:image" content="{url}/{card}"' in page
    assert 'property="og:image:alt" content="3.5 Residual networks"' in page
    assert (book / "html" / card).exists()
    assert 'content="A first paragraph that tells what the chapter is about."' in page
    assert 'type="application/rss+xml" title="Editions" href="../releases.xml"' in page
    files = {name: book / "html" / name for name in ("404.html", "sitemap.xml", "releases.xml")}
    assert all(path.exists() for path in files.values())
    listed = files["sitemap.xml"].read_text(encoding="utf-8")
    assert listed.count("<loc>") - listed.count("/zh/") == len(PAGES)
    index = (book / "html" / "searchindex.js").read_text(encoding="utf-8")
    assert '"\\u5206\\u7c7b"' in index or '"分类"' in index
    assert "splitQuery" in (book / "html/_static/language_data.js").read_text(encoding="utf-8")


def test_unchanged_book_writes_nothing(book: Path):
    build(book)
    assert build(book) == {}


def test_changed_text_writes_that_page(book: Path):
    build(book)
    write(book, "book/plain", PAGES["book/plain"] + "\nMore.\n")
    assert "book/plain" in (written := build(book))
    assert "notebooks/03-05-resnet" not in written


def test_changed_number_reaches_the_pages_that_quote_it(book: Path):
    build(book)
    first = FIGURE.format(name="fig-one")
    write(book, "notebooks/03-05-resnet", CHAPTER.replace(first, "", 1))
    assert "Fig. 3.5.1</span></a>" in build(book)["book/trust"]


def test_removed_page_leaves_the_site(book: Path):
    build(book)
    (book / "src" / "book" / "plain.md").unlink()
    write(book, "book/index", PAGES["book/index"].replace("/book/plain\n", ""))
    build(book)
    assert not (book / "html" / "book" / "plain.html").exists()


def test_vendored_files_have_their_licence_and_are_small():
    for folder, files in {"book/_static/vendor": "*.js", "tests/site/vendor": "*.js"}.items():
        for path in (ROOT / folder).rglob(files):
            assert path.stat().st_size < 3_000_000
            assert (path.parent / "LICENSE.txt").exists(), f"{path} has no licence beside it"


def test_pictures_get_the_size_they_were_drawn_for(tmp_path: Path):
    from PIL import Image

    from book._ext.site_images import size_pictures

    Image.new("L", (1440, 960)).save(tmp_path / "figure.png", dpi=(192, 192))
    Image.new("L", (28, 28)).save(tmp_path / "small.png")
    sources = {name: tmp_path / name for name in ("figure.png", "small.png", "gone.png")}
    sized = size_pictures('<img alt="a" src="../_images/figure.png" />', sources)
    assert (
        sized == '<img alt="a" src="../_images/figure.png" width="750" height="500" data-wide="" />'
    )
    assert 'width="28" height="28" />' in size_pictures('<img src="_images/small.png"/>', sources)
    twice = size_pictures(2 * '<img src="_images/small.png" />', sources)
    assert twice.count('loading="lazy"') == 1, "only what stands below the first picture may wait"
    assert twice.index("lazy") > len(twice) // 2
    Path(tmp_path / "plot.svg").write_text('<svg viewBox="0 0 8 4" width="80" height="40">')
    drawing = size_pictures('<img src="_images/plot.svg" />', {"plot.svg": tmp_path / "plot.svg"})
    assert 'width="80" height="40"' in drawing
    for untouched in ('<img src="_images/gone.png" />', '<img src="../_static/logo.svg" />'):
        assert size_pictures(untouched, sources) == untouched


def test_wide_diagrams_are_marked():
    from book._ext.site_images import size_pictures

    diagram = '<div class="medlib-diagram"><svg style="max-width:{}px">'
    assert 'data-wide=""' in size_pictures(diagram.format(750), {})
    assert 'data-wide=""' not in size_pictures(diagram.format(300), {})


def test_heavy_pictures_are_packed_without_a_change_of_a_pixel(tmp_path: Path):
    import numpy as np
    from PIL import Image

    from book._ext.site_images import HEAVY, lighten, name_lighter

    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 4), np.uint8)
    noise[..., 3] = 255
    Image.fromarray(noise).save(tmp_path / "heavy.png")
    Image.fromarray(noise[:9, :9]).save(tmp_path / "light.png")
    assert (tmp_path / "heavy.png").stat().st_size > HEAVY
    sources = {name: tmp_path / name for name in ("heavy.png", "light.png")}
    body = '<img src="../_images/heavy.png"><img src="../_images/light.png">'
    assert name_lighter(body, sources) == body.replace("heavy.png", "heavy.webp")
    lighten(tmp_path, sources)
    assert {path.name for path in tmp_path.iterdir()} == {"heavy.webp", "light.png"}
    with Image.open(tmp_path / "heavy.webp") as picture:
        assert np.array_equal(np.asarray(picture.convert("RGBA")), noise)


def test_an_empty_header_becomes_a_plain_cell():
    from book._ext import medlib_site

    rows = (
        '<thead><tr><th class="head"><p></p></th><th>a</th></tr></thead>'
        '<tr><th scope="row" style="padding:1px">&nbsp;</th><td>1</td></tr>'
    )
    assert medlib_site.NAMELESS.sub(medlib_site._plain_cell, rows) == (
        '<thead><tr><td class="head"></td><th>a</th></tr></thead>'
        '<tr><td style="padding:1px"></td><td>1</td></tr>'
    )
