"""Your own images: found, audited, split by patient, learned, tested once, reported.

The way through the modules: `finding` (a folder or a table becomes a list of cases), `reading`
(files become arrays, bad ones are listed), `audit` (what may be wrong with the whole), `splitting`
(whole patients to one side), `candidates` (two ways to train, compared on validation), `flow` (all
of it in order), `report` (one HTML file). What comes after `finding` writes and shows no field of a
DICOM header that names a patient.
"""

from medlib.own.cases import Case, Found, OwnDataError
from medlib.own.finding import find_cases
from medlib.own.flow import Options, audit_only, train_on_own

__all__ = [
    "Case",
    "Found",
    "Options",
    "OwnDataError",
    "audit_only",
    "find_cases",
    "train_on_own",
]
