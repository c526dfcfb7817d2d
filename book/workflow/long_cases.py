"""What the long runs of chapter 4.7 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job


def case_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.7."""
    yield from ()
