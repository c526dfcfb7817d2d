"""A network drawn from its own module: slabs as wide as their channels, as high as their maps."""

from math import log2

from torch import nn

from medlib.diagrams import svg
from medlib.diagrams.grouping import Box, boxes_of
from medlib.diagrams.svg import SVG
from medlib.summary.trace import trace

FILL = {
    "image": "#9aa5b1",
    "convolution": "#4f94d4",
    "pooling": "#e0a13c",
    "linear": "#3fa381",
    "block": "#a884d6",
    "other": "#a9adb3",
}
SIZE = 11
LINE = 14
GAP = 20
TALLEST = 120


def diagram(
    model: nn.Module, input_shape: tuple[int, int, int], *, title: str = "", limit: int = 13
) -> SVG:
    """Draw a network as it is executed.

    Each slab is a layer or a block: its width grows with the channels, its height with the
    resolution (both by their logarithm). Below it stand its operation and the shape of its
    output. An arc over one slab is a skip inside the block; an arc over several leads past them.

    Parameters
    ----------
    model : nn.Module
        Any network of one image input.
    input_shape : (C, H, W)
        Shape of one image.
    title : str
        Name of the picture; the class of the network where omitted.
    limit : int
        Number of slabs above which modules are folded into their parents.
    """
    boxes = boxes_of(model, trace(model, input_shape), limit)
    image = Box("image", "image", "image", tuple(input_shape))
    shapes = _Shapes([image, *boxes], input_shape[-1])
    title = title or f"Architecture of {type(model).__name__}"
    return SVG(shapes.draw(), shapes.width, shapes.height, title, _in_words(boxes, input_shape))


class _Shapes:
    """Places the slabs of one diagram in rows and draws them."""

    def __init__(self, boxes: list[Box], resolution: int) -> None:
        self.boxes = boxes
        self.resolution = resolution
        self.sizes = [self._size(box) for box in boxes]
        self.words = [self._lines(box) for box in boxes]
        self.pitch = [
            max(w, self._text_width(lines)) + GAP
            for (w, _), lines in zip(self.sizes, self.words, strict=True)
        ]
        self.rows = self._rows()
        self.width = max(sum(self.pitch[i] for i in row) for row in self.rows)
        self.arc = 18 + 9 * max((self._span(e) for e in self._skips()), default=0)
        text = LINE * max(len(lines) for lines in self.words) + 12
        self.row_height = self.arc + TALLEST + text
        self.height = self.row_height * len(self.rows)
        self.centre = self._centres()

    def draw(self) -> str:
        """Return the shapes of the whole diagram."""
        parts = []
        for i in range(len(self.boxes)):
            parts += self._slab(i)
        parts += [self._step(i) for i in range(1, len(self.boxes)) if self._reads_previous(i)]
        parts += [self._arc(edge) for edge in self._skips()]
        return "".join(parts)

    def _size(self, box: Box) -> tuple[float, float]:
        channels = box.shape[0] if len(box.shape) in {1, 3} else box.shape[-1]
        edge = max(box.shape[1:]) if len(box.shape) == 3 else 1
        share = log2(1 + edge) / log2(1 + self.resolution)
        return 7 + 4 * log2(1 + channels), 16 + (TALLEST - 16) * min(share, 1)

    def _lines(self, box: Box) -> list[str]:
        words = svg.wrapped(box.words, 76, SIZE)
        words[0] = f"{box.times} × {words[0]}" if box.times > 1 else words[0]
        return [*words, "×".join(map(str, box.shape))]

    def _text_width(self, lines: list[str]) -> float:
        return max(len(line) for line in lines) * SIZE * svg.CHARACTER - 8

    def _rows(self) -> list[list[int]]:
        """Fill rows up to the width of a column, evenly."""
        total = sum(self.pitch)
        count = int(total // (svg.COLUMN * 1.2)) + 1
        rows: list[list[int]] = [[]]
        used = 0.0
        for i, pitch in enumerate(self.pitch):
            if rows[-1] and used + pitch > total / count + pitch / 2 and len(rows) < count:
                rows.append([])
                used = 0.0
            rows[-1].append(i)
            used += pitch
        return rows

    def _centres(self) -> list[tuple[float, float]]:
        centres = []
        for r, row in enumerate(self.rows):
            x = 0.0
            y = r * self.row_height + self.arc + TALLEST / 2
            for i in row:
                centres.append((x + self.pitch[i] / 2, y))
                x += self.pitch[i]
        return centres

    def _slab(self, i: int) -> list[str]:
        (x, y), (wide, high), box = self.centre[i], self.sizes[i], self.boxes[i]
        parts = [svg.box(x - wide / 2, y - high / 2, wide, high, FILL[box.kind])]
        if box.skip:
            top = y - high / 2
            left, right = x - wide / 2 - 6, x + wide / 2 + 6
            parts.append(
                svg.arrow(
                    f"M{svg.number(left)} {svg.number(y)} V{svg.number(top - 8)} "
                    f"H{svg.number(right)} V{svg.number(y - 2)}"
                )
            )
        base = y + TALLEST / 2 + LINE
        last = len(self.words[i]) - 1
        return parts + [
            svg.label(x, base + LINE * n, line, size=SIZE, faint=n == last)
            for n, line in enumerate(self.words[i])
        ]

    def _reads_previous(self, i: int) -> bool:
        return i - 2 in self.boxes[i].inputs or i == 1

    def _step(self, i: int) -> str:
        """Return the arrow from the slab before; between rows it turns round."""
        (x0, y0), (x1, y1) = self.centre[i - 1], self.centre[i]
        start = x0 + self.sizes[i - 1][0] / 2 + 1
        end = x1 - self.sizes[i][0] / 2 - 1
        if y0 == y1:
            return svg.arrow(f"M{svg.number(start)} {svg.number(y0)} H{svg.number(end)}")
        return svg.arrow(f"M{svg.number(max(end - 14, 1))} {svg.number(y1)} H{svg.number(end)}")

    def _skips(self) -> list[tuple[int, int]]:
        return [
            (source + 1, i)
            for i, box in enumerate(self.boxes)
            for source in sorted(box.inputs)
            if source + 1 < i - 1
        ]

    def _span(self, edge: tuple[int, int]) -> int:
        return edge[1] - edge[0]

    def _arc(self, edge: tuple[int, int]) -> str:
        (x0, y0), (x1, y1) = self.centre[edge[0]], self.centre[edge[1]]
        top0, top1 = y0 - self.sizes[edge[0]][1] / 2, y1 - self.sizes[edge[1]][1] / 2
        lift = min(y0, y1) - TALLEST / 2 - 4 - 9 * self._span(edge)
        n = svg.number
        return svg.arrow(f"M{n(x0)} {n(top0)} V{n(lift)} H{n(x1)} V{n(top1 - 1)}", dashed=True)


def _in_words(boxes: list[Box], input_shape: tuple[int, int, int]) -> str:
    """Describe the diagram for those who cannot see it."""
    said = [f"an image of {' × '.join(map(str, input_shape))}"]
    for box in boxes:
        times = f"{box.times} times " if box.times > 1 else ""
        skip = " with a skip" if box.skip else ""
        words = box.words.replace("\n", ", ")
        said.append(f"{times}{words}{skip} to {' × '.join(map(str, box.shape))}")
    return "From left to right: " + "; ".join(said) + "."
