"""The session variables of MariaDB and MySQL that change what a statement of ours reads or does.

Source: "Server System Variables" in both manuals, all with a session scope. Left out are those that only choose a plan,
concern temporary tables, other storage engines or statements that Rehome does not send, or need an administrator's
rights and change nothing here. Each server knows only a part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from ..session import Variable

Product = Literal["MariaDB", "MySQL"]

UNLIMITED: Final = "18446744073709551615"

FIRST: Final = f"SET SESSION sql_big_selects = ON, sql_select_limit = {UNLIMITED}"
"""Lets the other variables be read, whatever the limits are. Every server knows these two."""

LOCK_WAIT_TIMEOUT_S: Final = 31_536_000
"""wait_timeout of a session that holds the advisory lock while objects are copied: a year, MariaDB's maximum."""

VARIABLES: Final[Mapping[str, Variable]] = {
    # what is written
    "sql_mode": Variable("STRICT_ALL_TABLES", "values are cut or statements have another meaning"),
    "sql_safe_updates": Variable("OFF", "the server refuses the UPDATE of a composite key (error 1175)"),
    "foreign_key_checks": Variable("ON", "rows are written that break a foreign key"),
    "unique_checks": Variable("ON", "rows are written that break a unique index"),
    "check_constraint_checks": Variable("ON", "rows are written that break a CHECK"),
    "sql_log_bin": Variable("ON", "the changes do not reach replicas and backups"),
    "skip_replication": Variable("OFF", "the changes do not reach replicas"),
    # what is read
    "sql_select_limit": Variable(UNLIMITED, "rows are left out of what is read"),
    # before sql_big_selects, which it switches off
    "max_join_size": Variable(UNLIMITED, "the server refuses to read large tables (error 1104)"),
    "sql_big_selects": Variable("ON", "the server refuses to read large tables (error 1104)"),
    "group_concat_max_len": Variable("1073741824", "batches, which are returned as one text, are cut"),
    "max_sort_length": Variable("8192", "long keys are sorted by their beginnings, and rows are left out"),
    "sql_auto_is_null": Variable("OFF", "IS NULL finds other rows"),
    "system_versioning_asof": Variable("DEFAULT", "old versions of the rows are read"),
    "show_gipk_in_create_table_and_information_schema": Variable("ON", "a table's generated key is hidden"),
    "use_secondary_engine": Variable("OFF", "rows are read from a copy of the table"),
    "resultset_metadata": Variable("FULL", "what is read cannot be interpreted"),
    # Assigning a TIMESTAMP to itself must not pass through an hour that daylight saving repeats.
    "time_zone": Variable("+00:00", "times in keys are ambiguous"),
    "character_set_client": Variable("utf8mb4", "characters are lost"),
    "character_set_connection": Variable("utf8mb4", "characters are lost"),
    "character_set_results": Variable("utf8mb4", "characters are lost"),
    "collation_connection": Variable("utf8mb4_general_ci", "texts cannot be compared"),
    # transactions
    "autocommit": Variable("ON", "transactions stay open"),
    "completion_type": Variable("NO_CHAIN", "COMMIT begins another transaction or ends the connection"),
    # No gap locks: the application may insert while a chunk is open. The name depends on product and version.
    "transaction_isolation": Variable("READ-COMMITTED", "inserts of the application are locked out"),
    "tx_isolation": Variable("READ-COMMITTED", "inserts of the application are locked out"),
    "transaction_read_only": Variable("OFF", "nothing can be written"),
    "tx_read_only": Variable("OFF", "nothing can be written"),
    # In a conflict this tool gives way, not the application.
    "innodb_lock_wait_timeout": Variable("2", "the application and Rehome wait for each other"),
    "lock_wait_timeout": Variable("10", "the application waits behind a lock on the table"),
    "max_statement_time": Variable("60", "a statement is cut off, or runs without end"),
    "max_execution_time": Variable("60000", "a statement is cut off, or runs without end"),
    # the connection
    "net_read_timeout": Variable("60", "connections are cut while a chunk is sent"),
    "net_write_timeout": Variable("60", "connections are cut while a batch is received"),
    # A connection that was lost on our side must not keep its locks for hours.
    "idle_transaction_timeout": Variable("15", "a dead connection keeps its locks, or a living one loses its work"),
    "idle_readonly_transaction_timeout": Variable("15", "a connection is cut in its transaction"),
    "idle_write_transaction_timeout": Variable("15", "a connection is cut in its transaction"),
    # plans: without these, a list of keys is no list for the optimizer, and every row that it reads is locked
    "in_predicate_conversion_threshold": Variable("0", "a list of keys becomes a subquery, which locks every row"),
    "range_optimizer_max_mem_size": Variable("0", "a list of keys makes the server lock the whole table"),
    "optimizer_max_sel_arg_weight": Variable("32000", "a list of keys makes the server lock the whole table"),
    # the form of what is read and interpreted
    "explain_format": Variable("TRADITIONAL", "the server's plans cannot be read"),
    "sql_quote_show_create": Variable("ON", "names cannot be told from words in SHOW GRANTS"),
    "information_schema_stats_expiry": Variable("0", "the figures of a table are up to a day old"),
}

SWITCHES: Final = "optimizer_switch"
NEWER_OPTIMIZER: Final = "hypergraph_optimizer=on"

READ: Final = (*VARIABLES, SWITCHES, "version", "version_comment", "max_allowed_packet")
"""The variables that a connection reads first."""


def variables(known: Mapping[str, str]) -> Mapping[str, Variable]:
    """Return the variables for a server that knows those of `known`, with those whose value depends on these.

    MySQL has no time-out for idle transactions, so the one for idle connections must end them. Its newer optimizer
    explains no statement as a table (error 3999).
    """
    idle = "28800" if "idle_transaction_timeout" in known else "120"
    wanted = {**VARIABLES, "wait_timeout": Variable(idle, "idle connections are cut, or dead ones keep their locks")}
    switches = known.get(SWITCHES, "")
    if NEWER_OPTIMIZER in switches:
        older = switches.replace(NEWER_OPTIMIZER, "hypergraph_optimizer=off")
        wanted[SWITCHES] = Variable(older, "the server's plans cannot be read")
    return wanted


def product(known: Mapping[str, str]) -> Product:
    """Return whose server it is, by `version` and `version_comment`: forks of MySQL count as MySQL."""
    named = f"{known.get('version')} {known.get('version_comment')}".lower()
    return "MariaDB" if "mariadb" in named else "MySQL"
