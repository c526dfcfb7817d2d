"""Sizes of the pictures on a page: known before they load, readable on a phone, and light.

The book's figures are drawn for a column of 7.5 inches at 100 pixels an inch, with twice the pixels
for sharp screens; a PNG file says so in its resolution. A picture wider than a phone is marked, so
that the style sheet lets it scroll there in place of shrinking its letters to dots. All but the
first picture of a page load when a reader comes near. Heavy PNG files are served as lossless WebP:
the same pixels in half the bytes.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from sphinx.application import Sphinx

PIXELS_AN_INCH = 100  # of the column that figures are drawn for
WIDE = 450  # pixels; a picture that is wider loses its letters on a phone
HEAVY = 150_000  # bytes of a PNG file; below, the time to pack it anew is not worth what it saves
PICTURE = re.compile(r'<img ([^>]*?src="[^"]*_images/(?P<name>[^"/]+)"[^>]*?) ?/?>')
DIAGRAM = re.compile(r'<div class="medlib-diagram">(?=<svg [^>]*max-width:(?P<width>\d+))')
DRAWING = re.compile(r'<svg [^>]*?\bwidth="(\d+)"[^>]*?\bheight="(\d+)"')


def copied(app: Sphinx) -> dict[str, Path]:
    """Return the file that each picture of the site is copied from, by its name below ``_images``.

    Parameters
    ----------
    app : Sphinx
        A build that has read its pages.
    """
    return {copy: Path(app.srcdir) / file for file, copy in app.builder.images.items()}


def size_pictures(body: str, sources: Mapping[str, Path]) -> str:
    """Write the size of each picture into its element, and whether it may load later.

    Parameters
    ----------
    body : str
        HTML of a page.
    sources : mapping
        File below ``_images`` -> the file that it is copied from.
    """
    first = PICTURE.search(body)

    def sized(match: re.Match[str]) -> str:
        size = shown_size(sources[match["name"]]) if match["name"] in sources else None
        if size is None or " width=" in match[1]:
            return match[0]
        later = ' loading="lazy"' if first and match.start() > first.start() else ""
        mark = ' data-wide=""' if size[0] > WIDE else ""
        return f'<img {match[1]} width="{size[0]}" height="{size[1]}"{later}{mark} />'

    def marked(match: re.Match[str]) -> str:
        wide = int(match["width"]) > WIDE
        return '<div class="medlib-diagram" data-wide="">' if wide else match[0]

    return DIAGRAM.sub(marked, PICTURE.sub(sized, body))


def shown_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height of a picture on the page in pixels; None where it says none."""
    try:
        if path.suffix == ".svg":
            size = DRAWING.search(path.read_text("utf-8"))
            return (int(size[1]), int(size[2])) if size else None
        with Image.open(path) as picture:
            resolution = picture.info.get("dpi", (PIXELS_AN_INCH,))[0]
            scale = PIXELS_AN_INCH / resolution if resolution > PIXELS_AN_INCH else 1.0
            return round(picture.width * scale), round(picture.height * scale)
    except (UnidentifiedImageError, FileNotFoundError):
        return None


def name_lighter(body: str, sources: Mapping[str, Path]) -> str:
    """Let a page name the WebP files that `lighten` makes of its heavy PNG files."""
    for name in {match["name"] for match in PICTURE.finditer(body)}:
        if name in sources and _heavy(sources[name]):
            body = body.replace(f"_images/{name}", f"_images/{_webp(name)}")
    return body


def lighten(folder: Path, names: Iterable[str]) -> None:
    """Pack the heavy PNG files of a folder as lossless WebP, in place.

    Parameters
    ----------
    folder : Path
        The site's folder of pictures.
    names : iterable of str
        The pictures of its pages; no other file is touched.
    """
    for path in (folder / name for name in names):
        if _heavy(path):
            with Image.open(path) as picture:
                picture.save(path.with_name(_webp(path.name)), lossless=True, method=1, quality=20)
            path.unlink()


def _heavy(path: Path) -> bool:
    return path.suffix == ".png" and path.exists() and path.stat().st_size > HEAVY


def _webp(name: str) -> str:
    return f"{name.removesuffix('.png')}.webp"
