"""Made-up data sets for the tests of medlib.data."""

import io

import numpy as np


def medmnist_arrays(counts: dict[str, int], channels: int = 1, size: int = 28) -> dict:
    """Random images and labels in MedMNIST's layout."""
    rng = np.random.default_rng(0)
    shape = (size, size) if channels == 1 else (size, size, channels)
    arrays = {}
    for split, count in counts.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (count, 1), dtype=np.uint8)
    return arrays


def packed(arrays: dict) -> bytes:
    """The bytes of an .npz file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
