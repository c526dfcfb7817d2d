"""The colours of figures and pages: told apart without red or green, seen on both grounds.

A colour-blind reader's view is simulated with the matrices that Machado, Oliveira and Fernandes
published for the whole loss of one kind of cone (severity 1.0; "A physiologically-based model for
simulation of color vision deficiency", IEEE TVCG 15(6):1291-1298, 2009, doi 10.1109/TVCG.2009.113).
They apply to linear RGB. Distances are CIE76 in CIELAB (D65).
"""

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from medlib.plots import theme

CSS = Path(__file__).resolve().parents[1] / "book" / "_static" / "medlib.css"
BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
WHITE = TO_XYZ.sum(axis=1)
GRAPHIC, TEXT = 3.0, 4.5  # contrasts of WCAG 1.4.11 and 1.4.3
APART = 20.0  # a difference that is seen without a comparison side by side
# Colours of the palette that hold without another difference; blue and green, the first and third,
# are near each other for the one in ten thousand readers without short-wave cones.
FIRST = {"any": 3, "protanopia": 3, "deuteranopia": 3, "tritanopia": 2}


def linear(colour: str) -> np.ndarray:
    """Return linear RGB (3,) of a colour such as ``#0069b4``."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB (3,) of linear RGB."""
    part = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, eye: str) -> float:
    matrix = np.array(BLIND.get(eye, np.eye(3)))
    return float(np.linalg.norm(lab(matrix @ linear(one)) - lab(matrix @ linear(other))))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(TO_XYZ[1] @ linear(each)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def variables(look: str) -> Mapping[str, str]:
    """Return the colours that the style sheet sets in a look, by name."""
    blocks = re.findall(rf'html\[data-theme="{look}"\] {{(.*?)\n}}', CSS.read_text("utf-8"), re.S)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", "".join(blocks)))


def ground(look: str) -> str:
    return variables(look).get("pst-color-background", "#ffffff")


def test_the_matrices_keep_greys_and_confuse_what_they_should():
    for eye, matrix in BLIND.items():
        assert np.allclose(np.sum(matrix, axis=1), 1, atol=2e-6), eye
    assert distance("#ff0000", "#ffffff", "none") == pytest.approx(114.6, abs=0.5)
    assert distance("#c00000", "#606000", "deuteranopia") < 20 < distance("#c00000", "#606000", "")
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("eye", ["any", *BLIND])
def test_the_first_colours_of_a_figure_are_told_apart(eye: str):
    for one, other in combinations(theme.PALETTE[: FIRST[eye]], 2):
        assert distance(one, other, eye) > APART, (one, other)


@pytest.mark.parametrize("colour", [*theme.PALETTE, theme.INK, theme.MUTED])
def test_the_colours_of_a_figure_are_read_on_its_paper(colour: str):
    assert contrast(colour, theme.PAPER) >= TEXT


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("eye", ["any", *BLIND])
def test_the_two_colours_of_the_explorer_are_told_apart(look: str, eye: str):
    found = variables(look)
    assert distance(found["medlib-one"], found["medlib-two"], eye) > APART


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_colours_of_the_pages_are_seen_on_their_ground(look: str):
    found = variables(look)
    for name in ("medlib-one", "medlib-two", "pst-color-primary"):
        assert contrast(found[name], ground(look)) >= GRAPHIC, name
    theme_texts = ("link", "text-base", "text-muted", "inline-code")
    texts = [f"medlib-{state}" for state in ("good", "bad", "unsure")]
    for name in (*texts, *(f"pst-color-{each}" for each in theme_texts)):
        for below in (ground(look), found["pst-color-surface"]):
            assert contrast(found[name], below) >= TEXT, (name, below)


def test_more_colours_never_stand_alone():
    """Without one kind of cone eight colours cannot all be told apart: dashes differ there."""
    names = [f"network {i}" for i in range(len(theme.PALETTE))]
    looks = {name: (theme.colours(names)[name], theme.dashes(names)[name]) for name in names}
    for one, other in combinations(looks.values(), 2):
        apart = min(distance(one[0], other[0], eye) for eye in ("any", *BLIND))
        assert apart > APART or one[1] != other[1], (one, other)
