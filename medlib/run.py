"""The run of one chapter: its profile, seeds, device and data, opened by `begin`."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medlib import paths
from medlib.errors import DataUnavailable, MedlibError
from medlib.profiles import LONG, Profile, profile_named

if TYPE_CHECKING:
    from medlib.data import Dataset
    from medlib.train import Recipe

_active: "Run | None" = None


@dataclass
class Run:
    """One execution of one chapter.

    Attributes
    ----------
    chapter : str
        File name of the chapter without its ending, such as ``03-05-resnet``.
    profile : Profile
        The workload.
    seeds : tuple of int
        The seeds to train with, counted up from the run's first seed.
    device : str
        ``"cpu"`` or ``"cuda"``.
    synthetic : bool
        True once a phantom had to stand in for a real data set: such a run gives no results.
    build : Path
        Folder that the run writes below.
    resumed : bool
        True for a long run: its results and its looks at test splits outlive the process.
    """

    chapter: str
    profile: Profile
    seeds: tuple[int, ...]
    device: str
    build: Path
    synthetic: bool = False
    resumed: bool = False
    loaded: dict[str, "Dataset"] = field(default_factory=dict)

    def load(self, name: str, *, phantom: bool = True) -> "Dataset":
        """Load a data set at the size of the profile.

        Parameters
        ----------
        name : str
            Name of a card, such as ``"breastmnist"``.
        phantom : bool
            Whether generated images may stand in where the real ones are missing; the page
            then says so, and no number of the run is a result.

        Raises
        ------
        DataUnavailable
            Where the set is missing and `phantom` is False.
        """
        if name not in self.loaded:
            self.loaded[name] = self._sized(self._real_or_phantom(name, phantom))
        return self.loaded[name]

    def recipe(self, recipe: "Recipe") -> "Recipe":
        """Return the recipe at the size of the profile: in ``fast``, a few steps only."""
        from dataclasses import replace

        if self.profile.max_steps is not None:
            recipe = recipe.capped(self.profile.max_steps)
        return replace(recipe, amp=True) if self.profile.amp else recipe

    def measure(self, key: str, value: float, *, unit: str) -> None:
        """Keep a measured time or memory; never part of what runs are compared by."""
        from medlib.results import measure

        measure(key, value, unit=unit)

    def leave(self, name: str) -> Path:
        """Return the path at which this chapter writes a file for another; see `take`.

        Parameters
        ----------
        name : str
            File name, such as ``"model-seed0.pt"``. All files of a chapter together stay below
            1 MB, because the published edition holds them.
        """
        from medlib import artefacts

        return artefacts.path_to_leave(self.build, self.chapter, name)

    def take(self, chapter: str, name: str) -> Path:
        """Return the path of a file that another chapter left with `leave`.

        Parameters
        ----------
        chapter : str
            The chapter that left it, written out: the workflow reads it here, and runs that
            chapter first.
        name : str
            The file's name.

        Returns
        -------
        Path
            This run's file; where that chapter was not run, the published edition's.

        Raises
        ------
        MedlibError
            Where neither exists.
        """
        from medlib import artefacts

        return artefacts.path_to_take(self.build, chapter, name)

    def _real_or_phantom(self, name: str, phantom: bool) -> "Dataset":
        from medlib import data
        from medlib.data import phantoms

        try:
            return data.load(name)
        except DataUnavailable as error:
            if not phantom:
                raise
            self.synthetic = True
            _announce_phantom(name, error)
            return phantoms.phantom_like(data.card(name))

    def _sized(self, dataset: "Dataset") -> "Dataset":
        cap = self.profile.max_images
        return dataset if cap is None else dataset.subset(cap)


def begin(
    chapter: str,
    *,
    profile: str = "cpu",
    seed: int = 0,
    device: str = "auto",
    build: Path | None = None,
) -> Run:
    """Open the run of a chapter: theme, threads, seeds and a fresh results file.

    Parameters
    ----------
    chapter : str
        File name of the chapter without its ending.
    profile : {"fast", "cpu", "gpu"}
        How much work the run does.
    seed : int
        First seed; the others count up from it.
    device : {"auto", "cpu", "cuda"}
        Where it runs; ``auto`` takes a GPU where there is one.
    build : Path, optional
        Folder that the run writes below, for runs that are no chapter; the profile's build folder
        where omitted.

    Raises
    ------
    MedlibError
        For an unknown profile, a seed that is no whole number >= 0, or an absent device.
    """
    global _active
    workload = profile_named(profile)
    if not isinstance(seed, int) or seed < 0:
        raise MedlibError(f"the seed must be a whole number >= 0, got {seed!r}")
    seeds = tuple(range(seed, seed + workload.seeds))
    folder = paths.build_dir(profile) if build is None else build
    _active = Run(chapter, workload, seeds, resolve_device(device), folder)
    _prepare(_active)
    return _active


def resume(chapter: str, *, seed: int = 0, device: str = "cpu") -> Run:
    """Open the run that the long jobs of a chapter share, over all processes and sessions.

    Unlike `begin` it keeps the results file, and a test split that an earlier process has scored
    stays used: see `medlib.evaluate.evaluate_once`.

    Parameters
    ----------
    chapter : str
        File name of the chapter without its ending.
    seed : int
        Seed of the job that the process runs.
    device : {"auto", "cpu", "cuda"}
        Where it predicts; most long runs are made for a CPU.
    """
    global _active
    from medlib import results, train

    build = paths.build_dir(LONG.name)
    _active = Run(chapter, LONG, (seed,), resolve_device(device), build, resumed=True)
    train.seed_everything(seed)
    if not results.results_file(_active).exists():
        results.open_results(_active)
    return _active


def current() -> Run:
    """Return the run that `begin` opened last in this process.

    Raises
    ------
    MedlibError
        Where no run is open.
    """
    if _active is None:
        raise MedlibError("no run is open: call medlib.begin('PP-CC-name', profile=...) first")
    return _active


def resolve_device(device: str) -> str:
    """Turn ``auto`` into the device there is, and refuse one that is absent."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MedlibError("device 'cuda' was asked for, but there is no GPU: use 'auto' or 'cpu'")
    if device not in {"cpu", "cuda"}:
        raise MedlibError(f"unknown device {device!r}: choose 'auto', 'cpu' or 'cuda'")
    return device


def _prepare(run: Run) -> None:
    """Set what every chapter shares, so that a chapter starts with one line."""
    import torch

    from medlib import artefacts, plots, results, train

    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    plots.set_theme()
    train.seed_everything(run.seeds[0])
    results.open_results(run)
    artefacts.clear(run.build, run.chapter)


def _announce_phantom(name: str, error: DataUnavailable) -> None:
    """Print the banner of a page that had to run on generated images."""
    print(
        f"PHANTOM DATA: the data set '{name}' is not here, so generated images stand in for it.\n"
        f"Nothing on this page that depends on it is a result. {error}"
    )
