"""Sizes of the pictures on a page: known before they load, and readable on a phone.

The book's figures are drawn for a column of 7.5 inches at 100 pixels an inch, with twice the pixels
for sharp screens; a PNG file says so in its resolution. A picture wider than a phone is marked, so
that the style sheet lets it scroll there in place of shrinking its letters to dots.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError

PIXELS_AN_INCH = 100  # of the column that figures are drawn for
WIDE = 450  # pixels; a picture that is wider loses its letters on a phone
PICTURE = re.compile(r'<img ([^>]*?src="[^"]*_images/(?P<name>[^"/]+)"[^>]*?) ?/?>')
DIAGRAM = re.compile(r'<div class="medlib-diagram">(?=<svg [^>]*max-width:(?P<width>\d+))')


def size_pictures(body: str, sources: Mapping[str, Path]) -> str:
    """Write the size of each picture into its element.

    Parameters
    ----------
    body : str
        HTML of a page.
    sources : mapping
        File below ``_images`` -> the file that it is copied from.
    """

    def sized(match: re.Match[str]) -> str:
        size = shown_size(sources[match["name"]]) if match["name"] in sources else None
        if size is None or " width=" in match[1]:
            return match[0]
        mark = ' data-wide=""' if size[0] > WIDE else ""
        return f'<img {match[1]} width="{size[0]}" height="{size[1]}"{mark} />'

    def marked(match: re.Match[str]) -> str:
        wide = int(match["width"]) > WIDE
        return '<div class="medlib-diagram" data-wide="">' if wide else match[0]

    return DIAGRAM.sub(marked, PICTURE.sub(sized, body))


def shown_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height of a picture on the page in pixels; None for a drawing."""
    try:
        with Image.open(path) as picture:
            resolution = picture.info.get("dpi", (PIXELS_AN_INCH,))[0]
            scale = PIXELS_AN_INCH / resolution if resolution > PIXELS_AN_INCH else 1.0
            return round(picture.width * scale), round(picture.height * scale)
    except (UnidentifiedImageError, FileNotFoundError):
        return None
