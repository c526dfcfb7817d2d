"""Classifiers without a network in the long runs: hand-made features, chosen by cross-validation.

The same families and settings as in chapter 3.1. Descriptor and settings are chosen together, by
the mean AUC over five folds of the training split; then everything is fitted on the whole of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from medlib.features import ImageFeatures

Grid = dict[str, list[Any]]
DESCRIPTORS = {
    "histogram": ("histogram",),
    "hog": ("hog",),
    "lbp": ("lbp",),
    "glcm": ("glcm",),
    "together": ("histogram", "hog", "lbp", "glcm"),
}
GRIDS: dict[str, list[Grid]] = {
    "logistic-regression": [{"classify__C": [0.01, 0.1, 1.0]}],
    "nearest-neighbours": [{"classify__n_neighbors": [5, 15, 45]}],
    "decision-tree": [{"classify__min_samples_leaf": [20, 80]}],
    "random-forest": [{}],
    "svm": [
        {"classify__kernel": ["linear"], "classify__C": [0.001, 0.01]},
        {"classify__kernel": ["rbf"], "classify__C": [1, 3, 10]},
    ],
}
TREES_SEARCHED, TREES = 32, 200  # more trees do a forest no harm, they only cost time


@dataclass(frozen=True)
class Chosen:
    """What cross-validation chose: a descriptor, settings, and the mean AUC over the folds."""

    descriptor: str
    settings: dict[str, Any]
    auc: float


def classifier(family: str, seed: int) -> ClassifierMixin:
    """Return the classifier of a family, not fitted."""
    made = {
        "logistic-regression": LogisticRegression(max_iter=2000),
        "nearest-neighbours": KNeighborsClassifier(),
        "decision-tree": DecisionTreeClassifier(random_state=seed),
        "random-forest": RandomForestClassifier(TREES_SEARCHED, random_state=seed),
        "svm": SVC(),
    }
    return made[family]


def scaled(family: str, seed: int) -> Pipeline:
    """Return the classifier of a family behind a scaler, not fitted."""
    return Pipeline([("scale", StandardScaler()), ("classify", classifier(family, seed))])


def descriptor(name: str) -> Any:
    """Return a transformer from images ``(N, C, H, W)`` to features ``(N, F)``."""
    return make_union(*(ImageFeatures(kind) for kind in DESCRIPTORS[name]))


def choose(family: str, tables: dict[str, np.ndarray], labels: np.ndarray, seed: int) -> Chosen:
    """Return the descriptor and the settings with the largest mean AUC over five folds."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scoring = "roc_auc" if len(np.unique(labels)) == 2 else one_against_rest
    found = []
    for name, table in tables.items():
        model = scaled(family, seed)
        search = GridSearchCV(model, GRIDS[family], scoring=scoring, cv=folds, refit=False)
        search.fit(table, labels)
        found.append(Chosen(name, search.best_params_, float(search.best_score_)))
    return max(found, key=lambda each: each.auc)


def one_against_rest(model: ClassifierMixin, features: np.ndarray, labels: np.ndarray) -> float:
    """Return the AUC of each class against the rest, averaged, from probabilities or distances."""
    from sklearn.metrics import roc_auc_score

    smooth = hasattr(model, "predict_proba")
    values = model.predict_proba(features) if smooth else model.decision_function(features)
    return float(np.mean([roc_auc_score(labels == k, v) for k, v in enumerate(values.T)]))


def fitted(family: str, images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[Any, Chosen]:
    """Choose and fit a classifier.

    Parameters
    ----------
    family : str
        A key of `GRIDS`.
    images, labels : ndarray
        The training split.
    seed : int
        Deals the folds and grows the forest.

    Returns
    -------
    model, chosen
        The model maps images to probabilities ``(N, K)``.
    """
    tables = {name: descriptor(name).fit_transform(images) for name in DESCRIPTORS}
    chosen = choose(family, tables, labels, seed)
    pipeline = scaled(family, seed).set_params(**chosen.settings)
    if family == "random-forest":
        pipeline.set_params(classify__n_estimators=TREES)
    if family == "svm":
        pipeline = with_probabilities(pipeline, seed)
    model = make_pipeline(descriptor(chosen.descriptor), pipeline)
    return model.fit(images, labels), chosen


def with_probabilities(model: Any, seed: int) -> CalibratedClassifierCV:
    """Make probabilities of a classifier's distances, on five held-out folds; not fitted."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return CalibratedClassifierCV(model, method="sigmoid", cv=folds, ensemble=False)
