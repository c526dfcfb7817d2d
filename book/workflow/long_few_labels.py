"""What the long runs of chapter 3.17 compare: methods for few labels on the films of nih1000.

Written down before the first of these runs was started:

**Question.** Six findings on chest films, 1,000 films of 264 patients, frozen features
(`long_folds.FEATURES`), a linear head. Most labels of the training folds are hidden; all methods
are judged on all labels. Which of eight ways from the literature, and our own `Relatives`, makes
the best of the labels that are left?

**Endpoint.** Macro AUC over the six findings, of pooled out-of-fold scores of one 5-fold
cross-validation over patients, with 10 % of the labels known, hidden completely at random; mean of
five seeds, which decide what is hidden. Intervals and tests resample patients, never films, and
pair the seeds, because a seed hides the same labels from all methods
(`medlib.intervals.Comparison.paired`).
**Smallest difference that matters: 0.02.**

**Primary family** (`PRIMARY`): `Relatives` minus each of the ten rivals, with Holm's correction.
**Verdict of a comparison.** "Better" or "worse" where Holm's p is at most 0.05; "alike" where the
95 % interval lies within -0.02 and 0.02; otherwise "264 patients cannot tell". What a difference
has to be for 264 patients to show it is worked out on phantoms of the same design
(`long_few_phantoms.power`), before the scores are looked at.

**Secondary**, without correction and so called: half of the labels known; one positive label an
image; 10 % known, hidden more often the higher a random score of the image is. **Ablations** at
10 %: never with common weights, always with them, without moves, without calibration, with moves
from the patient's other images, with an echo of the teacher.

**Hypotheses.**

1. With 10 % known, all ways lose more than 0.03 against all labels known.
2. `Relatives` has the largest macro AUC of the eleven ways with 10 % known (in value).
3. It is better than ignoring unknown labels after Holm's correction.
4. What it gains comes from common weights: without them the macro AUC falls by more than 0.005 (in
   value), with them always it rises; without moves it changes by less than 0.005.
5. Moves between the images of a patient lower the macro AUC (in value).
6. With one positive label an image, no two ways differ by more than 0.02 (in value), entropy
   maximisation and ROLE excepted.

**What was chosen, and where.** On phantoms alone (`medlib.multilabel.patients`): the penalty, one
for all methods, at which ignoring, assuming negatives and all labels known were all near their best
(of 0.02, 0.1, 0.5 and 2, with 1,280 features); that patients do not move labels, because on
phantoms it did harm; the candidates of `ALIKE`, and what another than the first must earn (without
that, findings that are not alike lost 0.016 of macro AUC). Phantoms on which it was designed are
not those on which the chapter shows it. Seen of nih1000 before: the labels of the training
and validation films (shares of the findings, their correlation, their likeness in a patient), and
no score. ROLE is told the expected number of positives, as in its paper. The other options are
those of the papers, as the library has them. Two methods end to end (RULINGS 19) are not trained.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from book.workflow.long_folds import Folds
from book.workflow.long_jobs import Job
from medlib.multilabel import (
    ConsistencyHead,
    HeadRecipe,
    LinearHead,
    Method,
    PseudoLabels,
    Relatives,
    RoleHead,
    assume_negative,
    entropy_maximisation,
    growing_share,
    large_loss,
    weight_of_single_positive,
)
from medlib.multilabel.relatives import ALIKE

CHAPTER = "03-17-few-labels"
SEEDS = 5
PENALTY = 0.1  # with 1,280 features; on phantoms with 128 features it is a tenth
POSITIVES = 0.58  # findings an image, of the training films
MATTERS = 0.02

Build = Callable[[HeadRecipe], Method]
RIVALS: dict[str, Build] = {
    "ignore": lambda recipe: LinearHead(recipe=recipe),
    "negative": lambda recipe: LinearHead(assume_negative, recipe),
    "weighted": lambda recipe: LinearHead(
        partial(assume_negative, weight=weight_of_single_positive(6)), recipe
    ),
    "smoothed": lambda recipe: LinearHead(partial(assume_negative, smoothing=0.1), recipe),
    "role": lambda recipe: RoleHead(POSITIVES, recipe),
    "entropy": lambda recipe: LinearHead(entropy_maximisation, recipe),
    "reject": lambda recipe: LinearHead(
        partial(large_loss, how="reject"), recipe, schedule=growing_share
    ),
    "correct": lambda recipe: LinearHead(
        partial(large_loss, how="correct"), recipe, schedule=growing_share
    ),
    "pseudo": lambda recipe: PseudoLabels(LinearHead(recipe=recipe)),
    "consistency": ConsistencyHead,
}
OURS = "relatives"
ABLATIONS: dict[str, Build] = {
    "relatives-own-weights": lambda recipe: Relatives(recipe, alike=(0.0,)),
    "relatives-always": lambda recipe: Relatives(recipe, alike=ALIKE[1:]),
    "relatives-no-moves": lambda recipe: Relatives(recipe, findings=False),
    "relatives-raw": lambda recipe: Relatives(recipe, calibrate=False),
    "relatives-patients": lambda recipe: Relatives(recipe, patients=True),
    "relatives-echo": lambda recipe: Relatives(recipe, echo=True),
}
METHODS: dict[str, Build] = {**RIVALS, OURS: Relatives, **ABLATIONS}
PRIMARY = tuple((OURS, rival) for rival in RIVALS)
CELLS: dict[str, dict[str, object]] = {
    "known10": {"how": "random", "rate": 0.9},
    "known50": {"how": "random", "rate": 0.5},
    "single": {"how": "single_positive"},
    "image10": {"how": "image_dependent", "rate": 0.9},
}
SCORED: dict[str, tuple[str, ...]] = {
    "known10": tuple(METHODS),
    "known50": ("ignore", "negative", "pseudo", OURS),
    "single": ("negative", "weighted", "role", "entropy", "reject", OURS),
    "image10": ("ignore", "negative", OURS),
}


@dataclass(frozen=True)
class FewLabels(Folds):
    """A method of `METHODS`, with most labels of its training folds hidden."""

    chapter: str = CHAPTER


def build(name: str, penalty: float = PENALTY) -> Method:
    """Return a method by name."""
    return METHODS[name](HeadRecipe(penalty=penalty))


def few_label_jobs() -> Iterator[Job]:
    """Yield each method in each cell, five seeds; with all labels known, where no seed matters."""
    yield FewLabels("all-known", "nih1000", 0, 0.1, make=partial(build, "ignore"))
    for cell, names in SCORED.items():
        for name in names:
            for seed in range(SEEDS):
                yield FewLabels(
                    f"{name}-{cell}", "nih1000", seed, 0.25 if name.startswith(OURS) else 0.1,
                    make=partial(build, name), hide=CELLS[cell],
                )  # fmt: skip
