"""What the long runs of chapter 5.4 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "05-04-shift-fairness"


def fairness_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    yield from ()
