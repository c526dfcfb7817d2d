"""What the long runs of chapter 3.16 compare: multi-label methods on the films of nih1000.

Written down before the first of these runs was started:

**Question.** Six findings on chest films (`FINDINGS`), 1,000 films of 264 patients. Features are
those of a frozen EfficientNet-Lite0 that learned from ImageNet, at 112 pixels. Does a method that
uses the correlation of labels, or a loss made for rare labels, do better than one question a label?

**Endpoint.** Macro AUC (the mean over the six findings), of pooled out-of-fold scores of one
5-fold cross-validation over patients, mean of three seeds. Intervals and tests resample patients,
never films. **Smallest difference that matters: 0.02.**

**Family of comparisons** (`COMPARISONS`), nine, with Holm's correction: each method minus its
independent twin. Chains (answers of others as inputs) and the label powerset against binary
relevance; a hidden layer, a graph of labels, messages between labels, focal and asymmetric loss
against the linear head with cross entropy; and that head against binary relevance, which is the
same model by another optimiser and thus a control.

**Verdict of a comparison.** "Better" or "worse" where Holm's p is at most 0.05; "alike" where the
95 % interval lies within -0.02 and 0.02; otherwise "264 patients cannot tell".

**Hypotheses.**

1. Binary relevance beats chance: its macro AUC is above 0.5.
2. No method that uses correlation is better than its independent twin after Holm's correction.
3. The label powerset has a lower macro AUC than binary relevance (in value).
4. Focal and asymmetric loss change the macro AUC by less than 0.02 (in value).
5. Thresholds of each label's own, chosen in the training folds, raise the macro F1 of binary
   relevance by more than 0.05 over calling a finding from one half on.
6. An interval that resamples films is narrower than the one that resamples patients.
7. The labels hold more about each other than the films show: with the true other five labels beside
   the out-of-fold scores, a finding is predicted better, but the macro AUC rises by less than 0.05.

**What is chosen, and where.** The strength of the penalty, inside each training fold, by two folds
of patients and the macro AUC; three strengths, the same for scikit-learn's regression and for the
heads (see `HeadRecipe`). Nothing else is chosen from data. Chains take the strength that binary
relevance chooses, because a search of their own costs too much.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.special import expit, logit

from book.workflow.long_jobs import Job
from medlib.errors import MedlibError
from medlib.multilabel import (
    LOSSES,
    BinaryRelevance,
    ClassifierChains,
    HeadRecipe,
    LabelGraphHead,
    LabelMessageHead,
    LabelPowerset,
    LinearHead,
    Method,
    choose_thresholds,
    logistic,
    macro_auc,
    out_of_fold,
)

CHAPTER = "03-16-multi-label"
FINDINGS = ("infiltration", "effusion", "atelectasis", "nodule", "cardiomegaly", "fibrosis")
IMAGE_SIZE = 112
STRENGTHS = (1e-2, 1e-3, 1e-4)
PENALTIES = (0.02, 0.2, 2.0)  # as strong as STRENGTHS, for about 800 cases and six labels
MATTERS = 0.02
COMPARISONS = (
    ("chains", "binary-relevance"),
    ("chains-out-of-fold", "binary-relevance"),
    ("powerset", "binary-relevance"),
    ("linear-head", "binary-relevance"),
    ("hidden-head", "linear-head"),
    ("graph-head", "linear-head"),
    ("message-head", "linear-head"),
    ("focal-head", "linear-head"),
    ("asymmetric-head", "linear-head"),
)
FLOOR = 1e-6  # thresholds are held this far from 0 and 1, where the logit ends


class Prevalence(Method):
    """Give every case each label's share in the training cases: the answer that sees nothing."""

    def _fit(self, features: np.ndarray, labels: np.ndarray, *_: object) -> None:
        self.shares_ = labels.mean(axis=0)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        return np.tile(self.shares_, (len(features), 1))


class Chosen(Method):
    """The one of several candidates that is best in folds of patients inside the training cases.

    Best is the largest macro AUC of the pooled predictions; of equals the first. It then learns
    from all training cases.

    Parameters
    ----------
    candidates : sequence of Method
        All with known labels.
    folds : int
        How many folds inside.
    last : callable, optional
        Makes of the best candidate's place what learns from all training cases, such as a costlier
        relative with the same penalty; by default the candidate itself.
    thresholds : str, optional
        See `choose_thresholds`: each label's threshold is chosen from the same predictions, and
        its probabilities are moved, in their old order, until it lies at one half.
    """

    def __init__(
        self,
        candidates: Sequence[Method],
        folds: int = 2,
        last: Callable[[int], Method] | None = None,
        thresholds: str | None = None,
    ) -> None:
        if not candidates:
            raise MedlibError("there is no candidate to choose: give at least one method")
        self.candidates, self.folds = tuple(candidates), folds
        self.last, self.thresholds = last or self.candidates.__getitem__, thresholds

    def _fit(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int
    ) -> None:
        found = [
            out_of_fold(each, features, labels, groups, folds=self.folds, seed=seed).probabilities
            for each in self.candidates
        ]
        self.chosen_ = int(np.argmax([macro_auc(labels, each).value for each in found]))
        self.cuts_ = np.full(labels.shape[1], 0.5)
        if self.thresholds:
            self.cuts_ = choose_thresholds(labels, found[self.chosen_], by=self.thresholds)
        self.fitted_ = self.last(self.chosen_).fit(features, labels, groups, seed)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        found = self.fitted_.predict_proba(features)
        return moved(found, self.cuts_) if self.thresholds else found


def moved(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Move probabilities on the logit scale so that each label's threshold lies at one half.

    Parameters
    ----------
    probabilities : ndarray
        ``(N, K)``.
    thresholds : ndarray
        ``(K,)``, as from `choose_thresholds`: infinity for a label that is never called.
    """
    cuts = np.clip(thresholds, FLOOR, 1 - FLOOR)
    return expit(logit(np.clip(probabilities, FLOOR**2, 1 - FLOOR**2)) - logit(cuts))


def frozen_features(images: np.ndarray) -> np.ndarray:
    """Return the pooled features of the frozen network, ``(N, 1280)``."""
    from medlib.pretrained import extract, pretrained

    network = pretrained("efficientnet_lite0")
    return extract(network, images, image_size=IMAGE_SIZE, cache=True)


def heads(build: Callable[[HeadRecipe], Method], **options: object) -> Callable[[], Method]:
    """Return what makes a head whose penalty is chosen."""
    recipes = [HeadRecipe(penalty=penalty) for penalty in PENALTIES]
    return lambda: Chosen([build(recipe=recipe, **options) for recipe in recipes])


def relevances() -> list[Method]:
    """Return binary relevance at all strengths."""
    return [BinaryRelevance(logistic(strength)) for strength in STRENGTHS]


def chains(folds: int, count: int) -> Method:
    """Return chains with the strength that binary relevance chooses."""
    return Chosen(
        relevances(),
        last=lambda best: ClassifierChains(logistic(STRENGTHS[best]), chains=count, folds=folds),
    )


METHODS: dict[str, Callable[[], Method]] = {
    "prevalence": Prevalence,
    "binary-relevance": lambda: Chosen(relevances()),
    "binary-relevance-f1": lambda: Chosen(relevances(), thresholds="f1"),
    "chains": lambda: chains(folds=0, count=10),
    "chains-out-of-fold": lambda: chains(folds=3, count=5),
    "powerset": lambda: Chosen([LabelPowerset(logistic(each)) for each in STRENGTHS]),
    "linear-head": heads(LinearHead),
    "hidden-head": heads(LinearHead, hidden=32),
    # at the paper's 0.4 no two of these findings would be joined (training labels)
    "graph-head": heads(LabelGraphHead, threshold=0.2),
    "message-head": heads(LabelMessageHead),
    "focal-head": heads(LinearHead, loss=LOSSES["focal"]),
    "asymmetric-head": heads(LinearHead, loss=LOSSES["asymmetric"]),
}


def multilabel_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
