"""What the long runs of chapter 5.1 compute."""

from collections.abc import Iterator

from book.workflow.long_jobs import Job

CHAPTER = "05-01-vision-transformers"


def vit_jobs() -> Iterator[Job]:
    """Yield every job of the chapter."""
    yield from ()
