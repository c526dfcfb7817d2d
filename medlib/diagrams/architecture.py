"""A network drawn from its own module: slabs as wide as their channels, as high as their maps."""

from math import log2

from torch import nn

from medlib.diagrams import svg
from medlib.diagrams.folded import folded_columns, turn
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
LANE = 6  # pixels between the arcs over the slabs
WIDEST = 1.25  # columns: how far a row may be scaled down; further where skips must stay in it
WIDEST_SKIPPING = 1.45
SHORT = {"max pool": "pool", "average pool": "pool", "up-conv 2×2": "up"}


def diagram(
    model: nn.Module, input_shape: tuple[int, int, int], *, title: str = "", limit: int = 13
) -> SVG:
    """Draw a network as it is executed.

    Each slab is a layer or a block: its width grows with the channels, its height with the
    resolution (both by their logarithm). Below it stand its operation and the shape of its
    output. An arc over one slab is a skip inside the block; an arc over several leads past them.
    A network that goes down and up again, such as a U-Net, is folded: up runs back below down.

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
    wide = len(shapes.rows) > 1 or shapes.width > svg.COLUMN
    columns = folded_columns(shapes.boxes, shapes.skips) if wide else None
    if columns:
        shapes = _Folded(shapes.boxes, input_shape[-1], columns)
    title = title or f"Architecture of {type(model).__name__}"
    words = _in_words(boxes, input_shape, "back again below" if columns else "")
    return SVG(shapes.draw(), shapes.width, shapes.height, title, words)


class _Shapes:
    """Places the slabs of one diagram in rows and draws them."""

    def __init__(self, boxes: list[Box], resolution: int) -> None:
        self.boxes = boxes
        self.sizes = [_slab_size(box, resolution) for box in boxes]
        self.skips = [
            (source + 1, target)
            for target, box in enumerate(boxes)
            for source in sorted(box.inputs)
            if source + 1 < target - 1
        ]
        self._fit(WIDEST_SKIPPING if self.skips else WIDEST)
        self.centre = self._centres()

    def draw(self) -> str:
        """Return the shapes of the whole diagram."""
        parts = [part for i in range(len(self.boxes)) for part in self._slab(i)]
        parts += [part for i in range(1, len(self.boxes)) for part in self._step(i)]
        parts += [self._arc(source, target) for source, target in self.skips]
        return "".join(parts)

    def _fit(self, widest: float) -> None:
        """Choose the words, long or short, and the rows, so that they fill a column's width."""
        for compact in (False, True):
            self.words = [_lines(box, compact) for box in self.boxes]
            self.pitch = [
                max(wide + GAP + 12 * box.skip, _text_width(words) + 8)
                for (wide, _), words, box in zip(self.sizes, self.words, self.boxes, strict=True)
            ]
            if sum(self.pitch) <= svg.COLUMN * (widest if compact else 1.06):
                break
        count = int(sum(self.pitch) // (svg.COLUMN * widest)) + 1
        self.rows = _even_rows(self.pitch, count)
        self.width = max(sum(self.pitch[i] for i in row) for row in self.rows) + 14 * (count > 1)

    def _centres(self) -> list[tuple[float, float]]:
        centres: list[tuple[float, float]] = []
        self.base: list[float] = []  # where the words of each slab begin
        y = 0.0
        for row in self.rows:
            tallest = max(self.sizes[i][1] for i in row)
            spans = [b - a for a, b in self.skips if b in row or a in row]
            y += 14 + LANE * max(spans, default=0)
            x = 0.0
            for i in row:
                centres.append((x + self.pitch[i] / 2, y + tallest / 2))
                self.base.append(y + tallest + LINE)
                x += self.pitch[i]
            y += tallest + LINE * max(len(self.words[i]) for i in row) + 12
        self.height = y
        return centres

    def _slab(self, i: int) -> list[str]:
        (x, y), (wide, high), box = self.centre[i], self.sizes[i], self.boxes[i]
        parts = [svg.box(x - wide / 2, y - high / 2, wide, high, FILL[box.kind])]
        if box.skip:
            left, right = x - wide / 2 - 8, x + wide / 2 + 9
            parts.append(svg.arrow("M", left, y, "V", y - high / 2 - 8, "H", right, "V", y - 6))
            parts.append(svg.plus(right, y))
        base = self.base[i]
        last = len(self.words[i])  # a shape stands in the last lines; "3×3" may be a kernel too
        faint = {"×".join(map(str, box.shape)), *_shape_lines(box)}
        return parts + [
            svg.label(x, base + LINE * n, line, size=SIZE, faint=line in faint and n >= last - 2)
            for n, line in enumerate(self.words[i])
        ]

    def _step(self, i: int) -> list[str]:
        """Return the arrow from the slab before; between rows it leaves and comes back in."""
        if i - 2 not in self.boxes[i].inputs:
            return []
        (x0, y0), (x1, y1) = self.centre[i - 1], self.centre[i]
        start = x0 + self.sizes[i - 1][0] / 2 + 1
        end = x1 - self.sizes[i][0] / 2 - 1
        if y0 == y1:
            return [svg.arrow("M", start, y0, "H", end)]
        leaving = svg.arrow("M", start, y0, "H", min(start + 24, self.width - 1))
        return [leaving, svg.arrow("M", max(end - 24, 1), y1, "H", end)]

    def _arc(self, source: int, target: int) -> str:
        (x0, y0), (x1, y1) = self.centre[source], self.centre[target]
        top0, top1 = y0 - self.sizes[source][1] / 2, y1 - self.sizes[target][1] / 2
        lift = min(top0, top1) - 4 - LANE * (target - source)
        x0, x1 = x0 + 3, x1 - 3  # an arc that arrives and one that leaves stay apart
        return svg.arrow("M", x0, top0, "V", lift, "H", x1, "V", top1 - 1, dashed=True)


class _Folded(_Shapes):
    """The same in two rows, of which the second runs from right to left below the first."""

    def __init__(self, boxes: list[Box], resolution: int, columns: list[int]) -> None:
        self.columns = columns
        self.turn = turn(boxes)
        super().__init__(boxes, resolution)

    def _fit(self, widest: float) -> None:
        """Give all columns the width that the widest slab or its words need."""
        self.words = [_lines(box, compact=True) for box in self.boxes]
        slabs = max(wide for wide, _ in self.sizes)
        self.column = max(slabs + GAP, *(_text_width(words) + 4 for words in self.words))
        self.rows = [list(range(self.turn + 1)), list(range(self.turn + 1, len(self.boxes)))]
        self.width = self.column * (max(self.columns) - min(self.columns) + 1)

    def _centres(self) -> list[tuple[float, float]]:
        """Place words above the first row and below the second, skips between them."""
        tallest = [max(self.sizes[i][1] for i in row) for row in self.rows]
        lines = [max(len(self.words[i]) for i in row) for row in self.rows]
        top = LINE * lines[0] + 6
        middles = (top + tallest[0] / 2, top + tallest[0] + 2 * GAP + tallest[1] / 2)
        bottom = middles[1] + tallest[1] / 2
        first = [top - 6 - LINE * (len(self.words[i]) - 1) for i in self.rows[0]]
        self.base = first + [bottom + LINE] * len(self.rows[1])
        self.height = bottom + LINE * lines[1] + 6
        start = self.column / 2 - self.column * min(self.columns)
        rows = [int(i > self.turn) for i in range(len(self.boxes))]
        return [
            (start + self.column * column, middles[row])
            for column, row in zip(self.columns, rows, strict=True)
        ]

    def _step(self, i: int) -> list[str]:
        """Return the arrow from the slab before: to the right, down at the turn, to the left."""
        if i <= self.turn:
            return super()._step(i)
        (x0, y0), (x1, y1) = self.centre[i - 1], self.centre[i]
        end = x1 + self.sizes[i][0] / 2 + 1
        if i > self.turn + 1:
            return [svg.arrow("M", x0 - self.sizes[i - 1][0] / 2 - 1, y0, "H", end)]
        low = y0 + self.sizes[i - 1][1] / 2
        if x0 == x1:
            return [svg.arrow("M", x0, low, "V", y1 - self.sizes[i][1] / 2 - 1)]
        return [svg.arrow("M", x0, low, "V", y1, "H", end)]

    def _arc(self, source: int, target: int) -> str:
        (x, y0), (_, y1) = self.centre[source], self.centre[target]
        low, high = y0 + self.sizes[source][1] / 2, y1 - self.sizes[target][1] / 2 - 1
        return svg.arrow("M", x, low, "V", high, dashed=True)


def _slab_size(box: Box, resolution: int) -> tuple[float, float]:
    channels = box.shape[0] if len(box.shape) in {1, 3} else box.shape[-1]
    edge = max(box.shape[1:]) if len(box.shape) == 3 else 1
    share = log2(1 + edge) / log2(1 + resolution)
    return 7 + 4 * log2(1 + channels), 16 + (TALLEST - 16) * min(share, 1)


def _lines(box: Box, compact: bool) -> list[str]:
    """Return what stands below a slab: its operation, then the shape of its output."""
    if compact and (box.words in SHORT):
        return [SHORT[box.words]]
    words = svg.wrapped(box.words, 50 if compact else 76, SIZE)
    if box.times > 1:
        words = [f"{box.times} × {words[0]}", *words[1:]]
    if compact and len(box.shape) == 3:
        return [*words, *_shape_lines(box)]
    return [*words, "×".join(map(str, box.shape))]


def _shape_lines(box: Box) -> list[str]:
    return [f"{box.shape[0]}×", "×".join(map(str, box.shape[1:]))]


def _text_width(lines: list[str]) -> float:
    return max(len(line) for line in lines) * SIZE * svg.CHARACTER


def _even_rows(pitch: list[float], count: int) -> list[list[int]]:
    """Split slabs into rows of about equal width."""
    rows: list[list[int]] = [[] for _ in range(count)]
    used = 0.0
    for i, wide in enumerate(pitch):
        row = min(int((used + wide / 2) / sum(pitch) * count), count - 1)
        rows[row].append(i)
        used += wide
    return rows


def _in_words(boxes: list[Box], input_shape: tuple[int, int, int], then: str) -> str:
    """Describe the diagram for those who cannot see it."""
    said = [f"an image of {' × '.join(map(str, input_shape))}"]
    for box in boxes:
        times = f"{box.times} times " if box.times > 1 else ""
        skip = " with a skip" if box.skip else ""
        words = box.words.replace("\n", ", ")
        said.append(f"{times}{words}{skip} to {' × '.join(map(str, box.shape))}")
    return f"From left to right{f', then {then}' * bool(then)}: {'; '.join(said)}."
