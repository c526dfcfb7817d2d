"""What the long runs of chapter 4.8 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job


def audit_jobs() -> Iterator[Job]:
    """Yield the jobs of chapter 4.8."""
    yield from ()
