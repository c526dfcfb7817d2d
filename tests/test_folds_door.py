"""The door of pooled folds: every patient is predicted from the others, once, by our methods."""

from dataclasses import replace

import numpy as np
import pytest

from medlib import results
from medlib import run as run_module
from medlib.data import card
from medlib.data.dataset import Dataset, Split
from medlib.data.locked import seal
from medlib.errors import MedlibError, TestSplitUsed
from medlib.evaluate import evaluate_folds, read_scores
from medlib.multilabel import BinaryRelevance, Chosen, LinearHead, PseudoLabels, logistic
from medlib.profiles import PROFILES


@pytest.fixture
def open_run(tmp_path, monkeypatch):
    """Open a run that writes below a temporary folder."""
    run = run_module.Run("03-16-multi-label", PROFILES["cpu"], (0, 1), "cpu", tmp_path / "b")
    monkeypatch.setattr(run_module, "_active", run)
    results.open_results(run)
    return run


@pytest.fixture
def films(open_run):
    """Return generated films of 40 patients with two findings, and features that show them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=(120, 2))
    features = labels @ rng.normal(size=(2, 6)) + rng.normal(size=(120, 6)) / 2
    return toy_films(labels), features


def toy_films(labels):
    cuts = {"train": slice(0, 60), "val": slice(60, 90), "test": slice(90, 120)}
    groups = np.repeat([f"p{k}" for k in range(40)], 3)
    images = np.zeros((120, 1, 4, 4), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(120)
    parts = {
        name: Split(images[cut], labels[cut], np.arange(120)[cut], groups=groups[cut])
        for name, cut in cuts.items()
    }
    test, source = seal(parts.pop("test"))
    made = replace(card("nih1000"), name="films", classes=("a", "b"), supported=())
    return Dataset(made, **parts, test=test, source=source)


def folds_method():
    return LinearHead()


def test_folds_predict_every_case_from_other_patients(films, open_run):
    found, features = films
    scores = evaluate_folds(folds_method(), features, found, model_id="m", seed=0)
    assert scores.labels.shape == scores.probabilities.shape == (120, 2)
    assert scores.variant == "folds"
    assert scores.path.name == "m__films__seed0__folds.csv"
    assert scores.value("auc") > 0.9
    again = read_scores(scores.path)
    assert np.array_equal(again.probabilities, scores.probabilities)
    assert list(again.groups) == list(scores.groups)
    (access,) = results.read_json(results.results_file(open_run))["accesses"]
    assert (access["door"], access["variant"]) == ("folds", "folds")


def test_folds_do_not_see_the_patient_who_is_predicted(open_run):
    """A feature that only names the patient tells nothing about a patient never seen."""
    of_patient = np.random.default_rng(0).integers(0, 2, size=(40, 2))
    names = np.eye(40)[np.repeat(np.arange(40), 3)]
    found = toy_films(np.repeat(of_patient, 3, axis=0))
    scores = evaluate_folds(folds_method(), names, found, model_id="m", seed=0)
    assert abs(scores.value("auc") - 0.5) < 0.2


def test_folds_take_features_from_the_images_of_all_three_splits(films):
    found, features = films

    def look_up(images):
        return features[images[:, 0, 0, 0]]

    scores = evaluate_folds(folds_method(), look_up, found, model_id="m", seed=0)
    table = evaluate_folds(folds_method(), features, found, model_id="n", seed=0)
    assert np.array_equal(scores.probabilities, table.probabilities)


def test_folds_hide_labels_from_the_method_and_not_from_the_judge(films):
    found, features = films
    all_known = evaluate_folds(folds_method(), features, found, model_id="all", seed=0)
    few = evaluate_folds(
        folds_method(), features, found, model_id="few", seed=0,
        hide={"how": "random", "rate": 0.9},
    )  # fmt: skip
    assert np.array_equal(few.labels, all_known.labels)
    assert not np.array_equal(few.probabilities, all_known.probabilities)


def test_folds_once_a_key_and_only_known_findings(films):
    found, features = films
    one = evaluate_folds(folds_method(), features, found, model_id="m", seed=0, findings=["b"])
    assert one.labels.shape == (120, 1)
    with pytest.raises(TestSplitUsed):
        evaluate_folds(folds_method(), features, found, model_id="m", seed=0)
    with pytest.raises(MedlibError, match="no finding c"):
        evaluate_folds(folds_method(), features, found, model_id="k", seed=0, findings=["c"])


def test_folds_refuse_a_method_that_could_keep_the_labels(films):
    class Spy:
        def fit(self, features, labels, groups=None, seed=0):
            self.labels = labels

    found, features = films
    for method in (Spy(), PseudoLabels(Spy()), Chosen([LinearHead(), Spy()])):
        with pytest.raises(MedlibError, match="it takes those of medlib.multilabel"):
            evaluate_folds(method, features, found, model_id="m", seed=0)


def test_folds_take_methods_on_estimators_of_scikit_learn(films):
    found, features = films
    method = BinaryRelevance(logistic(1.0))
    scores = evaluate_folds(method, features, found, model_id="m", seed=0)
    assert scores.value("auc") > 0.9
