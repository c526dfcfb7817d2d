"""medlib: models, training, evaluation and data of the executable book, in readable code.

Importing the package is cheap: heavy libraries load with the first name that needs them.
"""

import importlib

__version__ = "0.1.0"

_EXPORTS = {
    "begin": "medlib.run",
    "load": "medlib.data",
    "create": "medlib.models",
    "Recipe": "medlib.train",
    "fit": "medlib.train",
    "predict_proba": "medlib.train",
    "predict_masks": "medlib.train",
    "evaluate_once": "medlib.evaluate",
    "evaluate_masks_once": "medlib.evaluate",
    "evaluate_folds": "medlib.evaluate",
    "record": "medlib.results",
    "long_scores": "medlib.long_runs",
    "long_records": "medlib.long_runs",
    "show": "medlib.show",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> object:
    """Load an exported name from its module at first use."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'medlib' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the exported names, loaded or not."""
    return sorted(__all__)
