"""A network that goes down and up again, folded: the way up runs back below the way down."""

from collections.abc import Sequence

from medlib.diagrams.grouping import Box


def folded_columns(boxes: Sequence[Box], skips: Sequence[tuple[int, int]]) -> list[int] | None:
    """Return the column of each box, or None where folding does not put skips upright.

    The first row runs from left to right down to the smallest map, the second one back; each skip
    then leads straight down from a box to the one below it.

    Parameters
    ----------
    boxes : sequence of Box
        In the order of execution, the image first.
    skips : sequence of (int, int)
        Source and target of each edge that leads past other boxes.
    """
    if len(skips) < 2:
        return None
    last = turn(boxes)
    below = {target: source for source, target in skips}
    if len(below) < len(skips) or not all(a <= last < b for a, b in skips):
        return None
    columns = list(range(len(boxes)))
    for i in range(max(below), last, -1):  # from the last target back to the turn
        columns[i] = below.get(i, columns[i + 1] + 1)
    for i in range(max(below) + 1, len(boxes)):
        columns[i] = columns[i - 1] - 1
    row = columns[last + 1 :]
    if row[0] > last or any(b >= a for a, b in zip(row, row[1:], strict=False)):
        return None
    return columns


def turn(boxes: Sequence[Box]) -> int:
    """Return the last box of the way down: the last of those with the smallest map."""
    edges = [box.shape[-1] if len(box.shape) == 3 else 0 for box in boxes]
    return max(i for i, edge in enumerate(edges) if edge == min(edges))
