"""Reading Python for the lock check: code cells, imports, aliases, and strings put together.

Every name is followed to what it was imported as or assigned from, wherever in the file that
happened. A name may so stand for several things; the check looks at all of them.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,}|:{3,})\{code-cell\}")
OPTION = re.compile(r"^:[\w-]+:")
STRING_METHODS = {
    *("join", "replace", "lower", "upper", "strip", "lstrip", "rstrip", "title", "swapcase"),
    *("removeprefix", "removesuffix", "format", "decode", "encode", "casefold"),
}
PURE = (
    *(ast.Constant, ast.JoinedStr, ast.FormattedValue, ast.List, ast.Tuple, ast.Subscript),
    *(ast.Slice, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Mod, ast.Call, ast.Attribute),
    *(ast.Name, ast.Load, ast.expr_context),
)


@dataclass
class Unit:
    """One file to check: its place, its kind and its syntax tree.

    Attributes
    ----------
    path : str
        Relative to the repository's root, as findings name it.
    module : str
        Dotted name, such as ``medlib.data.locked``; for a chapter its file name.
    kind : {"chapter", "data", "library", "book"}
        A chapter, ``medlib/data``, the rest of ``medlib``, or the workflow.
    tree : ast.Module
        Its code; for a chapter all code cells, each on its own lines of the file.
    magics : list of int
        Lines with IPython magics or shell commands, which are blanked in the tree.
    """

    path: str
    module: str
    kind: str
    tree: ast.Module
    magics: list[int] = field(default_factory=list)

    @cached_property
    def aliases(self) -> dict[str, set[str]]:
        """Dotted paths that each name of the file may stand for."""
        found = {name: {f"{self.module}.{name}"} for name in self._defined()}
        for node in ast.walk(self.tree):
            for name, path in imported(node, self.module, self.path.endswith("__init__.py")):
                found.setdefault(name, set()).add(path)
        self.__dict__["aliases"] = found  # `resolve` reads it while assignments are followed
        pairs = list(assignments(self.tree))
        for _ in range(3):  # a = module; b = a.part; c = b
            for name, value in pairs:
                found.setdefault(name, set()).update(self.resolve(value))
        return found

    @cached_property
    def constants(self) -> dict[str, str]:
        """Names that hold one string throughout."""
        values: dict[str, set[str]] = {}
        for name, value in assignments(self.tree):
            is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
            values.setdefault(name, set()).add(value.value if is_text else "\0")
        bound = {node.arg for node in ast.walk(self.tree) if isinstance(node, ast.arg)}
        known = {name: one for name, (one, *more) in values.items() if not more and one != "\0"}
        return {name: one for name, one in known.items() if name not in bound}

    @cached_property
    def docstrings(self) -> set[int]:
        """Identities of the string nodes that are documentation."""
        bodies = (n.body for n in ast.walk(self.tree) if isinstance(getattr(n, "body", None), list))
        lone = (s.value for body in bodies for s in body if isinstance(s, ast.Expr))
        return {id(node) for node in lone if isinstance(node, ast.Constant)}

    @cached_property
    def owners(self) -> dict[int, str]:
        """For each node's identity, the dotted name of the top-level function or method around."""
        found = {}
        for name, body in definitions(self.tree, self.module):
            found |= {id(inner): name for inner in ast.walk(body)}
        return found

    def owner(self, node: ast.AST) -> str:
        """Return the function or method that a node stands in, or the module."""
        return self.owners.get(id(node), self.module)

    def _defined(self) -> Iterator[str]:
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name

    def resolve(self, node: ast.expr) -> set[str]:
        """Return the dotted paths that an expression may stand for; empty where unknown."""
        match node:
            case ast.Name():
                return self.aliases.get(node.id) or {f"builtins.{node.id}"} & BUILTINS
            case ast.Attribute():
                return {f"{base}.{node.attr}" for base in self.resolve(node.value)}
            case ast.Call():
                return self._resolve_call(node)
            case ast.Subscript():
                return self._resolve_item(node)
            case ast.IfExp():
                return self.resolve(node.body) | self.resolve(node.orelse)
            case ast.NamedExpr():
                return self.resolve(node.value)
            case ast.BoolOp():
                return set().union(*(self.resolve(value) for value in node.values))
        return set()

    def _resolve_call(self, node: ast.Call) -> set[str]:
        """Follow getattr, dynamic imports and partial; other calls give something unknown."""
        functions, args = self.resolve(node.func), node.args
        if not args:
            return set()
        if "builtins.getattr" in functions and len(args) > 1:
            name = self.fold(args[1])
            return {f"{base}.{name}" for base in self.resolve(args[0])} if name else set()
        if functions & IMPORTERS:
            name = self.fold(args[0])
            return {name} if name else set()
        if functions & {"functools.partial", "builtins.vars"}:
            return self.resolve(args[0])
        return set()

    def _resolve_item(self, node: ast.Subscript) -> set[str]:
        """Follow ``sys.modules["x"]``, ``vars(m)["x"]``, ``m.__dict__["x"]``, ``[f, g][0]``."""
        if isinstance(node.value, ast.List | ast.Tuple):
            return set().union(*(self.resolve(item) for item in node.value.elts))
        key = self.fold(node.slice)
        if key is None:
            return set()
        bases = self.resolve(node.value)
        return {
            key if b == "sys.modules" else f"{b.removesuffix('.__dict__')}.{key}" for b in bases
        }

    def fold(self, node: ast.expr) -> str | None:
        """Compute a string that is put together from constants; None where it is not."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if not self._pure(node) or not all(self._pure(inner) for inner in ast.walk(node)):
            return None
        try:
            code = compile(ast.Expression(ast.copy_location(node, node)), "<constant>", "eval")
            value = eval(code, {"__builtins__": {"chr": chr, "str": str}}, self.constants)
        except Exception:  # whatever goes wrong: it is then no constant
            return None
        value = value.decode("latin-1") if isinstance(value, bytes) else value
        return value if isinstance(value, str) else None

    def _pure(self, node: ast.AST) -> bool:
        """Tell whether a node can only build strings from constants, cheaply."""
        if isinstance(node, ast.Attribute):
            return node.attr in STRING_METHODS
        if isinstance(node, ast.Name):
            return node.id in self.constants or node.id in {"chr", "str"}
        return isinstance(node, PURE)

    def parts(self) -> dict[int, ast.AST]:
        """Return the parent of every node, by the node's identity."""
        return {
            id(child): parent
            for parent in ast.walk(self.tree)
            for child in ast.iter_child_nodes(parent)
        }


BUILTINS = {
    f"builtins.{name}"
    for name in ("getattr", "eval", "exec", "compile", "__import__", "open", "globals", "locals")
} | {"builtins.vars", "builtins.__builtins__", "builtins.get_ipython", "builtins.print"}
IMPORTERS = {"importlib.import_module", "builtins.__import__", "importlib.__import__"}


def assignments(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) of every plain assignment, default argument and loop over a literal."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign():
                for target in node.targets:
                    yield from _pairs(target, node.value)
            case ast.AnnAssign(value=ast.expr()) | ast.NamedExpr():
                yield from _pairs(node.target, node.value)
            case ast.withitem(optional_vars=ast.expr()):
                yield from _pairs(node.optional_vars, node.context_expr)
            case ast.arguments():
                named = [*node.posonlyargs, *node.args]
                last = named[len(named) - len(node.defaults) :]
                yield from ((a.arg, v) for a, v in zip(last, node.defaults, strict=True))
                pairs = zip(node.kwonlyargs, node.kw_defaults, strict=True)
                yield from ((a.arg, v) for a, v in pairs if v is not None)
            case (
                ast.For(iter=ast.List() | ast.Tuple())
                | ast.comprehension(iter=ast.List() | ast.Tuple())
            ):
                for item in node.iter.elts:
                    yield from _pairs(node.target, item)
            case ast.AugAssign(target=ast.Name()):
                yield node.target.id, node


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        same = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        for position, part in enumerate(target.elts):
            yield from _pairs(part, value.elts[position] if same else value)


def imported(node: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, str]]:
    """Yield (name, dotted path) for what an import statement binds."""
    if isinstance(node, ast.Import):
        for item in node.names:
            yield (
                item.asname or item.name.split(".")[0],
                (item.name if item.asname else item.name.split(".")[0]),
            )
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, module, is_package)
        for item in node.names:
            yield item.asname or item.name, f"{base}.{item.name}"


def import_paths(node: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Yield the full dotted paths that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (item.name for item in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, module, is_package)
        yield from (f"{base}.{item.name}" for item in node.names)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def definitions(tree: ast.Module, module: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield (dotted name, node) of top-level functions, methods and assigned names."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{module}.{node.name}", node
            case ast.ClassDef():
                yield f"{module}.{node.name}", node
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                        yield f"{module}.{node.name}.{inner.name}", inner
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        yield f"{module}.{target.id}", node


def read_unit(path: Path, root: Path) -> Unit:
    """Read a Python file or a chapter.

    Raises
    ------
    SyntaxError
        Where its code does not parse; the line number is that of the file.
    """
    relative = path.relative_to(root)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        code, magics = code_of_chapter(text)
        return Unit(relative.as_posix(), path.stem, "chapter", ast.parse(code), magics)
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    kind = "library" if parts[0] == "medlib" else "book"
    kind = "data" if parts[:2] == ("medlib", "data") else kind
    return Unit(relative.as_posix(), module, kind, ast.parse(text))


def code_of_chapter(text: str) -> tuple[str, list[int]]:
    """Return a chapter with all but its code blanked, and the lines that hold magics."""
    lines, magics, cell = [], [], Cell()
    for number, line in enumerate(text.splitlines(), start=1):
        code = cell.code(line)
        if code is not None and code.lstrip()[:1] in {"%", "!"}:
            magics.append(number)
            code = None
        lines.append(code or "")
    return "\n".join(lines) + "\n", magics


class Cell:
    """Where a reader of MyST stands: outside, in a code cell's options, or in its code."""

    def __init__(self) -> None:
        self.mark, self.state = "", "outside"

    def code(self, line: str) -> str | None:
        """Take the next line; return it where it is code."""
        if self.state == "outside":
            opening = FENCE.match(line)
            if opening:
                self.mark, self.state = opening["mark"], "options"
            return None
        bare = line.strip()
        if bare.startswith(self.mark) and not bare.strip(self.mark[0]):
            self.state = "outside"
            return None
        return line if self._in_code(bare) else None

    def _in_code(self, bare: str) -> bool:
        if self.state == "yaml":
            self.state = "code" if bare == "---" else "yaml"
            return False
        if self.state == "options":
            if bare == "---":
                self.state = "yaml"
                return False
            if OPTION.match(bare):
                return False
            self.state = "code"
        return True
