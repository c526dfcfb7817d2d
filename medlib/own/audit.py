"""The audit: what may be wrong with a collection of pictures, before anything is learned from it.

Copies are taken out (one is kept, none where they contradict each other), patients on two sides of
a split are refused, and everything else that a reader should know becomes a sentence.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medlib.own.cases import Case, OwnDataError, Skipped
from medlib.own.reading import Pictures

__all__ = ["Audit", "audit", "labels_of", "without_copies"]

FEW = 30  # cases of a class below which any score is a guess
UNEVEN = 10  # times that the largest class outweighs the smallest


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes
    ----------
    pictures, patients : int
        Usable pictures; known patients (0 where none is named).
    unnamed : int
        Pictures of which nobody says whose they are.
    classes : mapping of str to int
        Pictures of each class or finding.
    widths, heights : (int, int, int)
        Least, median and most, pixels.
    brightness, contrast : (float, float, float)
        Of the pictures' mean intensities, 0 to 255, and of their standard deviations: 5th
        percentile, median, 95th.
    changes : tuple of (str, int)
        What was done to intensities, and to how many pictures.
    skipped : tuple of Skipped
        Everything that was left out.
    warnings : tuple of str
        Sentences, the gravest first.
    """

    pictures: int
    patients: int
    unnamed: int
    classes: dict[str, int]
    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    brightness: tuple[float, float, float]
    contrast: tuple[float, float, float]
    changes: tuple[tuple[str, int], ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain = {k: v for k, v in vars(self).items() if k != "skipped"}
        return plain | {"skipped": [{"what": s.shown, "why": s.why} for s in self.skipped]}


def labels_of(cases: Sequence[Case], classes: Sequence[str], multi_label: bool) -> np.ndarray:
    """Return class numbers ``(N,)``, or zeros and ones ``(N, K)``."""
    place = {name: k for k, name in enumerate(classes)}
    if not multi_label:
        return np.array([place[case.labels[0]] for case in cases], dtype=np.int64)
    labels = np.zeros((len(cases), len(classes)), dtype=np.int64)
    for row, case in enumerate(cases):
        labels[row, [place[name] for name in case.labels]] = 1
    return labels


def without_copies(pictures: Pictures) -> Pictures:
    """Keep one of the pictures with the same pixels; none where their labels contradict.

    Raises
    ------
    OwnDataError
        Where nothing is left.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for row, facts in enumerate(pictures.facts):
        same[facts.digest].append(row)
    kept, skipped = [], []
    for rows in same.values():
        cases = [pictures.cases[row] for row in rows]
        if len({case.labels for case in cases}) > 1:
            skipped += _contradicting(cases)
            continue
        first = min(rows, key=lambda row: _rank(pictures.cases[row]))
        kept.append(first)
        one = pictures.cases[first]
        skipped += [_copy(pictures.cases[r], one) for r in rows if r != first]
    if not kept:
        raise OwnDataError("every picture has a copy with another label: correct the labels")
    return pictures.take(sorted(kept), skipped)


def audit(pictures: Pictures, classes: Sequence[str], notes: Sequence[str] = ()) -> Audit:
    """Describe the usable pictures, and warn of what may spoil a training.

    Parameters
    ----------
    pictures : Pictures
        Without copies.
    classes : sequence of str
        Classes, or findings.
    notes : sequence of str
        What is already known, such as `medlib.own.cases.Found.notes`.
    """
    cases, facts = pictures.cases, pictures.facts
    counts = Counter(label for case in cases for label in case.labels)
    by_class = {name: counts[name] for name in classes}
    patients = {case.patient for case in cases if case.patient is not None}
    warnings = (
        *_burned_in(pictures),
        *_label_follows_file(pictures),
        *_unknown_patients(cases, patients),
        *_several_frames(pictures),
        *_near_copies(pictures),
        *_few(by_class),
        *notes,
    )
    return Audit(
        len(cases),
        len(patients),
        sum(case.patient is None for case in cases),
        by_class,
        _three([f.width for f in facts]),
        _three([f.height for f in facts]),
        _middle([f.mean for f in facts]),
        _middle([f.spread for f in facts]),
        tuple(_changes(pictures)),
        pictures.skipped,
        warnings,
    )


def _rank(case: Case) -> tuple[bool, str]:
    """Put training pictures before others, so that no test picture is kept for a training one."""
    return case.split not in {None, "train"}, case.shown


def _copy(case: Case, kept: Case) -> Skipped:
    other = ", although another patient is named" if case.patient != kept.patient else ""
    return Skipped(case.shown, f"it has the same pixels as {kept.shown}{other}: one is kept")


def _contradicting(cases: Sequence[Case]) -> list[Skipped]:
    shown = ", ".join(case.shown for case in cases[:3])
    why = f"the same pixels stand under different labels ({shown}): keep the right one"
    return [Skipped(case.shown, why) for case in cases]


def _three(values: Sequence[int]) -> tuple[int, int, int]:
    return min(values), int(np.median(values)), max(values)


def _middle(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return round(float(low), 1), round(float(middle), 1), round(float(high), 1)


def _changes(pictures: Pictures) -> list[tuple[str, int]]:
    """Count what was done to intensities; ranges differ from file to file and become one entry."""
    kinds = Counter()
    for facts in pictures.facts:
        for change in facts.changes:
            ranged = change.startswith(("intensities", "window", "slice"))
            kinds[change.split(" ")[0] + " mapped to 0 to 255" if ranged else change] += 1
    return [pair for pair in kinds.most_common() if not pair[0].startswith("slice")]


def _burned_in(pictures: Pictures) -> list[str]:
    count = sum(facts.burned_in for facts in pictures.facts)
    if not count:
        return []
    return [
        f"{count} pictures seem to carry text burned into their pixels: it may name patients, and "
        "a network may read it instead of the lesion; look at them, and cover or cut the text "
        "(they are never shown in the report)"
    ]


def _label_follows_file(pictures: Pictures) -> list[str]:
    """Warn where a class could be told by the size of its files alone."""
    if any(len(case.labels) != 1 for case in pictures.cases):
        return []
    by_class: dict[str, Counter] = defaultdict(Counter)
    for case, facts in zip(pictures.cases, pictures.facts, strict=True):
        by_class[case.labels[0]][(facts.width, facts.height)] += 1
    usual = {name: sizes.most_common(1)[0] for name, sizes in by_class.items()}
    mostly = all(count > 0.8 * sum(by_class[n].values()) for n, (_, count) in usual.items())
    if not mostly or len({size for size, _ in usual.values()}) == 1:
        return []
    words = ", ".join(f"{n}: {w} x {h}" for n, ((w, h), _) in usual.items())
    return [
        f"the classes have pictures of different sizes ({words}): a network may learn the device "
        "instead of the disease; find out where they come from"
    ]


def _unknown_patients(cases: Sequence[Case], patients: set[str]) -> list[str]:
    if not patients:
        return [
            "no patient is named, so that pictures of one patient may lie on both sides of the "
            "split: where a patient has several pictures, every score here is too good; give a "
            "table with a column patient, or --patient-folders"
        ]
    unnamed = sum(case.patient is None for case in cases)
    if not unnamed:
        return []
    return [
        f"{unnamed} of {len(cases)} pictures name no patient, and each of them counts as a patient "
        "of its own: where some belong to one patient, every score here is too good; name them in "
        "a table with a column patient"
    ]


def _several_frames(pictures: Pictures) -> list[str]:
    firsts = (any(c.startswith("first of") for c in facts.changes) for facts in pictures.facts)
    count = sum(firsts)
    if not count:
        return []
    return [f"{count} files hold several pictures each, and only the first of each is used"]


def _near_copies(pictures: Pictures) -> list[str]:
    """Warn of pictures that nearly equal others of other patients."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for row, facts in enumerate(pictures.facts):
        alike[facts.near].append(row)
    groups = [rows for rows in alike.values() if len(rows) > 1]
    cases = pictures.cases
    several = [g for g in groups if len({cases[r].patient or r for r in g}) > 1]
    if not several:
        return []
    first = " and ".join(cases[row].shown for row in several[0][:2])
    return [
        f"{sum(map(len, several))} pictures nearly equal another one (such as {first}): they are "
        "kept on one side of the split where medlib makes it"
    ]


def _few(by_class: dict[str, int]) -> list[str]:
    said = []
    for name, count in by_class.items():
        if count < FEW:
            said.append(f"the class {name} has only {count} pictures: expect wide intervals, and "
                        "trust no single number")  # fmt: skip
    least, most = min(by_class.values()), max(by_class.values())
    if least and most > UNEVEN * least:
        said.append(
            f"the largest class outweighs the smallest {most / least:.0f} to 1: a high accuracy "
            "then means little; look at sensitivity and specificity"
        )
    return said
