"""What the long runs of chapter 4.9 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job


def explain_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.9."""
    yield from ()
