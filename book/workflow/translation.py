"""The site in another language, beside the English one: translated pages, and ways to the others.

It is made after the English site, whose inventory says where sections, figures and terms lie, and
takes seconds, since it holds translated pages alone. The menu shows the whole book: a chapter that
nobody has translated stands in it with its translated title and leads to its English page.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from nbformat import NotebookNode
from sphinx.util.inventory import InventoryFile

from book.workflow import (
    catalogues,
    changed,
    chapters,
    citing,
    completed,
    first_uses,
    languages,
    messages,
    reading,
    stage,
    terms,
    words,
)
from book.workflow.compendium import resolve
from book.workflow.inline import EXPLICIT, PIECE
from book.workflow.languages import SCHEME, Language
from book.workflow.words import _
from medlib import paths
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

ROOT = chapters.ROOT
KEPT = ("book/references.bib", "book/_static/logo.svg")
REFERRING = {"doc", "ref", "numref"}
OUTSIDE = re.compile(r"[a-z]+:|#|<")
CARD = re.compile(r"^:link: (?P<target>\S+)\n:link-type: (?P<kind>doc|ref)$", re.MULTILINE)
FIRST_USE = re.compile(
    first_uses.FIRST_USE.format(
        where=r"\{(?P<role>doc|ref)\}`(?P<title>[^`]+) <(?P<target>[^<>`]+)>`"
    )
)


@dataclass(frozen=True)
class Edition:
    """A translated edition while it is made.

    Attributes
    ----------
    language : Language
        Its language.
    pages : list of str
        The pages that are translated, by Sphinx's names.
    titles : dict of str to str
        The translated title of every page of the book, with its number.
    labels : dict of str to str
        Address of each label of the English site, such as ``book/trust.html#reading-times``.
    """

    language: Language
    pages: list[str]
    titles: dict[str, str]
    labels: dict[str, str]

    def say(self, domain: str) -> Callable[[str], str]:
        """Return what gives a message of a domain in this language, or as it is."""
        known = catalogues.read(self.language.code, domain)
        return lambda message: _translation(known, message)

    def lead(self, document: str, fragment: str = "") -> str:
        """Return the address of an English page, for a link of the translated edition."""
        return f"{SCHEME}://{document}.html" + (f"#{fragment}" if fragment else "")

    def title(self, document: str) -> str:
        """Return the title by which an English page is led to."""
        return _("{title} (in English)").format(title=self.titles.get(document, document))


def build(profile: str, run: Callable[..., int], readings: Mapping[str, reading.Reading]) -> int:
    """Build every translated edition of a profile's site, below its English pages.

    Parameters
    ----------
    profile : str
        Whose run the pages show.
    run : callable
        Builds a staged folder into another, with a folder for Sphinx's own files.
    readings : mapping of str to Reading
        The chapters, as `book.workflow.reading.survey` returns them.

    Returns
    -------
    int
        0, or 1 where Sphinx warned or failed.
    """
    folder, failed = paths.build_dir(profile), 0
    for language in languages.LANGUAGES:
        if not languages.pages(language):
            continue
        with words.speaking(catalogues.compiled(language.code)):
            source = folder / f"site-src-{language.folder}"
            write(profile, language, source, readings)
            doctrees = folder / f"doctrees-{language.folder}"
            failed |= run(source, folder / "html" / language.folder, doctrees)
    return failed


def write(
    profile: str, language: Language, target: Path, readings: Mapping[str, reading.Reading]
) -> None:
    """Bring the stage folder of an edition up to date.

    Parameters
    ----------
    profile : str
        Whose run the pages show.
    language : Language
        Its language, which must be spoken (`book.workflow.words`).
    target : Path
        The folder.
    readings : mapping of str to Reading
        The chapters.
    """
    folder = paths.build_dir(profile)
    edition = edition_of(language, folder / "html" / "objects.inv")
    wanted = dict(_pages(profile, edition, readings))
    wanted |= {
        "_config.yml": stage.dumped(config(profile, language, target)),
        "_toc.yml": stage.dumped(contents(edition)),
        "static/medlib-words.js": script(language).encode(),
        **{
            f"locale/{language.code}/LC_MESSAGES/{name}.mo": catalogues.binary(language.code)
            for name in ("sphinx", "booktheme")
        },
        **{name: (ROOT / name).read_bytes() for name in KEPT},
    }
    stage.bring(target, wanted)


def edition_of(language: Language, inventory: Path) -> Edition:
    """Return an edition before its pages are written.

    Parameters
    ----------
    language : Language
        Its language.
    inventory : Path
        ``objects.inv`` of the English site.

    Raises
    ------
    MedlibError
        Where there is no English site yet.
    """
    if not inventory.exists():
        raise MedlibError(f"no {inventory}: the {language.code} pages are made after the English")
    with inventory.open("rb") as handle:
        known = InventoryFile.load(handle, "", lambda base, rest: rest)
    labels = {name: item[2] for name, item in known.get("std:label", {}).items()}
    edition = Edition(language, languages.pages(language), {}, labels)
    say = edition.say(catalogues.CONTENTS)
    for document, title in catalogues.titles().items():
        number = chapters.document_number(document) if document != languages.FRONT else None
        edition.titles[document] = f"{number or ''} {say(title)}".strip()
    return edition


def config(profile: str, language: Language, target: Path) -> dict[str, Any]:
    """Return the configuration of an edition: the book's own, with what its language needs."""
    found = stage.config(profile)
    known = catalogues.read(language.code, catalogues.CONTENTS)
    found["title"] = _translation(known, found["title"])
    inside = found["sphinx"]["config"]
    inside |= {
        "language": language.code,
        "html_search_language": "en",  # the book's own search, which knows Chinese: medlib_finder
        "html_baseurl": f"{inside['html_baseurl']}{language.folder}/",
        "html_static_path": [str(ROOT / "book" / "_static"), str(target / "static")],
        "templates_path": [str(ROOT / "book" / "_templates")],
        "locale_dirs": [str(target / "locale")],
        "myst_url_schemes": {each: None for each in ("http", "https", "mailto", SCHEME)},
    }
    return found


def contents(edition: Edition) -> dict[str, Any]:
    """Return the table of contents: translated pages, and the English ones by their address."""
    toc = parsed((ROOT / "_toc.yml").read_text("utf-8"))
    say = edition.say(catalogues.CONTENTS)
    parts = [
        {"caption": say(part["caption"]), "chapters": _entries(edition, part["chapters"])}
        for part in toc["parts"]
    ]
    return toc | {"parts": parts}


def _entries(edition: Edition, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of a menu; what lies below an English page is found there."""
    return [
        entry
        if entry["file"] in edition.pages
        else {"url": edition.lead(entry["file"]), "title": edition.title(entry["file"])}
        for entry in entries
    ]


def script(language: Language) -> str:
    """Return the site's own words for its scripts, which ask Sphinx's script for them."""
    catalogue = catalogues.read(language.code, catalogues.SITE)
    known = {each.id: each.string for each in catalogue if each.string and isinstance(each.id, str)}
    known.pop("", None)
    said = json.dumps(known, ensure_ascii=False)
    return f"Object.assign(Documentation.TRANSLATIONS, {said});\n"


def _pages(
    profile: str, edition: Edition, readings: Mapping[str, reading.Reading]
) -> Iterator[tuple[str, bytes]]:
    """Yield the translated pages as they are staged."""
    days, book, titles = changed.days(ROOT), citing.work(ROOT), catalogues.titles()
    readings = {name: replace(each, label=edition.titles[name]) for name, each in readings.items()}
    for document in edition.pages:
        path = catalogues.file_of(edition.language.code, document)
        day = days.get(path.relative_to(ROOT).as_posix())
        changes = {f"{document}.md": day} if day else {}
        end = citing.closing(document, titles[document], changes, book)
        if document.startswith("notebooks/"):
            chapter = chapters.chapter(document.rpartition("/")[2])
            notebook = stage.executed(chapter, profile)
            translate_chapter(notebook, document, edition)
            below = notice(document, edition)
            yield f"{document}.ipynb", stage.notebook_page(notebook, chapter, profile, below, end)
            continue
        text = prose(document, edition, profile)
        text = reading.fill(text, document, readings)
        yield f"{document}.md", f"{led(text, document, edition).rstrip()}\n\n{end}\n".encode()


def prose(document: str, edition: Edition, profile: str) -> str:
    """Return a page of prose in the language of an edition.

    Parameters
    ----------
    document : str
        Sphinx's name of the page.
    edition : Edition
        The edition.
    profile : str
        Whose English glossary says where terms are first used.
    """
    text = messages.rewrite((ROOT / f"{document}.md").read_text("utf-8"), edition.say(document))
    text = completed.completed({document: text}).get(document, text)
    if document == first_uses.DOCUMENT:
        staged = paths.build_dir(profile) / "site-src" / f"{document}.md"
        text = glossary(text, staged.read_text("utf-8"), edition)
    return reading.with_line(text, notice(document, edition))


def notice(document: str, edition: Edition) -> str:
    """Return what stands below a title: who made the translation, and what is not translated."""
    page = edition.lead(document)
    if document == languages.FRONT:
        pages = " · ".join(f"[](/{each}.md)" for each in edition.pages if each != document)
        said = _(
            "This page was translated by AI agents, and no person has reviewed the translation "
            "yet. Beside it these pages are translated: {pages}. All others are in English; links "
            "to them say so. Where a translation differs from the [English page]({page}), the "
            "English page holds."
        ).format(pages=pages, page=page)
    else:
        said = _(
            "This page was translated by AI agents, and no person has reviewed the translation "
            "yet. Where it differs from the [English page]({page}), the English page holds."
        ).format(page=page)
    title = _("About this translation")
    return f":::{{admonition}} {title}\n:class: note translation\n:name: translation\n\n{said}\n:::"


def glossary(text: str, staged: str, edition: Edition) -> str:
    """Put the translated terms of a glossary first and in their order, and say where each is used.

    Parameters
    ----------
    text : str
        The page with translated definitions; an entry begins with the English term.
    staged : str
        The English page as it is staged: its entries say where a term is first used.
    edition : Edition
        The edition.
    """
    uses = {entry.splitlines()[0]: FIRST_USE.search(entry) for entry in terms.entries(staged)}
    entries = [_entry(entry, uses, edition) for entry in terms.entries(text)]
    inside = "\n\n".join(sorted(entries, key=order))
    match = terms.GLOSSARY.search(text)
    return f"{text[: match.start('inside')]}{inside}\n{text[match.end('inside') :]}"


def order(entry: str) -> bytes:
    """Return the key by which Chinese terms are sorted: by Pinyin, as GB 2312 orders characters."""
    return entry.casefold().encode("gb18030")


def _entry(entry: str, uses: Mapping[str, re.Match[str] | None], edition: Edition) -> str:
    """Return an entry with the translated term first and the line of its first use."""
    term, translated, *definition = entry.splitlines()
    lines, found = [translated, term, *definition], uses.get(term)
    if found:
        target, role = found["target"], found["role"]
        title = edition.title(_target(target, role, first_uses.DOCUMENT, edition)[0])
        where = f"{{{role}}}`{title} <{target}>`"
        lines += ["", f"  {_(first_uses.FIRST_USE).format(where=where)}"]
    return "\n".join(lines)


def translate_chapter(notebook: NotebookNode, document: str, edition: Edition) -> None:
    """Put a chapter's messages and links into the language of an edition; code stays as it is."""
    messages.rewrite_notebook(notebook, edition.say(document))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = led(cell.source, document, edition)


def led(text: str, document: str, edition: Edition) -> str:
    """Return a text in which links to pages that are not translated lead to the English ones.

    A link without words of its own gets the page's translated title.

    Parameters
    ----------
    text : str
        MyST.
    document : str
        Sphinx's name of its page.
    edition : Edition
        The edition.
    """
    text = messages.rewrite(
        text, lambda message: PIECE.sub(lambda match: _led(match, document, edition), message)
    )
    return CARD.sub(lambda match: _card(match, document, edition), text)


def _led(match: re.Match[str], document: str, edition: Edition) -> str:
    """Return a role or a link as it is, or as a link to the English page."""
    role, link = match["role"], match["link"]
    if role in REFERRING:
        explicit = EXPLICIT.fullmatch(match["content"])
        target = explicit["target"] if explicit else match["content"]
        where = _away(target, role, document, edition)
        shown = explicit["text"] if explicit else where and edition.title(where[0])
        return f"[{shown}]({edition.lead(*where)})" if where else match[0]
    where = _away(link, "link", document, edition) if link and not OUTSIDE.match(link) else None
    if not where:
        return match[0]
    opening = f"[{edition.title(where[0])}]" if match["open"] == "[]" else "]"
    return f"{opening}({edition.lead(*where)})"


def _card(match: re.Match[str], document: str, edition: Edition) -> str:
    """Return the options of a card that leads to another page."""
    where = _away(match["target"], match["kind"], document, edition)
    return f":link: {edition.lead(*where)}\n:link-type: url" if where else match[0]


def _away(target: str, kind: str, document: str, edition: Edition) -> tuple[str, str] | None:
    """Return page and fragment of a target that only the English site has, or None."""
    where = _target(target, kind, document, edition)
    return where if where[0] and where[0] not in edition.pages else None


def _target(target: str, kind: str, document: str, edition: Edition) -> tuple[str, str]:
    """Return page and fragment of what a role or a link means; no page where that is unknown."""
    path, _sign, fragment = target.partition("#")
    if kind == "doc" or path.endswith((".md", ".ipynb")):
        return resolve(path.removesuffix(".md").removesuffix(".ipynb"), document), fragment
    address, _sign, fragment = edition.labels.get(target.lower(), "").partition("#")
    return address.removesuffix(".html"), fragment


def _translation(catalogue: Catalog, message: str) -> str:
    """Return a message's translation; what is not translated, or doubtful, stays as it is."""
    found = catalogue.get(message)
    return found.string if found and found.string and not found.fuzzy else message
