"""Which tests run on which server."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .servers import DATABASES, STORES


@dataclass(frozen=True, slots=True)
class Suite:
    """Some of the tests, by the name that the page gives them, and options of their own."""

    name: str
    paths: tuple[str, ...]
    options: tuple[str, ...] = ()


DATABASE_TESTS = Suite("database tests", ("tests/integration/db", "tests/integration/test_grants.py"))
STORE_TESTS = Suite(
    "object store tests",
    (
        "tests/integration/s3",
        "tests/integration/test_copy_variants.py",
        "tests/integration/test_lacking_services.py",
        "tests/integration/test_migration.py",
        "tests/integration/test_remove_copies.py",
        "tests/integration/test_retire.py",
        "tests/integration/test_state_store.py",
    ),
)
STORY = Suite("the whole story", ("tests/matrix",))
STORY_OF_A_STORE = replace(STORY, options=("--database", "sqlite"))
"""With the database that is the quickest."""
GRANTS = Suite(
    "grants",
    ("tests/e2e/test_grants.py::test_migrate_works_with_exactly_the_rights_that_are_granted_and_they_go_again",),
)
GRANTS_OF_A_STORE = replace(GRANTS, paths=("tests/integration/test_grants.py", *GRANTS.paths))


@dataclass(frozen=True, slots=True)
class Tried:
    """A server, the options by which pytest takes it, and what runs on it."""

    name: str
    options: tuple[str, ...]
    suites: tuple[Suite, ...]


def all_tried() -> dict[str, Tried]:
    """Return every server of the matrix by its name, in the order in which they are run."""
    databases = [
        Tried(
            name,
            ("--database", name),
            (DATABASE_TESTS, STORY) if name in WITHOUT_USERS else (DATABASE_TESTS, STORY, GRANTS),
        )
        for name in DATABASES
    ]
    stores = [
        Tried(
            name,
            ("--store", name),
            (STORE_TESTS, STORY_OF_A_STORE)
            if "rights" in kind.lacks
            else (STORE_TESTS, STORY_OF_A_STORE, GRANTS_OF_A_STORE),
        )
        for name, kind in STORES.items()
    ]
    return {one.name: one for one in (*databases, *stores)}


WITHOUT_USERS = frozenset({"sqlite"})
"""A file has no users to whom rights could be granted."""
