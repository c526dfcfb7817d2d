"""Sphinx extension of Appendix F: autodoc and napoleon with the settings of the book.

Signatures come from the code, sections from numpydoc docstrings, links from ``linkcode`` lead to
the lines on the repository. A page is read again when a module that it describes has changed.
"""

import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.domains.python import PyObject

from book.workflow import api_pages, chapters, imports

SETTINGS = {
    "autodoc_preserve_defaults": True,  # as the code writes them: no addresses of objects
    "autodoc_typehints_format": "short",
    "napoleon_google_docstring": False,
    "napoleon_use_ivar": True,
    "napoleon_use_rtype": False,
    "python_use_unqualified_type_names": True,
    "maximum_signature_line_length": 70,
    "default_role": "py:obj",  # of docstrings; MyST has no default role
    "toc_object_entries": False,  # 900 entries, copied for the menu of every page: seconds
}

PARAMETERS = re.compile(r"<dl>\n(?P<lines>(?:<dd>.*</dd>\n)+)</dl>")


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return the address of the lines that define a name, or None where there are none."""
    found = _source(info["module"], info["fullname"]) if domain == "py" else None
    if found is None:
        return None
    file, first, last = found
    return f"{_address()}/{file.relative_to(chapters.ROOT).as_posix()}#L{first}-L{last}"


@cache
def _address() -> str:
    """Return where the files of the repository can be read."""
    return f"{chapters.repository_url()}/blob/{chapters.branch()}"


def _source(module: str, fullname: str) -> tuple[Path, int, int] | None:
    """Return file, first and last line of a name; None for constants and what others define."""
    thing: Any = pkgutil.resolve_name(module)
    try:
        for part in fullname.split("."):
            thing = inspect.getattr_static(thing, part)
        thing = inspect.unwrap(getattr(thing, "fget", None) or getattr(thing, "__func__", thing))
        lines, first = inspect.getsourcelines(thing)
        file = Path(inspect.getsourcefile(thing))
    except (AttributeError, TypeError, OSError):
        return None
    return (file, first, first + len(lines) - 1) if file.is_relative_to(chapters.ROOT) else None


def add_import(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Say below the summary what a class is made from, and from which package it is imported."""
    if what not in {"function", "class", "exception"}:
        return
    more = []
    bases = [each.__name__ for each in getattr(thing, "__bases__", ()) if each is not object]
    if bases:
        more.append(f"A kind of {', '.join(f'`{base}`' for base in bases)}.")
    if name in api_pages.import_lines():
        more.append(f"Import it with ``{api_pages.import_lines()[name]}``.")
    first = next((i for i, each in enumerate(lines) if not each.strip()), len(lines))
    lines[first:first] = ["", " ".join(more)] if more else []


def skip_foreign(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what a base class of another library wrote into a class of ours."""
    module = getattr(inspect.unwrap(thing), "__module__", None) if callable(thing) else None
    return True if module and module.split(".")[0] != imports.PACKAGE else None


def lines_of_signatures(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Write parameters of long signatures as lines: Sphinx's list of answers has no questions."""
    if "body" in context:
        context["body"] = PARAMETERS.sub(_as_lines, context["body"])


def _as_lines(found: re.Match[str]) -> str:
    lines = found["lines"].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def settings(app: Sphinx, config: Config) -> None:
    """Set the options of the extensions that this one stands on, and numpydoc's own word."""
    for key, value in SETTINGS.items():
        setattr(config, key, value)
    config.linkcode_resolve = linkcode_resolve
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extensions and their settings."""
    for name in ("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.linkcode"):
        app.setup_extension(name)
    app.connect("config-inited", settings, priority=100)
    app.connect("html-page-context", lines_of_signatures)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", add_import, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
