"""The static test of the lock: nothing reads test labels but `evaluate_once` and `evaluate_audit`.

``python -m book.workflow.lock_check`` reads all of medlib, the workflow and the code cells of the
chapters, without running them, and prints what it finds: file, line, what, why, and what to use
instead. It exits with 1 where it finds anything. It looks for

- any naming of `medlib.data.locked`, also by alias, ``getattr`` or import at run time, and any
  function of medlib that comes to it through others (`lock_graph`);
- reading data files or data sets past `medlib.data.load`;
- code that cannot be followed: ``exec``, ``eval``, imports at run time, shell commands;
- `evaluate_audit` outside the chapters listed in `medlib.evaluate.AUDIT_CHAPTERS`;
- score files opened in a chapter other than through `medlib.evaluate.shown`;
- test scores that flow into training, tuning or choosing (`lock_flow`).

It finds mistakes and shortcuts, not malice: the last word has the access log in the results.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from book.workflow.lock_flow import SOURCE_NAMES, Flow, last_name
from book.workflow.lock_graph import Graph
from book.workflow.lock_names import IMPORTERS, Unit, import_paths, read_unit
from medlib.evaluate import AUDIT_CHAPTERS

ROOT = Path(__file__).resolve().parents[2]
LOCK = "medlib.data.locked"
SEAL = f"{LOCK}.seal"
# functions that may name the lock, each with its reason; Appendix E prints them
ALLOWED = {
    "medlib.evaluate._evaluate": "scores a model, once a key, and logs the look",
    "medlib.evaluate._evaluate_masks": "judges masks, once a key, and logs the look",
    "medlib.evaluate._evaluate_folds": "predicts each patient from the others, once a key; logs it",
    "medlib.data.dataset.Dataset.subset": "cuts the test split by class; hands out no label",
}
# modules of the workflow that train for a chapter of `AUDIT_CHAPTERS`, and audit for it
AUDITORS = {"book.workflow.long_audit": "the long runs of the chapter 04-08"}
# what the data package offers others although it reads whole files inside
DOORS = {
    "medlib.evaluate.evaluate_once": "the door",
    "medlib.evaluate.evaluate_masks_once": "the door of masks",
    "medlib.evaluate.evaluate_folds": "the door of pooled folds",
    "medlib.evaluate.evaluate_audit": "the door of the chapters about misuse",
    "medlib.data.dataset.Dataset": "its test split carries no labels",
    "medlib.data.dataset.Dataset.subset": ALLOWED["medlib.data.dataset.Dataset.subset"],
    "medlib.data.loading.load": "leaves the test labels behind",
    "medlib.data.status.data_status": "hashes files",
    "medlib.data.volumes.read_npz_volume": "reads one volume of a reader's own; refuses labels",
    "medlib.data.checksums.check_stored": "compares checksums of a zip file; hands out nothing",
    "medlib.data.commands.add_parser": "the command `medlib data`: prints what is here",
    "medlib.data.commands.cli": "the command `medlib data`: prints what is here",
}
SELF = re.compile(r"book/workflow/lock_\w+\.py")
HIDDEN_NAMES = {
    *("locked", "read_test_labels", "read_test_masks", "stratified_test_rows", "answers_like"),
    *("_vault", "_answers", "wisconsin_table"),
}
HIDDEN_TEXT = re.compile(
    r"test_labels|test_masks|medlib\.data\.locked|\blocked\b(?=$|\.)|answers_like|_vault"
)
DATA_READERS = re.compile(
    r"numpy\.(load|memmap|fromfile|lib\..*)|zipfile\.(ZipFile|Path|PyZipFile)|h5py\..*"
    r"|pickle\.(load|loads|Unpickler)"
    r"|joblib\.load|sklearn\.datasets\.(load|fetch)_.*|medmnist\.(?!INFO\b|info\b|__version__).*"
    r"|torchvision\.datasets\..*"
)
UNFOLLOWED = re.compile(
    r"builtins\.(eval|exec|compile|globals|locals|get_ipython|__builtins__)|runpy\..*|code\..*"
    r"|subprocess\..*|os\.(system|popen|exec\w+|spawn\w+)|sys\.modules.*|operator\.attrgetter"
    r"|operator\.methodcaller|IPython\..*get_ipython|ctypes\..*|gc\..*"
)
READERS = {"open", "read_text", "read_bytes", "loadtxt", "genfromtxt"}
FILE_TEXT = re.compile(r"(^|/)(results|scores)/|/(results|scores)$|_build\b|\.npz$|__seed\d")
RESULT_READERS = {"medlib.results.read_json", "medlib.results.read_results"}

USE_ONCE = "score the model with medlib.evaluate_once(model, data, model_id=..., seed=...)"
USE_LOAD = "medlib.data.load(name) or run.load(name), whose test split carries images only"
USE_SHOWN = "draw the Scores that evaluate_once returned, or shown([...]) of them"
USE_VALIDATION = "data.val for every choice; the test split is looked at after the last one"
USE_PLAIN = "write the names out: import x, x.name, so that the check can follow them"


@dataclass(frozen=True, order=True)
class Finding:
    """Something in the sources that may read test labels.

    Attributes
    ----------
    path : str
        File, relative to the repository's root.
    line : int
        Line in that file.
    rule : {"lock", "data", "dynamic", "audit", "scores", "flow", "unreadable"}
        Which rule it breaks.
    what, why, instead : str
        What stands there, why it matters, and what to use instead.
    """

    path: str
    line: int
    rule: str
    what: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}: {self.why}; instead: {self.instead}"


def main(argv: list[str] | None = None) -> int:
    """Check the repository and print the findings; 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="repository to check")
    root = parser.parse_args(argv).root.resolve()
    found = check(root)
    for finding in found:
        print(finding)
    files = len(list(sources(root)))
    print(f"lock check: {files} files, {len(found)} findings", file=sys.stderr)
    return 1 if found else 0


def exceptions() -> list[dict[str, str]]:
    """Return all that may come near test labels, with reasons: Appendix E prints this."""
    chapters = [dict(what=f"chapter {k}", why=v) for k, v in AUDIT_CHAPTERS.items()]
    chapters += [dict(what=k, why=v) for k, v in AUDITORS.items()]
    return chapters + [dict(what=k, why=v) for k, v in (ALLOWED | DOORS).items()]


def sources(root: Path) -> Iterator[Path]:
    """Yield the files to check: medlib, the workflow, and every page that may hold code cells."""
    for pattern in ("medlib/**/*.py", "book/**/*.py", "notebooks/**/*.md", "book/**/*.md"):
        yield from (p for p in sorted(root.glob(pattern)) if "__pycache__" not in p.parts)


def check(root: Path) -> list[Finding]:
    """Check all sources below a root and return what was found, in order."""
    units, found = [], set()
    for path in sources(root):
        try:
            units.append(read_unit(path, root))
        except (SyntaxError, UnicodeDecodeError, ValueError) as error:
            place, line = path.relative_to(root).as_posix(), getattr(error, "lineno", None) or 1
            why = "code that does not parse cannot be checked"
            found.add(Finding(place, line, "unreadable", str(error), why, "mend it"))
    rules = Rules(Graph(unit for unit in units if unit.module.split(".")[0] == "medlib"))
    for unit in units:
        if not SELF.fullmatch(unit.path):
            found |= set(rules.check(unit))
    return sorted(found)


class Rules:
    """The rules, with what the call graph of medlib says."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.to_lock = graph.chains(self._is_protected, DOORS.__contains__)
        self.to_scores = graph.chains(self._is_scored, lambda name: False)

    def _is_protected(self, path: str) -> bool:
        """Tell whether a path is the lock, a reader of data files, or made for the lock alone."""
        inside = path.startswith(f"{LOCK}.") and path != SEAL
        return inside or path.endswith(".answers_like") or bool(DATA_READERS.fullmatch(path))

    def _is_scored(self, path: str) -> bool:
        return path in {f"medlib.evaluate.{name}" for name in SOURCE_NAMES}

    def check(self, unit: Unit) -> Iterator[Finding]:
        """Yield the findings of one file."""
        parents = unit.parts()
        for node in ast.walk(unit.tree):
            if not self._is_shown(unit, node, parents):
                yield from self._names(unit, node, parents)
            yield from self._texts(unit, node, parents)
            if isinstance(node, ast.Call):
                yield from self._calls(unit, node, parents)
        if unit.kind == "chapter":
            yield from self._magics(unit)
        yield from self._flow(unit)

    def _is_shown(self, unit: Unit, node: ast.AST, parents: dict[int, ast.AST]) -> bool:
        """Tell whether a name is only handed to `medlib.show`, which prints its source."""
        parent = parents.get(id(node))
        while isinstance(node, ast.Attribute | ast.Name) and isinstance(parent, ast.Attribute):
            node, parent = parent, parents.get(id(parent))
        if not isinstance(parent, ast.Call) or node not in parent.args:
            return False
        paths = {self.graph.canonical(path) for path in unit.resolve(parent.func)}
        shows = bool(paths) and paths <= {"medlib.show", "medlib.show.show"}
        return isinstance(node, ast.Attribute | ast.Name) and shows

    # ------------------------------------------------------------ names

    def _names(self, unit: Unit, node: ast.AST, parents: dict[int, ast.AST]) -> Iterator[Finding]:
        """Find names that stand for the lock, a data reader, an audit, or code not followed."""
        finding = partial(Finding, unit.path, getattr(node, "lineno", 0))
        if unit.kind == "chapter" and _imports_all(node):
            why = "names that come in unseen cannot be followed"
            yield finding("dynamic", "import *", why, USE_PLAIN)
        inner_only = isinstance(parents.get(id(node)), ast.Attribute)  # a.b inside a.b.c
        paths = self._paths(unit, node)
        for path in sorted(paths):
            yield from self._path(unit, node, path, inner_only)
        unknown = isinstance(node, ast.Attribute) and not paths
        if unknown and node.attr in HIDDEN_NAMES and self._outside(unit):
            why = "only medlib/evaluate.py may come near test labels"
            yield finding("lock", f"names '{node.attr}'", why, USE_ONCE)

    def _paths(self, unit: Unit, node: ast.AST) -> set[str]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = import_paths(node, unit.module, unit.path.endswith("__init__.py"))
        elif isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            found = unit.resolve(node)
        else:
            found = set()
        return {self.graph.canonical(path) for path in found}

    def _path(self, unit: Unit, node: ast.AST, path: str, inner_only: bool) -> Iterator[Finding]:
        finding = partial(Finding, unit.path, node.lineno)
        if path == LOCK or path.startswith(f"{LOCK}."):
            if not self._may_lock(unit, node, path):
                why = "only medlib/evaluate.py may read test labels"
                yield finding("lock", f"names {path}", why, USE_ONCE)
        elif path.startswith("medlib.") and not inner_only:
            yield from self._through_medlib(unit, node, path)
        if DATA_READERS.fullmatch(path) and unit.kind != "data":
            why = "data files hold the test labels beside the images"
            yield finding("data", f"reads data with {path}", why, USE_LOAD)
        if UNFOLLOWED.fullmatch(path) and (unit.kind == "chapter" or path in NEVER):
            why = "what it runs or reads cannot be checked"
            yield finding("dynamic", f"uses {path.removeprefix('builtins.')}", why, USE_PLAIN)

    def _through_medlib(self, unit: Unit, node: ast.AST, path: str) -> Iterator[Finding]:
        """Find a function of medlib that leads to test labels, and an audit out of place."""
        finding, target = partial(Finding, unit.path, node.lineno), self.graph.node(path)
        chain = [target, target] if self._is_protected(target) else self.to_lock.get(target)
        if chain and target not in DOORS and self._outside(unit):
            way = " -> ".join(chain[1:])
            why = f"it comes to test labels or whole data files through {way}"
            yield finding("lock", f"names {target}", why, USE_ONCE)
        if target == "medlib.evaluate.evaluate_audit" and not self._may_audit(unit):
            listed = ", ".join(AUDIT_CHAPTERS)
            why = f"audits are for the chapters {listed} of medlib.evaluate.AUDIT_CHAPTERS"
            yield finding("audit", "uses evaluate_audit", why, USE_ONCE)

    def _outside(self, unit: Unit) -> bool:
        return unit.kind != "data" and unit.module != "medlib.evaluate"

    def _may_lock(self, unit: Unit, node: ast.AST, path: str) -> bool:
        seals = unit.kind == "data" and path in {LOCK, SEAL}  # labels go in, none come out
        return seals or unit.module == LOCK or unit.owner(node) in ALLOWED

    def _may_audit(self, unit: Unit) -> bool:
        in_chapter = unit.kind == "chapter" and unit.module[:5] in AUDIT_CHAPTERS
        return in_chapter or unit.module in {"medlib.evaluate", *AUDITORS}

    # ------------------------------------------------------------ texts

    def _texts(self, unit: Unit, node: ast.AST, parents: dict[int, ast.AST]) -> Iterator[Finding]:
        """Find strings that name the lock's arrays and functions, or files of scores."""
        if unit.kind == "data" or id(node) in unit.docstrings or not isinstance(node, ast.expr):
            return
        text = unit.fold(node)
        if text is None or _inside_text(node, parents, unit):
            return
        finding = partial(Finding, unit.path, node.lineno)
        if HIDDEN_TEXT.search(text):
            why = "it names the array or module that holds test labels"
            yield finding("lock", f"the text {text[:40]!r}", why, USE_ONCE)
        is_part = text in {"scores", "results"} and isinstance(parents[id(node)], ast.BinOp)
        if unit.kind == "chapter" and (FILE_TEXT.search(text) or is_part):
            why = "a chapter opens no files of scores, results or data itself"
            yield finding("scores", f"the text {text[:40]!r}", why, USE_SHOWN)

    # ------------------------------------------------------------ calls

    def _calls(self, unit: Unit, node: ast.Call, parents: dict[int, ast.AST]) -> Iterator[Finding]:
        """Find names looked up at run time, and files that a chapter opens itself."""
        finding, functions = partial(Finding, unit.path, node.lineno), unit.resolve(node.func)
        if "builtins.getattr" in functions and len(node.args) > 1:
            name = unit.fold(node.args[1])
            if name in HIDDEN_NAMES and self._outside(unit):
                why = "only medlib/evaluate.py may come near test labels"
                yield finding("lock", f"looks up {name!r}", why, USE_ONCE)
            if name is None and self._opaque(unit, node.args[0]):
                why = "a name computed at run time cannot be followed"
                yield finding("dynamic", "getattr with a computed name", why, USE_PLAIN)
        if functions & IMPORTERS and (unit.kind == "chapter" or not self._known_import(unit, node)):
            why = "an import at run time cannot be followed"
            yield finding("dynamic", "imports at run time", why, USE_PLAIN)
        if unit.kind == "chapter":
            yield from self._opened(unit, node, parents)

    def _opaque(self, unit: Unit, base: ast.expr) -> bool:
        paths = unit.resolve(base)
        return unit.kind == "chapter" or any(p.startswith("medlib.data") for p in paths)

    def _known_import(self, unit: Unit, node: ast.Call) -> bool:
        """Tell whether a library's run-time import is of a fixed name, or one of the listed."""
        return unit.fold(node.args[0]) is not None or unit.owner(node) in RUNTIME_IMPORTS

    def _opened(self, unit: Unit, node: ast.Call, parents: dict[int, ast.AST]) -> Iterator[Finding]:
        finding, name = partial(Finding, unit.path, node.lineno), last_name(node.func)
        paths = {self.graph.canonical(path) for path in unit.resolve(node.func)}
        is_read = name == "read_scores" or "medlib.evaluate.read_scores" in paths
        if is_read and not _inside_call(node, parents, "shown"):
            why = "stored scores are for tables and plots"
            yield finding("scores", "read_scores outside shown(...)", why, USE_SHOWN)
        held = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        if (name in READERS or name.startswith("read_")) and held & {"path", "source", "build"}:
            why = "it opens a file of the run or of a data set past medlib"
            yield finding("scores", f"{name} of a stored file", why, USE_SHOWN)

    # ------------------------------------------------------------ whole files

    def _magics(self, unit: Unit) -> Iterator[Finding]:
        for line in unit.magics:
            why = "shell commands and magics cannot be followed"
            yield Finding(unit.path, line, "dynamic", "a line with % or !", why, USE_PLAIN)

    def _flow(self, unit: Unit) -> Iterator[Finding]:
        for leak in Flow(unit, self._is_source).run():
            why = f"it depends on test scores, from {leak.origin.name} in line {leak.origin.line}"
            what = f"{leak.sink}(...) trains or chooses"
            yield Finding(unit.path, leak.line, "flow", what, why, USE_VALIDATION)

    def _is_source(self, path: str) -> bool:
        target = self.graph.node(path)
        return self._is_scored(target) or target in self.to_scores or target in RESULT_READERS


# never, also not in the library
NEVER = {"builtins.eval", "builtins.exec", "runpy.run_path", "runpy.run_module"}
RUNTIME_IMPORTS = {
    "medlib.__getattr__": "loads its exports at first use",
    "medlib.data.__getattr__": "loads its rarer names at first use",
    "medlib.cli.parser": "loads the modules of COMMANDS",
}


def _imports_all(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and any(item.name == "*" for item in node.names)


def _inside_text(node: ast.AST, parents: dict[int, ast.AST], unit: Unit) -> bool:
    """Tell whether a string is a part of a larger one, which is looked at as a whole."""
    parent = parents.get(id(node))
    while isinstance(parent, ast.expr):
        if unit.fold(parent) is not None:
            return True
        parent = parents.get(id(parent))
    return False


def _inside_call(node: ast.AST, parents: dict[int, ast.AST], name: str) -> bool:
    """Tell whether an expression stands inside the arguments of a call to a function."""
    parent: ast.AST | None = parents.get(id(node))
    while isinstance(parent, ast.expr | ast.comprehension | ast.keyword):
        if isinstance(parent, ast.Call) and last_name(parent.func) == name:
            return True
        parent = parents.get(id(parent))
    return False


if __name__ == "__main__":
    sys.exit(main())
