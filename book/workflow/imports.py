"""Which medlib modules a piece of code reaches, and a hash of what each of them does."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "medlib"
ROOT = Path(__file__).resolve().parents[2]


@cache
def modules() -> dict[str, Path]:
    """Map every module of the package to its file."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def exports() -> dict[str, str]:
    """Map the package's lazy names (``medlib.fit``) to the modules that define them."""
    for node in ast.parse(modules()[PACKAGE].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_EXPORTS":
            return ast.literal_eval(node.value)
    return {}


def reached(code: str) -> set[str]:
    """Return every module of the package that the code reaches through imports, direct or not."""
    todo, seen = list(_direct(ast.parse(code), "")), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
        todo.extend(_direct(tree, name))
    return seen


def _direct(tree: ast.AST, importer: str) -> Iterator[str]:
    """Yield the modules that one file names: by import, or as ``medlib.name``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _known(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, importer)
            yield from _known(base)
            for alias in node.names:
                yield from _known(f"{base}.{alias.name}")
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith(f"{PACKAGE}."):
            yield from _known(ast.unparse(node))


def _absolute(node: ast.ImportFrom, importer: str) -> str:
    """Return the absolute name of what ``from ... import`` names."""
    if not node.level:
        return node.module or ""
    inside = importer.split(".")
    if modules()[importer].name != "__init__.py":
        inside = inside[:-1]
    inside = inside[: len(inside) - node.level + 1]
    return ".".join([*inside, node.module] if node.module else inside)


def _known(name: str) -> Iterator[str]:
    """Yield the module that a dotted name lies in; lazy exports count as their module."""
    if not name.startswith(PACKAGE):
        return
    head = name.removeprefix(f"{PACKAGE}.").split(".")[0]
    if head in exports():
        yield exports()[head]
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in modules():
            yield ".".join(parts[:end])
            return


@cache
def module_hash(name: str) -> str:
    """Hash what a module does: its syntax tree without docstrings, comments and layout."""
    return code_hash(modules()[name].read_text(encoding="utf-8"))


def code_hash(code: str) -> str:
    """Hash a piece of Python by its syntax tree without docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
