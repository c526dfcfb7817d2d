"""What the long runs of chapter 5.4 compute: shift, subgroups, shortcuts, hidden strata.

Written down before the first of these runs was started. Known by then: the scores of the other
chapters (3.16: binary relevance on frozen features has a macro AUC of 0.65 on nih1000; 4.10:
the small ResNet on RetinaMNIST and PneumoniaMNIST), and how many films and patients each group of
nih1000 has, with and without each finding. No score of any subgroup had been computed.

**A. Subgroups of nih1000** (1,000 films, 264 patients, pooled folds of patients, three seeds of
3.16's ``binary-relevance``). Three attributes, two groups each, fixed from counts alone: sex (F,
M), age (below 60, the median, and from 60 on), view (AP, PA). A finding enters a comparison where
each group has at least `ENOUGH` patients with it: all six for sex and age, four for the view
(nodule and fibrosis have 4 and 2 patients among AP films).
Endpoint: difference in macro AUC between the two groups, patients resampled, three tests, Holm.
Smallest difference that matters: 0.05. "Gap" where Holm's p is at most 0.05; "alike" where the 95 %
interval lies within -0.05 and 0.05; otherwise "264 patients cannot tell".
One threshold a finding, the same for all groups, at which 80 % of all negative films are called
negative; sensitivity and specificity by group are the second endpoint (mean over findings).
Jobs here: ``fair-view`` and ``fair-clinical``, logistic regression on the view alone and on age,
sex and view, no pixel (the trivial baselines); binary relevance that learned from PA films alone,
from AP films alone, and from as many films of both as there are PA films (``fair-pa-only``,
``fair-ap-only``, ``fair-fewer``). The record of ``fair-clinical`` keeps sex, view and decade of age
of each film, and how well frozen features, and the mean and spread of the grey levels, tell sex,
view and age (cross-fitted, the same folds of patients).

1. No difference in macro AUC between sexes, ages or views has a Holm p of at most 0.05, and the
   smallest gap that would have been found with 80 % power is above 0.05 for all three.
2. Frozen features tell the view with an AUC of 0.95 or more and the sex with 0.80 or more; mean and
   spread of the grey levels tell the view with 0.60 or more.
3. Age, sex and view alone have a macro AUC above 0.5 (interval), and at least half of the lead over
   0.5 that the images have.
4. Within AP films and within PA films alone the images have a lower macro AUC (four findings) than
   on all films together (in value); both are above 0.5 (interval).
5. Beside the image's scores age, sex and view change the macro AUC by less than 0.02 (in value).
6. At one threshold AP films have a higher sensitivity and a lower specificity than PA films (in
   value), and the difference in specificity is told from zero.
7. Learned from PA films alone, the macro AUC (four findings) on AP films is lower by 0.02 or more
   than learned from as many films of both views (in value).

**B. A planted shortcut, PneumoniaMNIST.** A burned-in letter (`medlib.trust.corrupt`, ``marker``,
strength `LETTER`) is on a share *d* of the pneumonia images of training and validation, and on a
share 1 - d of the normal ones. `resnet_small`, width 16, `Recipe.small()`, three seeds, d of 0.5
(the letter says nothing: control), 0.75, 0.95, 1; and d of 0.95 with the four combinations of label
and letter drawn equally often (``planted-balanced``). Each network is scored twice, on test images
without the letter and with it on all. From the two files each other site follows: *aligned*
(letter on pneumonia only), *none*, *reversed* (letter on normal images only).
Smallest difference that matters: 0.05 in AUC.

8. At d = 0.95 the AUC is 0.95 or more on the aligned site, and lower than with d = 0.5 by 0.05 or
   more on the reversed site.
9. Already d = 0.75 costs 0.05 or more on the reversed site.
10. Without any letter the networks of d = 0.95 lose less than 0.05 to those of d = 0.5: validation
    and a clean test would not have shown the shortcut.
11. Balanced sampling wins back at least half of what d = 0.95 loses on the reversed site.

**C. Hidden strata, RetinaMNIST.** Grades 1 to 4 become one class, "any retinopathy". `resnet_small`
at its full width, `Recipe.small()`, three seeds: ``any-retinopathy``, and ``any-balanced``, where
each of the four grades is drawn equally often. The scores are written as those of five grades, all
of "any" in the column of grade 1, so that the file keeps the grades; read 1 - p0. Beside them
``trust-small`` of 4.10, which learned the five grades.
Endpoint: AUC of each grade against grade 0. Smallest difference that matters: 0.05. The threshold,
one a seed, is where 80 % of the validation images of grade 0 are called healthy.

12. Grade 1 has an AUC against grade 0 that is lower by 0.10 or more than that of grade 4.
13. At the threshold the sensitivity for grade 1 is below that for all diseased by 0.10 or more.
14. Neither balanced sampling nor learning the grades changes the AUC of grade 1 by 0.05 or more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from book.workflow.long_folds import Folds, frozen_features
from book.workflow.long_jobs import Job, OnMember, Training
from book.workflow.long_models import Network, Predictor
from book.workflow.long_multilabel import relevances
from book.workflow.long_trust import kept, packed
from medlib import metrics, trust
from medlib.data import Dataset, Split, splits
from medlib.evaluate import Scores, evaluate_folds
from medlib.multilabel import BinaryRelevance, Chosen, Method, logistic, out_of_fold, patient_folds
from medlib.recipe import Recipe
from medlib.subgroups import OneGroup

CHAPTER = "05-04-shift-fairness"
SEEDS = range(3)
ENOUGH = 5  # patients with a finding that each group needs
OLD = 60  # years
PA, AP = 0, 1
LETTER = 2  # strength of the marker: 4 of 28 pixels
DOSES = {"planted-50": 0.5, "planted-75": 0.75, "planted-95": 0.95, "planted-100": 1.0}


# ---------------------------------------------------------------- A. subgroups of nih1000


def traits(dataset: Dataset) -> dict[str, np.ndarray]:
    """Return age in years, and sex (1 male) and view (1 AP) of all films, in the order of folds."""
    parts = (dataset.train, dataset.val, dataset.test)
    age, sex, view = (
        np.concatenate([part.extras[name] for part in parts]) for name in ("age", "sex", "view")
    )
    return {"age": age.astype(float), "male": (sex == "M") * 1, "ap": (view == "AP") * 1}


def clinical(dataset: Dataset) -> np.ndarray:
    """Return what is known without the image, ``(N, 4)``: age, its square, sex, view."""
    known = traits(dataset)
    age = known["age"] / 10
    return np.column_stack([age, age**2, known["male"], known["ap"]])


def grey_levels(dataset: Dataset) -> np.ndarray:
    """Return mean and spread of each film's grey levels, ``(N, 2)``."""
    parts = (dataset.train, dataset.val, dataset.test)
    pixels = np.concatenate([part.images.reshape(len(part.images), -1) for part in parts]) / 255
    return np.column_stack([pixels.mean(axis=1), pixels.std(axis=1)])


@dataclass(frozen=True)
class OnColumns(Folds):
    """Logistic regression on age, sex and view, or on the view alone; no pixel is seen."""

    chapter: str = CHAPTER

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Method, dict[str, Any]]:
        """Build the regression; see `Job.predictor`."""
        about: dict[str, Any] = {"columns": "age, age squared, sex, view"}
        if self.model_id == "fair-clinical":
            about["films"] = films(dataset)
        return BinaryRelevance(logistic(1.0)), about

    def look(self, predictor: Method, dataset: Dataset) -> Scores:
        """Predict each patient from the others, once."""
        table = clinical(dataset)
        if self.model_id == "fair-view":
            table = table[:, 3:]
        return evaluate_folds(predictor, table, dataset, model_id=self.model_id, seed=self.seed)


def films(dataset: Dataset) -> dict[str, str]:
    """Return what the record keeps of each film: its groups, and what tells them (cross-fitted)."""
    known = traits(dataset)
    parts = (dataset.train, dataset.val, dataset.test)
    index, patients = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("index", "groups")
    )
    told = np.column_stack([known["male"], known["ap"], known["age"] >= OLD]).astype(int)
    committed = None if dataset.synthetic else splits.read_folds(dataset.card)
    fold = patient_folds(told, patients) if committed is None else committed[index]
    found = {"index": packed(index), "male": packed(known["male"]), "ap": packed(known["ap"])}
    found["decade"] = packed(known["age"] // 10)
    inputs = {"features": frozen_features(dataset), "grey": grey_levels(dataset)}
    makers = {"features": lambda: Chosen(relevances()), "grey": lambda: BinaryRelevance()}
    for name, table in inputs.items():
        pooled = out_of_fold(makers[name](), table, told, patients, fold=fold).probabilities
        for column, trait in zip(pooled.T, ("male", "ap", "old"), strict=True):
            found[f"{trait} from {name}"] = packed(column.round(4))
    return found


LEARNED_FROM = {
    "fair-pa-only": {"group": PA},
    "fair-ap-only": {"group": AP},
    "fair-fewer": {"group": PA, "mixed": True},
}


@dataclass(frozen=True)
class OfOneView(Folds):
    """Binary relevance that learns from films of one view; `model_id` is of `LEARNED_FROM`."""

    chapter: str = CHAPTER

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Method, dict[str, Any]]:
        """Build the method; see `Job.predictor`."""
        options = LEARNED_FROM[self.model_id]
        return OneGroup(Chosen(relevances()), **options), {"learned_from": options}

    def look(self, predictor: Method, dataset: Dataset) -> Scores:
        """Predict each patient from the others, once."""
        table = np.column_stack([traits(dataset)["ap"], frozen_features(dataset)])
        return evaluate_folds(predictor, table, dataset, model_id=self.model_id, seed=self.seed)


def subgroup_jobs() -> Iterator[Job]:
    """Yield the jobs on nih1000; a regression on columns is the same for every seed."""
    yield OnColumns("fair-view", "nih1000", 0, 0.1)
    yield OnColumns("fair-clinical", "nih1000", 0, 1.0)
    for name in LEARNED_FROM:
        for seed in SEEDS:
            yield OfOneView(name, "nih1000", seed, 0.25)


# ---------------------------------------------------------------- B. a planted shortcut


def lettered(labels: np.ndarray, dose: float, seed: int) -> np.ndarray:
    """Return which images carry the letter: a share `dose` of class 1, 1 - dose of class 0."""
    rng = np.random.default_rng([504, seed])
    chance = np.where(labels == 1, dose, 1 - dose)
    return rng.random(len(labels)) < chance


def with_letter(images: np.ndarray) -> np.ndarray:
    """Return the images with the letter burned in."""
    return trust.corrupt(images, "marker", LETTER)


def planted(split: Split, dose: float, seed: int, *, balanced: bool = False) -> Split:
    """Return a split some of whose images carry the letter.

    Balanced, the combinations of label and letter are drawn equally often, as many cases as before.
    """
    marked = lettered(split.labels, dose, seed)
    images = split.images.copy()
    images[marked] = with_letter(images[marked])
    changed = replace(split, images=images)
    if not balanced:
        return changed
    return changed.take(drawn_equally(2 * split.labels + marked, len(split), seed))


def drawn_equally(strata: np.ndarray, cases: int, seed: int) -> np.ndarray:
    """Return the rows of as many cases from each stratum, drawn with repeats only where needed."""
    rng = np.random.default_rng([505, seed])
    names = np.unique(strata)
    rows = []
    for name in names:
        members = rng.permutation(np.flatnonzero(strata == name))
        rows.append(np.resize(members, cases // len(names)))
    return np.sort(np.concatenate(rows))


@dataclass(frozen=True)
class Planted(Training):
    """A network that learns from images of which some carry a letter.

    Attributes
    ----------
    dose : float
        Share of pneumonia images with the letter, and of normal ones without it.
    balanced : bool
        Whether the combinations of label and letter are drawn equally often.
    """

    dose: float = 0.5
    balanced: bool = False

    def details(self, history: dict[str, Any]) -> dict[str, Any]:
        """Return what the record says of the training."""
        return super().details(history) | {"dose": self.dose, "balanced": self.balanced}

    def trained(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Return the network, trained on the planted images; see `Training.trained`."""
        train = planted(dataset.train, self.dose, self.seed, balanced=self.balanced)
        val = planted(dataset.val, self.dose, self.seed)
        return super().trained(replace(dataset, train=train, val=val), folder)


@dataclass(frozen=True)
class SeesLetters:
    """A network that sees every image with the letter."""

    network: Network

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Burn the letter in, then predict: ``(N, K)``."""
        return self.network.predict_proba(with_letter(images))


@dataclass(frozen=True)
class AllLettered(OnMember):
    """A trained network on test images that all carry the letter."""

    @property
    def variant(self) -> str:  # type: ignore[override]
        """Name of the change."""
        return "letter"

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Read the network's weights; see `Job.predictor`."""
        model, details = self.read(dataset, folder)
        return SeesLetters(Network(model, dataset.task)), details


def shortcut_jobs() -> Iterator[Job]:
    """Yield the jobs on PneumoniaMNIST."""
    arms = {name: (dose, False) for name, dose in DOSES.items()}
    arms["planted-balanced"] = (0.95, True)
    for name, (dose, balanced) in arms.items():
        for seed in SEEDS:
            member = Planted(
                name, "pneumoniamnist", seed, 0.3, CHAPTER, Recipe.small(), "resnet_small",
                {"width": 16}, dose=dose, balanced=balanced,
            )  # fmt: skip
            yield member
            yield AllLettered(name, "pneumoniamnist", seed, 0.05, CHAPTER, member)


# ---------------------------------------------------------------- C. hidden strata


def collapsed(dataset: Dataset, seed: int, *, balanced: bool = False) -> Dataset:
    """Return the set with grades 1 to 4 as one class; balanced, each of them as frequent."""
    card = replace(dataset.card, task="binary", classes=("no retinopathy", "any retinopathy"))
    train = dataset.train
    if balanced:
        train = train.take(equal_grades(train.labels, seed))
    train, val = (replace(each, labels=(each.labels > 0) * 1) for each in (train, dataset.val))
    return replace(dataset, card=card, train=train, val=val)


def equal_grades(grades: np.ndarray, seed: int) -> np.ndarray:
    """Return rows: all of grade 0, and as many diseased as before with equally many a grade."""
    sick = np.flatnonzero(grades > 0)
    drawn = sick[drawn_equally(grades[sick], len(sick), seed)]
    return np.sort(np.concatenate([np.flatnonzero(grades == 0), drawn]))


@dataclass(frozen=True)
class AsGrades:
    """A network for "any retinopathy" that answers in five columns, all disease in the second."""

    network: Network
    grades: int = 5

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return ``(N, 5)``: healthy, any retinopathy, and three columns of zeros."""
        answer = self.network.predict_proba(images)
        return np.pad(answer, ((0, 0), (0, self.grades - answer.shape[1])))


@dataclass(frozen=True)
class AnyGrade(Training):
    """A network that learns "any retinopathy" from collapsed grades.

    Attributes
    ----------
    balanced : bool
        Whether each grade of disease is drawn equally often.
    """

    balanced: bool = False

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Train the network; see `Job.predictor`."""
        model, history = self.trained(dataset, folder)
        network = AsGrades(Network(model, "binary"), dataset.num_classes)
        return network, self.details(history) | {"kept": kept(network, dataset.val)}

    def trained(self, dataset: Dataset, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
        """Return the network, trained on collapsed grades; see `Training.trained`."""
        return super().trained(collapsed(dataset, self.seed, balanced=self.balanced), folder)

    def validate(self, predictor: Predictor, dataset: Dataset) -> dict[str, float]:
        """Return the AUC for any retinopathy."""
        found = predictor.predict_proba(dataset.val.images)[:, :2]
        return {"auc": metrics.auc((dataset.val.labels > 0) * 1, found)}


def strata_jobs() -> Iterator[Job]:
    """Yield the jobs on RetinaMNIST."""
    for name, balanced in (("any-retinopathy", False), ("any-balanced", True)):
        for seed in SEEDS:
            yield AnyGrade(
                name, "retinamnist", seed, 0.6, CHAPTER, Recipe.small(), balanced=balanced
            )


def fairness_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    yield from subgroup_jobs()
    yield from shortcut_jobs()
    yield from strata_jobs()
