"""A book of one chapter with made-up scores, in a folder of its own: for the tests of claims."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from medlib import paths, results
from medlib import run as run_module
from medlib.evaluate import Scores, rounded, write_scores
from medlib.profiles import PROFILES

CHAPTER = "03-05-resnet"
CLAIMS = (
    {"id": "net-auc", "kind": "score", "metric": "auc", "data": "toy", "seeds": 3},
    {"id": "net-gain", "kind": "difference", "metric": "auc", "data": "toy", "seeds": 3},
    {"id": "net-val", "kind": "validation", "metric": "accuracy", "data": "toy", "seeds": 3},
    {"id": "net-size", "kind": "count", "metric": "parameters"},
)


class ToyBook:
    """A checkout below a temporary folder, which medlib takes for its own."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.root = folder / "checkout"
        self.monkeypatch = monkeypatch
        (self.root / "book").mkdir(parents=True)
        monkeypatch.setattr(paths, "root", lambda: self.root)
        monkeypatch.setattr(run_module, "_active", None)
        monkeypatch.delenv("MEDLIB_BUILD", raising=False)
        self.write_claims(CLAIMS)

    @property
    def build(self) -> Path:
        return self.root / "_build" / "cpu"

    @property
    def published(self) -> Path:
        return self.root / "results" / "cpu"

    @property
    def document(self) -> dict:
        return json.loads((self.build / "results" / f"{CHAPTER}.json").read_text())

    @property
    def edition(self) -> dict:
        return json.loads((self.published / f"{CHAPTER}.json").read_text())

    def write_claims(self, claims) -> None:
        filled = [{"chapter": CHAPTER, "sentence": "It is so.", **claim} for claim in claims]
        text = yaml.safe_dump(filled, sort_keys=False)
        (self.root / "book" / "claims.yml").write_text(text)

    def open_run(self, *, seeds=(0, 1, 2), profile="cpu", chapter=CHAPTER, synthetic=False):
        build = paths.build_dir(profile)
        workload = replace(PROFILES[profile], bootstrap=100)
        run = run_module.Run(chapter, workload, tuple(seeds), "cpu", build, synthetic=synthetic)
        self.monkeypatch.setattr(run_module, "_active", run)
        results.open_results(run)
        return run

    def scores(self, model_id="net", seed=0, skill=1.0, synthetic=False) -> Scores:
        """Write the scores of a made-up model whose AUC grows with its skill."""
        run = run_module.current()
        labels = np.arange(60) % 2
        noise = np.random.default_rng([seed, len(model_id)]).normal(size=60)
        positive = 1 / (1 + np.exp(-(skill * (labels - 0.5) + noise)))
        table = rounded(np.stack([1 - positive, positive], axis=1))
        made = Scores(model_id, "toy", seed, "", labels, table, np.arange(60), None, synthetic)
        path = run.build / "scores" / run.chapter / made.filename
        write_scores(made, path)
        results.log_access(model_id=model_id, data="toy", seed=seed)
        return replace(made, path=path)

    def stamp(self, status="ok", chapter=CHAPTER, **more) -> None:
        stamp = {
            "chapter": chapter,
            "profile": "cpu",
            "status": status,
            "error": None,
            "missing": [],
            "synthetic": False,
            "seconds": 12.5,
            "peak_memory_mb": 321,
            "source_hash": "abcdef0123456789",
            "medlib_hash": "0123456789abcdef",
            "started": "2026-01-01T00:00:00+00:00",
            "hardware": {"cpu": "Toy CPU", "cores": 2, "gpu": None},
            "versions": {"python": "3.11.1", "torch": "2.9"},
        }
        results.write_json(self.build / "stamps" / f"{chapter}.json", stamp | more)

    def execute(self, *, seeds=(0, 1, 2), skill=1.0, shift=0.0, size=61706) -> None:
        """Run the chapter: record all four claims and leave a stamp."""
        self.open_run(seeds=seeds)
        net = [self.scores("net", seed, skill) for seed in seeds]
        base = self.scores("knn", seeds[0], 0.3)
        results.record("net-auc", scores=net)
        results.record("net-gain", scores=net, minus=[base])
        results.record("net-val", values=[0.8 + shift + 0.01 * (s % 3) for s in seeds])
        results.record("net-size", value=size)
        results.measure("seconds-training", 12.34, unit="s")
        self.stamp()
