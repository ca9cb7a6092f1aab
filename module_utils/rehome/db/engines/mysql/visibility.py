"""What MariaDB and MySQL may hide from a user who has some rights on a table, and what would show it.

Measured on MariaDB 10.11 and 11.8 and on MySQL 9.7; docs/rights.md has the table. What the server does show
decides where it can, and rights only where nothing tells whether there is more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ...inspector import Hidden
from .grants import Held, held_on
from .session import Product
from .statements import identifier

SHOWING: Final = frozenset({"ALL", "SELECT", "INSERT", "UPDATE", "REFERENCES"})
"""Each shows all columns of what it is held on."""

WRITING: Final = frozenset({"ALL", "INSERT", "UPDATE", "DELETE", "TRIGGER"})
"""In MariaDB, each of these, also on a column, shows the names of triggers."""

Rows = list[tuple[Any, ...]]


class Visibility:
    """What this user sees of a table. run: runs a statement; account: the user in SQL"""

    def __init__(
        self,
        run: Callable[[str, Sequence[object]], Rows],
        product: Product,
        place: tuple[str, str],
        account: str,
    ) -> None:
        self._run = run
        self._product = product
        self._schema, self._table = place
        self._account = account
        self._held: Held = held_on([str(line) for (line,) in run("SHOW GRANTS", ())], *place)

    @property
    def sees_columns(self) -> bool:
        """Whether no column of the table is hidden."""
        return bool(self._held.on_table & SHOWING)

    @property
    def sees_schema(self) -> bool:
        """Whether no table of the database is hidden, nor its columns, indexes and constraints."""
        return bool(self._held.on_schema & SHOWING)

    @property
    def sees_triggers(self) -> bool:
        """Whether the names of the table's triggers are not hidden."""
        if self._product == "MariaDB":
            return bool((self._held.on_table | self._held.on_columns) & WRITING)
        return bool(self._held.on_table & {"ALL", "TRIGGER"})

    @property
    def sees_bodies(self) -> bool:
        """Whether the bodies of the table's triggers are not hidden."""
        return bool(self._held.on_table & {"ALL", "TRIGGER"})

    @property
    def grant_definitions(self) -> str:
        """The statement that shows all definitions of the database."""
        # `_` is a wildcard in the name of a database here
        pattern = identifier(self._schema.replace("_", r"\_"))
        return f"GRANT REFERENCES ON {pattern}.* TO {self._account}"

    @property
    def grant_triggers(self) -> str:
        """The statement that shows the table's triggers."""
        return f"GRANT TRIGGER ON {identifier(self._schema)}.{identifier(self._table)} TO {self._account}"

    def hidden(self, referable: bool) -> dict[str, Hidden]:
        """Return by the name of a check what may be hidden from it. referable: whether a foreign key may refer to it"""
        # an index over a hidden column is hidden, too
        referable = referable or (self._product == "MariaDB" and not self.sees_columns)
        names = {
            "unique indexes": self._unseen_indexes(),
            "check constraints": self._unseen_checks(),
            "foreign keys": self._unseen_foreign_keys(referable),
        }
        found = {check: Hidden(what, self.grant_definitions) for check, what in names.items() if what}
        if not self.sees_columns:
            what = "columns that this user may not read are hidden from it, and with them that they are computed from "
            what += "the column or changed by every UPDATE"
            found["generated columns"] = Hidden(what, self.grant_definitions)
        if not self.sees_triggers:
            found["triggers"] = Hidden("triggers are hidden from this user", self.grant_triggers)
        if "foreign keys" not in found and referable and not self._held.everywhere & SHOWING:
            what = "foreign keys of other databases' tables are hidden from this user; the column has an index, which "
            what += "they need"
            advice = (
                "Let an administrator look: SELECT * FROM information_schema.key_column_usage WHERE "
                f"referenced_table_schema = '{self._schema}' AND referenced_table_name = '{self._table}'"
            )
            found["foreign keys"] = Hidden(what, advice)
        return found

    def _constraints(self, *kinds: str) -> set[str] | None:
        """Return the names of the table's constraints; None if they are hidden, as each table here has a key."""
        rows = self._run(
            "SELECT constraint_name, constraint_type FROM information_schema.table_constraints"
            " WHERE table_schema = %s AND table_name = %s",
            (self._schema, self._table),
        )
        return {str(name) for name, kind in rows if kind in kinds} if rows else None

    def _unseen_indexes(self) -> str:
        if self.sees_columns:
            return ""
        named = self._constraints("PRIMARY KEY", "UNIQUE")
        seen = self._names("index_name", "statistics", "table_schema = %s AND table_name = %s")
        return _unseen(named, seen, "unique indexes over columns that this user may not read")

    def _unseen_checks(self) -> str:
        if self.sees_schema:
            return ""
        named = self._constraints("CHECK")
        # MySQL's view names no table; there, constraints have different names in a database
        where = (
            "constraint_schema = %s AND (table_name = %s)" if self._product == "MariaDB" else "constraint_schema = %s"
        )
        values = (self._schema, self._table) if self._product == "MariaDB" else (self._schema,)
        return _unseen(named, self._names("constraint_name", "check_constraints", where, values), "check constraints")

    def _unseen_foreign_keys(self, referable: bool) -> str:
        if self.sees_schema:
            return ""
        if referable:
            return (
                "foreign keys of tables that this user may not read are hidden from it; the column has, or may have, "
                "an index, which they need"
            )
        if self.sees_columns:
            return ""
        named = self._constraints("FOREIGN KEY")
        seen = self._names("constraint_name", "key_column_usage", "table_schema = %s AND table_name = %s")
        return _unseen(named, seen, "foreign keys over columns that this user may not read")

    def _names(self, column: str, view: str, where: str, values: Sequence[object] = ()) -> set[str]:
        rows = self._run(
            f"SELECT {column} FROM information_schema.{view} WHERE {where}", values or (self._schema, self._table)
        )
        return {str(name) for (name,) in rows}


def _unseen(named: set[str] | None, seen: set[str], what: str) -> str:
    """Return in words what is hidden of `named`; empty if nothing is. named: None if even the names are hidden"""
    if named is None:
        return f"{what} are hidden from this user"
    names = ", ".join(sorted(named - seen))
    return f"{what} are hidden from this user: {names}" if names else ""
