"""What the long runs of chapter 3.17 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-17-few-labels"


def few_label_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
