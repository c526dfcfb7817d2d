"""The words of a page that stand for it elsewhere: its first paragraph, its first sentence."""

import re

from docutils import nodes


def first_paragraph(doctree: nodes.document) -> str:
    """Return the text of the page's first paragraph; empty where it has none."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, (nodes.section, nodes.document)):
            return re.sub(r"\s+", " ", paragraph.astext()).strip()
    return ""


def first_sentence(text: str) -> str:
    """Return the first sentence of a paragraph."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text, maxsplit=1)[0]
