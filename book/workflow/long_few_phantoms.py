"""What chapter 3.17 shows on phantoms: methods in every cell, relations of every strength, power.

Run as ``nice python -m book.workflow.long_few_phantoms``. Phantoms have known truth and any number
of patients; they are never results about patients. Their cases are rows of features
(`medlib.multilabel.patients`). Three parts, each kept when it is done:

- ``grid``: all methods, three mechanisms, five shares of known labels, five seeds.
- ``relations``: `Relatives` and its parts where findings look alike more or less, and where their
  labels depend on each other more or less.
- ``power``: the design of nih1000 repeated, with new patients each time: how much a difference
  between two methods varies, and so what 264 patients can show.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from time import process_time

import numpy as np
import torch

from book.workflow.long_few_labels import OURS, PENALTY, RIVALS, build
from medlib import paths, results
from medlib.evaluate import Scores
from medlib.intervals import compare
from medlib.multilabel import (
    PatientCases,
    PatientPhantom,
    hide,
    macro_auc,
    out_of_fold,
    patient_cases,
    patient_folds,
)

RECORD = "phantoms-few-labels.json"
PHANTOM = PatientPhantom()
TRAIN, TEST = 211, 500  # patients; a training fold of nih1000 has about as many
HIDDEN = (0.1, 0.3, 0.5, 0.7, 0.9)
SEEDS = 5
PARTED = ("relatives-own-weights", "relatives-always", "relatives-no-moves", "relatives-patients")
NEW = 100  # worlds from here on: the method was designed on the first ones
REPEATS = 8  # of the whole design, for the power
Row = dict[str, float | str | int]


def method(name: str) -> object:
    """Return a method; the penalty goes with the number of features."""
    return build(name, PENALTY * PHANTOM.features / 1280)


def world(phantom: PatientPhantom, seed: int) -> tuple[PatientCases, PatientCases]:
    """Return training and test cases: other patients, the same findings."""
    number = NEW + seed
    train = patient_cases(replace(phantom, patients=TRAIN), 2 * number, world=number)
    test = patient_cases(replace(phantom, patients=TEST), 2 * number + 1, world=number)
    return train, test


def learned(
    name: str, labels: np.ndarray, train: PatientCases, test: PatientCases, seed: int
) -> Row:
    """Return a method's macro AUC on the test cases, and its processor seconds."""
    began = process_time()
    fitted = method(name).fit(train.features, labels, train.groups, seed)
    seconds = process_time() - began
    found = macro_auc(test.labels, fitted.predict_proba(test.features)).value
    return {"method": name, "seed": seed, "auc": found, "seconds": seconds}


def cells() -> Iterator[dict[str, object]]:
    """Yield what is hidden: two mechanisms at five rates, and one positive label an image."""
    for how, rate in product(("random", "image_dependent"), HIDDEN):
        yield {"how": how, "rate": rate}
    yield {"how": "single_positive"}


def grid() -> list[Row]:
    """Return a row for each method, cell and seed; and for all labels known."""
    rows = []
    for seed in range(SEEDS):
        train, test = world(PHANTOM, seed)
        rows.append({"how": "none"} | learned("ignore", train.labels, train, test, seed))
        for cell in cells():
            labels = hide(train.labels, **cell, seed=seed, features=train.features)
            single = cell["how"] == "single_positive"
            for name in (*RIVALS, OURS):
                if not (single and name in {"ignore", "pseudo", "consistency"}):
                    rows.append(cell | learned(name, labels, train, test, seed))
    return rows


def relations() -> list[Row]:
    """Return a row for each part of `Relatives`, world and seed."""
    worlds = [{"alike": alike, "findings": 0.15} for alike in (0.0, 0.3, 0.6)]
    worlds += [{"alike": 0.0, "findings": 0.6}]
    rows = []
    for options, seed in product(worlds, range(SEEDS)):
        # labels that depend on each other can only help where several are known
        rate = 0.5 if options["findings"] > 0.5 else 0.9
        train, test = world(replace(PHANTOM, **options), seed)
        labels = hide(train.labels, rate=rate, seed=seed)
        for name in ("ignore", OURS, *PARTED):
            rows.append({**options, "rate": rate, **learned(name, labels, train, test, seed)})
    return rows


def power() -> list[Row]:
    """Return a row for each repeat and rival: what the study of nih1000 would find.

    Each repeat has other patients: 264, five folds, 10 % known, five hidings; and the same test as
    the chapter's.
    """
    rows = []
    for repeat in range(REPEATS):
        cases = patient_cases(PHANTOM, 1000 + repeat, world=NEW)
        fold = patient_folds(cases.labels, cases.groups, 5, 0)
        found = {
            name: [scored(name, cases, fold, seed) for seed in range(SEEDS)]
            for name in ("ignore", "negative", OURS)
        }
        compared = compare(found, "auc", resamples=500)
        for rival in ("ignore", "negative"):
            gain, p = compared.paired(OURS, rival)
            row = {"repeat": repeat, "rival": rival, "auc": float(compared.values[rival].mean())}
            rows.append(row | {"gain": gain.value, "low": gain.low, "high": gain.high, "p": p})
    return rows


def scored(name: str, cases: PatientCases, fold: np.ndarray, seed: int) -> Scores:
    """Return the pooled scores of one hiding."""
    labels = hide(cases.labels, rate=0.9, seed=seed)
    found = out_of_fold(method(name), cases.features, labels, cases.groups, seed=seed, fold=fold)
    return found.scores(cases.labels, model_id=name, data="phantom", synthetic=True)


PARTS: dict[str, Callable[[], list[Row]]] = {"power": power, "grid": grid, "relations": relations}


def record(names: tuple[str, ...] = tuple(PARTS)) -> dict[str, object]:
    """Work out the parts that are missing, and write the record after each."""
    path = paths.build_dir("long") / RECORD
    content = results.read_json(path) or {"schema": 1, "synthetic": True}
    content["phantom"] = vars(PHANTOM) | {"train": TRAIN, "test": TEST}
    for name in names:
        if name not in content:
            began = process_time()
            content[name] = PARTS[name]()
            content[f"{name}_seconds"] = round(process_time() - began)
            results.write_json(path, content)
    return content


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help="which parts")
    torch.set_num_threads(1)
    record(tuple(parser.parse_args().parts))


if __name__ == "__main__":
    main()
