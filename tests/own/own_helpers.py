"""Small collections of pictures with a known answer, and DICOM files that name a patient."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from tests.dicom_files import write_dicom

SHORT = ("--model", "lenet5", "--steps", "20", "--device", "cpu")  # of medlib train
NAME, BIRTH, NUMBER = "SECRETSON^ADELHEID", "19470102", "MRN778899"
WORDS = ("SECRETSON", "ADELHEID", "19470102", "MRN778899", "GEHEIMRAT", "ACC553311")


def blob(ill: bool, seed: int, size: int = 32) -> np.ndarray:
    """Return a noisy picture ``(size, size)`` uint8 with a bright disc, large where ill."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centre = rng.uniform(0.35, 0.65, 2) * size
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < ((0.3 if ill else 0.12) * size) ** 2
    noisy = 70 + 80 * disc + rng.normal(0, 25, (size, size))
    return np.clip(noisy, 0, 240).astype(np.uint8)


def save(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def folders(root: Path, count: int = 20, size: int = 32) -> Path:
    """Write a folder a class with `count` pictures each."""
    for k, name in enumerate(("benign", "malignant")):
        for i in range(count):
            save(blob(bool(k), 1000 * k + i, size), root / name / f"{i:03d}.png")
    return root


def table(root: Path, columns: list[str], rows: list[list[str]], separator: str = ",") -> Path:
    path = root / "table.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def dicom(path: Path, pixels: np.ndarray | None, **tags: object) -> Path:
    """Write a DICOM file that names a patient, a physician and a visit."""
    named = {
        "PatientName": NAME,
        "PatientID": NUMBER,
        "PatientBirthDate": BIRTH,
        "ReferringPhysicianName": "GEHEIMRAT^X",
        "AccessionNumber": "ACC553311",
    }
    return write_dicom(path, pixels, **{**named, **tags})
