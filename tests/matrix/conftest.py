"""The worlds of the end-to-end tests, for the tests that only `make matrix` runs."""

from tests.e2e.conftest import any_world, worlds

__all__ = ["any_world", "worlds"]
