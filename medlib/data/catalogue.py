"""Write the cards of the MedMNIST sets from the registry inside the ``medmnist`` package.

For maintainers: ``python -m medlib.data.catalogue`` writes ``data/*.yml`` anew. Names, addresses,
digests, counts and classes are copied from the package; the rest is in the table below. The
registry is read as text, since importing the package would import torch.
"""

import ast
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medlib import paths

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
        "notes": info["description"].strip(),
    }


def write_cards(folder: Path) -> list[Path]:
    """Write the twelve cards, keeping what a person added to them (flaws, topics ...)."""
    written = []
    for name in _MODALITIES:
        path = folder / f"{name}.yml"
        kept = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(render({**kept, **medmnist_entries(name, registry()[name])}), "utf-8")
        written.append(path)
    return written


def render(entries: Mapping[str, Any]) -> str:
    """Write a card as YAML, entries in the order given, long lines folded."""
    return yaml.safe_dump(
        dict(entries), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def main() -> int:
    """Write the cards and name them."""
    for path in write_cards(paths.package_file("data")):
        print(json.dumps(str(path)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
