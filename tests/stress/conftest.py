"""What tries to break the book for minutes: left out unless ``-m stress`` names it."""

from collections.abc import Callable

import pytest
from tiny_book import tiny_book  # noqa: F401  (a fixture)

from book.workflow import stress


@pytest.fixture
def finding(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Give the function that writes down what a test measured.

    ``finding("kill", "Kills survived", "100 of 100", bar="all", held=True)``: written whether or
    not the bar was held, so call it before the assertion.
    """
    place = stress.here()

    def keep(area: str, what: str, value: str, *, bar: str = "", held: bool = True) -> None:
        stress.keep(stress.Finding(area, what, value, bar, held, request.node.name, **place))

    return keep
