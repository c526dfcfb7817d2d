"""Every chapter executed twice, one after the other and side by side: nothing may differ."""

import shutil

import pytest

from book.workflow import chapters, twice
from medlib import paths

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3 * 3600)]


def test_all_chapters_are_the_same_alone_and_side_by_side(finding):
    stems = [chapter.stem for chapter in chapters.chapters()]
    base = paths.build_dir("stress") / "twice"
    shutil.rmtree(base, ignore_errors=True)
    for name, cores in (("alone", 1), ("together", 2)):
        assert not twice.execute(base / name, stems, "fast", cores)
    report = twice.compare(base / "alone" / "fast", base / "together" / "fast")
    finding(
        "determinism",
        "Chapters in profile `fast`, executed one after the other and side by side with the same "
        "seed, that differ (notebook without metadata, values, scores, files)",
        f"{len(report.chapters)} of {len(stems)}",
        bar="0",
        held=not report.chapters,
    )
    finding(
        "determinism",
        "Cells left out of this, because they show times that they measured",
        ", ".join(report.timed) or "none",
    )
    assert not report.lines, "\n".join(report.lines)
