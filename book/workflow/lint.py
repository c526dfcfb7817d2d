"""Static checks of chapters and pages: claim ids, bare decimals, figures, and the parts they need.

``python -m book.workflow.lint`` prints ``file:line: message`` for each finding and exits 1 where
there is any. Nothing is executed.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from book.workflow import source
from book.workflow.myst import Block, blocks
from medlib.claims import Claim, ClaimsError, read_claims

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = ("profile", "seed", "device")
LIMITS = "what this does not show"
FIGURE_MODULES = ("plots", "diagrams")

# Directives whose body is text that a reader reads; the body of any other is left alone.
PROSE_DIRECTIVES = {
    "admonition",
    "attention",
    "caution",
    "danger",
    "dropdown",
    "error",
    "hint",
    "important",
    "margin",
    "note",
    "seealso",
    "sidebar",
    "tip",
    "topic",
    "warning",
    "exercise",
    "solution",
    "figure",
    "card",
    "grid",
    "grid-item",
    "grid-item-card",
    "tab-item",
    "proof:theorem",
    "proof:remark",
    "proof:example",
    "proof:definition",
}
DECIMAL = re.compile(r"(?<![\w.,/-])[-\N{MINUS SIGN}]?(?:\d+\.\d+|\.\d+)(?![\w]|\.\d)")
NOT_RUNNING = re.compile(
    r"(?P<fence>`+).*?(?P=fence)|\$\$.*?\$\$|\$(?!\s)[^$\n]*\$|\]\([^)]*\)|<[^>\n]+>", re.DOTALL
)
NAMED_NUMBER = re.compile(
    r"\b(?:[Cc]hapters?|[Ss]ections?|[Pp]arts?|[Ff]igures?|[Tt]ables?|[Vv]ersions?|CC[ -]BY|"
    r"Python|PyTorch|torch)\s+$"
)
CLAIM_ROLE = re.compile(r"\{claim\}`([^`]*)`")
MEASURED_ROLE = re.compile(r"\{measured\}`([^`]*)`")
PICTURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(")
FILE_NAME = re.compile(r"\S+\.(png|jpe?g|svg|webp|gif)\b", re.IGNORECASE)
SAID_ANYWAY = re.compile(
    r"(an? |the )?(image|picture|figure|graphic|photo)s? (of|show)", re.IGNORECASE
)
LEAST_WORDS = 5  # of an alt text; fewer name a picture, and do not say what is to be seen
REPEATED = 0.9  # share of an alt text's words that its caption holds too


@dataclass(frozen=True, order=True)
class Finding:
    """One finding: where it is and what is wrong."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Cell:
    """A cell and the line of its file on which its text begins, from 1."""

    node: NotebookNode
    line: int

    @property
    def text(self) -> str:
        """The cell's source."""
        return self.node.source

    def line_of(self, position: int) -> int:
        """Return the line of a position in the cell's text."""
        return self.line + self.text.count("\n", 0, position)


def lint(root: Path = ROOT) -> list[Finding]:
    """Check every chapter and page of a checkout.

    Parameters
    ----------
    root : Path
        The checkout: the folder that holds ``notebooks/`` and ``book/``.

    Returns
    -------
    list of Finding
        In the order of files and lines; paths are relative to `root`.
    """
    file = root / "book" / "claims.yml"
    try:
        claims = dict(read_claims(file))
    except ClaimsError as error:
        message = str(error).removeprefix(f"{file}: ").removeprefix(f"{file} ")
        return [Finding(file.relative_to(root), 1, message)]
    found: list[Finding] = []
    recorded: set[str] = set()
    for path in sorted((root / "notebooks").glob("*.md")):
        cells = read_cells(path)
        recorded |= {key for key, _ in _record_calls(cells) if key}
        found += _located(path, root, check_chapter(path.stem, cells, claims))
    for path in sorted((root / "book").glob("*.md")):
        text = path.read_text("utf-8")
        found += _located(path, root, _check_roles(text, 1, claims))
        found += _located(path, root, _check_comments(text, 1))
        found += _located(path, root, _check_pictures(text, 1))
    found += _located(file, root, _unrecorded(root, file, claims, recorded))
    return sorted(found)


def check_chapter(
    stem: str, cells: list[Cell], claims: dict[str, Claim]
) -> Iterator[tuple[int, str]]:
    """Yield (line, message) for each finding in one chapter."""
    yield from _check_records(stem, cells, claims)
    for cell in cells:
        if cell.node.cell_type == "markdown":
            yield from _check_roles(cell.text, cell.line, claims)
            yield from _check_comments(cell.text, cell.line)
            yield from _check_pictures(cell.text, cell.line)
        else:
            yield from _check_figure_cell(cell)
    yield from check_decimals(cells)
    yield from _check_parts(stem, cells, claims)


def read_cells(path: Path) -> list[Cell]:
    """Read a chapter's cells and find the lines on which they begin."""
    text = path.read_text(encoding="utf-8")
    cells, at = [], 0
    for node in source.read(path).cells:
        found = text.find(node.source, at) if node.source else at
        start = found if found >= 0 else at
        cells.append(Cell(node, text.count("\n", 0, start) + 1))
        at = start + len(node.source) if found >= 0 else at
    return cells


def check_decimals(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    """Yield each bare decimal in a paragraph of a cell tagged ``results``.

    Exempt are code, mathematics, tables, roles and links, numbers of chapters and versions, and
    values that stand as literals in the chapter's code: its parameters.
    """
    parameters = set(_literals(cells))
    for cell in cells:
        if cell.node.cell_type != "markdown" or not source.tagged(cell.node, "results"):
            continue
        for line, text in _paragraphs(cell.text, cell.line):
            for match in DECIMAL.finditer(text):
                number = match.group().replace("\N{MINUS SIGN}", "-")
                named = NAMED_NUMBER.search(text[: match.start()])
                if not named and abs(float(number)) not in parameters:
                    yield (
                        line + text.count("\n", 0, match.start()),
                        f"bare decimal {match.group()} in a results paragraph: record it as a "
                        f"claim and show it with {{claim}}`id`",
                    )


def main() -> int:
    """Print the findings; 1 where there are any."""
    findings = lint()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def _located(path: Path, root: Path, found: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    for line, message in found:
        yield Finding(path.relative_to(root), line, message)


def _check_records(
    stem: str, cells: list[Cell], claims: dict[str, Claim]
) -> Iterator[tuple[int, str]]:
    """Match the ids that a chapter records against claims.yml."""
    for key, line in _record_calls(cells):
        if key is None:
            yield line, "record needs its claim id as a literal: record('my-claim', ...)"
        elif key not in claims:
            yield line, f"claim {key!r} is recorded, but book/claims.yml does not hold it"
        elif claims[key].chapter != stem:
            yield line, f"claim {key!r} belongs to chapter {claims[key].chapter}"


def _record_calls(cells: list[Cell]) -> Iterator[tuple[str | None, int]]:
    """Yield (id, line) of every call of ``record``; None for an id that is no literal."""
    for cell, tree in _trees(cells):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) == "record":
                first = node.args[0] if node.args else None
                literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
                yield (first.value if literal else None), cell.line + node.lineno - 1


def _unrecorded(
    root: Path, file: Path, claims: dict[str, Claim], recorded: set[str]
) -> Iterator[tuple[int, str]]:
    lines = file.read_text("utf-8").splitlines()
    for key, claim in claims.items():
        pattern = re.compile(rf"\s*-?\s*(?:\{{\s*)?id:\s*['\"]?{re.escape(key)}\b(?!-)")
        line = next((i for i, text in enumerate(lines, 1) if pattern.match(text)), 1)
        if not (root / "notebooks" / f"{claim.chapter}.md").is_file():
            yield line, f"claim {key!r} names chapter {claim.chapter}, which does not exist"
        elif key not in recorded:
            yield line, f"claim {key!r} is never recorded in notebooks/{claim.chapter}.md"


def _check_roles(text: str, line: int, claims: dict[str, Claim]) -> Iterator[tuple[int, str]]:
    """Match the ids that a text shows against claims.yml."""
    for match in CLAIM_ROLE.finditer(_without_literal_blocks(text)):
        words = match.group(1).split()
        at = line + text.count("\n", 0, match.start())
        if not words or words[1:] not in ([], ["value"]):
            yield at, f"write {{claim}}`id` or {{claim}}`id value`, got {match.group()}"
        elif words[0] not in claims:
            yield at, f"claim {words[0]!r} is shown, but book/claims.yml does not hold it"
    for match in MEASURED_ROLE.finditer(_without_literal_blocks(text)):
        if len(match.group(1).split()) != 2:
            at = line + text.count("\n", 0, match.start())
            yield at, f"write {{measured}}`chapter key`, got {match.group()}"


def _check_comments(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Yield each line that begins with a percent sign: a comment to MyST, so no reader sees it."""
    for number, content in enumerate(_without_literal_blocks(text).split("\n")):
        if content.startswith("%"):
            yield line + number, "begins with % and would not be shown: break the line elsewhere"


def _without_literal_blocks(text: str) -> str:
    """Blank out literal blocks and double-backtick spans, where a role is only quoted."""
    for position, block in _positions(text):
        if block.kind == "literal":
            end = position + len(block.text)
            text = text[:position] + _blank(block.text) + text[end:]
    return re.sub(r"(`{2,})(?!`).*?(?<!`)\1(?!`)", lambda m: _blank(m.group()), text)


def _positions(text: str) -> Iterator[tuple[int, Block]]:
    """Yield (position in the text, block)."""
    at = 0
    for block in blocks(text):
        at = max(text.find(block.text, at), at) if block.text else at
        yield at, block
        at += len(block.text)


def _blank(text: str) -> str:
    """Replace all but the line ends, so that what follows keeps its line."""
    return re.sub(r"[^\n]", " ", text)


def _check_pictures(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Find pictures whose alt text says nothing, and figures without a caption."""
    for match in PICTURE.finditer(_without_literal_blocks(text)):
        at = line + text.count("\n", 0, match.start())
        if not match["alt"].strip():
            yield at, "picture without alt text: ![what it shows](...)"
        elif fault := _alt_fault(match["alt"]):
            yield at, f"picture: {fault}"
    for at, block in _all_blocks(text, line):
        directive = block.directive
        if directive is None or directive.name not in {"figure", "image"}:
            continue
        what = f"{directive.name} {directive.argument}"
        alt = directive.options.get("alt", "").strip()
        if not alt:
            yield at, f"{what} has no :alt: text"
        elif fault := _alt_fault(alt, directive.body):
            yield at, f"{what}: {fault}"
        if directive.name == "figure" and not directive.body.strip():
            yield at, f"{what} has no caption"


def _check_figure_cell(cell: Cell) -> Iterator[tuple[int, str]]:
    """Find code cells that draw a figure without name, caption or alt text."""
    settings = cell.node.metadata.get("mystnb", {})
    figure, image = settings.get("figure") or {}, settings.get("image") or {}
    if not (figure or image or _draws(cell)):
        return
    wanted = (("figure", "name", figure), ("figure", "caption", figure), ("image", "alt", image))
    missing = [
        (group, key) for group, key, entry in wanted if not str(entry.get(key) or "").strip()
    ]
    for group, key in missing:
        yield cell.line, f"figure cell without mystnb: {group}: {key}"
    if ("image", "alt") not in missing:
        fault = _alt_fault(str(image["alt"]), str(figure.get("caption", "")))
        if fault:
            yield cell.line, f"figure cell: {fault}"


def _alt_fault(alt: str, caption: str = "") -> str:
    """Say why an alt text tells nothing to a reader who does not see the picture; else be empty."""
    words, known = (set(re.findall(r"\w+", each.lower())) for each in (alt, caption))
    if FILE_NAME.search(alt):
        return f"the alt text {alt!r} is a file name: say what is to be seen"
    if SAID_ANYWAY.match(alt.strip()):
        return (
            "the alt text begins with what screen readers say anyway: begin with what is to be seen"
        )
    if len(re.findall(r"\w+", alt)) < LEAST_WORDS:
        return f"the alt text {alt!r} is too short: say what is to be seen"
    if words and len(words & known) >= REPEATED * len(words):
        return "the alt text repeats the caption: say what is to be seen"
    return ""


def _draws(cell: Cell) -> bool:
    """Tell whether a cell calls a drawing function of medlib as a statement of its own."""
    return any(
        isinstance(node, ast.Expr | ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and _name(node.value.func.value) in FIGURE_MODULES
        and node.value.func.attr != "set_theme"
        for _, tree in _trees([cell])
        for node in tree.body
    )


def _check_parts(
    stem: str, cells: list[Cell], claims: dict[str, Claim]
) -> Iterator[tuple[int, str]]:
    """Find what every chapter has and this one lacks."""
    yield from _check_parameters(cells)
    text = [cell.text for cell in cells if cell.node.cell_type == "markdown"]
    headings = [h.strip().lower() for part in text for h in re.findall(r"^#+ +(.*)$", part, re.M)]
    directives = {
        block.directive.name
        for part in text
        for _, block in _all_blocks(part, 1)
        if block.directive is not None
    }
    if LIMITS not in headings:
        yield 1, "no section 'What this does not show'"
    for name in ("exercise", "solution"):
        if not {name, f"{name}-start"} & directives:
            yield 1, f"no {name}: every chapter has an exercise with a hidden solution"
    if not any(cell.node.metadata.get("mystnb", {}).get("figure") for cell in cells):
        yield 1, "no figure: a code cell with mystnb: figure: {name, caption}"
    if not any(claim.chapter == stem for claim in claims.values()):
        yield 1, "no claim in book/claims.yml names this chapter"


def _check_parameters(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    code = [cell for cell in cells if cell.node.cell_type == "code"]
    if not code or not source.tagged(code[0].node, "parameters"):
        line = code[0].line if code else 1
        yield line, "the first code cell must be tagged parameters: profile, seed, device"
        return
    names = {
        target.id
        for _, tree in _trees(code[:1])
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name in PARAMETERS:
        if name not in names:
            yield code[0].line, f"the parameters cell does not set {name}"


def _trees(cells: list[Cell]) -> Iterator[tuple[Cell, ast.Module]]:
    """Yield the code cells that parse; a chapter that does not parse fails when it is executed."""
    for cell in cells:
        if cell.node.cell_type == "code":
            try:
                yield cell, ast.parse(source.plain_python(cell.text))
            except SyntaxError:
                continue


def _literals(cells: list[Cell]) -> Iterator[float]:
    for _, tree in _trees(cells):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                yield abs(float(node.value))


def _name(node: ast.expr) -> str:
    """Return the last part of a dotted name."""
    return getattr(node, "attr", "") or getattr(node, "id", "")


def _all_blocks(text: str, line: int) -> Iterator[tuple[int, Block]]:
    """Yield (line, block) at any depth of nested directives."""
    for position, block in _positions(text):
        at = line + text.count("\n", 0, position)
        yield at, block
        if block.directive is not None:
            yield from _all_blocks(block.directive.body, at + _body_offset(block))


def _paragraphs(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of the paragraphs, with all that is exempt blanked out."""
    for position, block in _positions(text):
        at = line + text.count("\n", 0, position)
        if block.kind in {"text", "definitions"}:
            yield at, _prose(block.text)
        elif block.directive is not None and block.directive.name in PROSE_DIRECTIVES:
            yield from _paragraphs(block.directive.body, at + _body_offset(block))


def _body_offset(block: Block) -> int:
    """Return how many lines below its first line a directive's body begins."""
    body = block.directive.body if block.directive else ""
    return block.text.count("\n", 0, max(block.text.find(body), 0)) if body else 0


def _prose(text: str) -> str:
    """Blank out inline code, roles, formulas, links, headings and the rows of tables."""
    lines = ("" if re.match(r"\s*(\||#|\+-)", line) else line for line in text.split("\n"))
    return NOT_RUNNING.sub(lambda m: _blank(m.group()), "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
