"""The progress lines of a build."""

import json
import os

from book.workflow.progress import DEFAULT_SECONDS, Progress, clock


def stamp(folder, stem, seconds, age=0):
    path = folder / f"{stem}.json"
    path.write_text(
        json.dumps({"chapter": stem, "status": "ok", "seconds": seconds, "peak_memory_mb": 512})
    )
    time = path.stat().st_mtime_ns - age
    os.utime(path, ns=(time, time))


def test_clock():
    assert [clock(s) for s in (0, 59.9, 61, 600)] == ["0:00", "0:59", "1:01", "10:00"]


def test_one_line_a_finished_chapter_and_old_stamps_are_not_news(tmp_path):
    stamp(tmp_path, "01-01-a", 10.0, age=10**10)
    lines = []
    progress = Progress(tmp_path, ["01-01-a", "01-02-b"], cores=1, say=lines.append)
    progress.poll()
    assert lines == []
    assert progress.remaining() == 11.0 + DEFAULT_SECONDS
    stamp(tmp_path, "01-01-a", 12.0)
    progress.poll()
    progress.poll()
    assert len(lines) == 1
    assert "[ 1/2] 01-01-a" in lines[0]
    assert "12.0 s" in lines[0]
    assert "left" in lines[0]


def test_remaining_time_divides_by_the_cores_but_not_below_the_longest(tmp_path):
    for stem, seconds in (("01-01-a", 9.0), ("01-02-b", 9.0), ("01-03-c", 29.0)):
        stamp(tmp_path, stem, seconds)
    progress = Progress(tmp_path, ["01-01-a", "01-02-b", "01-03-c"], cores=2)
    assert progress.remaining() == 30.0
