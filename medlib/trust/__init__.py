"""When to trust a model: calibration, conformal sets, deferral, unfamiliar and damaged images.

Everything is fitted on validation labels and probabilities and then applied to the scores of a test
split that was scored once; nothing here reads a data set.
"""

from medlib.trust.calibration import (
    Isotonic,
    Platt,
    ReliabilityCurve,
    Temperature,
    reliability_curve,
)
from medlib.trust.conformal import SetReport, SplitConformal, set_report
from medlib.trust.corruptions import CORRUPTIONS, STRENGTHS, corrupt, mean_corruption_error, suite
from medlib.trust.novelty import (
    Detection,
    Mahalanobis,
    NearestNeighbours,
    detection,
    energy,
    last_layer,
    max_softmax,
)
from medlib.trust.selective import (
    RiskCoverage,
    area_interval,
    area_under_risk_coverage,
    risk_coverage,
)

__all__ = [
    "CORRUPTIONS",
    "STRENGTHS",
    "Detection",
    "Isotonic",
    "Mahalanobis",
    "NearestNeighbours",
    "Platt",
    "ReliabilityCurve",
    "RiskCoverage",
    "SetReport",
    "SplitConformal",
    "Temperature",
    "area_interval",
    "area_under_risk_coverage",
    "corrupt",
    "detection",
    "energy",
    "last_layer",
    "max_softmax",
    "mean_corruption_error",
    "reliability_curve",
    "risk_coverage",
    "set_report",
    "suite",
]
