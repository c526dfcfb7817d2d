"""What the long runs of chapter 3.11 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-11-features"


def feature_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
