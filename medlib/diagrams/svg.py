"""A few SVG shapes that read on light and on dark pages, and the picture they make."""

from dataclasses import dataclass
from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
CHARACTER = 0.63  # mean width of a character, as a share of the font's size
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
        """Return the whole picture as one SVG element; without ids."""
        said = escape(f"{self.title}. {self.description}", quote=True)
        size = f"max-width:{number(self.width)}px;width:100%;height:auto"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}" style="{size}" '
            f'font-family="{FONT}" fill="currentColor">'
            f"<title>{escape(self.title)}</title><desc>{escape(self.description)}</desc>"
            f"{self.body}</svg>"
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


def arrow(*steps: str | float, dashed: bool = False) -> str:
    """Return a line with a tip at its end.

    Parameters
    ----------
    *steps : str or float
        An SVG path of absolute ``M``, ``H``, ``V`` and ``C`` steps, letters and coordinates.
    dashed : bool
        Whether the line is dashed.
    """
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<path d="{path(*steps)}" fill="none" stroke="currentColor" stroke-width="1.3"{dash}/>'
        f"{_tip(*steps)}"
    )


def _tip(*steps: str | float) -> str:
    """Return the triangle at a path's end; a marker would need an id of its own on the page."""
    x, y, across, down = _end(*steps)
    points = ((0, 0), (-8, -3.5), (-8, 3.5))
    turned = [(x + a * across - b * down, y + a * down + b * across) for a, b in points]
    return f'<path d="{path("M", *turned[0], "L", *turned[1], "L", *turned[2], "z")}"/>'


def _end(*steps: str | float) -> tuple[float, float, float, float]:
    """Return where a path ends, and the direction in which it comes there."""
    x = y = across = down = 0.0
    at = 0
    while at < len(steps):
        letter = steps[at]
        count = {"M": 2, "H": 1, "V": 1, "C": 6}[str(letter)]
        numbers = [float(step) for step in steps[at + 1 : at + 1 + count]]
        before = (x, y)
        x = numbers[-2] if count > 1 else numbers[0] if letter == "H" else x
        y = numbers[-1] if count > 1 or letter == "V" else y
        across = float((x > before[0]) - (x < before[0])) if letter == "H" else float(count == 6)
        down = float((y > before[1]) - (y < before[1])) if letter == "V" else 0.0
        at += 1 + count
    return x, y, across, down


def path(*steps: str | float) -> str:
    """Return an SVG path from its letters and coordinates."""
    return " ".join(step if isinstance(step, str) else number(step) for step in steps)


def plus(x: float, y: float) -> str:
    """Return the sign of an addition on a horizontal line, which is its second stroke."""
    return (
        f'<circle cx="{number(x)}" cy="{number(y)}" r="5" fill="none" stroke="currentColor"/>'
        f'<path d="{path("M", x, y - 5, "V", y + 5)}" stroke="currentColor"/>'
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
