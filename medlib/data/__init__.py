"""Data sets: cards, loading, download, the lock on test labels, and generated phantoms."""

import importlib

from medlib.data.cards import Card, card, cards
from medlib.data.dataset import Dataset, Split
from medlib.data.loading import load
from medlib.errors import DataUnavailable, DigestMismatch

__all__ = [
    "Card",
    "DataUnavailable",
    "Dataset",
    "DigestMismatch",
    "Split",
    "card",
    "cards",
    "cli",
    "data_status",
    "load",
    "locked",
    "phantoms",
]

_LATER = {"cli": "medlib.data.commands", "data_status": "medlib.data.status"}


def __getattr__(name: str) -> object:
    """Import the rarer names at first use."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name in {"locked", "phantoms"}:
        return importlib.import_module(f"medlib.data.{name}")
    raise AttributeError(f"module 'medlib.data' has no attribute {name!r}")
