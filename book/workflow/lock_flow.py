"""Following test scores through a chapter: none may flow into what trains, tunes or chooses.

The code is walked in its order, without running it. What `evaluate_once` and its kin return is
marked; so is whatever is computed from it, kept in it, or done because of it (in a branch that a
test score decides, or after one has ended a loop). A marked value that reaches a call which trains
or chooses is a finding. Functions and lambdas of the file are followed with the marks of each call.

The rule is simple on purpose. It does not follow two names of one list, and it takes a container
that holds one marked value for marked as a whole.
"""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from book.workflow.lock_names import Unit

SINK = re.compile(
    r"fit|partial_fit|fit_\w+|refit\w*|train_\w+|fine_?tune\w*|tune\w*|choose\w*|select_\w+|select"
    r"|pick_\w+|calibrate\w*|best_\w+|find_best\w*|find_threshold\w*|optimal_\w+|optimi[sz]e\w*"
    r"|youden\w*|operating_point\w*|threshold_at\w*|GridSearchCV|RandomizedSearchCV|cross_val\w*"
    r"|early_stop\w*|Recipe|recipe|capped|backward"
)
NO_SINK = {"select_dtypes"}
SOURCE_NAMES = {
    *(
        "evaluate_once",
        "evaluate_masks_once",
        "evaluate_folds",
        "evaluate_audit",
        "read_scores",
        "shown",
    ),
    "long_scores",
}
MUTATORS = {
    *("append", "extend", "insert", "add", "update", "setdefault", "appendleft", "extendleft"),
    *("push", "put", "fill", "__setitem__", "setattr", "heappush", "copyto"),
}
# what says nothing of how well a model did
CLEAN_ATTRIBUTES = {"model_id", "seed", "variant", "filename", "published", "synthetic", "shape"}
CLEAN_CALLS = {"len", "type", "isinstance", "print", "id", "hasattr"}
DEPTH = 6


@dataclass(frozen=True)
class Origin:
    """Where a marked value came from."""

    line: int
    name: str


Mark = Origin | tuple | None  # a tuple keeps the marks of its elements apart


@dataclass(frozen=True)
class Leak:
    """A marked value in a call that trains or chooses."""

    line: int
    sink: str
    origin: Origin


def joined(*marks: Mark) -> Origin | None:
    """Return the first mark there is, also inside tuples."""
    for mark in marks:
        found = joined(*mark) if isinstance(mark, tuple) else mark
        if found:
            return found
    return None


def merged(a: Mark, b: Mark) -> Mark:
    """Join two marks, element by element where both are tuples of one length."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(merged(x, y) for x, y in zip(a, b, strict=True))
    if a is None or b is None:
        return b if a is None else a
    return joined(a, b)


@dataclass
class Scope:
    """Marks of the names of a function or of the file, and the functions known by name."""

    marks: dict[str, Mark] = field(default_factory=dict)
    functions: dict[str, ast.AST] = field(default_factory=dict)
    parent: "Scope | None" = None
    outer: set[str] = field(default_factory=set)

    def home(self, name: str) -> "Scope":
        """Return the scope that holds a name; this one where none does."""
        scope = self.parent if name in self.outer else self
        while scope and scope.parent and name not in scope.marks:
            scope = scope.parent
        return scope if scope and name in scope.marks else self

    def get(self, name: str) -> Mark:
        """Return the mark of a name."""
        return self.home(name).marks.get(name)

    def function(self, name: str) -> ast.AST | None:
        """Return a function of the file by name."""
        found = self.functions.get(name)
        return found or (self.parent.function(name) if self.parent else None)

    def copy(self) -> "Scope":
        """Return a copy for one branch; outer scopes are shared."""
        return Scope(dict(self.marks), dict(self.functions), self.parent, set(self.outer))

    def absorb(self, *branches: "Scope") -> None:
        """Take over what any of the branches marked."""
        for name in {name for branch in branches for name in branch.marks}:
            found: Mark = branches[0].marks.get(name)
            for branch in branches[1:]:
                found = merged(found, branch.marks.get(name))
            self.marks[name] = found
        for branch in branches:
            self.functions |= branch.functions


class Flow:
    """The walk through one file."""

    def __init__(self, unit: Unit, is_source: Callable[[str], bool]) -> None:
        self.unit, self.is_source = unit, is_source
        self.leaks: dict[tuple[int, str], Leak] = {}
        self.methods: dict[str, list[ast.AST]] = {}
        self.because: list[Origin] = []  # marked conditions that the current code depends on
        self.returned: list[list[Mark]] = []
        self.active: list[int] = []

    def run(self) -> list[Leak]:
        """Walk the file's statements, then every function once on its own."""
        if not self._has_source():
            return []
        top = Scope()
        for node in ast.walk(self.unit.tree):
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        self.methods.setdefault(inner.name, []).append(inner)
        self.block(self.unit.tree.body, top)
        for node in ast.walk(self.unit.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.enter(node, [], {}, top)
        return sorted(self.leaks.values(), key=lambda leak: (leak.line, leak.sink))

    def _has_source(self) -> bool:
        """Tell whether the file names anything that gives test scores; most do not."""
        kinds = ast.Name | ast.Attribute | ast.Call | ast.Subscript
        nodes = [node for node in ast.walk(self.unit.tree) if isinstance(node, kinds)]
        return any(last_name(node) in SOURCE_NAMES for node in nodes) or any(
            self.is_source(path) for node in nodes for path in self.unit.resolve(node)
        )

    # ------------------------------------------------------------ statements

    def block(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        """Walk statements; after one that may leave because of a mark, the rest depends on it."""
        depth = len(self.because)
        for statement in body:
            self.statement(statement, scope)
            reason = self._leaves(statement, scope)
            if reason:
                self.because.append(reason)
        del self.because[depth:]

    def _leaves(self, statement: ast.stmt, scope: Scope) -> Origin | None:
        """Return the mark of a condition under which the statement leaves its block early."""
        ends = ast.Break | ast.Continue | ast.Return
        if isinstance(statement, ast.If) and any(isinstance(n, ends) for n in ast.walk(statement)):
            return joined(self.value(statement.test, scope))
        return None

    def statement(self, node: ast.stmt, scope: Scope) -> None:
        """Walk one statement."""
        handler = getattr(self, f"_on_{type(node).__name__}", None)
        if handler:
            handler(node, scope)
        else:
            self._parts(node, scope)

    def _parts(self, node: ast.AST, scope: Scope) -> Mark:
        return joined(
            *(self.value(c, scope) for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr))
        )

    def _on_Assign(self, node: ast.Assign, scope: Scope) -> None:
        mark = self.value(node.value, scope)
        for target in node.targets:
            self.bind(target, mark, scope)
            if isinstance(target, ast.Name):
                self._remember(target.id, node.value, scope)

    def _on_AnnAssign(self, node: ast.AnnAssign, scope: Scope) -> None:
        if node.value is not None:
            self.bind(node.target, self.value(node.value, scope), scope)

    def _on_AugAssign(self, node: ast.AugAssign, scope: Scope) -> None:
        mark = joined(self.value(node.value, scope), self.value(node.target, scope))
        self.bind(node.target, mark, scope)

    def _remember(self, name: str, value: ast.expr, scope: Scope) -> None:
        """Keep a lambda or a function's second name."""
        known = scope.function(value.id) if isinstance(value, ast.Name) else None
        if isinstance(value, ast.Lambda) or known:
            scope.functions[name] = known or value

    def _on_FunctionDef(self, node: ast.FunctionDef, scope: Scope) -> None:
        scope.functions[node.name] = node
        for default in (*node.args.defaults, *node.args.kw_defaults, *node.decorator_list):
            self.value(default, scope)

    _on_AsyncFunctionDef = _on_FunctionDef

    def _on_ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:
        scope.functions[node.name] = node
        self.block([s for s in node.body if not isinstance(s, ast.FunctionDef)], scope)

    def _on_Return(self, node: ast.Return, scope: Scope) -> None:
        mark = self.value(node.value, scope)
        if self.returned:
            self.returned[-1].append(mark if not self.because else joined(mark, *self.because))

    def _on_If(self, node: ast.If, scope: Scope) -> None:
        yes, no = scope.copy(), scope.copy()
        with_reason = joined(self.value(node.test, scope))
        self._because(with_reason, node.body, yes)
        self._because(with_reason, node.orelse, no)
        scope.absorb(yes, no)

    def _because(self, reason: Origin | None, body: list[ast.stmt], scope: Scope) -> None:
        self.because += [reason] if reason else []
        self.block(body, scope)
        if reason:
            self.because.pop()

    def _on_While(self, node: ast.While, scope: Scope) -> None:
        self._loop(node, lambda inside: joined(self.value(node.test, inside)), scope)

    def _on_For(self, node: ast.For, scope: Scope) -> None:
        def start(inside: Scope) -> None:
            self.bind(node.target, self.element(node.iter, inside), inside)

        self._loop(node, start, scope)

    _on_AsyncFor = _on_For

    def _loop(
        self,
        node: ast.For | ast.While,
        start: Callable[[Scope], Origin | None],
        scope: Scope,
    ) -> None:
        """Walk a loop's body twice: the second round sees what the first one left behind."""
        inside, left = scope.copy(), None
        for _ in range(2):
            reason = joined(start(inside), left)
            self._because(reason, node.body, inside)
            left = joined(*(self._ends_loop(node, inside)))
        self.block(node.orelse, inside)
        scope.absorb(scope.copy(), inside)

    def _ends_loop(self, node: ast.AST, scope: Scope) -> Iterable[Mark]:
        """Yield the marks of conditions that decide whether the loop goes on."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.If) and any(
                isinstance(n, ast.Break | ast.Return) for n in ast.walk(inner)
            ):
                yield self.value(inner.test, scope)

    def _on_With(self, node: ast.With, scope: Scope) -> None:
        for item in node.items:
            mark = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, mark, scope)
        self.block(node.body, scope)

    _on_AsyncWith = _on_With

    def _on_Try(self, node: ast.Try, scope: Scope) -> None:
        self.block(node.body, scope)
        for handler in node.handlers:
            branch = scope.copy()
            self.block(handler.body, branch)
            scope.absorb(scope.copy(), branch)
        self.block(node.orelse, scope)
        self.block(node.finalbody, scope)

    def _on_Match(self, node: ast.Match, scope: Scope) -> None:
        reason = joined(self.value(node.subject, scope))
        branches = [scope.copy()]
        for case in node.cases:
            branch = scope.copy()
            for inner in ast.walk(case.pattern):
                name = getattr(inner, "name", None) or getattr(inner, "rest", None)
                if isinstance(name, str):
                    branch.marks[name] = reason
            self._because(reason, case.body, branch)
            branches.append(branch)
        scope.absorb(*branches)

    def _on_Global(self, node: ast.Global, scope: Scope) -> None:
        scope.outer |= set(node.names)

    _on_Nonlocal = _on_Global

    # ------------------------------------------------------------ names

    def bind(self, target: ast.expr, mark: Mark, scope: Scope) -> None:
        """Give a target its mark; a part of something marks the whole."""
        if self.because:
            mark = joined(mark, *self.because)
        if isinstance(target, ast.Name):
            home = scope.home(target.id) if target.id in scope.outer else scope
            home.marks[target.id] = mark
        elif isinstance(target, ast.Tuple | ast.List):
            same = isinstance(mark, tuple) and len(mark) == len(target.elts)
            for position, part in enumerate(target.elts):
                self.bind(part, mark[position] if same else joined(mark), scope)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, joined(mark), scope)
        elif isinstance(target, ast.Attribute | ast.Subscript):
            key = target.slice if isinstance(target, ast.Subscript) else None
            self.taint(target, joined(mark, self.value(key, scope)), scope)

    def taint(self, node: ast.expr, mark: Origin | None, scope: Scope) -> None:
        """Mark the name that an expression is a part of, where it holds one."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name) and mark:
            home = scope.home(node.id)
            home.marks[node.id] = joined(home.marks.get(node.id), mark)

    # ------------------------------------------------------------ expressions

    def value(self, node: ast.expr | None, scope: Scope) -> Mark:
        """Return the mark of an expression."""
        match node:
            case None | ast.Constant():
                return None
            case ast.Name():
                return scope.get(node.id)
            case ast.Attribute():
                mark = joined(self.value(node.value, scope))
                return None if node.attr in CLEAN_ATTRIBUTES else mark
            case ast.Tuple():
                return tuple(self.value(item, scope) for item in node.elts)
            case ast.Subscript(slice=ast.Constant(value=int(position))):
                mark = self.value(node.value, scope)
                inside = isinstance(mark, tuple) and -len(mark) <= position < len(mark)
                return mark[position] if inside else joined(mark)
            case ast.Call():
                return self.call(node, scope)
            case ast.NamedExpr():
                mark = self.value(node.value, scope)
                self.bind(node.target, mark, scope)
                return mark
            case ast.Lambda():
                return self.value(node.body, Scope(parent=scope))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, scope)
            case ast.IfExp():
                return self._choice(node, scope)
        return self._parts(node, scope)

    def _choice(self, node: ast.IfExp, scope: Scope) -> Mark:
        reason = joined(self.value(node.test, scope))
        self.because += [reason] if reason else []
        mark = merged(self.value(node.body, scope), self.value(node.orelse, scope))
        if reason:
            self.because.pop()
        return joined(reason, mark) if reason else mark

    def _comprehension(self, node: ast.expr, scope: Scope) -> Mark:
        inside, reasons = Scope(parent=scope), []
        for part in node.generators:
            self.bind(part.target, self.element(part.iter, inside), inside)
            reasons += [joined(self.value(test, inside)) for test in part.ifs]
        kept = [reason for reason in reasons if reason]
        self.because += kept
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        mark = joined(*[self.value(part, inside) for part in parts], *kept)
        del self.because[len(self.because) - len(kept) :]
        return mark

    def element(self, node: ast.expr, scope: Scope) -> Mark:
        """Return the mark of what a loop over an expression yields."""
        match node:
            case ast.Call(func=ast.Name(id="zip")):
                return tuple(self.element(part, scope) for part in node.args)
            case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]):
                return (None, self.element(inner, scope))
            case ast.Call(func=ast.Attribute(attr="items", value=inner), args=[]):
                return (None, joined(self.value(inner, scope)))
            case ast.Call(func=ast.Attribute(attr="keys"), args=[]):
                return None
            case ast.List() | ast.Tuple() if node.elts:
                found = self.value(node.elts[0], scope)
                for item in node.elts[1:]:
                    found = merged(found, self.value(item, scope))
                return found
        return joined(self.value(node, scope))

    # ------------------------------------------------------------ calls

    def call(self, node: ast.Call, scope: Scope) -> Mark:
        """Return the mark of a call's result, and note a marked value that reaches a sink."""
        paths, name = self.unit.resolve(node.func), last_name(node.func)
        names = {name, *(path.rsplit(".", 1)[-1] for path in paths)}
        given = [self.value(argument, scope) for argument in node.args]
        keywords = {k.arg: self.value(k.value, scope) for k in node.keywords}
        held = self._receiver(node.func, scope)
        mark = joined(*given, *keywords.values(), held)
        self._check(node, names, joined(mark, *self.because), scope)
        if names & SOURCE_NAMES or any(self.is_source(path) for path in paths):
            return Origin(node.lineno, name or "evaluate_once")
        if name in MUTATORS:  # rows.append(s), list.append(rows, s), setattr(a, "b", s)
            owner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            for one in [*node.args[:1], *owner]:
                self.taint(one, joined(*given, *keywords.values(), *self.because), scope)
        followed = [
            self.enter(target, self._with_self(node, target, held, given), keywords, scope, node)
            for target in self._targets(node.func, scope)
        ]
        self._follow_arguments(node, mark, scope)
        made = isinstance(node.func, ast.Name) and scope.function(node.func.id)
        if (
            followed
            and not isinstance(node.func, ast.Attribute | ast.ClassDef)
            and not isinstance(made, ast.ClassDef)
        ):
            return followed[0] if len(followed) == 1 else joined(*followed)
        return None if name in CLEAN_CALLS else joined(mark, *followed)

    def _receiver(self, func: ast.expr, scope: Scope) -> Mark:
        return joined(self.value(func.value if isinstance(func, ast.Attribute) else func, scope))

    def _check(self, node: ast.Call, names: set[str], mark: Origin | None, scope: Scope) -> None:
        """Note a leak where the call, or a function handed to it, trains or chooses."""
        handed = [*node.args, *(k.value for k in node.keywords)]
        for argument in handed:
            if isinstance(argument, ast.Name | ast.Attribute):
                names = names | self._function_names(argument, scope)
        sinks = sorted(n for n in names if n and SINK.fullmatch(n) and n not in NO_SINK)
        if sinks and mark:
            self.leaks.setdefault((node.lineno, sinks[0]), Leak(node.lineno, sinks[0], mark))

    def _function_names(self, node: ast.Name | ast.Attribute, scope: Scope) -> set[str]:
        """Return the names under which an argument is known as a function, if it is one."""
        known = isinstance(node, ast.Name) and scope.function(node.id)
        paths = {p for p in self.unit.resolve(node) if not p.startswith("builtins.")}
        is_method = isinstance(node, ast.Attribute) and node.attr in {"fit", "partial_fit"}
        own = {last_name(node)} if known or is_method else set()
        return own | {path.rsplit(".", 1)[-1] for path in paths}

    def _targets(self, func: ast.expr, scope: Scope) -> list[ast.AST]:
        """Return the functions of this file that a call may enter."""
        if isinstance(func, ast.Lambda):
            return [func]
        if isinstance(func, ast.Attribute):
            return self.methods.get(func.attr, [])
        found = scope.function(func.id) if isinstance(func, ast.Name) else None
        if isinstance(found, ast.ClassDef):
            return [n for n in found.body if getattr(n, "name", "") == "__init__"]
        return [found] if found else []

    def _with_self(
        self, node: ast.Call, target: ast.AST, held: Mark, given: list[Mark]
    ) -> list[Mark]:
        is_method = any(target in known for known in self.methods.values())
        return [held, *given] if is_method else given

    def _follow_arguments(self, node: ast.Call, mark: Mark, scope: Scope) -> None:
        """Enter functions of the file that are handed to a call together with a marked value."""
        for argument in (*node.args, *(k.value for k in node.keywords)):
            target = scope.function(argument.id) if isinstance(argument, ast.Name) else argument
            if isinstance(target, ast.Lambda | ast.FunctionDef) and joined(mark):
                names = [a.arg for a in parameters(target)]
                self.enter(target, [joined(mark)] * len(names), {}, scope)

    def enter(
        self,
        target: ast.AST,
        given: list[Mark],
        keywords: dict[str | None, Mark],
        scope: Scope,
        call: ast.Call | None = None,
    ) -> Mark:
        """Walk a function with the marks of its arguments; return the mark of its result."""
        if id(target) in self.active or len(self.active) >= DEPTH:
            return joined(*given, *keywords.values())
        inside = Scope(parent=scope)
        self._arguments(target, given, keywords, inside)
        before = dict(inside.marks)
        self.active.append(id(target))
        if isinstance(target, ast.Lambda):
            result = self.value(target.body, inside)
        else:
            result = self._body(target, inside)
        self.active.pop()
        self._hand_back(target, before, inside, call, scope)
        return result

    def _body(self, target: ast.AST, inside: Scope) -> Mark:
        self.returned.append([])
        self.block(target.body, inside)
        marks = self.returned.pop()
        result: Mark = marks[0] if marks else None
        for mark in marks[1:]:
            result = merged(result, mark)
        yields = (n for n in ast.walk(target) if isinstance(n, ast.Yield | ast.YieldFrom))
        found = joined(*(self.value(n.value, inside) for n in yields))
        return joined(result, found) if found else result

    def _arguments(
        self,
        target: ast.AST,
        given: list[Mark],
        keywords: dict[str | None, Mark],
        inside: Scope,
    ) -> None:
        names = [a.arg for a in (*target.args.posonlyargs, *target.args.args)]
        inside.marks |= {a.arg: None for a in parameters(target)}
        for name, mark in zip(names, given, strict=False):
            inside.marks[name] = mark
        if target.args.vararg:
            inside.marks[target.args.vararg.arg] = joined(*given[len(names) :])
        for name, mark in keywords.items():
            known = name in inside.marks or not target.args.kwarg
            key = name if known else target.args.kwarg.arg
            for one in [key] if key else list(inside.marks):  # f(**marked) may be any of them
                inside.marks[one] = merged(inside.marks.get(one), mark)

    def _hand_back(
        self,
        target: ast.AST,
        before: dict[str, Mark],
        inside: Scope,
        call: ast.Call | None,
        scope: Scope,
    ) -> None:
        """Mark the caller's containers that the function put marked values into."""
        names = [a.arg for a in (*target.args.posonlyargs, *target.args.args)]
        written = {
            n.id
            for n in ast.walk(target)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        pairs = list(zip(names, call.args, strict=False)) if call else []
        pairs += [(k.arg, k.value) for k in call.keywords if k.arg] if call else []
        for name, argument in pairs:
            if name not in written and not joined(before.get(name)):
                self.taint(argument, joined(inside.marks.get(name)), scope)


def parameters(target: ast.AST) -> list[ast.arg]:
    """Return all parameters of a function or lambda."""
    args = target.args
    rest = [a for a in (args.vararg, args.kwarg) if a]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *rest]


def last_name(node: ast.expr) -> str:
    """Return the name at the end of ``a.b.name``; empty for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
