"""One HTML file without any foreign resource: what a page, a table, a figure are made of."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

__all__ = ["as_list", "figure", "page", "paragraph", "section", "table"]

# Colours come in pairs, so that the page follows the reader's light or dark setting.
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #54585d; --paper: #ffffff;
  --line: #d5d8dc; --box: #f4f6f8; --mark: #8a4b00; --accent: #0060a6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --soft: #b0b5ba; --paper: #17191c;
  --line: #3b4046; --box: #22262b; --mark: #f0b060; --accent: #7cc0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 50rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 2.4rem; font-size: 1.25rem; }
.lead { font-size: 1.1rem; } .soft { color: var(--soft); }
.box { background: var(--box); border-left: 4px solid var(--accent); padding: .7rem 1rem; }
.warn { border-left-color: var(--mark); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .8rem 0; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; } td:not(.number) { min-width: 7rem; } td.number { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; } figure img { display: block; max-width: 100%; height: auto;
  background: #ffffff; border-radius: 4px; } figcaption { color: var(--soft); font-size: .92rem; }
code { background: var(--box); padding: .1rem .3rem; border-radius: 3px; }
pre { background: var(--box); padding: .7rem 1rem; overflow-x: auto; } pre code { padding: 0; }
summary { cursor: pointer; color: var(--accent); }
@media print { body { max-width: none; } }
""".strip()
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        Plain text.
    body : iterable of str
        Pieces of HTML.
    """
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE}\n</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{escape(title)}</h1>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def section(title: str, body: Iterable[str]) -> str:
    """Return a section with its heading."""
    return "\n".join(["<section>", f"<h2>{escape(title)}</h2>", *body, "</section>"])


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text; `kind` is a class of the style."""
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def as_list(texts: Iterable[str]) -> str:
    """Return a list of plain texts; nothing where there are none."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def folded(title: str, body: str) -> str:
    """Return HTML that opens at a click."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> str:
    """Return a table of plain texts; cells that begin with a digit stand at the right.

    Parameters
    ----------
    columns : sequence of str
        Heads.
    rows : iterable of sequences
        Cells.
    caption : str
        What the table is, for those who do not see it.
    """
    lines = [[str(cell) for cell in row] for row in rows]
    numeric = [bool(lines) and all(_is_number(row[k]) for row in lines) for k in
               range(len(columns))]  # fmt: skip
    marks = [' class="number"' if number else "" for number in numeric]
    head = "".join(
        f'<th scope="col"{m}>{escape(c)}</th>' for c, m in zip(columns, marks, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{m}>{escape(c)}</td>" for c, m in zip(row, marks, strict=True))
        + "</tr>"
        for row in lines
    )  # fmt: skip
    return (
        f'<div class="scroll"><table aria-label="{escape(caption, quote=True)}"><thead><tr>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(png: bytes, alt: str, caption: str) -> str:
    """Return a figure whose picture lies in the page itself.

    Parameters
    ----------
    png : bytes
        The picture.
    alt : str
        What it shows, in words.
    caption : str
        What stands below it.
    """
    data = base64.b64encode(png).decode()
    width, height = Image.open(io.BytesIO(png)).size
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}" '
        f'width="{width}" height="{height}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _is_number(cell: str) -> bool:
    return cell in {"-", ""} or cell[0].isdigit() or cell.startswith("−")
