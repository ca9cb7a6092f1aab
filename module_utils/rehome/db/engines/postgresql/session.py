"""The run-time parameters of PostgreSQL that change what a statement of ours reads or does.

Source: "Client Connection Defaults", "Write Ahead Log", "Version and Platform Compatibility" and "Error Handling" in
PostgreSQL's manual. They may be set for the cluster, a database, a role, or both (ALTER ROLE … IN DATABASE … SET). Left
out are those that only choose a plan or concern statements that Rehome does not send. `role` is left as well: it is how
some give rights. So is `default_transaction_read_only`: providers set it when a disk is full, and people before a
switch to another server; the preflight reports it, and a run waits.

They are set by statements and not at the start of the connection: a connection pooler refuses that
(`unsupported startup parameter: options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..session import Variable

READ: Final = (
    "SELECT name, setting FROM pg_catalog.pg_settings"
    " WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])"
)
ASSIGN: Final = "pg_catalog.set_config(%s, %s, false)"

VARIABLES: Final[Mapping[str, Variable]] = {
    # what is written
    "session_replication_role": Variable("origin", "triggers and foreign keys are passed over"),
    "row_security": Variable("on", "statements on tables with row security fail"),
    # what is read
    "bytea_output": Variable("hex", "binary values cannot be read"),
    "client_encoding": Variable("UTF8", "characters are lost"),
    "datestyle": Variable("ISO, YMD", "times in keys are ambiguous"),
    "intervalstyle": Variable("postgres", "times cannot be read"),
    "timezone": Variable("UTC", "times in keys are ambiguous"),
    "standard_conforming_strings": Variable("on", "a backslash in a value has another meaning"),
    "array_nulls": Variable("on", "a NULL in a list is read as a text"),
    "transform_null_equals": Variable("off", "a comparison with NULL finds other rows"),
    "quote_all_identifiers": Variable("off", "names are returned in another form"),
    "gin_fuzzy_search_limit": Variable("0", "rows are left out of what is read"),
    # transactions
    "default_transaction_isolation": Variable("read committed", "chunks fail while the application writes"),
    "default_transaction_deferrable": Variable("off", "transactions wait"),
    "exit_on_error": Variable("off", "a row that is refused ends the connection"),
    # In a conflict this tool gives way, not the application. A connection that was lost on our side must not keep its
    # locks.
    "lock_timeout": Variable("2000", "the application and Rehome wait for each other"),
    "statement_timeout": Variable("60000", "a statement is cut off, or runs without end"),
    "transaction_timeout": Variable("0", "a transaction is cut off"),
    "idle_in_transaction_session_timeout": Variable("15000", "a dead connection keeps its locks"),
    "idle_session_timeout": Variable("0", "the connection is cut, and with it the lock, while objects are copied"),
}

_SAFE_COMMIT: Final = Variable("on", "a crash of the server undoes what was reported as done")


def variables(found: Mapping[str, str]) -> Mapping[str, Variable]:
    """Return the variables that are wanted in a session whose values are `found`: two depend on what is there.

    search_path: whoever may create objects in one of its schemas must not replace a function or an operator that a
        statement uses, nor may a temporary table replace the table. pg_catalog comes first where the path does not
        name it; to name it would change `current_schema`, and where a trigger creates its tables
    synchronous_commit: a commit that waits for standbys keeps doing so
    """
    wanted = dict(VARIABLES)
    path = found.get("search_path", "")
    schemas = [name.strip(' "').lower() for name in path.split(",")]
    if "pg_catalog" in schemas and schemas[0] != "pg_catalog":
        path = f"pg_catalog, {path}"
    if schemas[-1] != "pg_temp":
        path = ", ".join(filter(None, [path, "pg_temp"]))
    wanted["search_path"] = Variable(path, "another object of a statement's name takes its place")
    if found.get("synchronous_commit") in ("off", "local"):
        wanted["synchronous_commit"] = _SAFE_COMMIT
    return wanted


NAMES: Final = (*VARIABLES, "search_path", "synchronous_commit")
