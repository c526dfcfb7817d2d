"""`make sync`: the copies for Colab, notebooks/PP-CC-name.ipynb, and the results in README.md.

A copy has no outputs. It is written from its source and the published values alone, in the same
bytes each time, so git shows a change only where a reader would see one. `--check` writes nothing
and fails where a file is out of step.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book.workflow import cards_page, chapters, claim_tables, compendium, source
from book.workflow.chapters import Chapter
from book.workflow.compendium import Compendium, Target
from book.workflow.plain import Translator
from medlib import data
from medlib.errors import MedlibError

INSTALL = """\
# Installs the book's library where it is missing, as on Colab; does nothing where it is there.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("medlib") is None:
    origin = os.environ.get("MEDLIB_INSTALL_FROM", "git+{repository}")
    command = [sys.executable, "-m", "pip", "install", "-q", origin]
    subprocess.run(command, check=True)
    importlib.invalidate_caches()"""

NOTE = """\
> Copy for Colab, without outputs, of [{place}]({page}) of *{title}*, where results and figures
> stand. Numbers in the text are those of the published edition."""

PAGE = re.compile(r"\]\(https://[^)\s]*/notebooks/([\w-]+)\.html\)")
MARKS = re.compile(r"(<!-- results:[^>]*-->).*?(<!-- /results -->)", re.DOTALL)
KEPT_TAGS = ("parameters", "raises-exception")  # papermill and "Run all" go by them


def render(root: Path = chapters.ROOT, repository: str | None = None) -> dict[Path, bytes]:
    """Return every copy of a checkout, and its README, as path and bytes.

    Parameters
    ----------
    root : Path
        The checkout.
    repository : str, optional
        Address that the copies install from and link to; that of ``_config.yml`` where omitted.
    """
    book = read_labels(root, repository)
    readme = root / "README.md"
    found = {each.copy: serialise(copy_of(each, book)) for each in chapters.chapters(root)}
    if readme.exists():
        found[readme] = with_results(readme.read_text(encoding="utf-8"), book).encode()
    return found


def read_labels(root: Path, repository: str | None = None) -> Compendium:
    """Read all sources once for the labels that references point to."""
    book = compendium.read(root, repository)
    for path in sorted((root / "book").glob("*.md")):
        _lenient(book, f"book/{path.stem}", path.read_text(encoding="utf-8"))
    for name, card in data.cards().items():
        target = Target(cards_page.DOCUMENT, "section", title=card.title)
        book.labels[cards_page.anchor(name)] = target
    for chapter in chapters.chapters(root):
        copy_of(chapter, book)
    book.complete = True
    return book


def copy_of(chapter: Chapter, book: Compendium) -> NotebookNode:
    """Turn a chapter's source into its copy.

    Parameters
    ----------
    chapter : Chapter
        The chapter.
    book : Compendium
        The book around it.

    Raises
    ------
    MedlibError
        Where the source holds what the copies cannot show; the message names the file and the cell.
    """
    translator = Translator(book, chapter.document)
    notebook = source.read(chapter.source)
    cells = [_code_cell(INSTALL.format(repository=book.repository), {})]
    for position, cell in enumerate(notebook.cells, start=1):
        try:
            cells += _translated(cell, translator)
        except MedlibError as error:
            where = f"{chapter.source.name}, cell {position}"
            raise MedlibError(f"{where} ({_opening(cell)}): {error}") from None
    _open_with_note(cells, chapter, book)
    return _notebook(cells)


def with_results(readme: str, book: Compendium) -> str:
    """Return the README with the published results between its two marks."""
    table = claim_tables.results_table(book)
    table = PAGE.sub(r"](notebooks/\1.ipynb)", table)  # beside the README, site or no site
    return MARKS.sub(lambda match: f"{match[1]}\n\n{table}\n\n{match[2]}", readme)


def serialise(notebook: NotebookNode) -> bytes:
    """Return a notebook's file content: sorted keys, one space of indentation, a last newline."""
    text = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    return (text.rstrip("\n") + "\n").encode()


def out_of_step(root: Path = chapters.ROOT, repository: str | None = None) -> list[str]:
    """Return the files that are missing, stale, or without a source, relative to the root."""
    return _differing(root, render(root, repository))


def write(root: Path = chapters.ROOT, repository: str | None = None) -> list[str]:
    """Bring the copies and the README in step and return the files that changed."""
    wanted = render(root, repository)
    changed = _differing(root, wanted)
    for name in changed:
        path = root / name
        if path in wanted:
            path.write_bytes(wanted[path])
        else:
            path.unlink()
    return changed


def _differing(root: Path, wanted: dict[Path, bytes]) -> list[str]:
    files = [*(root / "notebooks").glob("*.ipynb"), root / "README.md"]
    found = {path: path.read_bytes() for path in files if path.exists()}
    changed = [path for path in wanted | found if wanted.get(path) != found.get(path)]
    return sorted(path.relative_to(root).as_posix() for path in changed)


def _lenient(book: Compendium, document: str, text: str) -> None:
    """Search a page of prose for labels; what cannot be shown there does not matter."""
    Translator(book, document, lenient=True).markdown(text)


def _translated(cell: NotebookNode, translator: Translator) -> list[NotebookNode]:
    """Translate one cell; a figure's caption becomes a cell of its own."""
    if cell.cell_type == "code":
        caption = translator.cell_caption(cell.metadata)
        code = _code_cell(cell.source, cell.metadata)
        return [code, _markdown_cell(caption)] if caption else [code]
    text = translator.markdown(cell.source)
    return [_markdown_cell(text)] if text else []


def _code_cell(code: str, metadata: dict) -> NotebookNode:
    tags = [tag for tag in metadata.get("tags", []) if tag in KEPT_TAGS]
    return nbformat.v4.new_code_cell(code, metadata={"tags": tags} if tags else {})


def _markdown_cell(text: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text)


def _opening(cell: NotebookNode) -> str:
    """Return the first words of a cell, for an error message."""
    first = cell.source.strip().split("\n")[0]
    return repr(first[:50])


def _open_with_note(cells: list[NotebookNode], chapter: Chapter, book: Compendium) -> None:
    """Put the number into the title, and below it a note that says what this file is."""
    first = next(cell for cell in cells if cell.cell_type == "markdown")
    place, page = book.place(chapter.document), book.page(chapter.document)
    note = NOTE.format(place=place, page=page, title=book.title)
    lines = first.source.split("\n")
    at = next((i for i, line in enumerate(lines) if line.startswith("# ")), None)
    if at is None:
        raise MedlibError(f"{chapter.source.name}: the first Markdown cell must hold the title")
    lines[at : at + 1] = [f"# {chapter.number} {lines[at][2:].strip()}", "", note]
    first.source = "\n".join(lines)


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    """Assemble the notebook, with ids that depend on the cells' content alone."""
    seen: Counter[str] = Counter()
    for cell in cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        cell.id = f"{digest}-{seen[digest]}"
        seen[digest] += 1
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def main(argv: list[str] | None = None) -> int:
    """Write the copies, or check them.

    Returns
    -------
    int
        0; 1 where ``--check`` found a copy out of step; 2 for a source that cannot be turned.
    """
    parser = argparse.ArgumentParser(prog="make sync", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where out of step"
    )
    parser.add_argument("--repository", help="for another address than that of _config.yml")
    args = parser.parse_args(argv)
    try:
        found = (out_of_step if args.check else write)(repository=args.repository)
    except MedlibError as error:
        print(f"sync: {error}", file=sys.stderr)
        return 2
    if args.check and found:
        print(f"out of step with their sources: {', '.join(found)}. Run: make sync")
        return 1
    print(f"Colab copies and README in step ({len(found)} rewritten)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
