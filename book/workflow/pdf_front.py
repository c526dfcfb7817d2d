"""The first pages of the PDF: title, what is printed and what is not, table of contents."""

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from book.workflow.pdf_edition import Edition
from book.workflow.pdf_page import HOST, TOP, Sheet, framed
from book.workflow.pdf_print import Printed

DOCUMENT = "front"
ABOUT = (
    "This file is the website on paper. Numbers, figures and tables come from the same run, and "
    "every link inside the book works. Left out is what paper cannot do or the site folds away: "
    "the code that only draws a figure, the interactive pages, the menus. The solutions of the "
    "exercises stand in Appendix D, the answers of each quiz below its last question."
)


def front(
    edition: Edition, profile: str, parts: Mapping[str, Sequence[Printed]], page: Path
) -> Sheet:
    """Return title page and table of contents.

    Parameters
    ----------
    edition : Edition
        The edition.
    profile : str
        Whose run the numbers are of.
    parts : mapping of str to sequence of Printed
        The printed chapters by the caption of their part.
    page : Path
        Any page of the site, for its style sheets.
    """
    body = "\n".join([*_title(edition, profile), *_contents(parts)])
    text = page.read_text("utf-8")
    return Sheet(DOCUMENT, "Contents", framed(edition.title, body, text, page, "medlib-front"))


def _title(edition: Edition, profile: str) -> Iterator[str]:
    title, _, rest = edition.title.partition(": ")
    yield '<article class="bd-article medlib-title">'
    yield f"<h1>{_safe(title)}</h1>"
    yield f'<p class="medlib-subtitle">{_safe(rest.capitalize())}</p>' if rest else ""
    yield f'<p class="medlib-authors">{_safe(edition.authors)}</p>'
    yield f"<p>{_safe(edition.dated)}. Numbers of the run in profile {_safe(profile)}.</p>"
    yield '<div class="medlib-imprint">'
    yield f"<p><strong>{_safe(edition.summary)}</strong></p>"
    yield f"<p>{_safe(ABOUT)}</p>"
    yield f"<p>Licence: {_safe(edition.licence)}</p>"
    yield f"<p>Cite as: {_safe(edition.citation)}</p>"
    yield f'<p>Website: <a href="{edition.url}/">{_safe(edition.url)}/</a></p>'
    yield "</div></article>"


def _contents(parts: Mapping[str, Sequence[Printed]]) -> Iterator[str]:
    yield '<article class="bd-article medlib-contents"><h1 id="contents">Contents</h1>'
    for caption, chapters in parts.items():
        if caption:
            yield f'<h2 class="medlib-contents-part">{_safe(caption)}</h2>'
        for each in chapters:
            yield _line(each)
            yield _sections(each)
    yield "</article>"


def _line(printed: Printed) -> str:
    """Return a chapter's line: title, dots, number of the page."""
    return (
        f'<p class="medlib-contents-line"><a href="{HOST}{printed.document}">'
        f"<span>{_safe(printed.title)}</span> <i></i> <b>{printed.number(TOP)}</b></a></p>"
    )


def _sections(printed: Printed) -> str:
    """Return the sections of a chapter with their pages, one after the other."""
    entries = [
        f'<a href="{HOST}{printed.document}#{_safe(each.target)}">{_safe(each.text)}'
        f"&nbsp;<b>{printed.number(each.target)}</b></a>"
        for each in printed.headings
        if each.level == 2
    ]
    return f'<p class="medlib-contents-sections">{_joined(entries)}</p>' if entries else ""


def _joined(entries: Iterable[str]) -> str:
    return " · ".join(entries)


def _safe(text: str) -> str:
    return html.escape(text)
