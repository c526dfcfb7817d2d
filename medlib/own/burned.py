"""Text that is burned into pixels: found by its shape, so that it can be pointed out.

Letters of an overlay are small pieces of one extreme brightness, of one height, in a line. This
finds printed overlays of scanners, not handwriting, and it misses some: it warns, and clears no
picture.
"""

import numpy as np
from scipy import ndimage

__all__ = ["looks_burned_in"]

SMALLEST_SIDE = 100  # pixels: no legible text fits into smaller pictures
BRIGHT = 245
HEIGHTS = (5, 40)  # of letters, pixels
LETTERS = 5  # so many in a line look like a word
MOST_PIECES = 3000  # more is noise, not text


def looks_burned_in(grey: np.ndarray) -> bool:
    """Tell whether a picture seems to carry printed text.

    Parameters
    ----------
    grey : ndarray
        ``(H, W)`` uint8.
    """
    if min(grey.shape) < SMALLEST_SIDE:
        return False
    pieces, count = ndimage.label(grey >= BRIGHT, structure=np.ones((3, 3)))
    if not LETTERS <= count <= MOST_PIECES:
        return False
    boxes = [_box(part) for part in ndimage.find_objects(pieces)]
    letters = np.array([b for b in boxes if _is_letter(*b)])
    return len(letters) >= LETTERS and _has_line(letters)


def _box(part: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """Return bottom, left, height and width of a piece."""
    rows, columns = part
    return rows.stop, columns.start, rows.stop - rows.start, columns.stop - columns.start


def _is_letter(bottom: int, left: int, height: int, width: int) -> bool:
    return HEIGHTS[0] <= height <= HEIGHTS[1] and 1 <= width <= 1.6 * height


def _has_line(letters: np.ndarray) -> bool:
    """Tell whether enough letters of one height stand side by side on one line."""
    for bottom, left, height, _ in letters:
        same = (np.abs(letters[:, 0] - bottom) <= 1) & (np.abs(letters[:, 2] - height) <= 1)
        start = letters[same, 1]
        near = np.sort(start[start >= left])[:LETTERS]
        if len(near) == LETTERS and (np.diff(near) <= 2.5 * height).all():
            return True
    return False
