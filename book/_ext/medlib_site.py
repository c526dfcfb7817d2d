"""Sphinx extension of the site: numbers by chapter, folds, buttons to the source, settings."""

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

from book._ext import site_numbers, site_references
from book._ext.site_images import copied, lighten, name_lighter, size_pictures
from book._ext.site_policy import meta as policy
from book._ext.site_text import first_paragraph
from book.workflow import chapters, editions, languages
from book.workflow.words import _

THEME = {"show_toc_level": 2}
FOLDED = "dropdown"  # class of the admonitions and solutions that begin closed
REPAIRS = (
    # Sphinx's role for a reference is deprecated, and not allowed in the list that holds it
    ('role="doc-biblioentry"', 'role="listitem"'),
    # a line that says "Show code cell source" must not be announced by other words
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
)
# screen readers announce an empty th as a nameless header: pandas heads its index with one, tables
# have one in their corner, and a row that goes on with the one above it begins with one
NAMELESS = re.compile(r"<th\b(?P<attributes>[^>]*)>(?:\s|&nbsp;|<p>|</p>)*</th>")
SCOPE = re.compile(r' scope="\w+"')
# the theme's menu opens what lies below a page by an arrow without a name
ARROW = '<summary><span class="toctree-toggle"'
NAMED_ARROW = '<summary aria-label="Pages below"><span class="toctree-toggle"'
OWN_FOLDERS = {  # beside the folders of English pages
    "_static", "_sources", "_images", *(each.folder for each in languages.LANGUAGES),
}  # fmt: skip
DESCRIPTION = 200  # characters; search engines cut after about that many


def read_again(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Read all pages again where one came or went: MyST decides on reading whether a link holds."""
    return sorted(env.found_docs) if added or removed else []


def number_title(app: Sphinx, document: str, source: list[str]) -> None:
    """Put the number of a prose page into its title; the stage does it for the chapters."""
    number = chapters.PROSE.get(document)
    if number and document != app.config.root_doc:
        source[0] = re.sub(r"^# ", f"# {number} ", source[0], count=1, flags=re.MULTILINE)


def write_quoting(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that must be written again because what they quote has changed.

    A number or a title that changed may be quoted on any page, and all pages name the style sheet
    with its digest, so then all pages are written.
    """
    quoted, before = _quoted(env), getattr(env, "medlib_quoted", None)
    env.medlib_quoted = quoted
    return sorted(env.found_docs) if before is not None and _differs(before, quoted) else []


def _quoted(env: BuildEnvironment) -> dict[str, Any]:
    """Return what pages show of other files, under a key each: titles, numbers, looks."""
    shown: dict[str, Any] = {page: title.astext() for page, title in env.titles.items()}
    shown["toctree"] = {page: list(below) for page, below in env.toctree_includes.items()}
    shown["static"] = _static_digest(env)
    for page, kinds in env.toc_fignumbers.items():
        shown |= {f"{page}#{each}": ids[each] for ids in kinds.values() for each in ids}
    return shown


def _static_digest(env: BuildEnvironment) -> str:
    """Hash style sheets, scripts and pictures: alone, Sphinx would not copy them again."""
    digest = hashlib.sha256()
    for folder in env.config.html_static_path:
        for path in sorted((Path(env.srcdir) / folder).rglob("*")):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _differs(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether something that could have been quoted has changed; new things could not."""
    return any(now.get(key) != value for key, value in before.items())


def forgive_unfinished(app: Sphinx, domain: Any, node: nodes.Element) -> bool | None:
    """Keep quiet about a reference to what a chapter did not get to: its page says so itself.

    A chapter that failed, has no data or was not executed lacks figures that its text names.
    """
    unfinished = _unfinished(app)
    owners = [each for each in unfinished if node.get("reftarget", "?") in unfinished[each]]
    return True if owners or node.get("refdoc") in unfinished else None


def _unfinished(app: Sphinx) -> dict[str, str]:
    """Return the sources of the chapters that did not run to their end, by page."""
    stamps = Path(app.config.medlib_build_dir) / "stamps"
    return {
        each.document: each.source.read_text(encoding="utf-8")
        for each in chapters.chapters()
        if not _ran(stamps / f"{each.stem}.json")
    }


def _ran(stamp: Path) -> bool:
    return stamp.exists() and json.loads(stamp.read_text(encoding="utf-8"))["status"] == "ok"


class fold(nodes.Element):
    """An admonition that the reader opens, by mouse or keyboard, without a script."""


class fold_title(nodes.TextElement):
    """The line of a fold that stays visible."""


class Fold(SphinxPostTransform):
    """Turn closed admonitions and solutions into HTML's own ``details``.

    Runs after sphinx-exercise has written the titles. A title may link to its exercise; within a
    line that opens and closes on a click a link would be in the way, so its text stays alone.
    """

    default_priority = 300
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Replace every such admonition of the page."""
        for node in list(self.document.findall(nodes.Admonition)):
            if FOLDED in node["classes"] and node.children:
                title = fold_title("", node.children[0].astext())
                classes = ["admonition", *node["classes"]]
                node.replace_self(
                    fold("", title, *node.children[1:], ids=node["ids"], classes=classes)
                )


def visit_fold(writer: HTML5Translator, node: fold) -> None:
    """Open the fold."""
    writer.body.append(writer.starttag(node, "details"))


def depart_fold(writer: HTML5Translator, node: fold) -> None:
    """Close the fold."""
    writer.body.append("</details>\n")


def visit_fold_title(writer: HTML5Translator, node: fold_title) -> None:
    """Open the visible line."""
    writer.body.append(writer.starttag(node, "summary", "", CLASS="admonition-title"))


def depart_fold_title(writer: HTML5Translator, node: fold_title) -> None:
    """Close the visible line."""
    writer.body.append("</summary>\n")


def theme_settings(app: Sphinx, config: Config) -> None:
    """Set what Jupyter Book's configuration has no key for."""
    config.html_theme_options = {**config.html_theme_options, **THEME}
    config.html_context = {"default_mode": "auto", **config.html_context}


def finish_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Point the edit button to the source that people edit, and describe the page in its head."""
    context["metatags"] = policy() + context.get("metatags", "")
    name_arrows(context)
    if doctree is None:
        return
    for found, better in REPAIRS:
        context["body"] = context["body"].replace(found, better)
    context["body"] = NAMELESS.sub(_plain_cell, context["body"])
    sources = copied(app)
    body = name_lighter(size_pictures(context["body"], sources), sources)
    context["body"] = editions.BANNER + body
    source = chapters.ROOT / f"{page}.md"
    for group in context.get("header_buttons", []):
        if group.get("label") == "source-buttons":
            group["buttons"] = [b for b in map(_to_source, group["buttons"]) if _kept(b, source)]
    text = describe(doctree)
    if text:
        context["metatags"] += f'<meta name="description" content="{html.escape(text)}" />\n'


def _plain_cell(head: re.Match[str]) -> str:
    """Turn an empty header into a cell that looks like it."""
    return f"<td{SCOPE.sub('', head['attributes'])}></td>"


def name_arrows(context: dict[str, Any]) -> None:
    """Give the arrows of the menu a name for screen readers."""
    menu = context.get("generate_toctree_html")
    if menu is not None:
        named = NAMED_ARROW.replace("Pages below", _("Pages below"))
        context["generate_toctree_html"] = lambda *which, **how: str(menu(*which, **how)).replace(
            ARROW, named
        )


def _to_source(button: dict[str, Any]) -> dict[str, Any]:
    """Turn a button's link to the staged notebook into one to the MyST file it is made from."""
    if button["label"] != "source-edit-button":
        return button
    return button | {"url": re.sub(r"\.ipynb$", ".md", button["url"])}


def _kept(button: dict[str, Any], source: Path) -> bool:
    """Drop the edit button of generated pages: there is nothing to edit."""
    return button["label"] != "source-edit-button" or source.exists()


def describe(doctree: nodes.document) -> str:
    """Return the page's first paragraph, cut at a word, for search engines and previews."""
    text = first_paragraph(doctree)
    return text if len(text) <= DESCRIPTION else f"{text[:DESCRIPTION].rsplit(' ', 1)[0]} …"


def remove_old_pages(app: Sphinx, error: Exception | None) -> None:
    """Remove the pages of chapters that are gone: Sphinx leaves them, and readers find them."""
    if error or app.builder.name != "html":
        return
    folder = Path(app.outdir)
    kept = {folder / f"{page}.html" for page in app.env.found_docs}
    for path in folder.rglob("*.html"):
        inside = path.relative_to(folder)
        if len(inside.parts) > 1 and inside.parts[0] not in OWN_FOLDERS and path not in kept:
            path.unlink()


def lighten_pictures(app: Sphinx, error: Exception | None) -> None:
    """Pack the heavy pictures that this build has copied."""
    if not error and app.builder.name == "html":
        lighten(Path(app.outdir) / app.builder.imagedir, app.builder.images.values())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    site_numbers.setup(app)
    site_references.setup(app)
    app.add_node(fold, html=(visit_fold, depart_fold))
    app.add_node(fold_title, html=(visit_fold_title, depart_fold_title))
    app.add_post_transform(Fold)
    app.connect("config-inited", theme_settings)
    app.connect("env-get-outdated", read_again)
    app.connect("source-read", number_title)
    app.connect("env-get-updated", write_quoting, priority=600)  # when the numbers are known
    app.connect("warn-missing-reference", forgive_unfinished)
    app.connect("html-page-context", finish_page, priority=600)
    app.connect("build-finished", remove_old_pages)
    app.connect("build-finished", lighten_pictures)
    app.add_css_file("medlib.css", priority=900)
    app.add_css_file("medlib-print.css", priority=901, media="print")
    app.add_js_file("medlib.js", loading_method="defer")
    app.add_js_file("medlib-tables.js", loading_method="defer")
    return {
        "version": "1",
        "env_version": 1,  # of what it keeps with the pages that were read
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
