"""The works that the book cites, formatted once and kept with the pages that Sphinx has read.

sphinxcontrib-bibtex formats the whole list at every build, although it keeps the last one. Pybtex
takes some seconds for a thousand works, and looks for its plug-ins among all packages for each.
"""

from importlib import metadata
from typing import Any

from pybtex import plugin
from pybtex.database import Entry
from pybtex.style import FormattedEntry
from pybtex.style.formatting import plain
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

STYLE = "remembered"
MADE_BY = ("pybtex", "latexcodec", "sphinxcontrib-bibtex")
Kept = dict[tuple[str, str], tuple[Entry, FormattedEntry]]  # by label and key


class Remembered(plain.Style):
    """Pybtex's plain style, which takes a work that has not changed from the last build."""

    kept: Kept = {}

    def format_entry(self, label: str, entry: Entry, bib_data: Any = None) -> FormattedEntry:
        """Return a work as the list of references shows it."""
        known, formatted = self.kept.get((label, entry.key), (None, None))
        if formatted is not None and known == entry:
            return formatted
        return super().format_entry(label, entry, bib_data)


def recall(app: Sphinx, env: BuildEnvironment) -> None:
    """Hand the works of the last build to the style, where the same programs formatted them."""
    made_by = [metadata.version(name) for name in MADE_BY]
    same = getattr(env, "medlib_references", None) == made_by
    env.medlib_references = made_by
    domain = env.domains.get("cite")  # not there in a book without a bibliography
    citations = domain.data["citations"] if same and domain else ()
    Remembered.kept = {
        (each.formatted_entry.label, each.entry.key): (each.entry, each.formatted_entry)
        for each in citations
    }


def setup(app: Sphinx) -> None:
    """Offer the style, and let pybtex find its plain text without a search."""
    group, name = "pybtex.backends", "plaintext"
    plugin.register_plugin(group, name, plugin.find_plugin(group, name), force=True)
    plugin.register_plugin("pybtex.style.formatting", STYLE, Remembered, force=True)
    app.connect("env-updated", recall, priority=400)  # before the works are listed
