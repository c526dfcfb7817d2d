"""Sphinx extension for being found: files beside the pages, previews, downloads, search in Chinese.

The files beside the pages (map of the site, feed, 404, old addresses) are written when the build
has ended; what they hold stands in book/workflow/web_files.py.
"""

import html
import re
from pathlib import Path
from typing import Any

import jupytext
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

from book._ext import preview_card
from book._ext.site_images import copied
from book._ext.site_text import first_paragraph, first_sentence
from book.workflow import chapters, kept, languages, source, web_files
from book.workflow.words import _

DOWNLOADS = {
    ".md": _("Download the source, in MyST Markdown"),
    ".py": _("Download the code as a script"),
}
HAN = "\u3400-\u9fff"  # Chinese characters
CHINESE = re.compile(f"[{HAN}]+")
SPLITTER = """
// Chinese has no spaces: pairs of neighbouring characters are the words, in the index and here.
const pieces = (word) => {
  const pairs = [...word].slice(1).map((character, i) => [...word][i] + character);
  return /[\\u3400-\\u9fff]/.test(word) && pairs.length ? pairs : [word];
};
var splitQuery = (query) => query
  .split(/[^\\p{Letter}\\p{Number}_\\p{Emoji_Presentation}]+/gu)
  .flatMap((word) => word.match(/[\\u3400-\\u9fff]+|[^\\u3400-\\u9fff]+/g) ?? [])
  .flatMap(pieces);
"""


class SearchBoth(SearchEnglish):
    """Sphinx's English search that also finds Chinese, by pairs of characters."""

    js_splitter_code = SPLITTER

    def split(self, input: str) -> list[str]:
        """Return the words of a text; for Chinese, each pair of neighbouring characters."""
        found = re.findall(rf"[{HAN}]+|[^\W{HAN}]+", input)
        return [piece for word in found for piece in _pieces(word)]


def _pieces(word: str) -> list[str]:
    pairs = [word[i : i + 2] for i in range(len(word) - 1)]
    return pairs if pairs and CHINESE.match(word) else [word]


def preview(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Say in a page's head what other sites show of it, and where its changes are told."""
    url = app.config.html_baseurl.rstrip("/")
    if doctree is None or not url:
        return
    title = html.unescape(re.sub(r"<[^>]+>", "", context["title"]))
    sentence = first_sentence(first_paragraph(doctree))
    shown = {
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:title": title,
        "og:description": sentence,
        "og:url": f"{url}/{page}.html",
        "og:image": f"{url}/{preview_card.name(page)}",
        "og:image:width": str(preview_card.SIZE[0]),
        "og:image:height": str(preview_card.SIZE[1]),
        "og:image:alt": draw_card(app, page, title, sentence, context["body"]),
        "twitter:card": "summary_large_image",
    }
    context["metatags"] += "".join(
        f'<meta {"name" if key.startswith("twitter") else "property"}="{key}" '
        f'content="{html.escape(value)}" />\n'
        for key, value in shown.items()
        if value
    )
    up = "../" if languages.named(app.config.language) else ""  # the feed lies in the English site
    feed = up + context["pathto"](web_files.FEED, 1)
    name = _("Editions")
    context["metatags"] += (
        f'<link rel="alternate" type="application/rss+xml" title="{name}" href="{feed}" />\n'
    )


def draw_card(app: Sphinx, page: str, title: str, sentence: str, body: str) -> str:
    """Write the picture that other sites show of a page, and return what it shows in words."""
    found = preview_card.first_picture(body, copied(app))
    book = app.config.html_title or app.config.project
    words = [text if preview_card.drawable(text) else "" for text in (title, book, sentence)]
    card = preview_card.draw(words[0] or _plain_title(page), *words[1:], found and found[0])
    preview_card.write(card, Path(app.outdir) / preview_card.name(page))
    return html.unescape(f"{title}. {found[1]}" if found else title)


def _plain_title(page: str) -> str:
    """Return the title of a page's English source, for a translation that the font cannot draw."""
    source_file = chapters.ROOT / f"{page}.md"
    number = chapters.document_number(page) or ""
    return f"{number} {chapters.title_of(source_file)}".strip() if source_file.exists() else ""


def offer_downloads(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Offer a chapter's source and its code as a script, beside the notebook with its outputs."""
    if not _is_chapter(page):
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            group["buttons"][1:1] = [
                {
                    "type": "link",
                    "url": context["pathto"](f"_sources/{page}{ending}", 1),
                    "text": ending,
                    "tooltip": _(tooltip),
                    "icon": "fas fa-file",
                    "label": f"download{ending.replace('.', '-')}-button",
                }
                for ending, tooltip in DOWNLOADS.items()
            ]


def downloads(page: str) -> dict[str, str]:
    """Return what a chapter's page offers: its source, and its code as a script, by name."""
    path = chapters.ROOT / f"{page}.md"
    script = kept.of_file(
        f"scripts/{path.stem}", path, lambda: jupytext.writes(source.read(path), fmt="py:percent")
    )
    return {f"_sources/{page}.md": path.read_text("utf-8"), f"_sources/{page}.py": script}


def _is_chapter(page: str) -> bool:
    return page.startswith("notebooks/") and (chapters.ROOT / f"{page}.md").exists()


def write_files(app: Sphinx, error: Exception | None) -> None:
    """Write the files beside the pages."""
    url = app.config.html_baseurl.rstrip("/")
    if error or app.builder.name != "html" or not url or languages.named(app.config.language):
        return  # a translated edition lies below the English site and shares its files
    files: dict[str, str] = {}
    for page in filter(_is_chapter, sorted(app.env.found_docs)):
        files |= downloads(page)
    home = f"{app.config.root_doc}.html"
    title = app.config.html_title or app.config.project
    files |= web_files.beside(app.env.found_docs, url, title, home, chapters.ROOT)
    web_files.write(app.outdir, files)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_search_language(SearchBoth)
    app.connect("html-page-context", preview, priority=650)
    app.connect("html-page-context", offer_downloads, priority=650)
    app.connect("build-finished", write_files, priority=900)  # after old pages were removed
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
