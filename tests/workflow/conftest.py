"""Shared by the tests of the workflow."""

from tiny_book import tiny_book  # noqa: F401  (a fixture)
