"""MyST text as plain Markdown that reads well on Colab and GitHub: directives, captions, labels."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from book.workflow import chapters, claim_tables
from book.workflow.compendium import Compendium, Target
from book.workflow.inline import Inline
from book.workflow.myst import Block, Directive, blocks
from medlib.errors import MedlibError

ADMONITIONS = {
    "note": "Note",
    "tip": "Tip",
    "hint": "Hint",
    "important": "Important",
    "attention": "Attention",
    "caution": "Caution",
    "warning": "Warning",
    "danger": "Danger",
    "error": "Error",
    "seealso": "See also",
    "admonition": "",
    "dropdown": "",
    "topic": "",
    "sidebar": "",
    "margin": "",
    "epigraph": "",
    "pull-quote": "",
    "card": "",
    "grid-item-card": "",
    "tab-item": "",
}
TRANSPARENT = ("div", "container", "tab-set", "grid", "grid-item", "card-carousel", "centered")
DROPPED = ("contents", "toctree", "tableofcontents", "index", "only", "raw", "exercise-end")
HEADING = re.compile(r"#{1,6}\s+(?P<title>.+?)\s*#*")


class Translator:
    """Translates the cells of one page, in order: figures, tables and exercises are counted.

    Parameters
    ----------
    book : Compendium
        The book around the page; its labels are filled on the way.
    document : str
        The page, such as ``notebooks/03-05-resnet``.
    lenient : bool
        Whether unknown directives pass unseen, for pages that are only searched for labels.
    """

    def __init__(self, book: Compendium, document: str, *, lenient: bool = False) -> None:
        self.book = book
        self.document = document
        self.lenient = lenient
        self.inline = Inline(book, document)
        self.counts: Counter[str] = Counter()
        self.pending: list[str] = []
        self.heading = ""
        self.directives: dict[str, Callable[[Directive], str]] = {
            "figure": self._figure,
            "image": lambda d: self._picture(d),
            "table": self._table,
            "list-table": self._list_table,
            "math": lambda d: self._formula(d.body, d.label),
            "code": self._code,
            "code-block": self._code,
            "exercise": self._exercise,
            "exercise-start": self._exercise_start,
            "solution": self._solution,
            "solution-start": self._solution_start,
            "solution-end": lambda _: "---",
            "bibliography": lambda _: self._references(),
            "claims-table": self._claims_table,
            "results-table": self._results_table,
        }

    def markdown(self, text: str) -> str:
        """Return the text of a Markdown cell in plain Markdown; empty where nothing is left."""
        body = self._body(text)
        return re.sub(r"\n{3,}", "\n\n", body).strip("\n")

    def caption(self, kind: str, text: str, label: str = "") -> str:
        """Count a figure, table or listing and return its caption, in italics, on one line."""
        target = self._count(kind, label, text)
        first, _, legend = text.strip().partition("\n\n")
        line = f"{target.name}: {self.inline(' '.join(first.split()))}"
        mark = next((each for each in ("*", "_") if each not in line), "")
        return f"{mark}{line}{mark}\n\n{self._body(legend)}".rstrip()

    def cell_caption(self, metadata: dict[str, Any]) -> str:
        """Return the caption that a code cell's options give its figure, or nothing."""
        figure = metadata.get("mystnb", {}).get("figure", {})
        if not figure.get("caption"):
            return ""
        return self.caption("figure", figure["caption"], figure.get("name", ""))

    def _body(self, text: str) -> str:
        return "\n".join(self._block(block) for block in blocks(text) if block.kind != "nothing")

    def _block(self, block: Block) -> str:
        if block.kind == "target":
            self.pending.append(block.text)
            return ""
        if block.kind == "text":
            return self._text(block.text)
        if block.kind == "definitions":
            return self._definitions(block.text)
        if block.kind == "math":
            return block.place(self._formula(block.text, block.label))
        if block.kind == "directive":
            return block.place(self._directive(block.directive))
        return block.text

    def _text(self, text: str) -> str:
        if not text.strip():
            return text
        match = HEADING.fullmatch(text.split("\n")[0])
        if match:
            self.heading = match["title"]
        self._settle(Target(self.document, "section", title=self.heading))
        return self.inline(text)

    def _settle(self, target: Target) -> None:
        """Let the labels that stood alone point to what follows them."""
        for label in self.pending:
            self.book.labels[label] = target
        self.pending.clear()

    def _count(self, kind: str, label: str, title: str = "") -> Target:
        self.counts[kind] += 1
        front = chapters.document_number(self.document)
        number = f"{front}.{self.counts[kind]}" if front else str(self.counts[kind])
        target = Target(self.document, kind, number, title)
        if label:
            self.book.labels[label] = target
        self._settle(target)
        return target

    def _definitions(self, text: str) -> str:
        """Turn a definition list into bullets: neither Colab nor GitHub knows such lists."""
        lines = []
        for line in self.inline(text.strip("\n")).split("\n"):
            if line.startswith(": "):
                lines.append(f"  {line[2:]}")
            else:
                term = bool(line) and not line.startswith(" ")
                lines.append(f"- **{line}**:" if term else line)
        return "\n".join(lines) + "\n"

    def _formula(self, body: str, label: str) -> str:
        if not label:
            return f"$$\n{body.strip()}\n$$"
        number = self._count("equation", label).number
        return f"$$\n{body.strip()} \\tag{{{number}}}\n$$"

    def _directive(self, directive: Directive) -> str:
        name = directive.name
        if name in self.directives:
            return self.directives[name](directive)
        if name in ADMONITIONS:
            return self._admonition(directive)
        if name.startswith(("prf:", "proof:")):
            return self._numbered_quote(name.partition(":")[2], directive)
        if name in DROPPED:
            return ""
        if name in TRANSPARENT or self.lenient:
            return self._body(directive.body)
        raise MedlibError(
            f"the Colab copies do not know the directive {{{name}}}: add it to {__name__}"
        )

    def _admonition(self, directive: Directive) -> str:
        usual = ADMONITIONS[directive.name]
        if usual and directive.argument:  # a known kind takes its first words as text, not as title
            directive = Directive(
                directive.name,
                "",
                directive.options,
                f"{directive.argument}\n{directive.body}",
            )
        title = usual or self.inline(directive.argument)
        if directive.label:
            self.book.labels[directive.label] = Target(self.document, "section", title=title)
        self._settle(Target(self.document, "section", title=title))
        return _quote(title, self._body(directive.body))

    def _numbered_quote(self, kind: str, directive: Directive) -> str:
        target = self._count(kind, directive.label, directive.argument)
        title = self.inline(directive.argument)
        return _quote(f"{target.name}{f' ({title})' if title else ''}", self._body(directive.body))

    def _picture(self, directive: Directive) -> str:
        source = self.book.raw(directive.argument, self.document)
        return f"![{directive.options.get('alt', '')}]({source})"

    def _figure(self, directive: Directive) -> str:
        if not directive.body:
            return self._picture(directive)
        caption = self.caption("figure", directive.body, directive.label)
        return f"{self._picture(directive)}\n\n{caption}"

    def _table(self, directive: Directive) -> str:
        if not directive.argument:
            return self._body(directive.body)
        caption = self.caption("table", directive.argument, directive.label)
        return f"{caption}\n\n{self._body(directive.body)}"

    def _list_table(self, directive: Directive) -> str:
        rows = [[self.inline(cell) for cell in row] for row in _rows(directive.body)]
        if directive.options.get("header-rows", "0") in {"", "0"}:
            rows.insert(0, [""] * len(rows[0]))
        rows.insert(1, ["---"] * len(rows[0]))
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        if not directive.argument:
            return lines
        return f"{self.caption('table', directive.argument, directive.label)}\n\n{lines}"

    def _code(self, directive: Directive) -> str:
        code = f"```{directive.argument}\n{directive.body}\n```"
        if "caption" not in directive.options:
            return code
        return f"{code}\n\n{self.caption('listing', directive.options['caption'], directive.label)}"

    def _exercise(self, directive: Directive) -> str:
        return _quote(self._exercise_title(directive), self._body(directive.body))

    def _exercise_start(self, directive: Directive) -> str:
        return f"**{self._exercise_title(directive)}**"

    def _exercise_title(self, directive: Directive) -> str:
        target = self._count("exercise", directive.label, directive.argument)
        title = self.inline(directive.argument)
        return f"{target.name}{f': {title}' if title else ''}"

    def _solution(self, directive: Directive) -> str:
        summary = f"<summary><b>{self._solution_title(directive)}</b></summary>"
        return f"<details>\n{summary}\n\n{self._body(directive.body)}\n\n</details>"

    def _solution_start(self, directive: Directive) -> str:
        return f"**{self._solution_title(directive)}**"

    def _solution_title(self, directive: Directive) -> str:
        if directive.label:
            self.book.labels[directive.label] = Target(self.document, "section", title="Solution")
        return f"Solution of {self.book.target(directive.argument).name}"

    def _references(self) -> str:
        """List what the page cites, where its source asks for a bibliography."""
        found = [self.book.bibliography.citation(key) for key in sorted(self.inline.cited)]
        return "\n".join(f"- {each.entry}" for each in found)

    def _claims_table(self, directive: Directive) -> str:
        chapter = directive.argument or self.document.rsplit("/", 1)[-1]
        return self._captioned(directive, claim_tables.claims_table(self.book, chapter))

    def _results_table(self, directive: Directive) -> str:
        options = directive.options
        text = claim_tables.results_table(
            self.book, options.get("metric", "auc"), options.get("data")
        )
        return self._captioned(directive, text)

    def _captioned(self, directive: Directive, table: str) -> str:
        caption = directive.options.get("caption", "")
        return f"{self.caption('table', caption, directive.label)}\n\n{table}" if caption else table


def _quote(title: str, body: str) -> str:
    """Return a quotation with a bold title."""
    lines = [f"**{title}**", ""] if title else []
    lines += body.strip("\n").split("\n")
    return "\n".join(f"> {line}".rstrip() for line in "\n".join(lines).strip("\n").split("\n"))


def _rows(body: str) -> list[list[str]]:
    """Read the rows of a ``list-table``: a list of lists."""
    rows: list[list[str]] = []
    for line in body.split("\n"):
        row, cell = re.match(r"\* - ?(.*)", line), re.match(r"  - ?(.*)", line)
        if row:
            rows.append([row[1]])
        elif cell and rows:
            rows[-1].append(cell[1])
        elif line.strip() and rows:
            rows[-1][-1] += f" {line.strip()}"
    return rows
