"""What stands around the text of a page: its run, copies to run, downloads, ways on, citation."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from pybtex.database import parse_string
from site_visit import ROOT, pages

from book.workflow import changed, chapters
from medlib.claims import read_claims

pytestmark = pytest.mark.site
CHAPTER, APPENDIX = "notebooks/03-05-resnet", "notebooks/06-01-convolution-arithmetic"
PROSE, QUIZ, MADE = "book/trust", "book/quiz-3", "book/data-cards"  # the last by the workflow
RUN = re.compile(
    r"Executed in profile (?P<profile>\w+), first seed \d+, on .+ \(\d+ threads?\), in \d+ s"
    r".* with at most (?P<memory>\d+) MB of memory; torch [\d.]+"
)


@pytest.fixture(scope="module")
def still(browser, address: str):
    """A window without scripts: what it shows is in the page itself, and it loads at once."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def written() -> list[str]:
    """Return the pages that people write and that are in the site, in the order of the book."""
    there = {name.removesuffix(".html") for name in pages()}
    return [each for each in chapters.contents() if each in there]


def target(page, label: str) -> str | None:
    """Return where a button of the header leads; None where the page has none."""
    found = page.locator(f".bd-header-article a.btn-{label}")
    return found.get_attribute("href") if found.count() else None


@pytest.mark.parametrize("name", [CHAPTER, APPENDIX])
def test_a_chapter_says_what_its_run_took(still, address: str, name: str):
    still.goto(f"{address}{name}.html")
    card = RUN.search(still.locator("article .run-card").inner_text())
    assert card
    assert int(card["memory"]) > 0
    claims = [c for c in read_claims().values() if c.chapter == name.rpartition("/")[2]]
    badges = still.locator("article h1 ~ .verdict-line .verdict").all_inner_texts()
    counted = sum(int(re.search(r"\d+", text)[0]) for text in badges)
    assert counted == (len(claims) if card["profile"] != "fast" else 0)


@pytest.mark.parametrize("name", [CHAPTER, APPENDIX])
def test_a_chapter_opens_in_colab_and_binder_at_its_copy(still, address: str, name: str):
    still.goto(f"{address}{name}.html")
    owner = urlsplit(chapters.repository_url()).path.strip("/")
    menu = still.locator(".dropdown-launch-buttons")
    links = {a.inner_text().strip(): a.get_attribute("href") for a in menu.locator("a").all()}
    assert links == {
        "Binder": f"https://mybinder.org/v2/gh/{owner}/main?urlpath=lab/tree/{name}.ipynb",
        "Colab": f"https://colab.research.google.com/github/{owner}/blob/main/{name}.ipynb",
    }
    assert (ROOT / f"{name}.ipynb").is_file()


def test_every_link_to_colab_and_binder_names_a_copy_that_exists(site: Path):
    found = set()
    for name in pages():
        text = (site / name).read_text(encoding="utf-8")
        copies = re.findall(
            r'"https://(colab\.|mybinder)[^"]*?/main(?:\?urlpath=lab/tree)?/([^"]*)', text
        )
        if name.startswith("notebooks/"):
            assert [host for host, _ in copies] == ["mybinder", "colab."], name
        assert {copy for _, copy in copies} <= {f"{name[:-5].removeprefix('zh/')}.ipynb"}
        found |= {copy for _, copy in copies}
    assert [copy for copy in sorted(found) if not (ROOT / copy).is_file()] == []


@pytest.mark.parametrize("name", [CHAPTER, APPENDIX, PROSE, QUIZ, MADE])
def test_what_a_page_offers_to_download_can_be_opened(still, site: Path, address: str, name: str):
    still.goto(f"{address}{name}.html")
    links = still.locator(".dropdown-download-buttons a").all()
    found = {link.inner_text().strip(): link.evaluate("a => a.href") for link in links}
    assert set(found) == ({".ipynb", ".md", ".py"} if "notebooks/" in name else {".md"})
    texts = {}
    for ending, url in found.items():
        answer = still.request.get(url)
        assert answer.ok, url
        texts[ending] = answer.text()
    assert re.search(r"^# \S", texts[".md"], re.M)
    if "notebooks/" in name:
        assert texts[".md"] == (ROOT / f"{name}.md").read_text("utf-8")
        compile(texts[".py"], name, "exec")
        nbformat.validate(nbformat.from_dict(json.loads(texts[".ipynb"])))


@pytest.mark.parametrize("name", [CHAPTER, APPENDIX, PROSE, QUIZ, MADE])
def test_a_page_leads_to_its_source_and_to_a_new_issue(still, address: str, name: str):
    still.goto(f"{address}{name}.html")
    repository = chapters.repository_url()
    issue = urlsplit(target(still, "source-issues-button"))
    assert issue._replace(query="").geturl() == f"{repository}/issues/new"
    assert parse_qs(issue.query)["title"] == [f"Issue on page /{name}.html"]
    assert target(still, "source-repository-button") == repository
    edit = f"{repository}/edit/main/{name}.md" if (ROOT / f"{name}.md").exists() else None
    assert target(still, "source-edit-button") == edit


def test_pages_lead_to_the_one_before_and_the_one_after(site: Path):
    order = written()
    for before, name, after in zip([None, *order], order, [*order[1:], None], strict=False):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        found = {
            side: (site / name).parent.joinpath(link).resolve()
            for side, link in re.findall(
                r'<a class="(left-prev|right-next)"\s+href="([^"#]+)', text
            )
        }
        wanted = {"left-prev": before, "right-next": after}
        assert found == {
            side: (site / f"{other}.html").resolve() for side, other in wanted.items() if other
        }, name


def test_menus_open_by_keyboard(page, address: str):
    page.goto(f"{address}{QUIZ}.html")
    for name in ("source", "download"):
        menu = page.locator(f".dropdown-{name}-buttons")
        menu.locator("button").first.focus()
        page.keyboard.press("Enter")
        menu.locator("a").first.wait_for(state="visible")


def test_the_citation_of_a_page_is_copied_as_bibtex(page, address: str):
    name = PROSE
    page.goto(f"{address}{name}.html")
    fold = page.locator("article details.citation")
    fold.locator("summary").press("Enter")
    fold.locator("div.highlight").hover()
    fold.locator("button.copybtn").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    (entry,) = parse_string(copied, "bibtex").entries.values()
    assert chapters.title_of(ROOT / f"{name}.md") in entry.fields["title"]
    assert chapters.document_number(name) in entry.fields["howpublished"]
    root = chapters.site_url(chapters.repository_url())
    assert re.fullmatch(rf"{re.escape(root)}/(v[\d.]+/)?{name}\.html", entry.fields["url"])


def test_pages_say_when_their_text_was_last_changed(site: Path):
    days = changed.days()
    for name in written():
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        found = re.search(r"Text last changed on (\d{4}-\d\d-\d\d)\.", text)
        source = (ROOT / f"{name}.md").exists()
        assert bool(found) == (source and f"{name}.md" in days), name
