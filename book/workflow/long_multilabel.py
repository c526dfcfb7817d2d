"""What the long runs of chapter 3.16 compare: multi-label methods on the films of nih1000.

Written down before the first of these runs was started:

**Question.** Six findings on chest films (`FINDINGS`), 1,000 films of 264 patients. Features are
those of a frozen EfficientNet-Lite0 that learned from ImageNet (`long_folds.FEATURES`). Does a
method that uses the correlation of labels, or a loss made for rare labels, do better than one
question a label?

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
heads (see `HeadRecipe`); the powerset, the slowest, chooses of two. Nothing else is chosen from
data. Chains take the strength that binary relevance chooses: a search of their own costs too much.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book.workflow.long_folds import Folds
from book.workflow.long_jobs import Job
from medlib.data import Dataset
from medlib.multilabel import (
    LOSSES,
    BinaryRelevance,
    Chosen,
    ClassifierChains,
    HeadRecipe,
    LabelGraphHead,
    LabelMessageHead,
    LabelPowerset,
    LinearHead,
    Method,
    Prevalence,
    logistic,
)

CHAPTER = "03-16-multi-label"
FINDINGS = ("infiltration", "effusion", "atelectasis", "nodule", "cardiomegaly", "fibrosis")
SEEDS = 3
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
MINUTES = {  # processor minutes of a job; a head where no number stands
    "prevalence": 0.1,
    "binary-relevance": 0.2,
    "binary-relevance-f1": 0.2,
    "chains": 0.3,
    "chains-out-of-fold": 0.5,
    "powerset": 0.6,
}


@dataclass(frozen=True)
class Compared(Folds):
    """A method of `METHODS`, judged by pooled folds."""

    chapter: str = CHAPTER

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Method, dict[str, Any]]:
        """Build the method; see `Job.predictor`."""
        method, about = super().predictor(dataset, folder)
        chosen = {"strengths": list(STRENGTHS), "penalties": list(PENALTIES), "inner_folds": 2}
        return method, about | {"settings": chosen}


def relevances() -> list[Method]:
    """Return binary relevance at all strengths."""
    return [BinaryRelevance(logistic(strength)) for strength in STRENGTHS]


def chains(folds: int, count: int) -> Method:
    """Return chains with the strength that binary relevance chooses."""
    return Chosen(
        relevances(),
        last=lambda best: ClassifierChains(logistic(STRENGTHS[best]), chains=count, folds=folds),
    )


def heads(build: Callable[..., Method], **options: object) -> Callable[[], Method]:
    """Return what makes a head whose penalty is chosen."""
    recipes = [HeadRecipe(penalty=penalty) for penalty in PENALTIES]
    return lambda: Chosen([build(recipe=recipe, **options) for recipe in recipes])


METHODS: dict[str, Callable[[], Method]] = {
    "prevalence": Prevalence,
    "binary-relevance": lambda: Chosen(relevances()),
    "binary-relevance-f1": lambda: Chosen(relevances(), thresholds="f1"),
    "chains": lambda: chains(folds=0, count=10),
    "chains-out-of-fold": lambda: chains(folds=3, count=5),
    "powerset": lambda: Chosen([LabelPowerset(logistic(each)) for each in STRENGTHS[1:]]),
    "linear-head": heads(LinearHead),
    "hidden-head": heads(LinearHead, hidden=32),
    # at the paper's 0.4 no two of these findings would be joined (training labels)
    "graph-head": heads(LabelGraphHead, threshold=0.2),
    "message-head": heads(LabelMessageHead),
    "focal-head": heads(LinearHead, loss=LOSSES["focal"]),
    "asymmetric-head": heads(LinearHead, loss=LOSSES["asymmetric"]),
}


def multilabel_jobs() -> Iterator[Job]:
    """Yield each method on nih1000, three seeds; the one that nothing chooses has one."""
    for name, make in METHODS.items():
        for seed in range(1 if name == "prevalence" else SEEDS):
            yield Compared(name, "nih1000", seed, MINUTES.get(name, 0.35), make=make)
