"""What the long runs of chapter 4.12 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job


def running_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.12."""
    yield from ()
