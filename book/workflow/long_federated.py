"""What the long runs of chapter 5.3 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "05-03-federated"


def federated_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    yield from ()
