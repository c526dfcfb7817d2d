"""The picture that other sites show of a page: its size, its figure, its letters."""

import numpy as np
import pytest
from PIL import Image

from book._ext import medlib_finder, preview_card

TITLE, BOOK, SENTENCE = "3.5 Residual networks", "A book", "It learns."


@pytest.fixture
def picture(tmp_path):
    """A red picture, wider than high."""
    path = tmp_path / "figure.png"
    Image.new("RGB", (900, 500), "#ff0000").save(path)
    return path


def red(card: Image.Image) -> np.ndarray:
    """Return the rows and the columns of what is red."""
    pixels = np.asarray(card).astype(int)
    return np.argwhere((pixels[..., 0] > 250) & (pixels[..., 1:].max(axis=-1) < 5))


@pytest.mark.parametrize("size", [(900, 500), (300, 900), (210, 210)])
def test_the_figure_is_whole_beside_or_below_the_title(tmp_path, size):
    path = tmp_path / "figure.png"
    Image.new("RGB", size, "#ff0000").save(path)
    card = preview_card.draw(TITLE, BOOK, SENTENCE, path)
    assert card.size == (1200, 630)
    found = red(card)
    height, width = np.ptp(found, axis=0) + 1
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02)
    assert min(found.min(axis=0)) >= preview_card.EDGE
    assert (found.max(axis=0) <= np.array([630, 1200]) - preview_card.EDGE).all()


def test_without_a_figure_the_sentence_stands_there():
    bare = preview_card.draw(TITLE, BOOK, "", None)
    assert bare.tobytes() != preview_card.draw(TITLE, BOOK, SENTENCE, None).tobytes()


@pytest.mark.parametrize("title", ["word " * 60, ""])
def test_long_texts_stay_within_the_edges(title):
    pixels = np.asarray(preview_card.draw(title, BOOK, "It learns. " * 200, None)).min(axis=-1)
    edge = preview_card.EDGE
    assert (pixels[:, -edge:] == 255).all()
    assert (pixels[-edge:, preview_card.BAND + 1 :] == 255).all()
    gap = pixels[630 - edge - 50 : 630 - edge - 30, edge:]
    assert (gap == 255).all(), "the last line of the text does not touch the title of the book"


def test_the_first_picture_is_no_icon_and_no_drawing(picture, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "icon.png")
    (tmp_path / "logo.svg").write_text("<svg/>", encoding="utf-8")
    body = "".join(
        f'<img alt="{name}, shown" src="../_images/{name}" />'
        for name in ("icon.png", "logo.svg", "gone.png", "figure.png")
    )
    sources = {name: tmp_path / name for name in ("icon.png", "logo.svg", "figure.png", "gone.png")}
    assert preview_card.first_picture(body, sources) == (picture, "figure.png, shown")
    assert preview_card.first_picture("<p>None.</p>", sources) is None


def test_the_same_card_gives_the_same_bytes(picture, tmp_path):
    for name in ("one.png", "two.png"):
        card = preview_card.draw(TITLE, BOOK, SENTENCE, picture)
        preview_card.write(card, tmp_path / "cards" / name)
    one, two = sorted((tmp_path / "cards").iterdir())
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size < 60_000


def test_a_title_that_the_font_lacks_is_shown_in_english():
    assert preview_card.drawable("Müller’s naïve β–test")
    assert not preview_card.drawable("残差网络")
    assert medlib_finder._plain_title("notebooks/03-05-resnet") == "3.5 ResNet"
    assert medlib_finder._plain_title("book/authors").startswith("A")
    assert medlib_finder._plain_title("book/none") == ""
