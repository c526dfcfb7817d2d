"""The search of hyper-parameters: it resumes, shares its storage, and survives failures."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from medlib import search as module
from medlib.search import Choice, Interval, Outcome, SearchError, best, grid, search

SPACE = {"x": Interval(-1, 1), "rate": Interval(1e-4, 1, log=True), "kind": Choice(("a", "b"))}


def bowl(parameters, number):
    """Return a value that is largest at x = 0.3 and a rate of 0.01; the number changes nothing."""
    distance = (parameters["x"] - 0.3) ** 2 + math.log10(parameters["rate"] / 0.01) ** 2
    return Outcome(-distance - 0.1 * (parameters["kind"] == "a"), {"number": number})


def slow_bowl(parameters, number):
    """Return the same, later."""
    time.sleep(0.05)
    return bowl(parameters, number)


def parameters(trials):
    """Return what was tried, by number."""
    assert [trial.number for trial in trials] == list(range(len(trials)))
    return [trial.parameters for trial in trials]


def command(path, sampler, trials, where="0"):
    """Return a process that searches, and kills itself in the midst of the trial `where`."""
    code = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_search import SPACE, slow_bowl
from medlib.search import search
def objective(parameters, number):
    if number == {where}:
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_bowl(parameters, number)
search(objective, SPACE, trials={trials}, storage={str(path)!r}, sampler={sampler!r}, seed=4)
"""
    return subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))


@pytest.mark.parametrize("sampler", module.SAMPLERS)
@pytest.mark.parametrize("name", ["trials.journal", "trials.db"])
def test_search_that_was_killed_ends_with_the_same_trials(tmp_path, sampler, name):
    path = tmp_path / name
    killed = command(path, sampler, 15, where=12)
    assert killed.wait(60) == -signal.SIGKILL
    resumed = search(bowl, SPACE, trials=15, storage=path, sampler=sampler, seed=4)
    whole = search(bowl, SPACE, trials=15, sampler=sampler, seed=4)
    assert parameters(resumed) == parameters(whole)
    assert [trial.value for trial in resumed] == [trial.value for trial in whole]
    assert sorted(each.name for each in tmp_path.iterdir()) == [name, f"{name}.guard"]


def test_search_goes_on_with_more_trials(tmp_path):
    path = tmp_path / "trials.journal"
    few = search(bowl, SPACE, trials=3, storage=path)
    more = search(bowl, SPACE, trials=5, storage=path)
    assert parameters(more)[:3] == parameters(few)
    assert len(search(bowl, SPACE, trials=5, storage=path)) == 5


@pytest.mark.parametrize("name", ["trials.journal", "trials.db"])
def test_search_in_two_processes_makes_the_trials_asked_for(tmp_path, name):
    path = tmp_path / name
    both = [command(path, "random", 20, where=99) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    shared = search(bowl, SPACE, trials=20, storage=path, sampler="random", seed=4)
    alone = search(bowl, SPACE, trials=20, sampler="random", seed=4)
    assert parameters(shared) == parameters(alone)
    assert [trial.notes["number"] for trial in shared] == list(range(20))


def test_search_starts_workers(tmp_path):
    path = tmp_path / "trials.journal"
    found = search(slow_bowl, SPACE, trials=12, storage=path, workers=2)
    assert len(parameters(found)) == 12


def test_search_does_not_give_up_a_trial_that_is_at_work(tmp_path):
    path = tmp_path / "trials.journal"

    def objective(parameters, number):
        if number == 0:  # another process comes, finds 0 at work and makes 1 and 2
            inner = search(bowl, SPACE, trials=3, storage=path)
            assert [trial.number for trial in inner] == [1, 2]
        return bowl(parameters, number)

    assert len(parameters(search(objective, SPACE, trials=3, storage=path))) == 3


def test_search_keeps_a_failing_trial_and_goes_on():
    def objective(parameters, number):
        if number == 1:
            raise ValueError("the loss became nan")
        return math.nan if number == 2 else bowl(parameters, number)

    found = search(objective, SPACE, trials=14)
    assert [trial.value is None for trial in found] == [n in {1, 2} for n in range(14)]
    assert found[1].error == "ValueError: the loss became nan"
    assert found[2].error == "the objective returned nan"
    assert best(found).value == max(trial.value for trial in found if trial.value is not None)
    with pytest.raises(SearchError, match="none of 1 trials has a value: ValueError"):
        best(found[1:2])


def test_search_begins_with_the_trials_that_are_given():
    first = [{"x": 0.3, "rate": 0.01, "kind": "b"}]
    found = search(bowl, SPACE, trials=4, first=first)
    assert found[0].parameters == first[0]
    assert best(found).number == 0


def test_search_of_either_kind_has_the_same_first_ten_trials():
    tpe, random = (parameters(search(bowl, SPACE, trials=12, sampler=s)) for s in module.SAMPLERS)
    assert tpe[:10] == random[:10]
    assert tpe[10:] != random[10:]


def test_search_refuses_a_file_of_another_search(tmp_path):
    path = tmp_path / "trials.journal"
    search(bowl, SPACE, trials=1, storage=path)
    with pytest.raises(SearchError, match="holds another search"):
        search(bowl, SPACE, trials=1, storage=path, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "genetic"}, "sampler must be one of"),
        ({"workers": 2}, "name a storage"),
        ({"trials": 0}, "at least 1"),
        ({"space": {}}, "the space is empty"),
    ],
)
def test_search_refuses_settings_that_make_no_sense(options, message):
    with pytest.raises(SearchError, match=message):
        search(bowl, **{"space": SPACE, "trials": 1, **options})
    with pytest.raises(SearchError, match="low must be below high"):
        Interval(0, 1, log=True)


def test_grid_holds_all_combinations():
    found = grid(SPACE, {"x": 3, "rate": 3, "kind": 2})
    assert len(found) == 18
    assert sorted({each["x"] for each in found}) == [-1, 0, 1]
    assert sorted({each["rate"] for each in found}) == pytest.approx([1e-4, 1e-2, 1])


def test_search_importance_names_what_decides():
    found = search(bowl, SPACE, trials=60, sampler="random")
    shares = module.importance(found, SPACE)
    assert list(shares) == list(SPACE)
    assert max(shares, key=shares.get) == "rate"
    assert sum(shares.values()) == pytest.approx(1)


def test_expected_maximum_is_that_of_simulated_numbers():
    drawn = np.random.default_rng(0).standard_normal((200_000, 24)).max(1).mean()
    assert module.expected_maximum(24) == pytest.approx(drawn, abs=0.005)
    assert module.expected_maximum(1) == pytest.approx(0, abs=1e-6)


def test_best_so_far_passes_over_failures():
    found = module.best_so_far([None, 0.5, 0.4, None, 0.7])
    np.testing.assert_array_equal(found, [np.nan, 0.5, 0.5, 0.5, 0.7])


def test_search_loads_optuna_only_when_it_searches():
    code = "import sys, medlib, medlib.search; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
