"""The picture that other sites show beside a link to a page: its title and its first figure.

1200 x 630 pixels, which all of them show whole. In place of a figure stands the page's first
sentence where it has none.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from book._ext.site_images import PICTURE

SIZE = (1200, 630)
FOLDER = "_images/preview"
EDGE, BAND = 64, 16  # pixels
INK, QUIET, ACCENT, PAPER = "#1a1a1a", "#555b63", "#00609f", "#ffffff"
COLOURS = 128  # of the file: a tenth of the size, and no difference to see
SMALLEST = 200  # pixels a side; what is smaller is an icon
FLAT = 1.5  # wider than so many times its height, a figure goes below the title
ALT = re.compile(r'alt="([^"]*)"')


def name(page: str) -> str:
    """Return the file of a page's card below the site."""
    return f"{FOLDER}/{page.replace('/', '-')}.png"


def first_picture(body: str, sources: Mapping[str, Path]) -> tuple[Path, str] | None:
    """Return the file of the first picture on a page with its alternative text; None without one.

    Parameters
    ----------
    body : str
        HTML of the page.
    sources : mapping
        File below ``_images`` -> the file that it is copied from.
    """
    for match in PICTURE.finditer(body):
        path = sources.get(match["name"])
        if path and _large(path):
            alt = ALT.search(match[0])
            return path, alt[1] if alt else ""
    return None


def draw(title: str, book: str, sentence: str, picture: Path | None) -> Image.Image:
    """Draw a card.

    Parameters
    ----------
    title : str
        Title of the page, with its number.
    book : str
        Title of the book.
    sentence : str
        What stands below the title of a page
    picture : Path, optional
        that has no figure.
    """
    card = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, BAND, SIZE[1]), fill=ACCENT)
    shown = Image.open(picture).convert("RGBA") if picture else None
    flat = shown is not None and shown.width >= FLAT * shown.height
    room = SIZE[0] - 2 * EDGE if shown is None or flat else 500
    lines, font = _fitted(title, room, 2 if flat else 6)
    step = int(font.size * 1.25)
    for row, line in enumerate(lines):
        pen.text((EDGE, EDGE - 10 + row * step), line, INK, font)
    small, bottom = _font("DejaVuSans.ttf", 24), SIZE[1] - EDGE
    pen.text((EDGE, bottom), "\n".join(_wrapped(book, small, room)), QUIET, small, anchor="ld")
    below = EDGE + len(lines) * step
    if shown is None:
        larger = _font("DejaVuSans.ttf", 32)
        rows = _wrapped(sentence, larger, room)[: (bottom - 60 - below) // 45]
        pen.text((EDGE, below + 20), "\n".join(rows), QUIET, larger, spacing=8)
    else:
        top = below if flat else EDGE
        left = EDGE if flat else EDGE + room + 40
        _place(card, shown, (left, top, SIZE[0] - EDGE, bottom - 40 if flat else bottom))
    return card


def write(card: Image.Image, path: Path) -> None:
    """Write a card as a PNG file; the same card gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    card.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(path)


def drawable(text: str) -> bool:
    """Tell whether the font has every character of a text; it has no Chinese ones."""
    return all(ord(character) in _characters() for character in text)


def _place(card: Image.Image, picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    """Put a picture into the middle of a box, as large as it fits, never enlarged twice over."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(width / picture.width, height / picture.height, 2.0)
    size = (round(picture.width * scale), round(picture.height * scale))
    fitted = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    at = (box[0] + (width - size[0]) // 2, box[1] + (height - size[1]) // 2)
    card.paste(fitted, at, fitted)


def _fitted(text: str, room: int, rows: int) -> tuple[list[str], ImageFont.FreeTypeFont]:
    """Return a text in lines, and the largest font in which it fits; cut where none does."""
    for size in (60, 52, 44, 38):
        font = _font("DejaVuSans-Bold.ttf", size)
        lines = _wrapped(text, font, room)
        if len(lines) <= rows and all(font.getlength(line) <= room for line in lines):
            break
    return lines[:rows], font


def _wrapped(text: str, font: ImageFont.FreeTypeFont, room: int) -> list[str]:
    """Break a text between words; a word that is wider than the room stays whole."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _large(path: Path) -> bool:
    """Tell whether a file is a picture of pixels that is no icon."""
    try:
        with Image.open(path) as picture:
            return min(picture.size) >= SMALLEST
    except (UnidentifiedImageError, FileNotFoundError):
        return False


def _font_file(file: str) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_font_file(file)), size)  # Pillow 10.1 takes no Path


@cache
def _characters() -> frozenset[int]:
    return frozenset(FT2Font(str(_font_file("DejaVuSans-Bold.ttf"))).get_charmap())
