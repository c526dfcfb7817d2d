"""Which medlib modules a piece of code reaches, and a hash of what each of them does."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from book.workflow import kept

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
def lazy(package: str) -> dict[str, str]:
    """Map the names that a package loads at first use (``medlib.fit``) to their modules.

    They stand in one table at the head of the package, whose values are names of modules.
    """
    for node in ast.parse(modules()[package].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            values = [getattr(value, "value", None) for value in node.value.values]
            if values and all(value in modules() for value in values):
                return ast.literal_eval(node.value)
    return {}


def reached(code: str) -> set[str]:
    """Return every module of the package that the code reaches through imports, direct or not."""
    todo, seen = list(_direct(ast.parse(code), "")), set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_named_by(name))
    return seen


@cache
def _named_by(name: str) -> frozenset[str]:
    """Return the modules that a module names; read once, however many chapters reach it."""
    path = modules()[name]

    def read() -> list[str]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return sorted({*_direct(tree, name), *_loaded_by_name(tree, name)})

    return frozenset(kept.of_file(f"names/{name}", path, read))


def _loaded_by_name(tree: ast.Module, name: str) -> set[str]:
    """Return the modules that a module imports at run time, such as the commands of `medlib.cli`.

    The tables of packages are no part of it: `lazy` follows them name by name.
    """
    if modules()[name].name == "__init__.py":
        return set()
    loads = any(isinstance(n, ast.Attribute) and n.attr == "import_module" for n in ast.walk(tree))
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return texts & set(modules()) if loads else set()


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
        elif isinstance(node, ast.Attribute) and (dotted := _dotted(node)):
            yield from _known(dotted)


def _dotted(node: ast.Attribute) -> str:
    """Return ``medlib.name.name`` where an expression is that, else nothing."""
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    inside = isinstance(inner, ast.Name) and inner.id == PACKAGE
    return ".".join([PACKAGE, *reversed(parts)]) if inside else ""


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
    """Yield the module that a dotted name lies in; what it loads at first use counts as well."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for end in range(len(parts), 0, -1):
        if (module := ".".join(parts[:end])) in modules():
            yield module
            if end < len(parts) and parts[end] in lazy(module):
                yield lazy(module)[parts[end]]
            return


@cache
def module_hash(name: str) -> str:
    """Hash what a module does: its syntax tree without docstrings, comments and layout."""
    path = modules()[name]
    found: str = kept.of_file(f"digests/{name}", path, lambda: code_hash(path.read_text("utf-8")))
    return found


def code_hash(code: str) -> str:
    """Hash a piece of Python by its syntax tree without docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
