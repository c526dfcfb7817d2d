"""The figures of the book: one theme, one function a kind of figure, each returns the figure."""

from medlib.plots.compare import Row, dot_interval
from medlib.plots.curves import precision_recall, roc
from medlib.plots.decisions import confusion, reliability, score_histogram
from medlib.plots.images import class_examples, errors, image_grid
from medlib.plots.inside import feature_maps, filters
from medlib.plots.theme import PALETTE, Figure, new_figure, panels, set_theme
from medlib.plots.training import learning_curve, parameter_curve, training_curves

__all__ = [
    "PALETTE",
    "Figure",
    "Row",
    "class_examples",
    "confusion",
    "dot_interval",
    "errors",
    "feature_maps",
    "filters",
    "image_grid",
    "learning_curve",
    "new_figure",
    "panels",
    "parameter_curve",
    "precision_recall",
    "reliability",
    "roc",
    "score_histogram",
    "set_theme",
    "training_curves",
]
