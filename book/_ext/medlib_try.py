"""Sphinx directive ``{try-model}``: a trained network that runs in the reader's browser.

The page itself holds a button and `LOADER`. Only a click fetches `SCRIPTS` and the model's file,
which is written here while the site is built (`book._ext.try_model`); nothing of it is committed.
That module loads PyTorch, so it is imported only where the page is read or its files are missing.
"""

import hashlib
import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book._ext import explorer_pictures
from medlib.errors import MedlibError

LOGGER = logging.getLogger(__name__)
MARK = "medlib-try"
LOADER = "medlib-try.js"
STYLE = "medlib-try.css"
SCRIPTS = (
    "medlib-parts.js",
    "medlib-try-network.js",
    "medlib-try-picture.js",
    "medlib-try-page.js",
)
STATIC = Path(__file__).resolve().parents[1] / "_static"
ABSENT = "The trained networks of the published edition are not there, so none can be tried."


class TryModel(SphinxDirective):
    """``{try-model}`` shows the button that loads the model; it takes no options."""

    def run(self) -> list[nodes.Node]:
        """Return the button, or a sentence where there is no model."""
        from book._ext import try_model

        published = Path(self.config.medlib_published_dir)
        for file in sources(published):
            self.env.note_dependency(str(file))
        try:
            first, others = try_model.files(published)
        except try_model.NotPublished:
            return [nodes.paragraph(text=ABSENT)]
        except MedlibError as error:
            LOGGER.warning(str(error), location=self.get_location(), type="medlib")
            return [nodes.paragraph(text=ABSENT)]
        return [nodes.raw("", render(first, others), format="html")]


def sources(published: Path) -> list[Path]:
    """Return the files that the page depends on."""
    from book._ext import try_model

    networks = try_model.artefact(published, try_model.NETWORKS, "").glob("*.pt")
    return [
        Path(__file__),
        Path(try_model.__file__),
        try_model.artefact(published, *try_model.FROZEN),
        try_model.artefact(published, *try_model.PREPARED),
        *sorted(networks),
        *(STATIC / name for name in SCRIPTS),
    ]


def render(first: dict[str, bytes], others: dict[str, bytes]) -> str:
    """Return the page's HTML: a button, a line for what goes wrong, an empty place.

    Parameters
    ----------
    first, others : dict of str to bytes
        The file that the button loads, and the one with the networks that may follow, by name.
    """
    ((first_name, model),) = first.items()
    ((others_name, more),) = others.items()
    scripts = [(STATIC / name).read_bytes() for name in SCRIPTS]
    versions = [
        f"{name}?v={hashlib.sha256(content).hexdigest()[:8]}"
        for name, content in zip(SCRIPTS, scripts, strict=True)
    ]
    names = {"scripts": " ".join(versions), "model": first_name, "others": others_name}
    names["others-size"] = megabytes(more)
    given = " ".join(f'data-{key}="{html.escape(value)}"' for key, value in names.items())
    size = megabytes(model, *scripts)
    return (
        f'<div class="{MARK}" {given}>\n'
        f'<p class="try-start"><button type="button">Load the model, {size}</button></p>\n'
        '<p class="try-problem" role="alert"></p>\n<div class="try-live"></div>\n'
        "<noscript><p>The model needs JavaScript, which is switched off here.</p></noscript>\n"
        "</div>\n"
    )


def megabytes(*contents: bytes) -> str:
    """Return how much a reader has to fetch, rounded up to a tenth of a megabyte."""
    tenths = -(-sum(map(len, contents)) // 100_000)
    return f"{tenths / 10:.1f} MB"


def complete_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give the page with a model its button's script and style, and write the model's files."""
    body = context.get("body", "")
    if f'class="{MARK}"' not in body:
        return
    app.add_js_file(LOADER, loading_method="defer")
    app.add_css_file(STYLE, priority=910)
    write_files(Path(app.config.medlib_published_dir), Path(app.outdir), body)


def write_files(published: Path, site: Path, body: str) -> None:
    """Write the files that a page names, where they are missing, and remove those of before."""
    folder = site / explorer_pictures.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    named = re.findall(r'data-(?:model|others)="([^"]+)"', body)
    for path in folder.glob("try-*.js"):
        if path.name not in named:
            path.unlink()
    if all((folder / name).exists() for name in named):
        return
    from book._ext import try_model

    for part in try_model.files(published):
        for name, content in part.items():
            (folder / name).write_bytes(content)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive; its settings are those of ``medlib_claims``."""
    app.setup_extension("medlib_claims")
    app.add_directive("try-model", TryModel)
    app.connect("html-page-context", complete_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
