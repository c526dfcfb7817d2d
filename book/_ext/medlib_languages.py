"""Sphinx extension of the translations: the switch of languages, ways to pages in English, `lang`.

The same extension runs in the English site and in the translated ones below it.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform

from book.workflow import chapters, languages
from book.workflow.languages import Language
from book.workflow.words import _

SWITCH = "language-switch.html"
BOOK_THEME = "booktheme"  # the theme's own catalogue, beside Sphinx's
OF_THE_THEMES = (  # what Sphinx and the themes say, where their catalogues have no Chinese
    _("Color mode"),
    _("Link to this definition"),
    _("Link to this equation"),
    _("Link to this heading"),
    _("Link to this image"),
    _("Link to this table"),
    _("Link to this term"),
    _("Open issue"),
    _("Repository"),
    _("Source repositories"),
    _("Suggest edit"),
    _("System Settings"),
)
ADD_WORDS = """(({ locale, messages }) => {
  Object.assign(Documentation.TRANSLATIONS, messages);
  Documentation.PLURAL_EXPR = () => 0;
  Documentation.LOCALE = locale;
})("""
EVERYWHERE = {"search"}  # pages of every edition that no table of contents names
HAN = re.compile(r"[\u3400-\u9fff]")
LATIN = re.compile(r"[A-Za-z]")


class TermLanguage(SphinxPostTransform):
    """Say of each term of the glossary which language it is in, where that is not the page's."""

    default_priority = 400
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Mark the terms: docutils turns the class into the attribute ``lang``."""
        here = languages.named(self.config.language)
        for term in self.document.findall(nodes.term):
            chinese = bool(HAN.search(term.astext()))
            if chinese != bool(here):
                term["classes"].append("language-zh-CN" if chinese else "language-en")


def place_switch(app: Sphinx, config: Config) -> None:
    """Put the switch first among the buttons above each page."""
    options = config.html_theme_options
    there = options.get("article_header_end", "article-header-buttons.html")
    others = there if isinstance(there, list) else [each.strip() for each in there.split(",")]
    config.html_theme_options = {**options, "article_header_end": [SWITCH, *others]}
    if config.language != "en":
        config.html_theme_options["search_bar_text"] = _("Search this book")


def offer_languages(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give a page its switch, before the theme drops the templates that show nothing."""
    context["language_switch"] = switches(page, languages.named(app.config.language))


def complete_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give a page the addresses of its translations, and its ways to English pages."""
    here = languages.named(app.config.language)
    context["metatags"] = context.get("metatags", "") + alternates(
        page, app.config.html_baseurl, here
    )
    if here is None:
        return
    context["body"] = languages.english(context.get("body", ""), page)
    menu = context.get("generate_toctree_html")
    if menu is not None:
        context["generate_toctree_html"] = lambda *which, **how: languages.english(
            str(menu(*which, **how)), page
        )
    edit_translation(context, page, here)


def switches(page: str, here: Language | None) -> list[dict[str, str]]:
    """Return what the switch offers on a page: address, language, name, and a note.

    Parameters
    ----------
    page : str
        Sphinx's name of the page.
    here : Language or None
        Its language; None for English.
    """
    up = "../" * page.count("/")
    if here is not None:
        return [{"url": f"{up}../{page}.html", "tag": "en", "name": "English", "note": ""}]
    found = []
    for language in languages.LANGUAGES:
        pages = languages.pages(language)
        there = page in pages or page in EVERYWHERE
        target = f"{page}.html" if there else f"{languages.FRONT}.html#translation"
        if pages:
            found.append(
                {
                    "url": f"{up}{language.folder}/{target}",
                    "tag": language.tag,
                    "name": language.name,
                    "note": "" if there else language.elsewhere,
                }
            )
    return found


def alternates(page: str, base: str, here: Language | None) -> str:
    """Return the links by which search engines find a page in its other languages.

    Parameters
    ----------
    page : str
        Sphinx's name of the page.
    base : str
        Address of the edition, with a last slash; nothing is said without one.
    here : Language or None
        Its language.
    """
    known = [each for each in languages.LANGUAGES if page in languages.pages(each)]
    if not known or not base:
        return ""
    root = base.removesuffix(f"{here.folder}/") if here else base
    where = {"en": f"{root}{page}.html"}
    where |= {each.tag: f"{root}{each.folder}/{page}.html" for each in known}
    where["x-default"] = where["en"]
    return "".join(
        f'<link rel="alternate" hreflang="{tag}" href="{url}" />\n' for tag, url in where.items()
    )


def edit_translation(context: dict[str, Any], page: str, here: Language) -> None:
    """Let the button that edits a page lead to its catalogue."""
    path = languages.catalogues.file_of(here.code, page).relative_to(chapters.ROOT).as_posix()
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []) if isinstance(group.get("buttons"), list) else []:
            if button.get("label") == "source-edit-button":
                button["url"] = re.sub(rf"{re.escape(page)}\.\w+$", path, button["url"])


def hand_words_over(app: Sphinx, error: Exception | None) -> None:
    """Hand Sphinx's translated words to its script without text that is evaluated.

    ``Documentation.addTranslations`` makes a function of the text of the plural's rule, which the
    policy of the pages refuses. Chinese has one form, so the rule is 0.
    """
    path = Path(app.outdir) / "_static" / "translations.js"
    if error is None and path.exists():
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("Documentation.addTranslations(", ADD_WORDS, 1), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_post_transform(TermLanguage)
    app.connect("config-inited", place_switch, priority=900)
    app.connect("html-page-context", offer_languages, priority=100)
    app.connect("html-page-context", complete_page, priority=700)
    app.connect("build-finished", hand_words_over)
    if app.config.language != "en":
        app.add_js_file("medlib-words.js", loading_method="defer", priority=490)
        app.add_message_catalog(BOOK_THEME, app.config.locale_dirs[0])
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
