"""A site of three small pages becomes a book on paper: links, numbers, bookmarks, description."""

import re
import shutil
from pathlib import Path

import pikepdf
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from book.workflow import pdf, pdf_edition, pdf_page, test
from medlib.errors import MedlibError
from tests.absent import missing
from tests.pdf_reader import links, sheet_of, words

URL = "https://example.org/book"
PAGES = {
    "book/index": """
<h1>The book</h1><p>See <a href="../notebooks/01-01-one.html#deep">far below</a>,
<a href="#here">here</a>, <a href="../_static/file.txt">a file</a>, <a href="https://example.org/out">outside</a>.</p>
<section id="here"><h2>Here</h2><p>Text.</p></section>""",
    "notebooks/01-01-one": """
<section id="one"><h1>1.1 One<a class="headerlink" href="#one">#</a></h1>
<div style="height: 700mm">Three pages.</div>
<section id="deep"><h2>Deep</h2><p>Lesion 病变.</p>
<section id="deeper"><h3>Deeper</h3><p><a href="../book/index.html">Back</a></p></section></section>
<details class="hide"><summary>Show code</summary><pre id="folded">secret code</pre></details>
<a href="#folded">to what is folded</a>
<img loading="lazy" src="../_images/dot.png" alt="A dot"><button>Press</button></section>""",
    "book/quiz": """
<section id="quiz"><h1>Quiz</h1><section id="q1"><h2>Question 1</h2><p>Which?</p>
<details class="admonition dropdown"><summary class="admonition-title">Answer 1</summary>
<p>B is right.</p></details></section><section id="q2"><h2>Question 2</h2><p>Last one?</p>
<details class="admonition dropdown"><summary class="admonition-title">Answer 2</summary>
<p>C is right.</p></details></section></section>""",
}  # fmt: skip
PARTS = {"": ["book/index"], "Part 1": ["notebooks/01-01-one", "book/quiz"]}
ABOUT = pdf_edition.Edition(
    title="The book: for a test", version="1.2.3", authors="A. Author, B. Author", url=URL,
    year="2026", day="2026-11-30", released=True,
)  # fmt: skip


def needs_chromium() -> None:
    if not test.browser():
        missing(test.INSTALL_BROWSER)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "html"
    for name, article in PAGES.items():
        page = folder / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f'<html><article class="bd-article">{article}</article></html>', "utf-8")
    (folder / "_images").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "_images" / "dot.png")
    return folder


@pytest.fixture(scope="module")
def printed(site):
    needs_chromium()
    target, said = site.parent / "book.pdf", []
    pages = pdf.make(PARTS, site, "cpu", ABOUT, target, said.append)
    with pikepdf.open(target) as book:
        assert len(book.pages) == pages
        yield book, said


@pytest.fixture
def book(printed):
    return printed[0]


def test_every_link_inside_the_book_leads_to_a_page_and_no_other_to_a_file(book):
    inside = [link for _, link in links(book) if "/Dest" in link]
    outside = [str(link.A.URI) for _, link in links(book) if "/A" in link]
    assert len(inside) >= 8
    for link in inside:
        assert 0 <= sheet_of(book, link.Dest) < len(book.pages)
        assert 0 < float(link.Dest[3]) <= 842
    assert not [each for each in outside if each.startswith((pdf_page.HOST, "file:"))]
    assert f"{URL}/_static/file.txt" in outside
    assert "https://example.org/out" in outside


def test_a_link_leads_to_the_height_of_its_heading(book):
    front = 2
    places = [
        (sheet_of(book, link.Dest) - front, float(link.Dest[3]))
        for number, link in links(book)
        if number == front and "/Dest" in link
    ]
    assert [page for page, _ in places] == [3, 0], "page 4 has the heading, page 1 the other"
    below, here = (height for _, height in places)
    assert 100 < below < 250, "after 700 mm on pages of 255 mm"
    assert 650 < here < 842 - 22 * 72 / 25.4 - 20, "below the title, not at the edge of the paper"


def test_the_contents_name_the_pages_on_which_the_chapters_begin(book):
    shown = words(book.pages[1])
    for chapter, first in (("The book", 1), ("1.1 One", 2), ("Quiz", 6)):
        assert re.search(rf"{re.escape(chapter)} *{first}\D", shown), shown
        assert chapter in words(book.pages[1 + first])
    assert re.search(r"Deep *4", shown)
    assert "Deep" in words(book.pages[1 + 4]).replace("Deeper", "")
    targets = [sheet_of(book, link.Dest) for number, link in links(book) if number == 1]
    assert targets == sorted(targets)


def test_pages_are_numbered_in_one_row_after_the_roman_ones(book):
    assert [page.label for page in book.pages] == ["i", "ii", "1", "2", "3", "4", "5", "6"]
    for page in book.pages:
        assert page.label in words(page)
    assert "1.1 One" in words(book.pages[4]), "the head of a later page"


def test_the_bookmarks_are_parts_chapters_and_sections(book):
    with book.open_outline() as outline:
        tree = {item.title: item for item in outline.root}
        assert list(tree) == ["The book", "Part 1"]
        assert [each.title for each in tree["The book"].children] == ["Here"]
        one, quiz = tree["Part 1"].children
        assert (one.title, quiz.title) == ("1.1 One", "Quiz")
        assert [each.title for each in one.children] == ["Deep"]
        assert [each.title for each in one.children[0].children] == ["Deeper"]
        assert sheet_of(book, one.children[0].destination) == 5


def test_the_description_names_the_edition_and_no_other_date(book):
    assert str(book.docinfo["/Title"]) == ABOUT.title
    assert str(book.docinfo["/Author"]) == ABOUT.authors
    assert str(book.docinfo["/CreationDate"]) == "D:20261130000000Z"
    assert "/ModDate" not in book.docinfo
    assert str(book.Root.Lang) == "en"
    with book.open_metadata() as meta:
        assert meta["dc:title"] == ABOUT.title


def test_the_tags_of_all_pages_are_one_tree(book):
    tree = pikepdf.NumberTree(book.Root.StructTreeRoot.ParentTree)
    owned = [int(each.obj.StructParents) for each in book.pages if "/StructParents" in each.obj]
    assert len(owned) >= 6
    assert len(set(owned)) == len(owned)
    pages = {page.obj.objgen for page in book.pages}
    for number in owned:
        for element in tree[number]:
            assert element is None or "/Pg" not in element or element.Pg.objgen in pages
    for _, link in links(book):
        assert tree[int(link.StructParent)].S == "/Link"


def test_nothing_folded_or_pressed_is_printed_but_the_answers_are_last(book):
    text = [words(page) for page in book.pages]
    assert not any("secret" in each or "Press" in each for each in text)
    quiz = text[-1]
    assert quiz.index("Last one") < quiz.index("Answers") < quiz.index("B is right")
    assert "病变" in text[5]


def test_a_page_is_made_ready_for_paper(tmp_path):
    article = """
<h1>1.1 One</h1><section id="ex"><span id="old"></span><h2>Exercises</h2>
<div class="exercise" id="ex-one">Do it.</div>
<details class="solution" id="sol"><summary>Solution to Exercise 1.1.1</summary>42</details>
<img loading="lazy" src="far.png">
<div class="explorer-live"></div><pre><span class="k">def</span><span class="w"> </span>
<span class="n">f</span></pre></section>"""
    page = tmp_path / "notebooks" / "01-01-one.html"
    page.parent.mkdir()
    page.write_text(f'<article class="bd-article">{article}</article>')
    known = frozenset({"notebooks/01-01-one", "book/solutions"})
    made = pdf_page.sheet(pdf_page.Site(tmp_path, URL, known), "notebooks/01-01-one", "Part 1")
    assert made.title == "1.1 One"
    assert [(each.level, each.text, each.target) for each in made.headings] == [
        (2, "Exercises", "ex")
    ]
    solution = f'href="{pdf_page.HOST}book/solutions#all-ex-one">Solution to Exercise 1.1.1</a>'
    assert solution in made.html
    assert "42" not in made.html
    assert '<span id="sol"></span>' in made.html, "links to it still have a place to lead to"
    assert f"{URL}/notebooks/01-01-one.html" in made.html, "where the explorer works"
    assert '<h2><span id="old"></span>Exercises</h2>' in made.html
    assert '<span class="k">def</span> \nf</pre>' in made.html
    assert "lazy" not in made.html, "a picture far down is there before the sheet is printed"
    assert made.html.index("Part 1") < made.html.index("<h1>")


def test_what_is_empty_or_says_the_same_a_thousand_times_is_left_out(tmp_path):
    rows = "".join(
        f"<tr><td>{name}</td><td>1</td><td>1</td><td>{tolerance}</td><td>{verdict}</td></tr>"
        for name, tolerance, verdict in (
            ("first", pdf_page.DASH, "reproduced"),
            ("second", "0.2", "reproduced"),
            ("third", pdf_page.DASH, "differs"),
        )
    )
    heads = "".join(
        f"<th>{each}</th>" for each in ("Claim", "This run", "Published", "Tolerance", "Verdict")
    )
    article = BeautifulSoup(
        f"""<h1>E</h1><div class="cell" id="old"><details class="hide">code</details></div>
<div class="cell"><img src="a.png"></div><div class="cell tag_parameters">seed = 0</div>
<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>""",
        "html.parser",
    )
    pdf_page.prepare(article, pdf_page.Site(tmp_path, URL, frozenset()), "book/e")
    assert len(article.select("div.cell")) == 1
    assert article.find(id="old"), "links to it still have a place to lead to"
    assert [row.td.text for row in article.select("tbody tr")] == ["second", "third"]
    assert article.table.find_previous("p").text.startswith("1 more claims")


def test_two_books_of_one_site_are_the_same(printed, site):
    again = site.parent / "again.pdf"
    pdf.make(PARTS, site, "cpu", ABOUT, again, lambda _: None)
    assert again.read_bytes() == (site.parent / "book.pdf").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("../_images/dot.png", "gone.png", "notebooks/01-01-one: no image .*gone.png"),
        ("#deep", "#nowhere", "book/index: a link leads to notebooks/01-01-one#nowhere"),
    ],
)
def test_what_cannot_be_printed_is_named(site, tmp_path, old, new, message):
    needs_chromium()
    broken = shutil.copytree(site, tmp_path / "html")
    for page in broken.rglob("*.html"):
        page.write_text(page.read_text("utf-8").replace(f'"{old}', f'"{new}').replace(
            f".html{old}", f".html{new}"), "utf-8")  # fmt: skip
    with pytest.raises(MedlibError, match=message):
        pdf.make(PARTS, broken, "cpu", ABOUT, tmp_path / "book.pdf", lambda _: None)
    assert not (tmp_path / "book.pdf").exists()


def test_without_chromium_one_line_says_what_to_install(site, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLIB_BROWSER", str(tmp_path / "none"))
    with pytest.raises(MedlibError, match="no Chromium to print with: apt-get install chromium"):
        pdf.make(PARTS, site, "cpu", ABOUT, tmp_path / "book.pdf", lambda _: None)


def test_without_a_site_one_line_says_how_to_build_it(tmp_path):
    with pytest.raises(MedlibError, match="no site at .*make site"):
        pdf.make(PARTS, tmp_path, "cpu", ABOUT, tmp_path / "book.pdf")


def test_a_range_of_pages_keeps_their_parts():
    assert pdf.between(PARTS, "index,01-01-one") == {
        "": ["book/index"], "Part 1": ["notebooks/01-01-one"]
    }  # fmt: skip
    assert pdf.between(PARTS, "book/quiz") == {"Part 1": ["book/quiz"]}
    for wrong in ("quiz,index", "nothing", "index,quiz,quiz"):
        with pytest.raises(MedlibError, match="--pages"):
            pdf.between(PARTS, wrong)


def test_the_pages_of_this_book_are_those_of_its_menu():
    parts = pdf.contents()
    every = [each for part in parts.values() for each in part]
    assert every[0] == "book/index"
    assert len(every) == len(set(every))
    assert set(every) == set(pdf.chapters.contents())
