"""What every network must beat: a constant, a histogram with a line through it, neighbours.

All have ``fit(images, labels)`` and ``predict_proba(images)``, which returns ``(N, K)`` float64.
Labels are ``(N,)`` class numbers, or ``(N, K)`` zeros and ones.
"""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medlib.errors import MedlibError
from medlib.features import ImageFeatures

__all__ = [
    "BASELINES",
    "ConstantPredictor",
    "DarkSpot",
    "HistogramRegression",
    "PixelNeighbours",
]


class ConstantPredictor:
    """Gives every image the shares of the classes among the training labels.

    Its accuracy is the share of the largest class, its area under the curve one half.
    """

    def fit(self, images: np.ndarray, labels: np.ndarray) -> "ConstantPredictor":
        """Count the labels; the images are not looked at."""
        _check(images, labels)
        self.prior_ = np.bincount(labels) / len(labels) if labels.ndim == 1 else labels.mean(axis=0)
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the same row for each image."""
        return np.tile(np.asarray(self.prior_, dtype=float), (len(images), 1))


class _FeatureClassifier:
    """Features, scaled where wanted, and a classifier of scikit-learn behind them."""

    def __init__(self, *steps: object) -> None:
        self._steps = steps

    def fit(self, images: np.ndarray, labels: np.ndarray) -> "_FeatureClassifier":
        """Fit the classifier.

        Parameters
        ----------
        images : ndarray
            ``(N, C, H, W)`` uint8.
        labels : ndarray
            ``(N,)`` or ``(N, K)`` integers.
        """
        _check(images, labels)
        *before, classifier = self._steps
        classifier = classifier if labels.ndim == 1 else OneVsRestClassifier(classifier)
        self.pipeline_ = make_pipeline(*before, classifier).fit(images, labels)
        self.num_classes_ = labels.max() + 1 if labels.ndim == 1 else labels.shape[1]
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities ``(N, K)``; a class without a training image has none."""
        found = self.pipeline_.predict_proba(images)
        probabilities = np.zeros((len(images), self.num_classes_))
        probabilities[:, self._columns()] = found
        return probabilities

    def _columns(self) -> np.ndarray:
        """Return the class numbers that the classifier's columns stand for."""
        classifier: ClassifierMixin = self.pipeline_[-1]
        if isinstance(classifier, OneVsRestClassifier):
            return np.arange(self.num_classes_)
        return classifier.classes_


class HistogramRegression(_FeatureClassifier):
    """Logistic regression on the histogram of intensities: it sees no shape at all.

    Parameters
    ----------
    bins : int
        Ranges of intensity a channel.
    strength : float
        Inverse of the regularisation (scikit-learn's ``C``).
    """

    def __init__(self, bins: int = 32, strength: float = 1.0) -> None:
        super().__init__(
            ImageFeatures("histogram", {"bins": bins}),
            StandardScaler(),
            LogisticRegression(C=strength, max_iter=2000),
        )


class PixelNeighbours(_FeatureClassifier):
    """The shares of the classes among the training images nearest in Euclidean distance.

    Parameters
    ----------
    neighbours : int
        How many are asked; all training images where there are fewer.
    """

    def __init__(self, neighbours: int = 15) -> None:
        super().__init__(ImageFeatures("pixels"), KNeighborsClassifier(n_neighbors=neighbours))

    def fit(self, images: np.ndarray, labels: np.ndarray) -> "PixelNeighbours":
        """Keep the training images; parameters as in `HistogramRegression.fit`."""
        classifier = self._steps[-1]
        classifier.set_params(n_neighbors=max(1, min(classifier.n_neighbors, len(images))))
        return super().fit(images, labels)


class DarkSpot:
    """One number an image: how far the darkest place of the object lies below its median.

    Made for single stained cells on a black ground (malaria50), where a parasite is a dark spot. A
    logistic regression turns the number into a probability.

    Parameters
    ----------
    margin : int
        Pixels taken off the border of the object, whose rim fades into the black ground.
    """

    def __init__(self, margin: int = 4) -> None:
        self.margin = margin

    def depths(self, images: np.ndarray) -> np.ndarray:
        """Return the number, ``(N,)``; 0 where nothing of the object is left within the margin.

        Parameters
        ----------
        images : ndarray
            ``(N, C, H, W)``; the channels are averaged, and 0 is the ground.
        """
        from scipy.ndimage import binary_erosion

        grey = images.mean(axis=1)
        objects = binary_erosion(grey > 0, np.ones((1, 3, 3)), iterations=self.margin)
        inside = [picture[place] for picture, place in zip(grey, objects, strict=True)]
        return np.array([np.median(p) - p.min() if p.size else 0.0 for p in inside])

    def fit(self, images: np.ndarray, labels: np.ndarray) -> "DarkSpot":
        """Fit the regression; parameters as in `HistogramRegression.fit`, labels ``(N,)``."""
        _check(images, labels)
        self.regression_ = LogisticRegression().fit(self.depths(images)[:, None], labels)
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities ``(N, K)``."""
        return self.regression_.predict_proba(self.depths(images)[:, None])


BASELINES = {
    "constant": ConstantPredictor,
    "histogram": HistogramRegression,
    "neighbours": PixelNeighbours,
}


def _check(images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse labels that are missing or do not belong to the images."""
    if labels is None or len(images) == 0 or len(images) != len(labels):
        count = "no" if labels is None else len(labels)
        raise MedlibError(
            f"a baseline needs images and as many labels, got {len(images)} images and {count} "
            "labels (a test split has none: fit on train)"
        )
