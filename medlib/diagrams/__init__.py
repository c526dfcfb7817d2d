"""Diagrams as SVG, drawn by a small writer of ours: networks from their own modules, and flows."""

from medlib.diagrams.architecture import diagram
from medlib.diagrams.flow import flow
from medlib.diagrams.svg import SVG

__all__ = ["SVG", "diagram", "flow"]
