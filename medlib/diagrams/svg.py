"""A few SVG shapes that read on light and on dark pages, and the picture they make."""

import hashlib
from dataclasses import dataclass
from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
CHARACTER = 0.56  # mean width of a character, as a share of the font's size
COLUMN = 750  # pixels: the width of a book column


@dataclass(frozen=True)
class SVG:
    """A picture with its name and description; a notebook shows it inside the page.

    Lines and text take the page's own text colour (``currentColor``), so that the same picture
    serves light and dark pages.

    Attributes
    ----------
    body : str
        The shapes.
    width, height : float
        Size in pixels.
    title, description : str
        What a screen reader says.
    """

    body: str
    width: float
    height: float
    title: str
    description: str

    def text(self) -> str:
        """Return the whole picture as one SVG element; the same input gives the same text."""
        key = hashlib.sha256((self.title + self.body).encode()).hexdigest()[:8]
        marker = (
            f'<defs><marker id="tip-{key}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0.8 L8 4 L0 7.2 z" fill="currentColor"/>'
            "</marker></defs>"
        )
        size = f"max-width:{number(self.width)}px;width:100%;height:auto"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}" '
            f'aria-labelledby="name-{key} text-{key}" style="{size}" '
            f'font-family="{FONT}" fill="currentColor">'
            f'<title id="name-{key}">{escape(self.title)}</title>'
            f'<desc id="text-{key}">{escape(self.description)}</desc>'
            f"{marker}{self.body.replace('#TIP', f'#tip-{key}')}</svg>"
        )

    def _repr_svg_(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f'<div class="medlib-diagram">{self.text()}</div>'

    def __repr__(self) -> str:
        return f"{self.title}: {self.description}"


def box(x: float, y: float, width: float, height: float, fill: str, *, radius: float = 3) -> str:
    """Return a filled rectangle with an outline in the page's text colour."""
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
        f'height="{number(height)}" rx="{number(radius)}" fill="{fill}" '
        'stroke="currentColor" stroke-opacity="0.55"/>'
    )


def label(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 11,
    bold: bool = False,
    anchor: str = "middle",
    faint: bool = False,
) -> str:
    """Return one line of text."""
    weight = ' font-weight="600"' if bold else ""
    fade = ' fill-opacity="0.75"' if faint else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" '
        f'text-anchor="{anchor}"{weight}{fade}>{escape(words)}</text>'
    )


def arrow(path: str, *, dashed: bool = False) -> str:
    """Return a line along an SVG path, with a tip at its end."""
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.3"{dash} '
        'marker-end="url(#TIP)"/>'
    )


def wrapped(words: str, width: float, size: float) -> list[str]:
    """Break text into lines of at most `width` pixels, at spaces; newlines stay."""
    limit = max(int(width / (size * CHARACTER)), 1)
    lines: list[str] = []
    for paragraph in words.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}".strip()
            if line and len(joined) > limit:
                lines.append(line)
                joined = word
            line = joined
        lines.append(line)
    return lines


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
