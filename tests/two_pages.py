"""A site of two pages, one of which holds a directive of ours: what its extension makes of it."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

EXTENSIONS = Path(__file__).resolve().parents[1] / "book" / "_ext"


@dataclass(frozen=True)
class Built:
    """What Sphinx made.

    Attributes
    ----------
    pages : dict of str to str
        HTML by name: ``index`` holds the directive, ``plain`` does not.
    folder : Path
        The site.
    warnings : str
        What Sphinx warned of.
    """

    pages: dict[str, str]
    folder: Path
    warnings: str


def build(folder: Path, published: Path, extension: str, directive: str) -> Built:
    """Build the two pages with one extension.

    Parameters
    ----------
    folder : Path
        Where everything goes.
    published : Path
        Takes the place of ``results``.
    extension, directive : str
        Their names.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    home = folder / "src"
    home.mkdir()
    toc = "```{toctree}\nplain\n```\n"
    (home / "index.md").write_text(f"# Home\n\n{toc}\n```{{{directive}}}\n```\n", "utf-8")
    (home / "plain.md").write_text("# Plain\n\nText.\n", "utf-8")
    settings = {
        "extensions": ["myst_parser", extension],
        "html_theme": "basic",
        "medlib_build_dir": str(folder / "build"),
        "medlib_published_dir": str(published),
    }
    site, warnings = folder / "html", io.StringIO()
    places = (str(home), None, str(site), str(folder / "trees"))
    sys.path.insert(0, str(EXTENSIONS))
    try:
        with patch_docutils(str(home)), docutils_namespace():
            Sphinx(*places, "html", settings, io.StringIO(), warnings).build()
    finally:
        sys.path.remove(str(EXTENSIONS))
    pages = {path.stem: path.read_text("utf-8") for path in site.glob("*.html")}
    return Built(pages, site, warnings.getvalue())
