"""`make gettext`: the catalogues of messages from which translations of the book are made.

``_build/gettext`` gets a template for each page of the contents and for what stands on no page: the
titles (``contents``), the sentences of the front page's table (``headlines``), and the words that
the workflow, the extensions and the scripts write on pages (``site``). Below ``book/locales`` stand
the catalogues that people translate: only of pages that are translated, so that git shows no
thousands of empty messages. They are brought up to date here; the lint says where they are not.

Templates come from the sources and from no run, so that no result is part of a message. They hold
neither dates nor line numbers: an unchanged page gives the same bytes.
"""

import argparse
import gettext
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from book.workflow import cards_page, chapters, messages, solutions_page, source
from book.workflow.api_pages import pages as api_pages
from book.workflow.plainly import plainly
from medlib import paths
from medlib.claims import headlines, read_claims
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

CONTENTS, HEADLINES, SITE = "contents", "headlines", "site"
RESULTS = {  # lists of the values of a run, not text: their titles alone are translated
    "book/reproducibility": "Reproducibility report",
    "book/status": "Execution status",
}
SPOKEN = ("book/_ext/*.py", "book/workflow/*.py", "book/_static/*.js", "book/_templates/*.html")
METHODS = {".py": "python", ".js": "javascript", ".html": "jinja2.ext:babel_extract"}
KEYWORDS = {"_": None, "ngettext": (1, 2)}
FORMATS = {"python-format", "python-brace-format"}  # Babel takes "95 % intervals" for one
HEADER = """msgid ""
msgstr ""
{language}"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
{plural}
"""
PLURALS = {"zh_CN": "nplurals=1; plural=0;"}
WIDTH = 100


def domains(root: Path = chapters.ROOT) -> list[str]:
    """Return the names of all templates: the pages in the order of the book, then the others.

    The two pages that list the values of a run are left out.
    """
    pages = [each for each in chapters.contents(root) if each not in RESULTS]
    return [*pages, CONTENTS, HEADLINES, SITE]


def template(domain: str, root: Path = chapters.ROOT) -> Catalog:
    """Return the messages of a domain, in their order, untranslated.

    Parameters
    ----------
    domain : str
        Sphinx's name of a page, or one of the other names that `domains` returns.
    root : Path
        The checkout.
    """
    catalogue = Catalog(fuzzy=False)
    for message in _messages(domain, root):
        catalogue.add(message)
    return catalogue


def titles(root: Path = chapters.ROOT) -> dict[str, str]:
    """Return the title of each page of the contents, without its number, by Sphinx's name."""
    return {each: _title(each, root) for each in chapters.contents(root)}


def languages(root: Path = chapters.ROOT) -> list[str]:
    """Return the languages that there are catalogues for, such as ``zh_CN``."""
    return sorted(path.name for path in (root / "book" / "locales").glob("*") if path.is_dir())


def translated(language: str, root: Path = chapters.ROOT) -> list[str]:
    """Return the domains that have a catalogue in a language, in the order of `domains`."""
    return [each for each in domains(root) if file_of(language, each, root).exists()]


def file_of(language: str, domain: str, root: Path = chapters.ROOT) -> Path:
    """Return where the catalogue of a domain lies, below the folder that Sphinx's tools expect."""
    return root / "book" / "locales" / language / "LC_MESSAGES" / f"{domain}.po"


def read(language: str, domain: str, root: Path = chapters.ROOT) -> Catalog:
    """Read the catalogue of a domain.

    Raises
    ------
    MedlibError
        Where there is none.
    """
    path = file_of(language, domain, root)
    if not path.exists():
        raise MedlibError(f"no {path.relative_to(root)}: `make gettext PAGE={domain}` begins it")
    with path.open("rb") as handle:
        return read_po(handle, locale=language)


def compiled(language: str, root: Path = chapters.ROOT) -> gettext.GNUTranslations:
    """Return the site's own words in a language, as Python's `gettext` takes them."""
    return gettext.GNUTranslations(io.BytesIO(binary(language, root)))


def binary(language: str, root: Path = chapters.ROOT) -> bytes:
    """Return the site's own words and the sentences of the front page's table as ``.mo`` file."""
    spoken, buffer = read(language, SITE, root), io.BytesIO()
    for message in read(language, HEADLINES, root):
        if message.id:
            spoken.add(message.id, message.string, flags=message.flags)
    write_mo(buffer, spoken)
    return buffer.getvalue()


def written(catalogue: Catalog, language: str = "") -> str:
    """Return a catalogue as the text of its file: the same messages give the same text."""
    buffer = io.BytesIO()
    for message in catalogue:
        message.flags -= FORMATS
    write_po(buffer, catalogue, width=WIDTH, omit_header=True, ignore_obsolete=True)
    name = f'"Language: {language}\\n"\n' if language else ""
    plural = f'"Plural-Forms: {PLURALS[language]}\\n"\n' if language in PLURALS else ""
    return HEADER.format(language=name, plural=plural) + buffer.getvalue().decode()


def updated(language: str, domain: str, root: Path = chapters.ROOT) -> str:
    """Return the text of a catalogue with the messages that its page has now.

    A message that changed keeps its translation, marked ``fuzzy``; what is gone is dropped.
    """
    return _updated(read(language, domain, root), template(domain, root), language)


def _updated(catalogue: Catalog, now: Catalog, language: str) -> str:
    catalogue.update(now)
    return written(catalogue, language)


def stale(root: Path = chapters.ROOT) -> list[str]:
    """Say for each catalogue that is not in step with its page what to do."""
    found = []
    for language in languages(root):
        for domain in translated(language, root):
            path, now = file_of(language, domain, root), template(domain, root)
            kept = read(language, domain, root)
            ours, there = set(_ids(kept)), set(_ids(now))
            if _updated(kept, now, language) != path.read_text("utf-8"):
                found.append(
                    f"{path.relative_to(root)}: {len(there - ours)} messages of {domain} are new, "
                    f"{len(ours - there)} are gone: run `make gettext`, then translate what it "
                    "leaves empty or marks as fuzzy"
                )
    return found


def write(folder: Path, root: Path = chapters.ROOT) -> int:
    """Write all templates into a folder, bring the translations up to date, and count templates."""
    for domain in domains(root):
        _save(folder / f"{domain}.pot", written(template(domain, root)))
    for language in languages(root):
        for domain in translated(language, root):
            _save(file_of(language, domain, root), updated(language, domain, root))
    return len(domains(root))


def begin(language: str, domain: str, root: Path = chapters.ROOT) -> Path:
    """Begin the translation of a page: an empty catalogue, which the next builds take up.

    Raises
    ------
    MedlibError
        For a page that the contents do not name, or whose translation was begun before.
    """
    path = file_of(language, domain, root)
    if domain not in domains(root):
        raise MedlibError(f"the contents name no page {domain!r} (such as book/trust)")
    if path.exists():
        raise MedlibError(f"{path.relative_to(root)} is there already")
    _save(path, written(template(domain, root), language))
    return path


def _messages(domain: str, root: Path) -> Iterable[str | tuple[str, ...]]:
    """Return the messages of a domain; one may come more than once."""
    if domain == CONTENTS:
        return _contents(root)
    if domain == HEADLINES:
        return [each.sentence for each in headlines(read_claims(root / "book/claims.yml").values())]
    if domain == SITE:
        return list(_spoken(root))
    if domain.startswith("notebooks/"):
        return messages.of_notebook(source.read(root / f"{domain}.md"))
    return messages.of_text(_page(domain, root))


def _page(domain: str, root: Path) -> str:
    """Return the text of a page of prose, also of one that the workflow writes from the sources."""
    path = root / f"{domain}.md"
    return path.read_text("utf-8") if path.exists() else "\n".join(_generated(root)[domain])


def _generated(root: Path) -> dict[str, Iterator[str]]:
    """Return the lines of the pages that are made from the sources, each on demand."""
    return {
        cards_page.DOCUMENT: cards_page.data_cards(root),
        solutions_page.DOCUMENT: solutions_page.solutions(root),
        **api_pages(),
    }


def _contents(root: Path) -> Iterator[str]:
    """Yield the title of the book, the captions of its menu, and the titles of its pages."""
    yield parsed((root / "_config.yml").read_text("utf-8"))["title"]
    toc = parsed((root / "_toc.yml").read_text("utf-8"))
    yield from (part["caption"] for part in toc["parts"])
    yield from titles(root).values()


def _title(document: str, root: Path) -> str:
    path = root / f"{document}.md"
    if path.exists() or document in RESULTS:
        return RESULTS.get(document) or chapters.title_of(path)
    return next(line[2:].strip() for line in _generated(root)[document] if line.startswith("# "))


def _spoken(root: Path) -> Iterator[str | tuple[str, ...]]:
    """Yield the strings that code marks with ``_``, by file and line."""
    for pattern in SPOKEN:
        for path in sorted(root.glob(pattern)):
            for _, message, _, _ in extract_from_file(METHODS[path.suffix], path, KEYWORDS):
                yield message


def _ids(catalogue: Catalog) -> Iterator[str | tuple[str, ...]]:
    """Yield the messages of a catalogue, without its head."""
    return (each.id for each in catalogue if each.id)


def _save(path: Path, text: str) -> None:
    """Write a file where it differs."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Write the templates and update the translations; begin one where a page is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--language", default="zh_CN")
    parser.add_argument("--page", help="begin the translation of this page, such as book/trust")
    args = parser.parse_args()
    if args.page:
        print(f"begun: {begin(args.language, args.page)}")
    folder = paths.build_dir("gettext")
    print(f"{write(folder)} templates in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(plainly("make gettext", main))
