"""Search hyper-parameters with Optuna: a space, an objective, a storage that a search resumes from.

Optuna chooses the parameters. This module adds what a search of many hours needs: trials are
numbered from 0, each number has a random seed of its own, and a trial whose process was killed is
made again under the same number. So a search that was killed ends with the same trials as one that
was not, where it runs in one process; random search does so with any number of processes.
"""

import contextlib
import fcntl
import json
import math
import multiprocessing
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from medlib.errors import MedlibError

if TYPE_CHECKING:
    import optuna

Value = float | str
Parameters = dict[str, Value]
SAMPLERS = ("tpe", "random")  # how Optuna chooses the next trial


class SearchError(MedlibError, ValueError):
    """A search that makes no sense; the message names what to change."""


@dataclass(frozen=True)
class Interval:
    """A real number between two limits.

    Attributes
    ----------
    low, high : float
        The limits, both possible.
    log : bool
        Whether ratios count, not differences: for learning rates and weight decay.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise SearchError(
                f"{self}: low must be below high, and above 0 where log=True is asked for"
            )

    def spread(self, count: int) -> list[float]:
        """Return so many values at equal steps (equal ratios where `log`), both limits included."""
        space = np.geomspace if self.log else np.linspace
        return [float(value) for value in space(self.low, self.high, count)]

    def suggest(self, trial: "optuna.Trial", name: str) -> float:
        """Let Optuna choose a value for a trial."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choice:
    """One of several values, without an order.

    Attributes
    ----------
    options : tuple
        The values.
    """

    options: tuple[Value, ...]

    def spread(self, count: int) -> list[Value]:
        """Return the first `count` options."""
        return list(self.options[:count])

    def suggest(self, trial: "optuna.Trial", name: str) -> Value:
        """Let Optuna choose a value for a trial."""
        return trial.suggest_categorical(name, self.options)


Space = Mapping[str, Interval | Choice]


@dataclass(frozen=True)
class Outcome:
    """What an objective found, where it is more than one number.

    Attributes
    ----------
    value : float
        What the search makes large.
    notes : mapping of str to float
        What is kept beside it and steers nothing, such as a score on images that were held out.
    """

    value: float
    notes: Mapping[str, float] = field(default_factory=dict)


Objective = Callable[[Parameters, int], float | Outcome]


@dataclass(frozen=True)
class Trial:
    """One set of parameters that was tried.

    Attributes
    ----------
    number : int
        From 0; no two trials of a search share one.
    parameters : dict of str to float or str
        What was tried.
    value : float or None
        What the objective returned; None where it failed.
    notes : dict of str to float
        What the objective noted beside it.
    error : str or None
        Why it failed.
    seconds : float
        Wall-clock time of the objective.
    """

    number: int
    parameters: Parameters
    value: float | None
    notes: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as plain values, ready for JSON."""
        return asdict(self)


def search(
    objective: Objective,
    space: Space,
    *,
    trials: int,
    storage: Path | str | None = None,
    sampler: str = "tpe",
    seed: int = 0,
    first: Sequence[Mapping[str, Value]] = (),
    workers: int = 1,
) -> list[Trial]:
    """Look for the parameters with the largest value, or go on with a search that was stopped.

    Parameters
    ----------
    objective : callable
        Takes the parameters and the number of a trial; returns what is to be large, or an
        `Outcome`. Where it raises, or returns a number that is not finite, the trial is kept as
        failed and the search goes on.
    space : mapping of str to Interval or Choice
        What each parameter may be.
    trials : int
        How many there are to be in all, with those that the storage holds and those that failed.
    storage : path or None
        A journal file, or a SQLite file where its name ends with ``.db``. Calls with the same file
        go on with the same search, one after the other or at the same time, in as many processes
        as wanted. None keeps the trials in memory.
    sampler : {"tpe", "random"}
        The tree-structured Parzen estimator (Bergstra et al., 2011) as Optuna has it, of whose
        trials the first ten are random; or random search, with the same first ten.
    seed : int
        Decides, with the number of a trial, what is random in the choice of its parameters.
    first : sequence of mappings
        Parameters of the first trials, such as a recipe that is known to work, or a `grid`.
    workers : int
        How many processes are started. More than one need a storage, and an objective that can be
        pickled: a function of a module, or an object of a class of a module.

    Returns
    -------
    list of Trial
        What has ended so far, by number.

    Raises
    ------
    SearchError
        Where the storage holds another search, or a setting makes no sense.
    """
    _check(space, trials, storage, sampler, workers)
    about = {"space": {name: repr(each) for name, each in space.items()}}
    about |= {"sampler": sampler, "seed": seed, "first": [dict(each) for each in first]}
    study = _Study(space, about, None if storage is None else Path(storage), trials)
    if workers == 1:
        study.work(objective)
        return study.ended()
    spawn = multiprocessing.get_context("spawn")
    jobs = [spawn.Process(target=study.work, args=(objective,)) for _ in range(workers)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        raise SearchError("a worker ended with an error, see above: call search again to go on")
    return study.ended()


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the largest value; of equal ones the first.

    Raises
    ------
    SearchError
        Where none has a value.
    """
    valued = [trial for trial in trials if trial.value is not None]
    if not valued:
        errors = sorted({str(trial.error) for trial in trials})
        raise SearchError(f"none of {len(trials)} trials has a value: {'; '.join(errors)}")
    return max(valued, key=lambda trial: (trial.value, -trial.number))


def best_so_far(values: Sequence[float | None]) -> np.ndarray:
    """Return the largest value up to each trial; NaN before the first that did not fail."""
    filled = np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.fmax.accumulate(filled)


def grid(space: Space, levels: Mapping[str, int]) -> list[Parameters]:
    """Return all combinations of some values of each parameter: the trials of a grid search.

    Parameters
    ----------
    space : mapping of str to Interval or Choice
    levels : mapping of str to int
        How many values of each; all of the space's parameters are named.
    """
    values = [each.spread(levels[name]) for name, each in space.items()]
    return [dict(zip(space, combination, strict=True)) for combination in product(*values)]


def importance(trials: Sequence[Trial], space: Space, *, seed: int = 0) -> dict[str, float]:
    """Return the share of the values' variance that each parameter explains by itself.

    Optuna's fANOVA (Hutter, Hoos, Leyton-Brown, "An efficient approach for assessing
    hyperparameter importance", 2014), scaled to a sum of 1; failed trials are left out.
    """
    with _quiet():
        from optuna import create_study
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances
        from optuna.trial import create_trial

        probe = create_study().ask()
        for name, each in space.items():
            each.suggest(probe, name)
        study = create_study(direction="maximize")
        for trial in trials:
            if trial.value is not None:
                known = {"params": trial.parameters, "distributions": probe.distributions}
                study.add_trial(create_trial(value=trial.value, **known))
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: found[name] for name in space}


def expected_maximum(count: int) -> float:
    """Return the expected largest of so many independent standard normal numbers."""
    z = np.linspace(-8, 8, 16_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    below = np.cumsum(density) * (z[1] - z[0])
    return float(np.sum(z * count * below ** (count - 1) * density) * (z[1] - z[0]))


@dataclass
class _Study:
    """A search and its storage; it can be sent to another process."""

    space: Space
    about: dict[str, Any]
    path: Path | None
    trials: int
    memory: Any = None
    worker: str = ""

    def work(self, objective: Objective) -> None:
        """Make trials until there are as many as asked for."""
        self.worker = uuid.uuid4().hex
        with _quiet(), self._at_work():
            study = self._open()
            while True:
                with self._locked():
                    trial = self._ask(study)
                if trial is None:
                    return
                began = time.monotonic()
                outcome, error = _attempt(objective, trial.params, trial.user_attrs["number"])
                with self._locked():
                    trial.set_user_attr("seconds", time.monotonic() - began)
                    self._tell(study, trial, outcome, error)

    def ended(self) -> list[Trial]:
        """Return the trials that have ended, by number."""
        with _quiet():
            kept = [t for t in self._open().get_trials(deepcopy=False) if t.state.is_finished()]
        found = [_read(each) for each in kept if not each.user_attrs.get("abandoned")]
        return sorted(found, key=lambda trial: trial.number)

    def _open(self) -> "optuna.Study":
        """Open the storage; refuse one that holds another search."""
        import optuna

        with self._locked():
            if self.memory is None:
                self.memory = self._storage()
            study = optuna.create_study(
                study_name="search", storage=self.memory, direction="maximize", load_if_exists=True
            )
            text = json.dumps(self.about, sort_keys=True)
            known = study.user_attrs.get("about", text)
            if known != text:
                raise SearchError(
                    f"{self.path} holds another search: take another file, or the same settings. "
                    f"There: {known}. Here: {text}"
                )
            study.set_user_attr("about", text)
        return study

    def _storage(self) -> "optuna.storages.BaseStorage":
        import optuna
        from optuna.storages.journal import JournalFileBackend

        if self.path is None:
            return optuna.storages.InMemoryStorage()
        if self.path.suffix == ".db":
            return optuna.storages.RDBStorage(f"sqlite:///{self.path}")
        return optuna.storages.JournalStorage(JournalFileBackend(str(self.path)))

    def _ask(self, study: "optuna.Study") -> "optuna.Trial | None":
        """Begin the trial with the smallest free number; None where all are made or at work."""
        taken = self._taken(study)
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        if number >= self.trials:
            return None
        study.sampler = _sampler(self.about["sampler"], self.about["seed"], number)
        attributes = {"number": number, "worker": self.worker}
        if number < len(self.about["first"]):
            study.enqueue_trial(self.about["first"][number])
        trial = study.ask()
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        for name, each in self.space.items():
            each.suggest(trial, name)
        return trial

    def _taken(self, study: "optuna.Study") -> set[int]:
        """Return the numbers that are made or at work; give up trials whose process is gone."""
        from optuna.trial import TrialState

        taken = set()
        for trial in study.get_trials(deepcopy=False):
            if not trial.state.is_finished() and not self._alive(trial.user_attrs.get("worker")):
                storage = study._storage
                storage.set_trial_user_attr(trial._trial_id, "abandoned", True)
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            elif not trial.user_attrs.get("abandoned"):
                taken.add(trial.user_attrs["number"])
        return taken

    def _tell(
        self, study: "optuna.Study", trial: "optuna.Trial", outcome: Outcome, error: str | None
    ) -> None:
        """End a trial."""
        from optuna.trial import TrialState

        trial.set_user_attr("notes", {key: float(v) for key, v in outcome.notes.items()})
        if error is None:
            study.tell(trial, outcome.value)
        else:
            trial.set_user_attr("error", error)
            study.tell(trial, state=TrialState.FAIL)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep the other processes of this search from the storage for a moment."""
        if self.path is None:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._file("guard").open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Hold a lock that ends with this process, however it ends."""
        if self.path is None:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self._file(self.worker)
        with path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
            path.unlink()

    def _alive(self, worker: str | None) -> bool:
        """Tell whether the process that made a trial holds its lock."""
        if worker == self.worker:
            return True
        path = None if worker is None or self.path is None else self._file(worker)
        if path is None or not path.exists():
            return False
        with path.open("a", encoding="utf-8") as file:
            if _is_held(file):
                return True
            path.unlink(missing_ok=True)
            return False

    def _file(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")


def _is_held(file: TextIO) -> bool:
    """Tell whether another process holds the lock of a file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _sampler(name: str, seed: int, number: int) -> "optuna.samplers.BaseSampler":
    """Return Optuna's sampler for one trial, with a random seed of its own."""
    from optuna.samplers import RandomSampler, TPESampler

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return RandomSampler(seed=own) if name == "random" else TPESampler(seed=own)


def _attempt(
    objective: Objective, parameters: Parameters, number: int
) -> tuple[Outcome, str | None]:
    """Return what the objective found, and why it failed."""
    try:
        found = objective(dict(parameters), number)
    except Exception as error:
        return Outcome(math.nan), f"{type(error).__name__}: {error}"
    outcome = found if isinstance(found, Outcome) else Outcome(float(found))
    if not math.isfinite(outcome.value):
        return outcome, f"the objective returned {outcome.value}"
    return outcome, None


def _read(found: "optuna.trial.FrozenTrial") -> Trial:
    """Return one of Optuna's trials as ours."""
    known = found.user_attrs
    return Trial(
        number=known["number"],
        parameters=dict(found.params),
        value=found.value if found.state.name == "COMPLETE" else None,
        notes=known.get("notes", {}),
        error=known.get("error"),
        seconds=known.get("seconds", 0.0),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from printing a line a trial, and from missing widgets in a notebook."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _check(space: Space, trials: int, storage: object, sampler: str, workers: int) -> None:
    """Refuse settings that make no sense."""
    if not space:
        raise SearchError("the space is empty: name at least one parameter")
    if trials < 1 or workers < 1:
        raise SearchError(f"trials and workers must be at least 1, got {trials} and {workers}")
    if sampler not in SAMPLERS:
        raise SearchError(f"sampler must be one of {SAMPLERS}, got {sampler!r}")
    if workers > 1 and storage is None:
        raise SearchError("several workers share their trials through a file: name a storage")
