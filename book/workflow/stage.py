"""Assemble the stage folder, by content: prose, executed notebooks, generated pages, settings.

Sphinx rebuilds the pages whose files are newer than its doctrees, so a file is written only where
its content differs, and what no longer belongs is removed.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

from book.workflow import (
    appendix,
    banners,
    changed,
    chapters,
    citing,
    completed,
    estimate,
    first_uses,
    kept,
    page_links,
    reading,
    report,
    solutions_page,
    source,
    stress,
)
from medlib import paths
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = (
    "medlib_api",
    "medlib_claims",
    "medlib_explorer",
    "medlib_site",
    "medlib_finder",
    "medlib_try",
    "medlib_languages",
)
# Lists of words, of works and of links, in which every term stands sooner or later.
WITHOUT_TERMS = {first_uses.DOCUMENT, "book/index", "book/references"}
PROSE = (".md", ".bib", ".svg", ".png", ".js", ".css", ".html", ".txt", ".json", ".woff2", ".ico")


def stage(profile: str, readings: Mapping[str, reading.Reading] | None = None) -> Path:
    """Bring ``_build/<profile>/site-src`` up to date and return it.

    Parameters
    ----------
    profile : str
        Whose run the pages show. A chapter that was never executed in it shows its source.
    readings : mapping of str to Reading, optional
        The chapters, where `book.workflow.reading.survey` has counted them already.
    """
    build = paths.build_dir(profile)
    target = build / "site-src"
    generated = build / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    pages = [*report.write_pages(profile, generated), *appendix.write_pages(generated)]
    readings = reading.survey(ROOT) if readings is None else readings
    lines = reading.lines(readings, linked=reading.PLACE in chapters.contents())
    ends = _ends()
    wanted = dict(_files(profile, target, pages, lines, ends))
    texts = {name[:-3]: text.decode() for name, text in wanted.items() if name.endswith(".md")}
    texts |= completed.completed(texts)
    texts |= stress.filled(texts) | estimate.filled(texts)
    texts |= {
        name: f"{text.rstrip()}\n\n{ends[name]}\n" for name, text in texts.items() if ends.get(name)
    }
    wanted |= {f"{n}.md": _timed(n, text, lines, readings) for n, text in texts.items()}
    bring(target, wanted)
    return target


def bring(target: Path, wanted: Mapping[str, bytes]) -> None:
    """Make a folder hold some files and no others, and touch only those that differ."""
    for relative, content in wanted.items():
        _write(target / relative, content)
    _remove_others(target, set(wanted))


def _ends() -> dict[str, str]:
    """Return what closes each page that people write: its last change and its citation."""
    days, book = changed.days(ROOT), citing.work(ROOT)
    sources = {name: ROOT / f"{name}.md" for name in chapters.contents()}
    return {
        name: citing.closing(name, chapters.title_of(path), days, book)
        for name, path in sources.items()
        if path.exists()
    }


def _files(
    profile: str,
    target: Path,
    pages: list[Path],
    lines: Mapping[str, str],
    ends: Mapping[str, str],
) -> Iterator[tuple[str, bytes]]:
    """Yield every staged file as (relative path, content)."""
    yield "_config.yml", dumped(config(profile))
    yield "_toc.yml", (ROOT / "_toc.yml").read_bytes()
    for path in sorted((ROOT / "book").rglob("*")):
        inside = path.relative_to(ROOT / "book")
        if path.is_file() and path.suffix in PROSE and inside.parts[0] not in {"workflow", "_ext"}:
            yield f"book/{inside.as_posix()}", path.read_bytes()
    for path in pages:
        yield f"book/{path.name}", path.read_bytes()
    texts = {each.document: texts_of(each, profile) for each in chapters.chapters()}
    yield from _with_terms(texts)
    found = report.verdicts(profile)
    for chapter in chapters.chapters():
        counts = Counter(item.status for item in found if item.chapter == chapter.stem)
        below = "\n\n".join(filter(None, (lines.get(chapter.document), banners.badge(counts))))
        added = Added(texts[chapter.document], below, ends.get(chapter.document, ""))
        path = target / "notebooks" / f"{chapter.stem}.ipynb"
        yield f"notebooks/{chapter.stem}.ipynb", _staged_before(chapter, profile, added, path)


@dataclass(frozen=True)
class Added:
    """What the stage gives a chapter: prose with terms, lines below its title, and its end."""

    texts: list[str]
    below: str
    end: str


def texts_of(chapter: chapters.Chapter, profile: str) -> list[str]:
    """Return the texts of a chapter's Markdown cells; read again where it was executed anew."""

    def read() -> list[str]:
        return [cell.source for cell in _prose(executed(chapter, profile))]

    key = kept.digest(_file(chapter, profile).read_bytes(), kept.code_digest())
    found: list[str] = kept.kept(f"texts/{profile}/{chapter.stem}", key, read)
    return found


def _staged_before(chapter: chapters.Chapter, profile: str, added: Added, path: Path) -> bytes:
    """Return a chapter's page; the one that was staged, where it would become the same."""

    @cache
    def page() -> bytes:
        notebook = executed(chapter, profile)
        for cell, text in zip(_prose(notebook), added.texts, strict=True):
            cell.source = text
        return notebook_page(notebook, chapter, profile, added.below, added.end)

    key = kept.digest(
        _file(chapter, profile).read_bytes(),
        json.dumps([chapter.number, _stamp(chapter, profile), asdict(added), chapters.contents()]),
        kept.code_digest(),
    )
    wanted = kept.kept(f"pages/{profile}/{chapter.stem}", key, lambda: kept.digest(page()))
    staged = path.read_bytes() if path.exists() else b""
    return staged if kept.digest(staged) == wanted else page()


def _prose(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def _with_terms(texts: dict[str, list[str]]) -> Iterator[tuple[str, bytes]]:
    """Link the glossary's terms in the texts of chapters, and yield the prose pages with theirs."""
    glossary = ROOT / f"{first_uses.DOCUMENT}.md"
    if not glossary.exists():
        return
    pages = [
        page
        for document in chapters.contents()
        if document not in WITHOUT_TERMS and (page := _page(document, texts))
    ]
    text = first_uses.weave(pages, glossary.read_text("utf-8"), kept.kept)
    yield f"{first_uses.DOCUMENT}.md", text.encode()
    for page in pages:
        if page.document not in texts:
            yield f"{page.document}.md", page.texts[0].encode()


def _page(document: str, texts: dict[str, list[str]]) -> first_uses.Page | None:
    """Return a page with its texts; none for a page that the workflow writes."""
    file = ROOT / f"{document}.md"
    if not file.exists():
        return None
    number = chapters.document_number(document)
    title = f"{number or ''} {chapters.title_of(file)}".strip()
    return first_uses.Page(document, title, texts.get(document) or [file.read_text("utf-8")])


def config(profile: str) -> dict[str, Any]:
    """Return the configuration with what only this run knows."""
    found = parsed((ROOT / "_config.yml").read_text("utf-8"))
    found["repository"]["url"] = chapters.repository_url()
    found["sphinx"]["local_extensions"] = {name: str(ROOT / "book" / "_ext") for name in EXTENSIONS}
    found["sphinx"]["config"] |= {
        "html_baseurl": f"{chapters.latest_url(found['repository']['url'])}/",
        "medlib_profile": profile,
        "medlib_build_dir": str(paths.build_dir(profile)),
        "medlib_published_dir": str(ROOT / "results"),
    }
    return found


def dumped(settings: Mapping[str, Any]) -> bytes:
    """Return settings as a file of YAML, in their order."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True).encode()


def _timed(
    document: str, text: str, lines: Mapping[str, str], readings: Mapping[str, reading.Reading]
) -> bytes:
    """Return a page of prose with the times that readers want to know."""
    text = reading.fill(text, document, readings)
    return (reading.with_line(text, lines[document]) if document in lines else text).encode()


def executed(chapter: chapters.Chapter, profile: str) -> NotebookNode:
    """Return the executed chapter, or its source where it was not executed."""
    path = _file(chapter, profile)
    if path == chapter.source:
        return source.read(path)
    try:
        notebook = jupytext.read(path)
        nbformat.validate(notebook)
    except OSError:
        raise
    except Exception as error:  # of a damaged file, anything
        raise MedlibError(
            f"{path} is no notebook, or is damaged ({source.first_line(error)}): delete it and "
            f"stamps/{chapter.stem}.json beside its folder, and run make book again"
        ) from error
    return notebook


def _file(chapter: chapters.Chapter, profile: str) -> Path:
    """Return the file of the executed chapter, or that of its source where there is none."""
    path = paths.build_dir(profile) / "executed" / f"{chapter.stem}.ipynb"
    return path if path.exists() else chapter.source


def _stamp(chapter: chapters.Chapter, profile: str) -> dict[str, Any]:
    return _read_json(paths.build_dir(profile) / "stamps" / f"{chapter.stem}.json")


def notebook_page(
    notebook: NotebookNode, chapter: chapters.Chapter, profile: str, line: str = "", end: str = ""
) -> bytes:
    """Return a chapter's page with its number, its banners, the card of its run and its citation.

    The lines below its title are added here, after the execution, which they could else invalidate.
    """
    stamp = _stamp(chapter, profile)
    below = "\n\n".join(filter(None, (line, banners.top(stamp, profile))))
    _number(notebook, chapter.number, below)
    if solutions_page.DOCUMENT in chapters.contents():
        _link_solutions(notebook, chapter)
    _link_pages(notebook, chapter.stem)
    if stamp.get("status") == "missing-data":
        _hide_errors(notebook)
    for name, text in (("run-card", banners.card(stamp, chapter.stem)), ("page-end", end)):
        if text:
            notebook.cells.append(nbformat.v4.new_markdown_cell(text, id=name))
    return jupytext.writes(notebook, fmt="ipynb").encode()


def _number(notebook: NotebookNode, number: str, below: str) -> None:
    """Put the chapter's number into its title, and lines below it."""
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    lines = first.source.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("# "))
    lines[at] = f"# {number} {lines[at][2:].strip()}"
    if below:
        lines.insert(at + 1, f"\n{below}\n")
    first.source = "\n".join(lines)


def _link_solutions(notebook: NotebookNode, chapter: chapters.Chapter) -> None:
    """Lead from a chapter's exercises to the page of all solutions."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = solutions_page.with_link(cell.source, chapter)


def _link_pages(notebook: NotebookNode, stem: str) -> None:
    """Lead from a chapter to the pages where a reader tries what it explains."""
    documents = chapters.contents()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = page_links.with_links(cell.source, stem, documents)


def _hide_errors(notebook: NotebookNode) -> None:
    """Cut the traceback of a chapter whose data are missing: the banner says it in a sentence."""
    for cell in source.code_cells(notebook):
        cell.outputs = [o for o in cell.outputs if o.output_type != "error"]


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _write(path: Path, content: bytes) -> None:
    """Write a file where its content differs, so that its time tells of a real change."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _remove_others(target: Path, wanted: set[str]) -> None:
    """Remove what an earlier stage left and nothing wants any more."""
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)
        elif path.is_file() and path.relative_to(target).as_posix() not in wanted:
            path.unlink()
