"""What the long runs of chapter 4.7 train: the cases that no other chapter has trained.

Written down before the first of these runs was started. All were looked at on training and
validation images only; the plain arm on RetinaMNIST (``resnet-small``, chapter 4.8) and everything
on nih1000 (chapter 3.16) had been scored before, for their own chapters.

**Retina: does a loss that knows the order of the grades grade better?** ``case-ordinal`` is
``resnet-small`` with the cumulative loss (`medlib.losses.cumulative`) in place of the
cross-entropy; recipe, network and seeds are the same. *Endpoint:* quadratic kappa of the most
probable grade on the test split, mean of five seeds, ``case-ordinal`` minus ``resnet-small``.
*Smallest difference that matters:* 0.05. *Verdict:* better or worse where the 95 % interval lies on
one side of 0, alike where it lies within -0.05 and 0.05, otherwise this test cannot tell. *Beside
it, without a verdict:* the same probabilities read as the median grade, and the mean absolute error
in grades.

**Malaria: patients, not cells.** ``case-dark-spot`` is one number a cell
(`medlib.baselines.DarkSpot`; that number and its margin were found on validation cells, where its
AUC is 0.98), ``case-histogram`` knows intensities only, ``case-resnet`` is a small ResNet.
*Hypotheses:*

1. The interval of the network's accuracy is at least twice as wide when patients are resampled as
   when cells are.
2. By patients the network's AUC is higher than the dark spot's (95 % interval above 0), and by less
   than 0.02.
3. One patient in ten or more has an accuracy more than five points below the pooled one.
4. A patient-level rule (infected where the share of called cells exceeds that of every healthy
   validation patient) misses at least one infected patient, and who is missed has few parasitised
   cells (fewer than the median infected patient).

**Pneumonia: the operating point.** ``case-resnet``, with the highest threshold that finds 95 % of
the validation pneumonias. *Hypotheses:* the test sensitivity is at least 0.95, and the test
specificity at least 0.2 below that of validation.

**Operating points.** Every network's record keeps the threshold that its validation split gives
(`Operating`): 95 % of the pneumonias, of the parasitised cells, of the fundus photographs of grade
2 and above. The chapter applies them to the committed test scores and chooses nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from book.workflow.long_jobs import Baseline, Job, Training
from book.workflow.long_models import Predictor
from medlib.baselines import ConstantPredictor, DarkSpot, HistogramRegression
from medlib.data import Dataset, Split
from medlib.recipe import Recipe
from medlib.thresholds import at_sensitivity

CHAPTER = "04-07-case-studies"
WANTED = 0.95  # sensitivity on validation
POSITIVE_FROM = {"retinamnist": 2}  # first class that counts as positive; 1 elsewhere
STEPS = 2000  # on malaria50: four passes over 16,528 cells
BASELINES = {
    "case-constant": ConstantPredictor,
    "case-histogram": HistogramRegression,
    "case-dark-spot": DarkSpot,
}


@dataclass(frozen=True)
class Operating(Job):
    """A job whose record also holds the operating point that its validation split gives."""

    chapter: str = CHAPTER

    def validate(self, predictor: Predictor, dataset: Dataset) -> dict[str, float]:
        """Return scores and operating point of the validation split."""
        found = predictor.predict_proba(dataset.val.images)
        first = POSITIVE_FROM.get(dataset.name, 1)
        point = operating_point(dataset.val, found[:, first:].sum(axis=1), first)
        return super().validate(predictor, dataset) | point


@dataclass(frozen=True)
class CaseTraining(Operating, Training):
    """A network of a case study."""


@dataclass(frozen=True)
class CaseBaseline(Operating, Baseline):
    """What a network of a case study has to beat."""

    made_by: ClassVar[Mapping[str, Callable[[], Predictor]]] = BASELINES


def operating_point(split: Split, scores: np.ndarray, first: int = 1) -> dict[str, float]:
    """Return the highest threshold that finds enough positives, and what it does on the split.

    Parameters
    ----------
    split : Split
        With labels.
    scores : ndarray
        ``(N,)``: probability of class `first` or above.
    first : int
        First class that counts as positive.
    """
    truth = (split.labels >= first).astype(np.int64)
    threshold = at_sensitivity(truth, scores, WANTED)
    called = scores >= threshold
    point = {
        "threshold": threshold,
        "sensitivity": float(called[truth == 1].mean()),
        "specificity": float(1 - called[truth == 0].mean()),
    }
    return point if split.groups is None else point | by_patient(truth, called, split.groups)


def by_patient(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """Return the largest share of called images of a healthy patient, and how many are above it.

    A patient without a positive image is healthy. `patients_found` is the share of the others whose
    share of called images is larger.
    """
    names, member = np.unique(patients, return_inverse=True)
    size = np.bincount(member)
    share = np.bincount(member, weights=called) / size
    ill = np.bincount(member, weights=truth) > 0
    cut = float(share[~ill].max()) if (~ill).any() else 0.0
    found = float((share[ill] > cut).mean()) if ill.any() else 0.0
    return {"patients": float(len(names)), "patient_cut": cut, "patients_found": found}


def case_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.7."""
    ordinal = replace(Recipe.small(), loss="cumulative")
    for seed in range(5):
        yield CaseTraining("case-ordinal", "retinamnist", seed, 0.5, recipe=ordinal)
    for seed in range(3):
        yield CaseTraining("case-resnet", "pneumoniamnist", seed, 0.6, recipe=Recipe.small())
    for name in BASELINES:
        yield CaseBaseline(name, "malaria50", 0, 0.3)
    for seed in range(3):
        yield CaseTraining(
            "case-resnet", "malaria50", seed, 2.0,
            recipe=Recipe.small().capped(STEPS), options={"width": 16},
        )  # fmt: skip
