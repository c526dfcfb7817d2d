"""Diagrams show the layers that a network runs, in an SVG that a screen reader can read."""

import xml.etree.ElementTree as ET

import pytest
import torch
import torchvision
from torch import nn

from medlib import models
from medlib.diagrams import diagram, flow, svg
from medlib.diagrams.grouping import boxes_of
from medlib.summary import trace

NS = {"s": "http://www.w3.org/2000/svg"}


def ours(name: str) -> nn.Module:
    return models.create(name, in_channels=1, num_classes=2, image_size=28)


def meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None)


def parsed(picture) -> ET.Element:
    return ET.fromstring(picture.text())


def words_in(picture) -> list[str]:
    return [node.text for node in parsed(picture).iterfind(".//s:text", NS)]


class TinyUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.right = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left = self.left(x)
        return self.right(torch.cat([left, self.up(self.deep(self.pool(left)))], 1))


def test_lenet_is_drawn_layer_by_layer():
    picture = diagram(ours("lenet5"), (1, 28, 28))
    boxes = parsed(picture).findall(".//s:rect", NS)
    assert len(boxes) == 8  # the image, 3 convolutions, 2 poolings, 2 linear layers
    assert words_in(picture)[:4] == ["image", "1×28×28", "conv 5×5", "6×28×28"]
    heights = [float(box.get("height")) for box in boxes]
    assert heights[0] > heights[2] > heights[4] > heights[-1]


def test_channels_widen_the_slab():
    boxes = parsed(diagram(ours("lenet5"), (1, 28, 28))).findall(".//s:rect", NS)
    widths = [float(box.get("width")) for box in boxes]
    assert widths[0] < widths[1] < widths[3] < widths[5]


def test_residual_blocks_are_boxes_with_a_skip():
    model = ours("resnet18")
    boxes = boxes_of(model, trace(model, (1, 28, 28)))
    skips = [box for box in boxes if box.skip]
    assert len(skips) == 8
    assert skips[-1].words == "residual block\n2 conv 3×3"
    assert skips[-1].shape == (512, 4, 4)
    assert len(parsed(diagram(model, (1, 28, 28))).findall(".//s:circle", NS)) == 8


def test_alexnet_leaves_out_dropout_and_activations():
    model = ours("alexnet")
    kinds = [box.kind for box in boxes_of(model, trace(model, (1, 28, 28)))]
    assert kinds.count("convolution") == 5
    assert kinds.count("linear") == 3
    assert "other" not in kinds


@pytest.mark.parametrize(
    ("name", "boxes", "blocks"), [("vgg16", 12, 0), ("resnet50", 8, 4), ("densenet121", 11, 7)]
)
def test_deep_networks_fold_into_few_boxes(name, boxes, blocks):
    model = meta(name)
    found = boxes_of(model, trace(model, (3, 224, 224)))
    assert len(found) == boxes
    assert sum(box.kind == "block" for box in found) == blocks


def test_folded_boxes_say_how_many_they_are():
    model = meta("resnet50")
    found = boxes_of(model, trace(model, (3, 224, 224)))
    assert [box.times for box in found if box.skip] == [3, 4, 6, 3]


def test_a_skip_over_several_layers_is_an_edge():
    boxes = boxes_of(TinyUNet(), trace(TinyUNet(), (1, 16, 16)))
    assert [box.words.split()[0] for box in boxes] == ["conv", "max", "conv", "up-conv", "conv"]
    assert boxes[-1].inputs == {0, 3}
    picture = diagram(TinyUNet(), (1, 16, 16))
    dashed = [p for p in parsed(picture).iterfind(".//s:path", NS) if p.get("stroke-dasharray")]
    assert len(dashed) == 1


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_pictures_are_named_and_described(name):
    picture = diagram(ours(name), (1, 28, 28), title="A <network>")
    root = parsed(picture)
    assert root.get("role") == "img"
    assert root.get("aria-label").startswith("A <network>. From left to right: an image")
    assert root.find("s:title", NS).text == "A <network>"
    assert "linear to 2" in root.find("s:desc", NS).text
    assert picture.text() == diagram(ours(name), (1, 28, 28), title="A <network>").text()


def test_pictures_can_stand_twice_on_a_page():
    text = diagram(ours("lenet5"), (1, 28, 28)).text()
    assert " id=" not in text
    assert "url(#" not in text


def test_all_shapes_lie_inside_the_picture():
    picture = diagram(meta("densenet121"), (3, 224, 224), limit=40)
    for box in parsed(picture).iterfind(".//s:rect", NS):
        x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= picture.width
        assert y + h <= picture.height


def test_flow_places_boxes_behind_what_leads_to_them():
    edges = [("data", "train"), ("train", "check"), ("check", "train", "again"), ("check", "test")]
    picture = flow({"data": "Data", "train": "Train", "check": "Validate", "test": "Test once"},
                   edges, title="Path", accent={"test"})  # fmt: skip
    xs = [float(box.get("x")) for box in parsed(picture).iterfind(".//s:rect", NS)]
    assert xs == sorted(xs)
    assert len(set(xs)) == 4
    assert {"Data", "Test once", "again"} <= set(words_in(picture))
    assert "Validate leads to Train (again)" in picture.description


def test_flow_names_an_unknown_box():
    with pytest.raises(ValueError, match="nowhere"):
        flow(["a"], [("a", "nowhere")], title="x")


def test_flow_keeps_long_words_in_their_boxes():
    words = [f"{'w' * 14} {i}" for i in range(6)]
    picture = flow(words, list(zip(words, words[1:], strict=False)), title="Long")
    boxes = parsed(picture).findall(".//s:rect", NS)
    assert all(float(box.get("width")) > 14 * 7 for box in boxes)
    right = max(float(box.get("x")) + float(box.get("width")) for box in boxes)
    assert right <= picture.width


@pytest.mark.parametrize(
    ("steps", "tip", "back"),
    [
        (("M", 0, 5, "H", 20), (20, 5), (12, 5)),
        (("M", 20, 5, "H", 0), (0, 5), (8, 5)),
        (("M", 3, 0, "V", 30), (3, 30), (3, 22)),
        (("M", 3, 30, "V", 0), (3, 0), (3, 8)),
        (("M", 9, 0, "V", 30, "H", 1), (1, 30), (9, 30)),
        (("M", 9, 30, "V", 0, "H", 40, "V", 20), (40, 20), (40, 12)),
    ],
)
def test_tips_point_where_a_path_leads(steps, tip, back):
    ends = [p.get("d") for p in ET.fromstring(f"<g>{svg.arrow(*steps)}</g>")][1]
    numbers = [float(x) for x in ends.replace("z", "").split() if x not in "ML"]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert points[0] == tip
    assert tuple(sum(p[axis] for p in points[1:]) / 2 for axis in (0, 1)) == back
