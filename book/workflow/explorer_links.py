"""Lead from the chapters on metrics and the benchmark to the page where a threshold can be moved.

The lines are added when the site is staged: in the chapters' sources they would undo their runs.
"""

import re

DOCUMENT = "book/explorer"
HEADINGS = {
    "02-05-metrics": "## Thresholds and operating points",
    "04-08-benchmark": "## Scores that others can check",
}
LINE = (
    "You can move the threshold yourself, over committed scores and without running anything: "
    "[](../book/explorer.md)."
)


def with_link(text: str, stem: str) -> str:
    """Add the line below its heading, in the chapters that have one.

    Parameters
    ----------
    text : str
        A Markdown cell of the chapter.
    stem : str
        The chapter's file name without its ending.
    """
    if stem not in HEADINGS:
        return text
    heading = re.compile(rf"^{re.escape(HEADINGS[stem])}$", re.MULTILINE)
    return heading.sub(lambda match: f"{match[0]}\n\n{LINE}", text, count=1)
