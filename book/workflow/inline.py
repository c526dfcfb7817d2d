"""Roles and links inside a line of MyST, as plain Markdown."""

import re
from collections.abc import Callable

from book.workflow.compendium import Compendium
from medlib.claims import format_value
from medlib.errors import MedlibError

NOT_PUBLISHED = "not yet published"
PIECE = re.compile(
    r"(?P<escape>\\.)"
    r"|\{(?P<role>[A-Za-z][\w:.+-]*)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<code>(?P<run>`+)(?!`).+?(?<!`)(?P=run)(?!`))"
    r"|(?P<math>\$\$.+?\$\$|\$[^\s$](?:[^$]*?[^\s$\\])?\$(?!\d))"
    r"|(?P<image>!\[(?P<alt>[^\]]*)\]\()(?P<picture>[^)\s]+)(?P<rest>[^)]*\))(?P<style>\{[^}]*\})?"
    r"|(?P<open>\[\]|\])\((?P<link><[^>\n]*>|[^)\s]+)(?P<tip>\s+\"[^\"]*\")?\)(?P<attrs>\{[^}`]*\})?",
    re.DOTALL,
)
EXPLICIT = re.compile(r"(?P<text>.+?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
CITE = {"": "p", "p": "p", "ps": "p", "t": "t", "ts": "t", "author": "author", "year": "year"}
CODE = ("code", "py", "func", "class", "meth", "mod", "attr", "data", "exc", "obj", "file", "samp")
WRAPPED = {
    "sup": ("<sup>", "</sup>"),
    "sub": ("<sub>", "</sub>"),
    "kbd": ("<kbd>", "</kbd>"),
    "math": ("$", "$"),
    "guilabel": ("**", "**"),
    "strong": ("**", "**"),
    "emphasis": ("*", "*"),
    "abbr": ("", ""),
}


class Inline:
    """Translates running text of one page.

    Parameters
    ----------
    book : Compendium
        The book around the page.
    document : str
        The page, such as ``notebooks/03-05-resnet``.
    """

    def __init__(self, book: Compendium, document: str) -> None:
        self.book = book
        self.document = document
        self.cited: set[str] = set()
        self.roles: dict[str, Callable[[str], str]] = {
            "claim": self._claim,
            "measured": self._measured,
            "ref": self._ref,
            "prf:ref": self._ref,
            "numref": self._numref,
            "eq": self._ref,
            "doc": self._doc,
            "term": self._term,
            "download": self._download,
        }

    def __call__(self, text: str) -> str:
        """Return text with roles, links and pictures made plain; code and formulas stay."""
        return PIECE.sub(self._piece, text)

    def role(self, name: str, content: str) -> str:
        """Return the plain text of one role.

        Raises
        ------
        MedlibError
            For a role that the copies do not know.
        """
        content = " ".join(content.split())
        head, _, tail = name.partition(":")
        if name in self.roles:
            return self.roles[name](content)
        if head == "cite":
            return self._cite(tail, content)
        if name in WRAPPED:
            return content.join(WRAPPED[name])
        if head in CODE:
            return _code(content)
        raise MedlibError(f"the Colab copies do not know the role {{{name}}}: see {__name__}")

    def reference(self, label: str, text: str = "") -> str:
        """Return the name of what a label points to, with a link where that is another page."""
        target = self.book.target(label)
        shown = text or target.name
        if target.document in {self.document, ""}:
            return shown
        prefix = "equation-" if target.kind == "equation" else ""
        return f"[{shown}]({self.book.page(target.document, prefix + _anchor(label))})"

    def _piece(self, match: re.Match[str]) -> str:
        if match["role"]:
            return self.role(match["role"], match["content"])
        if match["image"]:
            source = self.book.raw(match["picture"], self.document)
            return f"{match['image']}{source}{match['rest']}"
        if match["link"]:
            return self._link(match)
        return match[0]

    def _link(self, match: re.Match[str]) -> str:
        """Rewrite the target of ``[text](target)``; with an empty text, name what it points to."""
        target, _, anchor = match["link"].strip("<>").partition("#")
        empty, tip = match["open"] == "[]", match["tip"] or ""
        if not target and anchor in self.book.labels and empty:
            return self.reference(anchor)
        if target in self.book.labels and empty:
            return self.reference(target)
        address = self._address(target, anchor)
        title = f"[{self._title_of(target)}]" if empty else "]"
        return f"{title}({address}{tip})"

    def _address(self, target: str, anchor: str) -> str:
        """Return the address that a link's target stands for."""
        tail = f"#{anchor}" if anchor else ""
        if re.match(r"[a-z]+:", target):
            return target + tail
        found = self.book.labels.get(target or anchor)
        if found:
            return self.book.page(found.document, _anchor(target or anchor))
        if not target:
            return self.book.page(self.document, anchor)
        if target.endswith((".md", ".ipynb")):
            return self.book.page(self.book.document(target, self.document), anchor)
        return self.book.raw(target, self.document)

    def _title_of(self, target: str) -> str:
        if target.endswith((".md", ".ipynb")):
            return self.book.titles[self.book.document(target, self.document)]
        return target

    def _cite(self, style: str, content: str) -> str:
        if style.rstrip("*") not in CITE:
            raise MedlibError(f"the Colab copies do not know the role {{cite:{style}}}")
        style = CITE[style.rstrip("*")]
        keys = [key.strip() for key in content.split(",")]
        self.cited.update(keys)
        found = [self.book.bibliography.citation(key).cited(style) for key in keys]
        return f"({'; '.join(found)})" if style == "p" else ", ".join(found)

    def _claim(self, content: str) -> str:
        claim, _, part = content.partition(" ")
        entry = self.book.claims.get(claim)
        if not entry or entry.get("value") is None:
            return NOT_PUBLISHED
        interval = None if part == "value" else entry.get("interval")
        return format_value(entry["value"], interval)

    def _measured(self, content: str) -> str:
        chapter, _, key = content.partition(" ")
        entry = self.book.measured.get((chapter, key))
        if entry is None:
            return NOT_PUBLISHED
        from book._ext.medlib_claims import significant  # brings Sphinx, which few copies need

        return f"{significant(entry['value'])} {entry['unit']}"

    def _ref(self, content: str) -> str:
        text, label = _explicit(content)
        return self.reference(label, text)

    def _numref(self, content: str) -> str:
        text, label = _explicit(content)
        target = self.book.target(label)
        text = text.replace("%s", "{number}").replace("{number}", target.number)
        return self.reference(label, text.replace("{name}", target.title))

    def _doc(self, content: str) -> str:
        text, target = _explicit(content)
        document = self.book.document(target, self.document)
        return f"[{text or self.book.titles[document]}]({self.book.page(document)})"

    def _term(self, content: str) -> str:
        text, term = _explicit(content)
        anchor = re.sub(r"[^A-Za-z0-9._]+", "-", f"term-{term}").strip("-")
        return f"[{text or term}]({self.book.page('book/glossary', anchor)})"

    def _download(self, content: str) -> str:
        text, path = _explicit(content)
        return f"[{text or path.rsplit('/', 1)[-1]}]({self.book.raw(path, self.document)})"


def _explicit(content: str) -> tuple[str, str]:
    """Split ``text <target>``; the text is empty where only the target stands."""
    match = EXPLICIT.fullmatch(content)
    return (match["text"], match["target"].strip()) if match else ("", content)


def _code(content: str) -> str:
    """Show a name of the library as code: ``~medlib.fit`` as ``fit``."""
    text, target = _explicit(content)
    name = text or target
    return f"`{name.rsplit('.', 1)[-1] if name.startswith('~') else name}`"


def _anchor(label: str) -> str:
    """Return the id that Sphinx gives a label."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
