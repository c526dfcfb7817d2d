"""What a DICOM header says of whose picture it is; read here, never passed on.

From each header come the patient (to split by), the series (to count slices), whether text is
burned into the pixels, and the words that name a person, so that file names can be cleared of them.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from medlib.own.cases import Case, Found, Skipped, hide_names
from medlib.pictures import PictureError, is_dicom, quiet_pydicom

__all__ = ["Header", "read_header", "with_headers"]

# Fields whose values name a person or a visit (a part of DICOM PS3.15, annex E)
PERSONS = (
    *("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName"),
    *("ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName"),
    *("RequestingPhysician", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
)
NAMING = (
    *PERSONS,
    *("PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber"),
    *("PatientAddress", "PatientTelephoneNumbers", "InstitutionName", "IssuerOfPatientID"),
)
READ = (*NAMING, "StudyInstanceUID", "SeriesInstanceUID", "BurnedInAnnotation")
SHORTEST_WORD = 3  # shorter ones, such as 12, would hide half of all file names


@dataclass(frozen=True)
class Header:
    """What of a DICOM header is used.

    Attributes
    ----------
    patient : str or None
        What stands for the patient: the id, else the name, else the study.
    series : str or None
        Which series the picture belongs to.
    burned_in : bool
        Whether the header admits that text is burned into the pixels.
    names : frozenset of str
        Words that name a person, an institution or a visit.
    """

    patient: str | None
    series: str | None
    burned_in: bool
    names: frozenset[str]


def read_header(path: Path) -> Header | None:
    """Read a DICOM file's header; None for other files and unreadable ones."""
    try:
        if not is_dicom(path):
            return None
        import pydicom

        with quiet_pydicom():
            fields = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(READ))
            values = {name: str(fields.get(name) or "").strip() for name in READ}
    except PictureError:
        return None
    except Exception:  # a damaged header can fail in any way; reading the picture will say why
        return None
    return Header(
        _patient(values),
        values["SeriesInstanceUID"] or None,
        values["BurnedInAnnotation"].upper() == "YES",
        frozenset(word for name in NAMING for word in _words(name, values[name])),
    )


def with_headers(found: Found) -> Found:
    """Add to DICOM cases what their headers say, and remove names of persons from file names.

    A patient that a table names stands over that of the header.
    """
    headers = {case.path: read_header(case.path) for case in found.cases}
    known = [header for header in headers.values() if header is not None]
    if not known:
        return found
    names = frozenset().union(*(header.names for header in known))
    cases = tuple(_with(case, headers[case.path], names) for case in found.cases)
    skipped = tuple(Skipped(hide_names(s.shown, names), s.why) for s in found.skipped)
    hidden = any(a.shown != b.shown for a, b in zip(found.cases, cases, strict=True))
    notes = (*found.notes, *_notes(known, hidden))
    title = hide_names(found.title, names)
    return replace(found, title=title, cases=cases, skipped=skipped, notes=notes)


def _with(case: Case, header: Header | None, names: frozenset[str]) -> Case:
    shown = hide_names(case.shown, names)
    if header is None:
        return replace(case, shown=shown)
    patient = case.patient if case.patient is not None else header.patient
    return replace(case, shown=shown, patient=patient, burned_in=header.burned_in)


def _patient(values: dict[str, str]) -> str | None:
    """Return what stands for the patient in memory; `medlib.own.cases.with_codes` replaces it."""
    if values["PatientID"]:
        return f"{values['PatientID']}|{values['IssuerOfPatientID']}"
    if values["PatientName"]:
        return f"{values['PatientName']}|{values['PatientBirthDate']}"
    return values["StudyInstanceUID"] or values["SeriesInstanceUID"] or None


def _words(field: str, value: str) -> list[str]:
    """Return a field's value, and the parts of a person's name, that could stand in a file name."""
    parts = re.split(r"[\^=\s\\,;|/'\[\]]+", value) if field in PERSONS else []
    return [part for part in (value, *parts) if len(part) >= SHORTEST_WORD]


def _notes(known: list[Header], hidden: bool) -> list[str]:
    series = {header.series for header in known if header.series}
    notes = []
    if len(series) < len(known) and series:
        notes.append(
            f"the {len(known)} DICOM files belong to {len(series)} series: each file (slice) is "
            "learned and judged as a picture of its own, and the slices of a patient stay together"
        )
    if hidden:
        notes.append(
            "file names repeat names or numbers of the DICOM headers: these are hidden here, and "
            "the number of a case says which file it is, in the order of the folder"
        )
    return notes
