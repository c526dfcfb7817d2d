"""What the long runs of chapter 3.12 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-12-transfer"


def transfer_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
