"""Every network can be drawn, and those that go down and up again are folded."""

import re
import xml.etree.ElementTree as ET

import pytest
import torch
from zoo import build, networks

from medlib.diagrams import diagram
from medlib.diagrams.svg import CHARACTER, COLUMN, SVG

NS = {"s": "http://www.w3.org/2000/svg"}


def drawn(name: str, image_size: int = 28) -> SVG:
    with torch.device("meta"):
        return diagram(build(name, image_size=image_size), (1, image_size, image_size))


def slabs(picture: SVG) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each slab."""
    found = []
    for node in ET.fromstring(picture.text()).iterfind(".//s:rect", NS):
        x, y, wide, high = (float(node.get(key)) for key in ("x", "y", "width", "height"))
        found.append((x, y, x + wide, y + high))
    return found


def overlaps(boxes: list[tuple[float, float, float, float]]) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


@pytest.mark.parametrize("image_size", [28, pytest.param(224, marks=pytest.mark.proofs)])
@pytest.mark.parametrize("name", networks())
def test_every_network_is_drawn_inside_its_picture(name, image_size):
    picture = drawn(name, image_size)
    found = slabs(picture)
    assert 3 <= len(found) <= 24
    assert picture.width <= 1.5 * COLUMN
    assert all(x >= 0 and y >= 0 for x, y, _, _ in found)
    assert all(x <= picture.width and y <= picture.height for _, _, x, y in found)
    assert not overlaps(found)


@pytest.mark.parametrize("name", networks())
def test_words_do_not_touch(name):
    texts = []
    for node in ET.fromstring(drawn(name).text()).iterfind(".//s:text", NS):
        x, y, size = (float(node.get(key)) for key in ("x", "y", "font-size"))
        half = len(node.text) * size * CHARACTER / 2
        texts.append((x - half, y - 0.7 * size, x + half, y))
    assert not overlaps(texts)


@pytest.mark.parametrize(("name", "bridges"), [("unet", 4), ("segnet", 4)])
@pytest.mark.parametrize("image_size", [28, 224])
def test_networks_that_come_up_again_are_folded(name, bridges, image_size):
    picture = drawn(name, image_size)
    assert picture.width <= COLUMN
    assert "then back again below" in picture.description
    dashed = re.findall(r'<path d="([^"]*)"[^>]*stroke-dasharray', picture.text())
    upright = [re.fullmatch(r"M ([\d.]+) ([\d.]+) V ([\d.]+)", path) for path in dashed]
    assert len(dashed) == bridges
    assert all(path and float(path[3]) > float(path[2]) for path in upright)
    for path in upright:  # from the lower edge of one slab to just above the upper edge of another
        x, top, bottom = (float(path[i]) for i in (1, 2, 3))
        touching = [s for s in slabs(picture) if s[0] < x < s[2]]
        assert any(abs(s[3] - top) < 0.2 for s in touching)
        assert any(abs(s[1] - 1 - bottom) < 0.2 for s in touching)


def test_fcn_shows_where_its_finer_scores_come_from():
    assert "early, 7 conv 3×3 to 32 × 14 × 14" in drawn("fcn8s").description
    assert drawn("fcn8s").text().count("stroke-dasharray") == 2
    assert drawn("fcn32s").text().count("stroke-dasharray") == 0
