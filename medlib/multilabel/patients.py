"""Phantoms as features: patients with several images and findings that depend on each other (3.17).

Where a question is about labels and not about pixels, images only cost time. Here a case is a row
of features, in which every finding that is present leaves a trace.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from medlib.errors import MedlibError

# shares of six findings in the training images of nih1000, from frequent to rare
PREVALENCE = (0.17, 0.16, 0.10, 0.08, 0.04, 0.03)


@dataclass(frozen=True)
class PatientPhantom:
    """What to generate.

    Attributes
    ----------
    patients : int
        Number of patients. Each has 1 to 40 images, on average about four.
    prevalence : tuple of float
        Share of the images with each finding.
    findings, kin : float
        Correlation of the Gaussian variables behind two findings of one image, and behind one
        finding in two images of one patient; together below 1.
    strength : float
        How far a finding moves the features, in standard deviations of the noise along a random
        direction.
    features : int
        Length of the row.
    rank : int
        Number of directions in which cases differ, apart from a little noise everywhere.
    alike : float
        Correlation of the directions into which two findings move the features.
    likeness : float
        Share of the features' variance that the images of one patient have in common.
    """

    patients: int = 264
    prevalence: tuple[float, ...] = PREVALENCE
    findings: float = 0.15
    kin: float = 0.3
    strength: float = 1.0
    features: int = 128
    rank: int = 48
    alike: float = 0.3
    likeness: float = 0.5

    def __post_init__(self) -> None:
        if min(self.findings, self.kin) < 0 or self.findings + self.kin >= 1:
            raise MedlibError(
                f"findings and kin must be at least 0 and together below 1, got {self.findings} "
                f"and {self.kin}"
            )


@dataclass(frozen=True, eq=False)
class PatientCases:
    """Generated cases: ``features`` (N, F), true ``labels`` (N, K), ``groups`` (N,)."""

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def patient_cases(phantom: PatientPhantom, seed: int = 0, world: int = 0) -> PatientCases:
    """Generate cases.

    Parameters
    ----------
    phantom : PatientPhantom
        What to generate.
    seed : int
        Which patients.
    world : int
        What the findings look like: cases of the same world can be training and test.
    """
    directions, mixing = _appearance(phantom, world)
    rng = np.random.default_rng([seed, 31])
    images = np.minimum(np.ceil(rng.lognormal(0.6, 1.0, phantom.patients)), 40).astype(int)
    groups = np.repeat(np.arange(phantom.patients), images)
    size = len(phantom.prevalence)
    common = rng.normal(size=(len(groups), 1))
    personal = rng.normal(size=(phantom.patients, size))[groups]
    own = rng.normal(size=(len(groups), size))
    rest = 1 - phantom.findings - phantom.kin
    hidden = phantom.findings**0.5 * common + phantom.kin**0.5 * personal + rest**0.5 * own
    labels = (hidden > norm.isf(phantom.prevalence)).astype(np.int64)
    body = rng.normal(size=(phantom.patients, phantom.rank))[groups]
    noise = rng.normal(size=(len(groups), phantom.rank))
    inner = phantom.likeness**0.5 * body + (1 - phantom.likeness) ** 0.5 * noise
    inner += phantom.strength * labels @ directions
    rows = inner @ mixing + 0.3 * rng.normal(size=(len(groups), phantom.features))
    return PatientCases(rows, labels, groups)


def _appearance(phantom: PatientPhantom, world: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a direction a finding, and how strongly each direction shows in each feature."""
    rng = np.random.default_rng([world, 32])
    own = rng.normal(size=(len(phantom.prevalence), phantom.rank))
    common = rng.normal(size=phantom.rank)
    directions = (1 - phantom.alike) ** 0.5 * own + phantom.alike**0.5 * common
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    spectrum = np.arange(1, phantom.rank + 1) ** -0.5
    mixing = spectrum[:, None] * rng.normal(size=(phantom.rank, phantom.features))
    return directions, mixing / np.sqrt((spectrum**2).sum())
