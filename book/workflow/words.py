"""The words of the site itself, in the language of the edition that is being made.

What the workflow, the extensions and the scripts write on pages is marked ``_("...")`` where it is
written, in English; `book.workflow.catalogues` collects the marked strings, and a translated
edition is made within `speaking`. Scripts in the browser use Sphinx's own ``_``.
"""

import contextlib
import gettext
from collections.abc import Iterator

_spoken: list[gettext.NullTranslations] = [gettext.NullTranslations()]


def _(message: str) -> str:
    """Return a string of the site in the language that is spoken; as it is where none is known."""
    return _spoken[-1].gettext(message)


def ngettext(one: str, many: str, number: int) -> str:
    """Return the form of a string that fits a number."""
    return _spoken[-1].ngettext(one, many, number)


@contextlib.contextmanager
def speaking(catalogue: gettext.NullTranslations) -> Iterator[None]:
    """Speak another language for a while.

    Parameters
    ----------
    catalogue : gettext.NullTranslations
        Its strings, as `book.workflow.catalogues.compiled` returns them.
    """
    _spoken.append(catalogue)
    try:
        yield
    finally:
        _spoken.pop()
