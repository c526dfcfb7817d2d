"""What the long runs of chapter 3.15 train: searches for a recipe, and what they found.

Four ways to spend 24 trainings on BreastMNIST, five repetitions of each. A repetition splits the
official training and validation images anew, as in `search_small`: seven tenths train, a tenth (62
images) is the validation that the search sees, a fifth (126 images) is fresh: every trial is scored
on it, and no search ever sees that score. A trial is a `resnet_small` of width 8, trained for 130
steps of 32 images; its random seed comes from the repetition and its number, so that trials of
different searches under the same number differ by their recipe alone. The four ways:

``random``   Parameters drawn evenly from `SPACE`.
``tpe``      Optuna's tree-structured Parzen estimator with its own settings; its first ten trials
             are those of ``random``.
``grid``     Four learning rates, three optimisers, with and without augmentation; the rest as in
             the default recipe.
``default``  A search over nothing: the default recipe 24 times, with other seeds. What its winner
             is ahead by is luck: of the images, and of the seed.

The recipe of each search's winner (the largest AUC on validation) is then trained once more on the
official training split with the repetition's number as seed, and scored on the test split, once;
for ``default`` that is the default recipe itself. The winners of ``tpe`` and the default recipe are
also trained for the 1,003 steps of ``Recipe.small()``, of which the search has seen 130.

Written before any score was seen:

- Endpoint of the comparison: AUC of the winner on fresh images, ``tpe`` minus ``random``, mean and
  95 % t interval over the five repetitions. A difference below 0.01 would change nothing for a
  reader. Expected: the interval contains 0, so that five repetitions cannot tell the two apart.
- Luck: how far the winner is ahead of the mean trial of its own search, on validation and on
  fresh images; what validation shows and fresh images do not is luck. Expected: of the lead in
  ``random``, ``grid`` and ``tpe`` at least a third is luck; of the lead in ``default`` nearly all,
  so that its interval on fresh images contains 0.
- Test: a gain of 0.01 over the default recipe would matter. Expected: at 130 steps the winners of
  ``tpe`` and ``random`` gain more, since the default recipe was made for eight times as many steps;
  at 1,003 steps the winner of ``tpe`` gains nothing. With five seeds and 156 images the intervals
  may well contain 0 in all cases.
- Of the six parameters the learning rate has the largest fANOVA importance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from book.workflow.long_jobs import Job
from book.workflow.long_models import Network, Predictor, new_network
from book.workflow.long_validate import fold
from medlib.augment import Augment
from medlib.data import Dataset
from medlib.metrics import auc
from medlib.recipe import Recipe
from medlib.search import Choice, Interval, Outcome, Trial, Value, best, grid, search
from medlib.train import fit

CHAPTER = "03-15-search"
NETWORK = "resnet_small"
OPTIONS = {"width": 8}
STEPS = 130
TRIALS = 24
REPETITIONS = range(5)
SPACE = {
    "learning_rate": Interval(1e-4, 1e-1, log=True),
    "optimizer": Choice(("adamw", "adam", "sgd")),
    "schedule": Choice(("one_cycle", "cosine", "steps", "constant")),
    "weight_decay": Interval(1e-4, 1.0, log=True),
    "label_smoothing": Interval(0.0, 0.3),
    "augmentation": Interval(0.0, 2.0),
}
DEFAULT: dict[str, Value] = {
    "learning_rate": 1e-3,
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "weight_decay": 0.05,
    "label_smoothing": 0.05,
    "augmentation": 1.0,
}
CROSSED = {
    "learning_rate": SPACE["learning_rate"],
    "optimizer": SPACE["optimizer"],
    "augmentation": Interval(0.0, 1.0),
}
GRID = [DEFAULT | cell for cell in grid(CROSSED, dict(zip(CROSSED, (4, 3, 2), strict=True)))]
FIRST: dict[str, list[dict[str, Value]]] = {
    "random": [],
    "tpe": [],
    "grid": GRID,
    "default": [DEFAULT] * TRIALS,
}


def recipe_of(parameters: Mapping[str, Value], steps: int | None) -> Recipe:
    """Return the small recipe with the parameters of a trial; `steps` None leaves its length.

    The strength of the augmentation multiplies all that the recipe's own one changes.
    """
    known = dict(parameters)
    strength = known.pop("augmentation")
    base = Recipe.small().augment
    scaled = {name: strength * getattr(base, name) for name in ("rotation", "scale", "shift")}
    augment = Augment(flip_horizontal=strength > 0, **scaled) if strength else None
    recipe = replace(Recipe.small(), augment=augment, **known)
    return recipe if steps is None else replace(recipe.capped(steps), validate_every=1000)


@dataclass(frozen=True)
class Tried:
    """The objective: train a recipe on a repetition's split, and score what it did not see.

    Attributes
    ----------
    dataset : Dataset
        Its official training and validation images are split anew; its test split is not used.
    repetition : int
        Names the split and, with the number of the trial, the seed.
    """

    dataset: Dataset
    repetition: int

    @cached_property
    def parts(self) -> tuple[Dataset, Any]:
        """The data of the repetition, and its fresh images."""
        return fold(self.dataset, self.repetition)

    def __call__(self, parameters: Mapping[str, Value], number: int) -> Outcome:
        """Return the AUC on validation, and beside it the AUC on fresh images."""
        dataset, fresh = self.parts
        seed = 1000 * self.repetition + number
        model = new_network(NETWORK, OPTIONS, dataset, seed)
        fit(model, dataset, recipe_of(parameters, STEPS), seed=seed, progress=False)
        network = Network(model, dataset.task)
        found = {
            name: auc(split.labels, network.predict_proba(split.images))
            for name, split in (("validation", dataset.val), ("fresh", fresh))
        }
        return Outcome(found["validation"], {"fresh": found["fresh"]})


@dataclass(frozen=True)
class Searched(Job):
    """A search, its winner trained once more, and the winner's test score.

    Attributes
    ----------
    arm : str
        A key of `FIRST`: how the 24 trials are chosen.
    """

    chapter: str = CHAPTER
    arm: str = "random"

    def trials(self, dataset: Dataset, folder: Path) -> list[Trial]:
        """Search, or go on with it; a finished search is only read."""
        return search(
            Tried(dataset, self.seed),
            SPACE,
            trials=TRIALS,
            storage=folder / self.search_id / "trials.journal",
            sampler="tpe" if self.arm == "tpe" else "random",
            seed=self.seed,
            first=FIRST[self.arm],
        )

    @property
    def search_id(self) -> str:
        """Name of the job that holds the search."""
        return self.id

    def chosen(self, dataset: Dataset, folder: Path) -> tuple[dict[str, Value], dict[str, Any]]:
        """Return the parameters that are trained, and what the record says of the search."""
        trials = self.trials(dataset, folder)
        rows = [trial.as_dict() for trial in trials]
        winner = best(trials)
        return winner.parameters, {"arm": self.arm, "winner": winner.number, "trials": rows}

    def recipe(self, parameters: Mapping[str, Value]) -> Recipe:
        """Return the recipe of the last training."""
        return recipe_of(parameters, STEPS)

    def predictor(self, dataset: Dataset, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Search, then train what was found; see `Job.predictor`."""
        parameters, details = self.chosen(dataset, folder)
        recipe = self.recipe(parameters)
        model = new_network(NETWORK, OPTIONS, dataset, self.seed)
        history = fit(model, dataset, recipe, seed=self.seed, progress=False)
        details |= {"parameters": parameters, "network": NETWORK, "options": OPTIONS}
        details |= {"recipe": recipe.as_dict(), "history": history.to_dict()}
        details["optuna"] = metadata.version("optuna")
        return Network(model, dataset.task), details


@dataclass(frozen=True)
class Longer(Searched):
    """The winner of a search, or the default recipe, trained for 1,003 steps."""

    @property
    def needs(self) -> tuple[Job, ...]:
        """The job that searches."""
        return (found_by(self.arm, self.seed),)

    @property
    def search_id(self) -> str:
        """Name of the job that holds the search."""
        return self.needs[0].id

    def recipe(self, parameters: Mapping[str, Value]) -> Recipe:
        """Return the recipe at the full length of the default one."""
        return recipe_of(parameters, None)


def found_by(arm: str, seed: int) -> Searched:
    """Return the job of one search."""
    return Searched(f"search-{arm}", "breastmnist", seed, 0.6, arm=arm)


def search_jobs() -> Iterator[Job]:
    """Yield the searches, and two recipes at full length."""
    yield from (found_by(arm, seed) for arm in FIRST for seed in REPETITIONS)
    for arm in ("tpe", "default"):
        for seed in REPETITIONS:
            yield Longer(f"search-{arm}-longer", "breastmnist", seed, 0.2, arm=arm)
