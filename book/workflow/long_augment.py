"""What the long runs of chapter 3.13 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-13-augmentation"


def augment_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
