"""Who reaches whom inside medlib: every function with all that it names, directly or not."""

import ast
from collections.abc import Callable, Iterable

from book.workflow.lock_names import Unit, definitions, import_paths

Test = Callable[[str], bool]


class Graph:
    """Functions, methods and module variables of medlib, and the dotted paths that each names.

    Naming counts, not only calling: a function handed on as a value can be called anywhere.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self.units = {unit.module: unit for unit in units}
        self.lazy = {name: lazy_exports(unit) for name, unit in self.units.items()}
        self.edges = {name: found for unit in self.units.values() for name, found in edges(unit)}
        self._canonical: dict[str, str] = {}

    def canonical(self, path: str) -> str:
        """Follow re-exports: ``medlib.fit`` and ``medlib.train.fit`` are the same function."""
        if path not in self._canonical:
            self._canonical[path] = path  # ends circles
            self._canonical[path] = self._follow(path)
        return self._canonical[path]

    def _follow(self, path: str) -> str:
        module, rest = self._module_of(path)
        if not module or not rest or f"{module}.{rest[0]}" in self.edges:
            return path
        tail = "".join(f".{part}" for part in rest[1:])
        known = self.units[module].aliases.get(rest[0], set()) | self.lazy[module].get(
            rest[0], set()
        )
        targets = sorted(known - {f"{module}.{rest[0]}"})
        return self.canonical(targets[0] + tail) if targets else path

    def _module_of(self, path: str) -> tuple[str, list[str]]:
        parts = path.split(".")
        for cut in range(len(parts), 0, -1):
            if ".".join(parts[:cut]) in self.units:
                return ".".join(parts[:cut]), parts[cut:]
        return "", parts

    def node(self, path: str) -> str:
        """Return the function, class or variable that a path lies in, or the path itself."""
        path = self.canonical(path)
        parts = path.split(".")
        for cut in range(len(parts), 0, -1):
            if ".".join(parts[:cut]) in self.edges:
                return ".".join(parts[:cut])
        return path

    def chains(self, wanted: Test, barrier: Test) -> dict[str, list[str]]:
        """Return, for every node that reaches something wanted, the way there.

        Parameters
        ----------
        wanted : function of a dotted path
            What is looked for.
        barrier : function of a dotted path
            What ends a way: a sanctioned door.
        """
        found: dict[str, list[str]] = {}
        todo = True
        while todo:
            todo = False
            for name, paths in self.edges.items():
                way = None if name in found else self._step(paths, wanted, barrier, found)
                if way:
                    found[name], todo = [name, *way], True
        return found

    def _step(
        self, paths: set[str], wanted: Test, barrier: Test, found: dict[str, list[str]]
    ) -> list[str] | None:
        for path in sorted(paths):
            node = self.node(path)
            if barrier(node):
                continue
            if wanted(self.canonical(path)) or wanted(node):
                return [self.canonical(path)]
            if node in found:
                return found[node]
        return None


def edges(unit: Unit) -> Iterable[tuple[str, set[str]]]:
    """Yield (definition, dotted paths it names); a class names its methods."""
    for name, node in definitions(unit.tree, unit.module):
        found = named(unit, node)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        yield name, found - {name}


def named(unit: Unit, node: ast.AST) -> set[str]:
    """Return all dotted paths that a piece of code names."""
    found: set[str] = set()
    package = unit.path.endswith("__init__.py")
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            found |= unit.resolve(inner)
        elif isinstance(inner, ast.Import | ast.ImportFrom):
            found |= set(import_paths(inner, unit.module, package))
    return found


def lazy_exports(unit: Unit) -> dict[str, set[str]]:
    """Return names that a module loads at first use: a top-level dict of names and modules."""
    found: dict[str, set[str]] = {}
    for node in unit.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                match key, value:
                    case ast.Constant(value=str(name)), ast.Constant(value=str(module)):
                        if module.startswith("medlib."):
                            found.setdefault(name, set()).add(f"{module}.{name}")
    return found
