"""Reading chapter sources: MyST text into notebook nodes, and their code into plain Python."""

import ast
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from medlib.errors import MedlibError


def read(path: Path) -> NotebookNode:
    """Read a chapter's MyST source as a notebook node.

    Raises
    ------
    MedlibError
        Where it is no MyST, or its code is no Python.
    """
    try:
        notebook = jupytext.read(path, fmt="md:myst")
        ast.parse(code(notebook), path.name)
    except OSError:
        raise
    except SyntaxError as error:
        line = (error.text or "").strip()[:80]
        raise MedlibError(f"{path} holds code that is no Python ({error.msg}): {line}") from error
    except Exception as error:  # jupytext and the parsers below it raise anything
        raise MedlibError(f"{path} cannot be read as a chapter ({first_line(error)})") from error
    return notebook


def first_line(error: BaseException) -> str:
    """Return what an error says in a few words, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "")[:160] or type(error).__name__


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code(notebook: NotebookNode) -> str:
    """Return the code of all cells as plain Python."""
    return "\n".join(plain_python(cell.source) for cell in code_cells(notebook))


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
    """Return the chapters whose artefacts a chapter takes, by ``run.take("<chapter>", ...)``."""
    calls = (node for node in ast.walk(ast.parse(code(notebook))) if isinstance(node, ast.Call))
    return sorted({call.args[0].value for call in calls if _takes(call)})


def _takes(call: ast.Call) -> bool:
    """Tell whether a call is ``run.take("<chapter>", ...)``."""
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "take"
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "run"
        and len(call.args) > 1
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    )


def title(notebook: NotebookNode) -> str:
    """Return the text of the chapter's first heading."""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else []:
            if line.startswith("# "):
                return line[2:].strip()
    return ""
