"""Appendix F: the library's interface, one page for each group of modules, from its docstrings.

This module writes which module stands on which page, and lists of names; Sphinx's own autodoc and
napoleon fill in signatures and docstrings (``book/_ext/medlib_api.py``). The sources are parsed,
not imported, so that staging stays quick. A new module or name appears by itself.
"""

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from book.workflow import imports

DOCUMENT = "book/api"
KINDS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Group:
    """One page of the interface.

    Attributes
    ----------
    slug : str
        Ending of the page's address: ``book/api-<slug>``.
    title : str
        Heading of the page.
    promise : str
        What a reader finds there, in a sentence.
    modules : tuple of str
        Modules and packages below ``medlib``; a package stands for all that it holds.
    """

    slug: str
    title: str
    promise: str
    modules: tuple[str, ...]


GROUPS = (
    Group(
        "data",
        "Data sets",
        "Cards, loading and download, splits, the lock on the labels of test splits, phantoms.",
        ("data", "cases"),
    ),
    Group(
        "models",
        "Networks",
        "The networks of Part 3 and weights trained before.",
        ("models", "pretrained", "weights", "features"),
    ),
    Group(
        "training",
        "Training",
        "The recipe and the loop that follows it, losses, augmentation, search, distilling, "
        "and pretraining without labels.",
        (
            "recipe",
            "train",
            "augment",
            "losses",
            "targets",
            "validation",
            "network_checks",
            "training_checks",
            "checkpoint",
            "distributed",
            "search",
            "distil",
            "selfsup",
            "prune",
            "federated",
            "private",
        ),
    ),
    Group(
        "judging",
        "Testing and trust",
        "Scoring a model once, metrics with intervals, operating points, calibration, doubt.",
        (
            "evaluate",
            "metrics",
            "intervals",
            "thresholds",
            "baselines",
            "predict",
            "segmentation",
            "trust",
            "subgroups",
            "appraisal",
            "model_cards",
        ),
    ),
    Group(
        "multilabel",
        "Several labels and few labels",
        "Methods for cases with several labels, labels that are missing, and bags of pictures.",
        ("multilabel", "mil", "nearest", "probes"),
    ),
    Group(
        "showing",
        "Explanations, figures and tables",
        "What a network looks at, the figures of the book, diagrams and tables of networks.",
        ("explain", "plots", "diagrams", "summary", "tables", "pictures", "show", "history"),
    ),
    Group(
        "own",
        "Your own images",
        "From a folder or a table of pictures to a model, tested once, with a report.",
        ("own",),
    ),
    Group(
        "runs",
        "Runs, claims and commands",
        "What a chapter records, how claims are compared, saved models, the command line.",
        (),  # and all that no other page holds
    ),
)


@dataclass(frozen=True)
class Name:
    """One public function, class or constant of the library.

    Attributes
    ----------
    module, name : str
        Where it is defined.
    summary : str
        The first line of its docstring, or the comment beside a constant.
    constant : bool
        Whether it is a constant.
    """

    module: str
    name: str
    summary: str
    constant: bool = False

    @property
    def target(self) -> str:
        """Its full name: ``medlib.train.fit``."""
        return f"{self.module}.{self.name}"

    @property
    def link(self) -> str:
        """A link to its description, in MyST."""
        return f"{{py:obj}}`{self.name} <{self.target}>`"


def pages() -> dict[str, Iterator[str]]:
    """Return the lines of every page by document."""
    return {DOCUMENT: _overview()} | {f"{DOCUMENT}-{g.slug}": _page(g) for g in GROUPS}


def modules_of(group: Group) -> list[str]:
    """Return the modules that stand on a page, in the order in which the group names them."""
    named = {name: each for each in GROUPS for name in each.modules}
    known = [name for name in imports.modules() if name != imports.PACKAGE]
    if not group.modules:
        return [name for name in known if name.split(".")[1] not in named]
    order = group.modules.index
    own = [name for name in known if named.get(name.split(".")[1]) is group]
    return sorted(own, key=lambda name: (order(name.split(".")[1]), name))


@cache
def names_of(module: str) -> tuple[Name, ...]:
    """Return the public names that a module defines, in the order of its source.

    Constants count where ``__all__`` of their module, or of a package, names them.
    """
    text = imports.modules()[module].read_text(encoding="utf-8")
    exported = {target for names in exports().values() for target in names.values()}
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, KINDS) and not node.name.startswith("_"):
            found.append(Name(module, node.name, _first_line(ast.get_docstring(node) or "")))
        for name in _assigned(node):
            if f"{module}.{name}" in exported and not name.startswith("_"):
                found.append(Name(module, name, _constant_summary(node, text), constant=True))
    return tuple(found)


@cache
def exports() -> Mapping[str, Mapping[str, str]]:
    """Return, for each module with ``__all__``, its names and what they are defined as."""
    found: dict[str, dict[str, str]] = {}
    for module, path in imports.modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        listed = next((n.value for n in tree.body if _assigned(n) == ["__all__"]), None)
        if listed is not None:
            names = [each.value for each in ast.walk(listed) if isinstance(each, ast.Constant)]
            names += imports.lazy(module) if module == imports.PACKAGE else []
            found[module] = {name: _origin(module, name) for name in names}
    return found


def import_lines() -> dict[str, str]:
    """Return how to import a name, where that is shorter than from its own module.

    Returns
    -------
    dict
        ``medlib.data.loading.load`` -> ``from medlib.data import load``.
    """
    lines: dict[str, str] = {}
    for module in sorted(exports(), key=lambda name: -name.count(".")):
        for name, target in exports()[module].items():
            if target.startswith(f"{module}.") and target != f"{module}.{name}":
                lines[target] = f"from {module} import {name}"
    return lines


def _overview() -> Iterator[str]:
    """Yield the page that leads to the others."""
    yield from ("# API of medlib", "")
    modules = {group.slug: modules_of(group) for group in GROUPS}
    total = sum(len(names_of(name)) for listed in modules.values() for name in listed)
    yield (
        f"The library behind the chapters, name by name: {total} functions, classes and constants "
        "with their signatures, parameters and shapes, made from the docstrings of the code. "
        "*[source]* beside a name leads to the lines that define it. Images are tensors or arrays "
        "`(N, C, H, W)`, labels `(N,)`, or `(N, K)` where a case may carry several of K. "
        "The search at the top of the page finds each name."
    )
    yield from ("", "## The names you need first", "")
    yield from ("These can be imported from `medlib` itself: `from medlib import fit`.", "")
    yield from _name_table(_top_names())
    yield ""
    for group in GROUPS:
        there = f"{{doc}}`Signatures and descriptions </{DOCUMENT}-{group.slug}>`"
        yield from (f"## {group.title}", "", f"{group.promise} {there}.", "")
        yield from (_module_line(name) for name in modules[group.slug] if names_of(name))
        yield ""


def _page(group: Group) -> Iterator[str]:
    """Yield one page of descriptions."""
    yield from (f"# {group.title}", "", group.promise, "")
    for package in (name for name in group.modules if f"medlib.{name}" in exports()):
        yield from _exported(f"medlib.{package}")
    for module in modules_of(group):
        if names_of(module):
            yield from (f"## {module}", "", f"Here: {_links(module)}", "")
            yield from ("```{eval-rst}", *_directives(module), "```", "")


def _exported(package: str) -> Iterator[str]:
    """Yield what a package offers to those who import it, where it is made of several modules."""
    origins = {name: target for name, target in exports()[package].items() if target}
    known = _all_names()
    listed = [known[target] for target in origins.values() if target in known]
    if imports.modules()[package].name == "__init__.py" and listed:
        example = next((each.name for each in listed if not each.constant), listed[0].name)
        yield f"From the package `{package}` itself: `from {package} import {example}`."
        yield from ("", *_name_table(listed), "")


def _directives(module: str) -> Iterator[str]:
    """Yield the reStructuredText that lets autodoc describe one module."""
    yield from (f".. automodule:: {module}", "   :members:", "   :ignore-module-all:")
    yield from ("   :member-order: bysource", "")
    for each in names_of(module):
        if each.constant:
            yield from (f".. py:data:: {each.name}", f"   :module: {module}", "")
            yield from (f"   {each.summary}", "")


def _name_table(names: list[Name]) -> Iterator[str]:
    yield from ("| Name | What it does |", "|---|---|")
    yield from (f"| {each.link} | {_inline(each.summary)} |" for each in names)


def _module_line(module: str) -> str:
    """Return one module of a group: what it holds, and its names."""
    doc = ast.get_docstring(ast.parse(imports.modules()[module].read_text(encoding="utf-8")))
    return f"- `{module}`: {_inline(_first_line(doc or ''))} {_links(module)}"


def _links(module: str) -> str:
    """Return the names of a module, each with a link."""
    return ", ".join(each.link for each in names_of(module))


def _top_names() -> list[Name]:
    """Return the names that ``medlib`` itself exports, in its order."""
    known = _all_names()
    targets = exports()[imports.PACKAGE].values()
    return [known[target] for target in targets if target in known]


@cache
def _all_names() -> dict[str, Name]:
    return {each.target: each for module in imports.modules() for each in names_of(module)}


@cache
def _origin(module: str, name: str) -> str:
    """Follow imports to the module that defines a name; ``""`` for one of another package."""
    tree = ast.parse(imports.modules()[module].read_text(encoding="utf-8"))
    for node in tree.body:
        later = _lazy(node).get(name)
        if later:
            return _origin(later, name)
        if name in _assigned(node) or (isinstance(node, KINDS) and node.name == name):
            return f"{module}.{name}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name and node.module in imports.modules():
                    return _origin(node.module, alias.name)
    return ""


def _lazy(node: ast.stmt) -> dict[str, str]:
    """Return the names that a package imports at first use, with their modules."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
        return {}
    pairs = zip(node.value.keys, node.value.values, strict=True)
    literal = [
        (k.value, v.value) for k, v in pairs if all(isinstance(x, ast.Constant) for x in (k, v))
    ]
    return {name: module for name, module in literal if module in imports.modules()}


def _assigned(node: ast.stmt) -> list[str]:
    """Return the names that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _first_line(docstring: str) -> str:
    """Return the summary of a docstring."""
    return " ".join(docstring.strip().split("\n\n")[0].split())


def _constant_summary(node: ast.stmt, text: str) -> str:
    """Return the comment beside or above a constant, and the names that it lists."""
    lines = text.splitlines()
    beside = _comments(text).get(node.lineno, "")
    above = lines[node.lineno - 2].strip()
    words = beside or (above.lstrip("# ") if above.startswith("#") else "")
    value = node.value
    keys = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [])
    known = bool(keys) and all(isinstance(key, ast.Constant) for key in keys)
    holds = f"Holds {', '.join(f'``{key.value!r}``' for key in keys)}." if known else ""
    sentence = f"{words[0].upper()}{words[1:].rstrip('.')}." if words else ""
    return f"{sentence} {holds}".strip() or "A constant."


@cache
def _comments(text: str) -> dict[int, str]:
    """Return the comments of a source by line: a colour such as "#0069b4" is none."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _inline(text: str) -> str:
    """Return a line of a docstring in Markdown: ``x`` and `x` are both code."""
    return text.replace("``", "`").replace("|", "\\|").replace("*", "\\*")
