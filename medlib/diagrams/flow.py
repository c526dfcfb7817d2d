"""Flow diagrams: boxes of words, arrows between them, laid out from left to right."""

from collections.abc import Collection, Mapping, Sequence

from medlib.diagrams import svg
from medlib.diagrams.svg import SVG

SIZE = 13
LINE = 17
PAD = 10
GAP_X = 46
GAP_Y = 22
PLAIN = "#8a94a022"
ACCENT = "#4f94d455"


def flow(
    nodes: Mapping[str, str] | Sequence[str],
    edges: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    title: str,
    accent: Collection[str] = (),
    width: float = svg.COLUMN,
) -> SVG:
    """Draw boxes of words with arrows between them.

    A box stands one column to the right of the last box that leads to it.

    Parameters
    ----------
    nodes : mapping of str to str, or sequence of str
        Words by key; a sequence of words is its own keys.
    edges : sequence of (from, to) or (from, to, words)
        Arrows, with words on them where given. An arrow that leads back is dashed.
    title : str
        Name of the picture.
    accent : collection of str
        Keys of the boxes that stand out.
    width : float
        Width of the picture in pixels; long words make it wider, and the page scales it down.

    Raises
    ------
    ValueError
        Where an arrow names a box that there is not.
    """
    words = dict(nodes) if isinstance(nodes, Mapping) else {node: node for node in nodes}
    links = [(a, b, *rest) for a, b, *rest in edges]
    unknown = {key for a, b, *_ in links for key in (a, b)} - set(words)
    if unknown:
        raise ValueError(f"arrows name boxes that there are not: {', '.join(sorted(unknown))}")
    columns = _columns(list(words), [(a, b) for a, b, *_ in links])
    box_width, gap = _box_and_gap(words, links, columns, width)
    placed, height = _place(words, columns, box_width, gap)
    width = max(x + wide + 1 for x, _, wide, _ in placed.values())
    body = "".join(_node(words[key], place, key in accent) for key, place in placed.items())
    fans = {a for a, *_ in links if sum(a == other for other, *_ in links) > 1}
    body += "".join(_edge(placed, a, b, "".join(rest), a in fans) for a, b, *rest in links)
    return SVG(body, width, height, title, _in_words(words, links))


Place = tuple[float, float, float, float]  # x, y, width, height


def _columns(keys: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """Return a column for each box: one more than the boxes that lead to it, loops left out."""
    order = {key: place for place, key in enumerate(keys)}
    column = dict.fromkeys(keys, 0)
    forward = [(a, b) for a, b in edges if order[a] < order[b]]
    for key in keys:
        column[key] = max((column[a] + 1 for a, b in forward if b == key), default=0)
    return column


def _box_and_gap(
    words: dict[str, str], links: list[tuple], columns: dict[str, int], width: float
) -> tuple[float, float]:
    """Share the width among columns, but let no word stick out of its box or its gap."""
    count = max(columns.values()) + 1
    labels = [rest[0] for a, b, *rest in links if rest and columns[a] < columns[b]]
    gap = max([GAP_X if count < 5 else GAP_X * 0.7, *(_width(w, SIZE - 2) + 16 for w in labels)])
    longest = max(_width(word, SIZE) for text in words.values() for word in text.split())
    return max((width - 2 - gap * (count - 1)) / count, longest + 2 * PAD), gap


def _width(words: str, size: float) -> float:
    return len(words) * size * svg.CHARACTER


def _place(
    words: dict[str, str], columns: dict[str, int], box_width: float, gap: float
) -> tuple[dict[str, Place], float]:
    count = max(columns.values()) + 1
    heights = {
        key: LINE * len(svg.wrapped(text, box_width - 2 * PAD, SIZE)) + 2 * PAD
        for key, text in words.items()
    }
    members = [[k for k in words if columns[k] == c] for c in range(count)]
    total = max(sum(heights[k] for k in m) + GAP_Y * (len(m) - 1) for m in members)
    margin = 26
    placed = {}
    for c, keys in enumerate(members):
        y = margin + (total - sum(heights[k] for k in keys) - GAP_Y * (len(keys) - 1)) / 2
        for key in keys:
            placed[key] = (1 + c * (box_width + gap), y, box_width, heights[key])
            y += heights[key] + GAP_Y
    return placed, total + 2 * margin


def _node(words: str, place: Place, accented: bool) -> str:
    x, y, width, height = place
    lines = svg.wrapped(words, width - 2 * PAD, SIZE)
    parts = [svg.box(x, y, width, height, ACCENT if accented else PLAIN, radius=6)]
    top = y + (height - LINE * len(lines)) / 2 + LINE * 0.74
    parts += [
        svg.label(x + width / 2, top + LINE * i, line, size=SIZE, bold=accented)
        for i, line in enumerate(lines)
    ]
    return "".join(parts)


def _edge(placed: dict[str, Place], source: str, target: str, words: str, fans: bool) -> str:
    (x0, y0, w0, h0), (x1, y1, w1, h1) = placed[source], placed[target]
    if x1 > x0:
        (xa, ya), (xb, yb) = (x0 + w0, y0 + h0 / 2), (x1 - 1, y1 + h1 / 2)
        middle = (xa + xb) / 2
        line = svg.arrow("M", xa, ya, "C", middle, ya, middle, yb, xb, yb)
        at = (middle, _beside(ya, yb, fans))
    else:
        low = max(y0 + h0, y1 + h1) + 16
        xa, xb = x0 + w0 / 2, x1 + w1 / 2
        line = svg.arrow("M", xa, y0 + h0, "V", low, "H", xb, "V", y1 + h1 + 1, dashed=True)
        at = ((xa + xb) / 2, low - 4)
    return line + (svg.label(*at, words, size=SIZE - 2, faint=True) if words else "")


def _beside(start: float, end: float, fans: bool) -> float:
    """Return the height of an arrow's words: outside of the fan that it belongs to."""
    if start == end:
        return start - 6
    outer = end if fans else start
    return outer - 6 if outer < max(start, end) else outer + 14


def _in_words(words: dict[str, str], links: list[tuple]) -> str:
    """Describe the arrows for those who cannot see them."""
    said = [
        f"{words[a]} leads to {words[b]}" + (f" ({rest[0]})" if rest else "")
        for a, b, *rest in links
    ]
    return ("; ".join(said) + ".").replace("\n", " ")
