"""Every page, in a real browser: it works, it asks nobody else, everybody can read it."""

import re

import pytest
from site_visit import Visit

from book.workflow import chapters

pytestmark = pytest.mark.site
OWN_BYTES = 2_000_000  # of a page with all its pictures; what all pages share is cached
READY = 2.0  # seconds until a page answers; tests/stress measures it on a quiet machine
JUMPS = 0.25  # where Chrome begins to call a layout shift poor; tests/stress asks for "good", 0.1


def test_no_errors(visit: Visit):
    assert visit.errors == []


def test_no_request_to_another_host(visit: Visit):
    assert visit.foreign == []


def test_title_and_one_heading(visit: Visit):
    heading = visit.facts["headings"]
    assert len(heading) == 1, f"expected one h1, found {heading}"
    assert heading[0].rstrip("#\n ")[:20] in visit.facts["title"] or "search" in visit.name


def test_images_are_drawn_and_described(visit: Visit):
    for image in visit.facts["images"]:
        assert image["width"] > 0, f"not drawn: {image['source']}"
        assert image["alt"] is not None, f"no alt attribute: {image['source']}"
        if image["inArticle"]:
            described = image["alt"].strip() and not re.search(r"_images/|\.\w{3,4}$", image["alt"])
            assert described, f"alt text of {image['source']} says nothing: {image['alt']!r}"
            assert image["sized"] or image["source"][:5] == "data:", f"unsized: {image['source']}"


def test_figures_have_number_and_caption(visit: Visit):
    number = chapters.document_number(visit.name.removesuffix(".html"))
    expected = rf"Fig\. {re.escape(number)}\.\d+" if number else r"Fig\. \d+"
    for figure in visit.facts["figures"]:
        assert re.fullmatch(expected, figure["number"]), f"{figure['id']}: {figure['number']!r}"
        assert figure["caption"], f"figure {figure['id']} has no caption"
        assert figure["drawn"], f"figure {figure['id']} is empty"


def test_numbers_of_tables(visit: Visit):
    number = chapters.document_number(visit.name.removeprefix("zh/").removesuffix(".html"))
    word = "表" if visit.name.startswith("zh/") else "Table"
    front = f"{word} {number}." if number else f"{word} "
    assert [each for each in visit.facts["tables"] if not each.startswith(front)] == []


def test_math_is_rendered(visit: Visit):
    assert visit.facts["mathWithout"] == []
    assert visit.facts["mathErrors"] == []


def test_code_has_copy_buttons(visit: Visit):
    assert visit.facts["copyButtons"] == visit.facts["copyable"]


def test_fits_phone_and_large_text(visit: Visit):
    assert {where: what for where, what in visit.overflow.items() if what} == {}


def test_accessible(visit: Visit):
    assert visit.violations == []


def test_own_weight(visit: Visit):
    assert visit.facts["weight"] < OWN_BYTES


def test_answers_soon(visit: Visit):
    assert visit.seconds < READY


def test_nothing_jumps_while_it_loads(visit: Visit):
    assert visit.jumps < JUMPS


def test_launch_and_edit_links(visit: Visit):
    links = visit.facts["links"]
    page = visit.name.removesuffix(".html")
    owner = chapters.repository_url().removeprefix("https://github.com/")
    launch = [each for each in links if "colab.research" in each or "mybinder" in each]
    edit = [each for each in links if "/edit/" in each]
    if page.startswith("notebooks/"):
        assert visit.facts["chapter"], "a chapter's page tells how it was made, or that it was not"
        assert f"https://colab.research.google.com/github/{owner}/blob/main/{page}.ipynb" in launch
        assert f"https://mybinder.org/v2/gh/{owner}/main?urlpath=lab/tree/{page}.ipynb" in launch
        assert edit == [f"https://github.com/{owner}/edit/main/{page}.md"]
    else:
        assert launch == []
        assert all(each.endswith((f"{page}.md", f"{page.removeprefix('zh/')}.po")) for each in edit)
