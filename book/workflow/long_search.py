"""What the long runs of chapter 3.15 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-15-search"


def search_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
