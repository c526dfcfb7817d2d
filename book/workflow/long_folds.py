"""Jobs on sets of few patients: each patient is predicted from the others (RULINGS 20)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from book.workflow.long_jobs import Job
from medlib.data import Dataset
from medlib.evaluate import Scores, evaluate_folds
from medlib.multilabel import Method

FEATURES = ("efficientnet_lite0", 224)  # network and side length of the images that it sees


@dataclass(frozen=True)
class Folds(Job):
    """A multi-label method on frozen features, judged by pooled folds.

    Attributes
    ----------
    make : callable
        Builds the method anew; it is settled before any label of the test split is used.
    hide : mapping, optional
        What the method does not get to know, see `medlib.evaluate.evaluate_folds`.
    """

    make: Callable[[], Method] | None = None
    hide: Mapping[str, Any] | None = None

    variant: ClassVar[str] = "folds"

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Method, dict[str, Any]]:
        """Build the method; see `Job.predictor`."""
        assert self.make is not None
        method = self.make()
        settings = {name: str(value) for name, value in vars(method).items()}
        about = {"method": type(method).__name__, "settings": settings}
        network, size = FEATURES
        about["features"] = {"network": network, "image_size": size}
        return method, about | {"hidden": dict(self.hide) if self.hide else None}

    def validate(self, predictor: Method, dataset: Dataset) -> dict[str, float]:
        """Return nothing: nothing is chosen, and each case is in a training fold once."""
        return {}

    def look(self, predictor: Method, dataset: Dataset) -> Scores:
        """Predict each patient from the others, once."""
        return evaluate_folds(
            predictor, frozen_features(dataset), dataset,
            model_id=self.model_id, seed=self.seed, hide=self.hide,
        )  # fmt: skip


def frozen_features(dataset: Dataset) -> np.ndarray:
    """Return the pooled features of all cases, ``(N, F)``, in the order train, val, test."""
    from medlib.pretrained import extract, pretrained

    network, size = FEATURES
    source = pretrained(network)
    parts = (dataset.train, dataset.val, dataset.test)
    return np.concatenate(
        [extract(source, part.images, image_size=size, cache=True) for part in parts]
    )
