"""The figures of the book: one theme, one function a kind of figure, each returns the figure."""

from medlib.plots.compare import Point, Row, dot_interval, pareto, pareto_front
from medlib.plots.curves import precision_recall, roc
from medlib.plots.decisions import confusion, reliability, score_histogram
from medlib.plots.heatmaps import heatmaps
from medlib.plots.images import class_examples, errors, image_grid
from medlib.plots.inside import feature_maps, filters
from medlib.plots.operating import net_benefit, operating_roc
from medlib.plots.theme import PALETTE, Figure, new_figure, panels, set_theme
from medlib.plots.training import learning_curve, parameter_curve, training_curves
from medlib.plots.uncertainty import risk_coverage, set_sizes

__all__ = [
    "PALETTE",
    "Figure",
    "Point",
    "Row",
    "class_examples",
    "confusion",
    "dot_interval",
    "errors",
    "feature_maps",
    "filters",
    "heatmaps",
    "image_grid",
    "learning_curve",
    "net_benefit",
    "new_figure",
    "operating_roc",
    "panels",
    "parameter_curve",
    "pareto",
    "pareto_front",
    "precision_recall",
    "reliability",
    "risk_coverage",
    "roc",
    "score_histogram",
    "set_sizes",
    "set_theme",
    "training_curves",
]
