"""Show the library's own source on a page: the code a chapter explains is the code it runs."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from medlib import paths
from medlib.errors import MedlibError


@dataclass(frozen=True)
class Source:
    """The source of a function or class; a notebook shows it as highlighted code.

    Attributes
    ----------
    code : str
        The source, its long docstrings cut to their first line.
    where : str
        File and line, such as ``medlib/train.py, line 120``.
    """

    code: str
    where: str

    def _repr_markdown_(self) -> str:
        return f"*{self.where}*\n\n```python\n{self.code}\n```"

    def __repr__(self) -> str:
        return f"# {self.where}\n{self.code}"


def show(thing: Callable | type, *, docstring: str = "short") -> Source:
    """Return the source of a function, method or class of the library, ready to be shown.

    Parameters
    ----------
    thing : function, method or class
        What to show, the object itself: what the page shows is what the page runs.
    docstring : {"short", "full", "none"}
        Whether docstrings are cut to their first line, kept, or left out.

    Raises
    ------
    MedlibError
        Where the thing has no source in a file, or `docstring` is none of the three.
    """
    if docstring not in {"short", "full", "none"}:
        raise MedlibError(f"docstring is 'short', 'full' or 'none', got {docstring!r}")
    thing = inspect.unwrap(thing)
    try:
        lines, first = inspect.getsourcelines(thing)
        file = Path(inspect.getsourcefile(thing))
    except (TypeError, OSError) as error:
        raise MedlibError(f"{thing!r} has no source to show: pass a function or a class") from error
    code = textwrap.dedent("".join(lines)).rstrip()
    if docstring != "full":
        code = shorten_docstrings(code, keep_first=docstring == "short")
    return Source(code, f"{_relative(file)}, line {first}")


def shorten_docstrings(code: str, *, keep_first: bool = True) -> str:
    """Cut every docstring of a piece of source to its first line, or out.

    Parameters
    ----------
    code : str
        Source that parses by itself.
    keep_first : bool
        Whether the first line stays.
    """
    lines = code.splitlines()
    for node in sorted(_documented(code), key=lambda n: -n.lineno):
        start, end = node.lineno - 1, node.end_lineno
        summary = node.value.value.strip().splitlines()[0]
        indent = " " * node.col_offset
        lines[start:end] = [f'{indent}"""{summary}"""'] if keep_first else []
    return "\n".join(lines)


def _documented(code: str) -> list[ast.Expr]:
    """Return the docstring statements in a piece of source."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)]
    return [
        node.body[0] for node in nodes if ast.get_docstring(node) is not None and len(node.body) > 1
    ]


def _relative(file: Path) -> str:
    """Return the path that a reader knows: from the package's parent on."""
    try:
        return file.resolve().relative_to(paths.PACKAGE.parent).as_posix()
    except ValueError:
        return file.name


class _CallableModule(ModuleType):
    """Lets ``medlib.show(f)`` work also after ``import medlib.show`` has put the module there."""

    def __call__(self, thing: Callable | type, *, docstring: str = "short") -> Source:
        return show(thing, docstring=docstring)


sys.modules[__name__].__class__ = _CallableModule
