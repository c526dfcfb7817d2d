"""Measure a package's style: function length, docstrings, types.

Usage: ``python -m tests.style_metrics DIR [--check]``. Prints median and 90th percentile of the
function lengths in lines (docstrings, decorators, blank lines not counted), the longest ones, the
share of public functions and classes with a docstring and of public functions that are all typed.
With --check, exits 1 unless median <= 10, p90 <= 30, none above 60, and both shares >= 95 %.
"""

import ast
import sys
from pathlib import Path


def code_lines(node: ast.AST, source: list[str]) -> int:
    """Lines of a function's body that hold code, its docstring left out."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if not body:
        return 0
    span = source[body[0].lineno - 1 : node.end_lineno]
    return sum(1 for line in span if line.strip() and not line.strip().startswith("#"))


def is_typed(node: ast.FunctionDef) -> bool:
    """True where every argument but self/cls and the result carry an annotation."""
    args = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    args += [a for a in (node.args.vararg, node.args.kwarg) if a]
    named = [a for a in args if a.arg not in {"self", "cls"}]
    return all(a.annotation for a in named) and (
        node.returns is not None or node.name == "__init__"
    )


def measure(root: Path) -> dict:
    """Collect lengths and shares over all .py files below root."""
    lengths, public, documented, functions, typed = [], 0, 0, 0, 0
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        source = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lengths.append((code_lines(node, source), f"{path}:{node.lineno} {node.name}"))
            elif not isinstance(node, ast.ClassDef):
                continue
            if node.name.startswith("_"):
                continue
            public += 1
            documented += ast.get_docstring(node) is not None
            if not isinstance(node, ast.ClassDef):
                functions += 1
                typed += is_typed(node)
    lengths.sort(reverse=True)
    return {
        "lengths": lengths,
        "documented": documented / max(public, 1),
        "typed": typed / max(functions, 1),
    }


def main() -> int:
    """Print the table; with --check, judge it."""
    found = measure(Path(sys.argv[1]))
    sizes = sorted(n for n, _ in found["lengths"]) or [0]
    median, p90, longest = sizes[len(sizes) // 2], sizes[int(len(sizes) * 0.9)], sizes[-1]
    for n, where in found["lengths"][:8]:
        print(f"{n:5d}  {where}")
    print(
        f"functions {len(sizes)} median {median} p90 {p90} longest {longest} "
        f"documented {found['documented']:.0%} typed {found['typed']:.0%}"
    )
    good = (
        median <= 10
        and p90 <= 30
        and longest <= 60
        and min(found["documented"], found["typed"]) >= 0.95
    )
    return 0 if good or "--check" not in sys.argv else 1


if __name__ == "__main__":
    sys.exit(main())
