"""What the long runs of chapter 3.16 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-16-multi-label"


def multilabel_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
