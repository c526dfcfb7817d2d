"""The generated pages of the appendix that need no run: data-set cards, solutions, the API.

A page is made only where the table of contents names it, as MyST, and lands in the stage folder.
"""

from collections.abc import Iterable, Iterator
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


def _pages(root: Path) -> dict[str, Iterator[str]]:
    """Return the lines of every page by document; nothing is computed before they are read."""
    return {
        cards_page.DOCUMENT: cards_page.data_cards(root),
        solutions_page.DOCUMENT: solutions_page.solutions(root),
        **{document: _remembered(document, lines) for document, lines in api_pages.pages().items()},
    }


def _remembered(document: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a page of the API, which follow from the code alone."""
    yield from kept.kept(f"pages/{document}", kept.code_digest(), lambda: list(lines))
