"""What the long runs of chapter 3.14 train."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "03-14-regularisation"


def regularise_jobs() -> Iterator[Job]:
    """Yield the jobs."""
    yield from ()
