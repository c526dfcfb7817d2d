"""Small classifiers on pretrained features: a line, neighbours, a support vector machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from medlib.baselines import _FeatureClassifier
from medlib.errors import MedlibError
from medlib.pretrained import Pretrained, TransferClassifier, extract
from medlib.train import validation_auc

if TYPE_CHECKING:
    from medlib.data import Dataset

__all__ = ["PROBES", "PretrainedFeatures", "Probe"]


class PretrainedFeatures(TransformerMixin, BaseEstimator):
    """`extract` as a scikit-learn transformer: images in, ``(N, F)`` out.

    Parameters
    ----------
    pretrained : Pretrained
        The network.
    options : dict, optional
        Keyword arguments of `extract`, such as ``{"image_size": 128, "cache": True}``.
    """

    def __init__(self, pretrained: Pretrained, options: dict[str, object] | None = None) -> None:
        self.pretrained = pretrained
        self.options = options

    def fit(self, images: np.ndarray, labels: object = None) -> "PretrainedFeatures":
        """Learn nothing: the network has learned already."""
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        """Return the features ``(N, F)`` of images ``(N, C, H, W)``."""
        return extract(self.pretrained, images, **(self.options or {}))

    def __sklearn_is_fitted__(self) -> bool:
        return True


@dataclass(frozen=True)
class Kind:
    """A kind of probe.

    Attributes
    ----------
    build : callable
        Makes the classifier from one number.
    grid : tuple
        The numbers that are tried, the most cautious one first.
    """

    build: Callable[[float], ClassifierMixin]
    grid: tuple[float, ...]


def _logistic(strength: float) -> ClassifierMixin:
    return LogisticRegression(C=strength, max_iter=2000)


def _neighbours(count: float) -> ClassifierMixin:
    return KNeighborsClassifier(n_neighbors=int(count), metric="cosine")


def _support_vectors(strength: float) -> ClassifierMixin:
    return CalibratedClassifierCV(SVC(C=strength), ensemble=False)


PROBES: dict[str, Kind] = {
    "logistic": Kind(_logistic, (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)),
    "neighbours": Kind(_neighbours, (50, 25, 15, 5, 1)),
    "svm": Kind(_support_vectors, (0.1, 1.0, 10.0)),
}


class Probe:
    """A classifier on the features of a frozen network, its one number chosen on validation.

    Features are scaled to mean 0 and variance 1 over the training images. Of the numbers of the
    grid, the first with the highest validation AUC is kept. The images of a set pass through the
    network once, whatever the size of the grid.

    Parameters
    ----------
    pretrained : Pretrained
        The network.
    kind : str
        A key of `PROBES`: ``"logistic"`` and ``"svm"`` choose the inverse of the regularisation
        (scikit-learn's ``C``), ``"neighbours"`` their count (by angle, not distance).
    grid : sequence of float, optional
        The numbers to choose from; one alone is simply taken.
    **options
        Keyword arguments of `extract`, such as ``layer=``, ``image_size=`` and ``cache=``.

    Attributes
    ----------
    validation_ : dict
        Validation AUC of each number.
    chosen_ : float
        The number that was kept.

    Examples
    --------
    >>> probe = Probe(pretrained(), "logistic", image_size=128, cache=True).fit(breast)
    >>> scores = evaluate_once(probe, breast, model_id="lite0-linear", seed=0)
    """

    def __init__(
        self,
        pretrained: Pretrained,
        kind: str = "logistic",
        *,
        grid: Sequence[float] | None = None,
        **options: object,
    ) -> None:
        if kind not in PROBES:
            raise MedlibError(f"unknown probe {kind!r}: choose one of {', '.join(PROBES)}")
        self.features = PretrainedFeatures(pretrained, options)
        self.kind = kind
        self.grid = tuple(PROBES[kind].grid if grid is None else grid)

    def fit(self, data: "Dataset") -> "Probe":
        """Learn from the train split, choose on the val split; the test split is not used."""
        train, val = (self.features.transform(s.images) for s in (data.train, data.val))
        tried = {}
        for number in self._possible(len(train)):
            steps = (StandardScaler(), PROBES[self.kind].build(number))
            tried[number] = _FeatureClassifier(*steps).fit(train, data.train.labels)
        self.validation_ = {
            number: validation_auc(data.val.labels, found.predict_proba(val))
            for number, found in tried.items()
        }
        self.chosen_ = max(self.validation_, key=self.validation_.__getitem__)
        self.classifier_ = tried[self.chosen_]
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities ``(N, K)`` of images ``(N, C, H, W)``."""
        return self.classifier_.predict_proba(self.features.transform(images))

    def as_network(self, in_channels: int) -> TransferClassifier:
        """Return the fitted probe as one network, whose last layer holds scaling and line.

        For the kind ``"logistic"`` on the pooled features only. Its probabilities are those of the
        probe, up to rounding; two classes get the logits 0 and that of the second class.

        Parameters
        ----------
        in_channels : {1, 3}
            Channels of the images.

        Raises
        ------
        MedlibError
            For another kind of probe, or another layer.
        """
        options = self.features.options or {}
        if self.kind != "logistic" or options.get("layer", "pooled") != "pooled":
            raise MedlibError("only a logistic probe on pooled features is a network by itself")
        scaler, line = self.classifier_.pipeline_[0], self.classifier_.pipeline_[-1]
        weight, bias = _lines_of(line)
        weight = weight / scaler.scale_
        bias = bias - weight @ scaler.mean_
        network = TransferClassifier(
            self.features.pretrained,
            len(bias),
            in_channels=in_channels,
            image_size=options.get("image_size"),
        )
        with torch.no_grad():
            network.head[-1].weight.copy_(torch.from_numpy(weight))
            network.head[-1].bias.copy_(torch.from_numpy(bias))
        return network.eval()

    def _possible(self, count: int) -> list[float]:
        """Leave out more neighbours than there are training images."""
        possible = [n for n in self.grid if self.kind != "neighbours" or n <= count]
        if not possible:
            raise MedlibError(
                f"the grid {self.grid} of the probe leaves nothing to try with {count} training "
                "images: give a grid of smaller counts of neighbours"
            )
        return possible


def _lines_of(line: LogisticRegression | OneVsRestClassifier) -> tuple[np.ndarray, np.ndarray]:
    """Return weights ``(K, F)`` and biases ``(K,)`` of the logits of all outputs."""
    if isinstance(line, OneVsRestClassifier):
        parts = [(each.coef_[0], each.intercept_[0]) for each in line.estimators_]
        return np.stack([w for w, _ in parts]), np.array([b for _, b in parts])
    if len(line.classes_) == 2:
        return np.vstack([0 * line.coef_, line.coef_]), np.append(0.0, line.intercept_)
    return line.coef_, line.intercept_
