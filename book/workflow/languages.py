"""The languages of the site beside English: which pages they have, and what leads to the others.

A translated edition holds the pages that have a catalogue. All others are in English, and links to
them have a scheme of our own, ``en://book/trust.html``, which `english` turns into a relative
address when a page is written.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from book.workflow import catalogues, chapters

SCHEME = "en"
HERE = re.compile(rf'href="{SCHEME}://(?P<address>[^"]*)"')
FRONT = "book/index"


@dataclass(frozen=True)
class Language:
    """A language that pages are translated into.

    Attributes
    ----------
    code : str
        Its code in Sphinx and gettext: ``zh_CN``.
    folder : str
        Where its pages lie below the English site.
    tag : str
        Its code in HTML: ``zh-CN``.
    name : str
        Its name in itself.
    elsewhere : str
        What the way to its front page says on a page that is not translated, in the language.
    """

    code: str
    folder: str
    tag: str
    name: str
    elsewhere: str


LANGUAGES = (Language("zh_CN", "zh", "zh-CN", "中文", "本页尚无中文版，转到中文版首页"),)


def named(code: str) -> Language | None:
    """Return the language of a code of Sphinx's, or None for English."""
    return next((each for each in LANGUAGES if each.code == code), None)


def pages(language: Language, root: Path = chapters.ROOT) -> list[str]:
    """Return the pages of an edition, in the order of the book; none without the front page."""
    known = catalogues.translated(language.code, root)
    found = [each for each in chapters.contents(root) if each in known]
    return found if FRONT in found else []


def english(markup: str, page: str) -> str:
    """Turn the ways to English pages into relative addresses that name their language.

    Parameters
    ----------
    markup : str
        HTML of a translated page.
    page : str
        Sphinx's name of the page.
    """
    up = "../" * (page.count("/") + 1)
    return HERE.sub(rf'href="{up}\g<address>" hreflang="en"', markup)
