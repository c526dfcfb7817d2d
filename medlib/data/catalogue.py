"""Write what can be copied or measured into the cards, so that nobody has to type it.

For maintainers: ``python -m medlib.data.catalogue`` writes ``data/*.yml`` anew. The cards of the
MedMNIST sets take names, addresses, digests, counts and classes from the registry inside the
``medmnist`` package (read as text, since importing it would import torch). Of each set that is
here, file size and class counts are measured. What a person wrote (flaws, topics, notes) stays.
"""

import ast
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medlib import paths
from medlib.data import archive, store
from medlib.data.cards import Card, card, field_names, forget
from medlib.data.loading import load
from medlib.yaml_text import parsed

_TASKS = {
    "binary-class": "binary",
    "multi-class": "multi-class",
    "ordinal-regression": "ordinal",
    "multi-label, binary-class": "multi-label",
}
_LICENCES = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-NC 4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
}
_MODALITIES = {
    "pathmnist": "colon pathology, haematoxylin and eosin",
    "chestmnist": "chest X-ray",
    "dermamnist": "dermatoscopy",
    "octmnist": "retinal optical coherence tomography",
    "pneumoniamnist": "paediatric chest X-ray",
    "retinamnist": "fundus photograph",
    "breastmnist": "breast ultrasound",
    "bloodmnist": "blood-cell microscopy",
    "tissuemnist": "kidney-cortex microscopy",
    "organamnist": "abdominal CT, axial",
    "organcmnist": "abdominal CT, coronal",
    "organsmnist": "abdominal CT, sagittal",
}
_DEFAULT_BOOK = ("breastmnist", "pneumoniamnist", "retinamnist")
_RETINA_CLASSES = [f"grade {grade}" for grade in range(5)]


def registry() -> dict[str, dict[str, Any]]:
    """Return the table ``INFO`` of the installed ``medmnist`` package, without importing it."""
    spec = importlib.util.find_spec("medmnist")
    source = Path(spec.origin).with_name("info.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "INFO":
            return ast.literal_eval(node.value)
    raise LookupError(f"{spec.origin}: no INFO found; is this another version of medmnist?")


def medmnist_entries(name: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of one card."""
    classes = list(info["label"].values())
    return {
        "name": name,
        "title": info["python_class"],
        "kind": "image",
        "modality": _MODALITIES[name],
        "task": _TASKS[info["task"]],
        "classes": _RETINA_CLASSES if name == "retinamnist" else classes,
        "channels": info["n_channels"],
        "size": 28,
        "counts": dict(info["n_samples"]),
        "file": f"{name}.npz",
        "layout": "medmnist",
        "digests": {"md5": info["MD5"]},
        "origins": [{"kind": "file", "url": info["url"], "record": "Zenodo 10519652"}],
        "variants": {
            size: {"url": info[f"url_{size}"], "md5": info[f"MD5_{size}"]}
            for size in (64, 128, 224)
        },
        "split": {"kind": "official"},
        "licence": {
            "name": info["license"],
            "url": _LICENCES[info["license"]],
            "read": True,
        },
        "publishable": info["license"] == "CC BY 4.0",
        "citation": "yang2023medmnist",
        "opt_in": name not in _DEFAULT_BOOK,
        "notes": " ".join(info["description"].split()),
    }


def measured_entries(name: str) -> dict[str, Any]:
    """Return what can be counted on a data set that is here: its cases a class, its file's size.

    The classes of the test split are not counted.
    """
    wanted = card(name)
    if wanted.layout != "sklearn" and store.find(wanted) is None:
        return {}
    found = load(name)
    counts = {
        split: _cases_of_classes(getattr(found, split).labels, found.num_classes)
        for split in ("train", "val")
    }
    return {"class_counts": counts, **_measured_file(wanted)}


def _measured_file(wanted: Card) -> dict[str, Any]:
    """Return the size of a file that is downloaded, or the digest of the facts in a built one."""
    path = store.find(wanted)
    if path is None:
        return {}
    if "md5" in wanted.digests:
        return {"download_bytes": path.stat().st_size}
    facts = archive.digest_of_facts(archive.read_arrays(path))
    return {"digests": {**wanted.digests, "facts": facts}}


def _cases_of_classes(labels: np.ndarray, num_classes: int) -> list[int]:
    several = labels.ndim == 2
    counts = labels.sum(axis=0) if several else np.bincount(labels, minlength=num_classes)
    return [int(count) for count in counts]


def write_cards(folder: Path) -> list[Path]:
    """Write all cards, keeping what a person added to them."""
    known = registry()
    for name in _MODALITIES:
        _update(folder / f"{name}.yml", medmnist_entries(name, known[name]))
    forget()
    paths_written = sorted(folder.glob("*.yml"))
    for path in paths_written:
        _update(path, measured_entries(path.stem))
    return paths_written


def _update(path: Path, entries: Mapping[str, Any]) -> None:
    kept = parsed(path.read_text(encoding="utf-8")) if path.is_file() else {}
    merged = {**kept, **entries}
    ordered = {key: merged[key] for key in field_names() if key in merged}
    path.write_text(render(ordered), encoding="utf-8")


def render(entries: Mapping[str, Any]) -> str:
    """Write a card as YAML, entries in the order given, long lines folded."""
    return yaml.safe_dump(
        dict(entries), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def main() -> int:
    """Write the cards and name them."""
    for path in write_cards(paths.package_file("data")):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
