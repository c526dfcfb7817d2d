"""The numbers of figures, tables, equations and exercises: by chapter, 3.5.1, 3.5.2, ...

Sphinx can number by chapter only where the table of contents is numbered from one; ours takes its
numbers from the file names (book/workflow/chapters.py). It also counts anew at every build, for
which it loads every page that it has ever read: here each page is counted when it is read.
Captions, ``numref``, ``eq`` and the exercises read the table that Sphinx would have made.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors import EnvironmentCollector
from sphinx.environment.collectors.toctree import TocTreeCollector

from book.workflow import chapters

Number = tuple[str | int, ...]
Things = dict[str, list[str]]  # kind, such as "figure" -> ids, in the order of a page


class Counter(EnvironmentCollector):
    """Keep what each page has to number, and number it when all pages are read."""

    def process_doc(self, app: Sphinx, doctree: nodes.document) -> None:
        """Note what a page that was just read has to number."""
        _known(app.env)[app.env.docname] = numbered_things(app.env, doctree)

    def clear_doc(self, app: Sphinx, env: BuildEnvironment, docname: str) -> None:
        """Forget a page."""
        _known(env).pop(docname, None)

    def merge_other(
        self, app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment
    ) -> None:
        """Take over the pages that another process has read."""
        _known(env).update({page: _known(other)[page] for page in docnames})

    def get_updated_docs(self, app: Sphinx, env: BuildEnvironment) -> list[str]:
        """Number all pages; those that quote a number which changed are found in `medlib_site`."""
        env.toc_fignumbers = {
            page: numbered(page, things) for page, things in _known(env).items() if things
        }
        return []


def _known(env: BuildEnvironment) -> dict[str, Things]:
    """Return what is to be numbered, by page; Sphinx keeps it with the pages that it has read."""
    if not hasattr(env, "medlib_numbered"):
        env.medlib_numbered = {}
    known: dict[str, Things] = env.medlib_numbered
    return known


def numbered_things(env: BuildEnvironment, doctree: nodes.document) -> Things:
    """Return the ids of a page's figures, tables, equations and exercises, by kind, in order."""
    found: Things = {}
    for node in doctree.findall(nodes.Element):
        kind = _kind(env, node)
        if kind and node["ids"]:
            found.setdefault(kind, []).append(node["ids"][0])
    return found


def _kind(env: BuildEnvironment, node: nodes.Element) -> str | None:
    """Return what Sphinx numbers an element as; figures and tables without a caption have none."""
    if isinstance(node, nodes.section):
        return None
    for domain in env.domains.values():
        kind = domain.get_enumerable_node_type(node)
        if kind and (not isinstance(domain, StandardDomain) or domain.get_numfig_title(node)):
            return kind
    return None


def numbered(document: str, things: Things) -> dict[str, dict[str, Number]]:
    """Number what a page has, with the page's number in front.

    Parameters
    ----------
    document : str
        Sphinx's name of the page; one without a number counts 1, 2, ...
    things : dict of str to list of str
        The ids of each kind, in the order of the page.
    """
    number = chapters.document_number(document)
    front = tuple(number.split(".")) if number else ()
    return {
        kind: {each: (*front, i) for i, each in enumerate(ids, start=1)}
        for kind, ids in things.items()
    }


def setup(app: Sphinx) -> None:
    """Count in Sphinx's place."""
    TocTreeCollector.assign_figure_numbers = _none  # it walks through all pages at every build
    app.add_env_collector(Counter)


def _none(collector: TocTreeCollector, env: BuildEnvironment) -> list[str]:
    return []
