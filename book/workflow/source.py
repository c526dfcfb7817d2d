"""Reading chapter sources: MyST text into notebook nodes, and their code into plain Python."""

from pathlib import Path

import jupytext
from nbformat import NotebookNode


def read(path: Path) -> NotebookNode:
    """Read a chapter's MyST source as a notebook node."""
    return jupytext.read(path, fmt="md:myst")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(cell: NotebookNode, tag: str) -> bool:
    """Tell whether a cell carries a tag."""
    return tag in cell.metadata.get("tags", [])


def plain_python(code: str) -> str:
    """Blank out IPython magics, so that the rest parses as Python; lines keep their numbers."""
    return "\n".join("" if line[:1] in {"%", "!"} else line for line in code.splitlines())


def text(notebook: NotebookNode) -> str:
    """Return all sources and tags, the content by which two versions of a chapter differ."""
    return "\n".join(
        f"{cell.cell_type} {cell.metadata.get('tags', [])} {cell.metadata.get('mystnb', {})}\n"
        f"{cell.source}"
        for cell in notebook.cells
    )


def needs(notebook: NotebookNode) -> list[str]:
    """Return the chapters whose results a chapter reads (``medlib: {needs: [...]}`` on top)."""
    return list(notebook.metadata.get("medlib", {}).get("needs", []))


def title(notebook: NotebookNode) -> str:
    """Return the text of the chapter's first heading."""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else []:
            if line.startswith("# "):
                return line[2:].strip()
    return ""
