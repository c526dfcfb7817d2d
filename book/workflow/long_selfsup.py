"""What the long runs of chapter 5.2 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "05-02-self-supervision"


def selfsup_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    yield from ()
