"""The worlds of the end-to-end tests, for the tests of the image, which only `make image` runs."""

from tests.e2e.conftest import worlds

__all__ = ["worlds"]
