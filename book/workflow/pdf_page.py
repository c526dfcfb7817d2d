"""A page of the site as it is printed: its article alone, nothing folded, nothing to click.

The files are printed one by one and joined afterwards, so a link to another page of the book leads
to `HOST` until `book.workflow.pdf_join` knows on which sheet its target lies.
"""

import html
import posixpath
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from medlib.errors import MedlibError

HOST = "https://book.invalid/"  # a name that can never exist: the book itself
TOP = "pdf-top"  # identifier of the first thing on a page
SOLUTIONS = "book/solutions"
SMALL = ("book/api", "book/reproducibility")  # looked up, not read
STYLE = Path(__file__).resolve().parents[1] / "_static" / "medlib-print.css"
# What only a screen has a use for: marks that link to themselves, scripts, code that the site
# folds away, the citation and the day of each chapter (the title page has those of the book), words
# for screen readers that repeat what is printed beside them, the cell that names the profile.
DROPPED = (
    "a.headerlink, script, noscript, button, details.hide, details.citation, div.tag_parameters, "
    ".page-line, .visually-hidden, .toctree-wrapper"
)
# Words of code in the colour of all others, and words of names that may be broken: on paper their
# marks say nothing, and double the file.
PLAIN = "pre :is(span.n, span.p, span.w, span.nn, span.nx), code span.pre"
SHOWN = ("img", "svg", "table", "math", "mjx-container")  # what a cell without words can hold
SAME = {"This run", "Published", "Tolerance", "Verdict"}  # heads of the table of verdicts
DASH = "\N{EN DASH}"
LIVE = ".explorer-live, .medlib-try"  # what a script fills on the site
ARTICLE = re.compile(r'<article class="bd-article">.*</article>', re.DOTALL)
STYLES = re.compile(r'<link\b[^>]*\brel="stylesheet"[^>]*>')
MATHS = re.compile(r"<script>window\.MathJax.*?</script>|<script\b[^>]*/mathjax/[^>]*></script>")
ADDRESS = re.compile(r'((?:href|src)=")([^"]+)(")')
FRAME = """\
<!DOCTYPE html>
<html lang="en" data-theme="light" class="medlib-book {kind}">
<head><meta charset="utf-8"><title>{title}</title>
{head}
<link rel="stylesheet" href="{style}">
</head>
<body><div id="{top}"></div><main class="bd-article-container">
{body}
</main><nav hidden>{targets}</nav></body>
</html>
"""


@dataclass(frozen=True)
class Heading:
    """A heading of a page: its level (2 is a section), its words, and where links to it lead."""

    level: int
    text: str
    target: str


@dataclass(frozen=True)
class Sheet:
    """What is printed in one go.

    Attributes
    ----------
    document : str
        Sphinx's name of the page, such as ``notebooks/03-05-resnet``.
    title : str
        Its title with its number, as the head of each sheet shows it.
    html : str
        The whole file for the browser.
    headings : list of Heading
        Its sections, for the bookmarks and the table of contents.
    """

    document: str
    title: str
    html: str
    headings: list[Heading] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """A built site.

    Attributes
    ----------
    folder : Path
        Where its files lie.
    url : str
        Where readers find it, without a last slash.
    documents : set of str
        The pages that are printed; links to others lead to `url`.
    """

    folder: Path
    url: str
    documents: Set[str]


def sheet(site: Site, document: str, part: str = "") -> Sheet:
    """Make a page ready for print.

    Parameters
    ----------
    site : Site
        The site.
    document : str
        Name of the page.
    part : str
        Caption of the part that begins with this page, printed above its title.

    Raises
    ------
    MedlibError
        Where the page is missing or has no article with a title.
    """
    file = site.folder / f"{document}.html"
    if not file.exists():
        raise MedlibError(f"the site has no page {document}: build it with make site")
    text = file.read_text("utf-8")
    found = ARTICLE.search(text)
    article = BeautifulSoup(found[0], "html.parser") if found else None
    if not article or not article.h1:
        raise MedlibError(f"{document}: the page has no article with a title")
    title = prepare(article, site, document)
    if part:
        article.h1.insert_before(_new(article, "p", part, "medlib-part"))
    return Sheet(document, title, framed(title, str(article), text, file, _kind(document)),
                 list(_headings(article)))  # fmt: skip


def framed(title: str, body: str, source: str, file: Path, kind: str = "") -> str:
    """Return the file for the browser, with the style sheets and the mathematics of a site's page.

    Parameters
    ----------
    title, body : str
        Title as text, and content as HTML.
    source : str
        HTML of the site's page.
    file : Path
        Where that page lies; addresses in its head are relative to it.
    kind : str
        Class for the style sheet.
    """
    head = [each for each in STYLES.findall(source) if STYLE.name not in each]
    lines = "\n".join([*head, *MATHS.findall(source)])
    absolute = ADDRESS.sub(lambda m: f"{m[1]}{urljoin(file.as_uri(), m[2])}{m[3]}", lines)
    # Chromium notes the place only of what a link on the same page leads to.
    names = [TOP, *dict.fromkeys(re.findall(r'\bid="([^"]+)"', body))]
    targets = "".join(f'<a href="#{name}"></a>' for name in names)
    return FRAME.format(
        title=html.escape(title), head=absolute, style=STYLE.as_uri(), body=body, top=TOP,
        targets=targets, kind=kind,
    )  # fmt: skip


def prepare(article: BeautifulSoup, site: Site, document: str) -> str:
    """Turn an article of the site into one for print, and return its title."""
    _name_live_parts(article, f"{site.url}/{document}.html")
    for each in article.select(DROPPED):
        _drop(each)
    _drop_empty_cells(article)
    _shorten_verdicts(article)
    _send_to_solutions(article, site, document)
    _answers_last(article)
    _into_headings(article)
    for each in article.select(PLAIN):
        each.unwrap()
    article.smooth()
    for each in article.find_all("details"):
        each["open"] = ""
    for each in article.find_all("a", href=True):
        each["href"] = _destination(each["href"], site, document)
    for each in article.find_all("img", src=True):
        each.attrs.pop("loading", None)  # all are needed before the sheet is printed
        each["src"] = urljoin((site.folder / f"{document}.html").as_uri(), each["src"])
    return _words(article.h1)


def _kind(document: str) -> str:
    """Return the class of a page that has a look of its own in print."""
    return "medlib-small" if document.startswith(SMALL) else ""


def _drop(element: Tag) -> None:
    """Remove an element; what links lead to inside it stays as an empty place."""
    names = [each["id"] for each in [element, *element.find_all(id=True)] if each.get("id")]
    for name in names:
        element.insert_before(BeautifulSoup(f'<span id="{name}"></span>', "html.parser"))
    element.decompose()


def _drop_empty_cells(article: BeautifulSoup) -> None:
    """Remove cells of which nothing is left: a heading would stay behind with such a box."""
    for cell in article.select("div.cell"):
        if not _words(cell) and not cell.find(SHOWN):
            _drop(cell)


def _shorten_verdicts(article: BeautifulSoup) -> None:
    """Leave out the claims that came out the same, digit for digit: a thousand on forty pages."""
    for table in article.find_all("table"):
        heads = [_words(each) for each in table.select("thead th")]
        if not set(heads) >= SAME:
            continue
        wanted = heads.index("Verdict"), heads.index("Tolerance")
        same = [
            row for row in table.select("tbody tr")
            if [_words(row.find_all("td")[at]) for at in wanted] == ["reproduced", DASH]
        ]  # fmt: skip
        for row in same:
            _drop(row)
        said = f"{len(same):,} more claims came out the same. The site lists each of them."
        (table.find_parent(class_="pst-scrollable-table-container") or table).insert_before(
            _new(article, "p", said)
        )


def _name_live_parts(article: BeautifulSoup, address: str) -> None:
    """Say in place of each interactive part where it works."""
    for each in article.select(LIVE):
        note = _new(
            article, "p", "This part answers to the reader on the site: see ", "medlib-online"
        )
        link = article.new_tag("a", href=address)
        link.string = "the same page there"
        note.append(link)
        each.insert_before(note)
        each.decompose()


def _send_to_solutions(article: BeautifulSoup, site: Site, document: str) -> None:
    """Replace the solutions of a chapter by a line: all are printed in the appendix."""
    if SOLUTIONS not in site.documents:
        return
    for each in article.select("details.solution"):
        title = _words(each.summary)
        owner = each.find_previous(class_="exercise")
        line = _new(article, "p", "", "medlib-solved")
        target = f"/{SOLUTIONS}.html#all-{owner['id']}" if owner else f"/{SOLUTIONS}.html"
        link = article.new_tag(
            "a", href=posixpath.relpath(target, "/" + posixpath.dirname(document))
        )
        link.string = title
        line.append(link)
        each.insert_after(line)
        _drop(each)


def _answers_last(article: BeautifulSoup) -> None:
    """Collect the answers of a quiz below its last question, where they do not give it away."""
    answers = [
        each for each in article.select("details.dropdown > summary")
        if re.fullmatch(r"Answer \d+", _words(each))
    ]  # fmt: skip
    if not answers:
        return
    last = article.new_tag("section", id="pdf-answers")
    last.append(_new(article, "h2", "Answers"))
    answers[-1].find_parent("section").insert_after(last)
    for each in answers:
        last.append(each.parent.extract())


def _into_headings(article: BeautifulSoup) -> None:
    """Move places that links lead to from above a heading into it: it must not part from them."""
    for heading in article.find_all(["h1", "h2", "h3", "h4"]):
        above = heading.find_previous_sibling()
        while above and above.name == "span" and above.get("id") and not _words(above):
            before = above.find_previous_sibling()
            heading.insert(0, above.extract())
            above = before


def _destination(link: str, site: Site, document: str) -> str:
    """Return where a link of a page leads in print."""
    if urlsplit(link).scheme or link.startswith(("#", "//")):
        return link
    path, _, name = link.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(document), path))
    page = target.removesuffix(".html")
    end = f"#{name}" if name else ""
    if target.endswith(".html") and page in site.documents:
        return f"{HOST}{page}{end}"
    return f"{site.url}/{target}{end}"


def _headings(article: BeautifulSoup) -> Iterator[Heading]:
    for each in article.select("section[id] > h2, section[id] > h3"):
        yield Heading(int(each.name[1]), _words(each), each.parent["id"])


def _new(article: BeautifulSoup, name: str, text: str, kind: str = "") -> Tag:
    made = article.new_tag(name, attrs={"class": kind} if kind else {})
    made.string = text
    return made


def _words(element: Tag) -> str:
    """Return the text of an element in one line, mathematics without its delimiters."""
    return " ".join(re.sub(r"\\[()]", "", element.get_text()).split())
