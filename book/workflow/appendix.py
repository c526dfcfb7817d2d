"""The generated pages of the appendix that need no run: data-set cards, solutions, the API.

A page is made only where the table of contents names it, as MyST, and lands in the stage folder.
"""

from collections.abc import Iterable
from pathlib import Path

from book.workflow import api_pages, cards_page, chapters, kept, solutions_page
from medlib import results


def write_pages(folder: Path, root: Path = chapters.ROOT) -> list[Path]:
    """Write the generated pages that the table of contents names.

    Parameters
    ----------
    folder : Path
        Where they go.
    root : Path
        The checkout.

    Returns
    -------
    list of Path
        The files.
    """
    named = set(chapters.contents(root))
    wanted = {name: lines for name, lines in _pages(root).items() if name in named}
    found = []
    for document, lines in wanted.items():
        path = folder / f"{document.removeprefix('book/')}.md"
        results.write_text(path, "\n".join(lines).rstrip("\n") + "\n")
        found.append(path)
    return found


def _pages(root: Path) -> dict[str, Iterable[str]]:
    """Return the lines of every page by document; of most, nothing is computed before that."""
    return {
        cards_page.DOCUMENT: cards_page.data_cards(root),
        solutions_page.DOCUMENT: solutions_page.solutions(root),
        **kept.kept("api", kept.code_digest(), _api),
    }


def _api() -> dict[str, list[str]]:
    """Return the lines of the API's pages, which follow from the code alone."""
    return {document: list(lines) for document, lines in api_pages.pages().items()}
