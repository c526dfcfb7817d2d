"""Lead from chapters to the pages where a reader can try what they explain.

The lines are added when the site is staged: in the chapters' sources they would undo their runs.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lead:
    """A line that leads to a page, and where it stands.

    Attributes
    ----------
    document : str
        Sphinx's name of the page.
    line : str
        The line.
    headings : mapping of str to str
        The heading it stands below, by the chapter's file name without its ending.
    """

    document: str
    line: str
    headings: Mapping[str, str]


LEADS = (
    Lead(
        "book/explorer",
        "You can move the threshold yourself, over committed scores and without running anything: "
        "[](../book/explorer.md).",
        {
            "02-05-metrics": "## Thresholds and operating points",
            "04-08-benchmark": "## Scores that others can check",
        },
    ),
    Lead(
        "book/try",
        "You can put pictures to this project's network yourself, in the browser: "
        "[](../book/try.md).",
        {
            "04-06-testing-once": "### The threshold is part of the model",
            "04-09-looking-inside": "## When would a clinician be misled?",
            "04-10-trust": "## The idea in one figure: it answers everything",
            "04-12-running": "## Export: the same function as a file",
        },
    ),
)


def with_links(text: str, stem: str, documents: Collection[str]) -> str:
    """Add the lines below their headings, in the chapters that have one.

    Parameters
    ----------
    text : str
        A Markdown cell of the chapter.
    stem : str
        The chapter's file name without its ending.
    documents : collection of str
        The pages of the site: no line leads to another.
    """
    for lead in LEADS:
        if lead.document in documents and stem in lead.headings:
            text = _below(text, lead.headings[stem], lead.line)
    return text


def _below(text: str, heading: str, line: str) -> str:
    """Return a text with a line below its heading, once."""
    found = re.compile(rf"^{re.escape(heading)}$", re.MULTILINE)
    return found.sub(lambda match: f"{match[0]}\n\n{line}", text, count=1)
