"""Small pictures for the explorer: the test images of a set in one file, made with the site.

The repository holds no images of patients. Where the data are there while the site is built, and
their licence was read and allows it, the test images are laid out in rows in one PNG file beside
the pages. It is loaded only when a reader's threshold lets a case change side. Labels are not read.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medlib import data

COLUMNS = 26
FOLDER = "_images"  # where Sphinx keeps the pictures of the pages


def sheet(name: str) -> dict[str, Any] | None:
    """Return what the script needs to show a set's test images; None where they may not be shown.

    Parameters
    ----------
    name : str
        Name of the data set's card.
    """
    if not at_hand(name):
        return None
    cases = data.card(name).counts["test"]
    rows = -(-cases // COLUMNS)
    return {"file": f"explorer-{name}.png", "columns": COLUMNS, "rows": rows}


def at_hand(name: str) -> bool:
    """Tell whether a set's images may be shown on pages, and are there.

    Parameters
    ----------
    name : str
        Name of the data set's card.
    """
    return data.card(name).publishable and data.data_status([name])[name] != "missing"


def write_sheet(name: str, path: Path) -> None:
    """Write all test images of a set, row by row in their order, each pixel as it is in the data.

    Parameters
    ----------
    name : str
        Name of the data set's card; its images have one channel.
    path : Path
        The PNG file.

    Raises
    ------
    MedlibError
        Where the data cannot be had, or their licence does not allow it.
    """
    from medlib.plots.images import check_publishable  # loads Matplotlib

    loaded = data.load(name)
    check_publishable(loaded)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiled(loaded.test.images[:, 0])).save(path, optimize=True)


def tiled(images: np.ndarray) -> np.ndarray:
    """Lay images (N, H, W) out in rows of `COLUMNS`; places left over are black."""
    count, height, width = images.shape
    rows = -(-count // COLUMNS)
    padded = np.zeros((rows * COLUMNS, height, width), images.dtype)
    padded[:count] = images
    grid = padded.reshape(rows, COLUMNS, height, width).swapaxes(1, 2)
    return grid.reshape(rows * height, COLUMNS * width)
