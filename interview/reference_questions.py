"""Ask for the columns that name the objects, and how: those that were found are proposed, each is tried."""

from __future__ import annotations

from typing import Any

from rehome.codes import Code
from rehome.config.settings import Database, Side
from rehome.db.dialect import DatabaseError, Dialect
from rehome.db.engines.open import connect
from rehome.discover.columns import FoundColumn, FoundForm
from rehome.errors import Finding, RefusedError
from rehome.mapping.keymap import KeyMap

from .answers import Answers, Choice
from .bucket_listing import Measured
from .columns import Column, Columns, form_of, parse_column
from .draft import Draft, Options
from .prompts import printable, shortened

FOUND = "found"
"""The answer of a script that takes the columns that are found."""

MOST_UNSEARCHED = 5

_OTHER = "\0other"


class ReferenceQuestions:
    """The questions about the columns. listed: what is under the source's prefix"""

    def __init__(
        self,
        answers: Answers,
        draft: Draft,
        database: Database,
        source: Side,
        target: Side,
        listed: Measured | None,
    ) -> None:
        self._answers = answers
        self._draft = draft
        self._database = database
        keymap = KeyMap(source.prefix, target.prefix, tuple(draft.include), tuple(draft.exclude))
        self._columns = Columns(database, source, target, keymap, listed)
        self._found: dict[str, FoundColumn] = {}

    def ask(self) -> None:
        """Ask for at least one column, and put them into the draft."""
        given = self._answers.take("reference")
        self._answers.head("The columns: whose values name these objects")
        with connect(self._database) as database:
            if given is not None and given != [FOUND]:
                self._draft.references = [self._given(database, text) for text in given]
                return
            references = self._chosen(database, self._search())
            while not references:
                references = self._typed(database, [])
            self._draft.references = references

    # Given as options

    def _given(self, database: Dialect, text: str) -> Options:
        named, _, form_text = text.partition("=")
        column = parse_column(named)
        if column is None:
            raise RefusedError([_no_column("--reference", text)])
        if finding := self._columns.problem_of(database, column):
            raise RefusedError([finding])
        if form_text:
            form = form_of(form_text)
        else:
            looked = self._looked_at(database, column)
            form = form_of(looked.form) if looked and looked.form else "key"
        self._columns.value_map(form)
        return {"table": column.table, "column": column.column, "form": form}

    # Found, chosen and typed

    def _search(self) -> list[FoundColumn]:
        """Return the columns that may be proposed, and say what else there is."""
        self._answers.say("Searching the database for values that name these objects ...")
        try:
            seen = self._columns.search()
        except DatabaseError as error:
            self._answers.say(f"The database does not say which columns it has ({error}).")
            return []
        self._found = {one.name: one for one in seen}
        searched = [one for one in seen if one.standing != "not_searched"]
        self._say_unsearched([one for one in seen if one.standing == "not_searched"])
        found = [one for one in searched if one.standing in ("names", "may")]
        for one in found:
            self._say_without_form(one)
        proposed = [one for one in found if one.form]
        if not searched:
            self._answers.say("This user sees no column of text.")
        elif not proposed:
            self._answers.say(f"None of the {len(searched)} columns of text holds a path that can be rewritten.")
        return sorted(proposed, key=lambda one: (one.standing != "names", -one.rows))

    def _say_unsearched(self, columns: list[FoundColumn]) -> None:
        for one in columns[:MOST_UNSEARCHED]:
            self._answers.say(f"  {printable(one.name)} was not searched: {one.why}")
        if (more := len(columns) - MOST_UNSEARCHED) > 0:
            self._answers.say(f"  {more} more were not searched either")

    def _say_without_form(self, column: FoundColumn) -> None:
        if column.no_reference:
            self._answers.say(f"  {column.name} names objects, and cannot be rewritten: {column.no_reference}")
            return
        for form in column.forms:
            if form.form is None and column.standing == "names":
                words = f"{form.rows:,} values name objects {form.words}, which is no form that can be rewritten"
                self._answers.say(f"  {column.name}: {words}")

    def _chosen(self, database: Dialect, found: list[FoundColumn]) -> list[Options]:
        if not found:
            return []
        choices = [Choice(one.name, f"{one.name}  ({_rows(one)}, {one.form})") for one in found]
        choices.append(Choice(_OTHER, "another column, which I type"))
        sure = [one.name for one in found if one.standing == "names"]
        chosen = self._answers.choose_some("Columns to rewrite", choices, sure)
        references = [
            reference
            for one in found
            if one.name in chosen and (reference := self._reference(database, Column(one.table, one.column), one))
        ]
        return self._typed(database, references) if _OTHER in chosen else references

    def _typed(self, database: Dialect, references: list[Options]) -> list[Options]:
        references = list(references)
        while True:
            question = "Column as table.column" + (" (empty: no more)" if references else "")
            text = self._answers.text("reference", question, required=not references)
            if not text:
                return references
            column = parse_column(text)
            finding = self._columns.problem_of(database, column) if column else _no_column("rehome_references", text)
            if finding or column is None:
                self._answers.explain([finding] if finding else [])
                continue
            references.append(self._reference(database, column, self._looked_at(database, column)))

    def _looked_at(self, database: Dialect, column: Column) -> FoundColumn | None:
        """Return what is known of a column's values, which the search may not have seen."""
        if (known := self._found.get(column.name)) and known.standing != "not_searched":
            return known
        try:
            return self._columns.sample(database, column)
        except DatabaseError as error:
            self._answers.say(f"  {column.name}: its values cannot be looked at ({error})")
            return None

    def _reference(self, database: Dialect, column: Column, found: FoundColumn | None) -> Options:
        return {"table": column.table, "column": column.column, "form": self._form(column, found)}

    # The form

    def _form(self, column: Column, found: FoundColumn | None) -> Any:
        """Return the form of a column: the only one that was found, or the one that is chosen."""
        known = [form for form in found.forms if form.form] if found else []
        if found is not None and not known:
            seen = "no value that was looked at names an object that moves" if found.rows_read else "it has no value"
            self._answers.say(f"  {column.name}: {seen}")
        if len(known) == 1:
            self._answers.say(f"  {column.name}: {self._example(known[0])}")
            return form_of(str(known[0].form))
        named = {str(form.form): self._example(form) for form in known}
        named |= {form: self._made_up(form) for form in self._columns.forms() if form not in named}
        choices = [Choice(form, f"{form}  {example}") for form, example in named.items()]
        question = f"How do the values of {column.name} name an object"
        return form_of(self._answers.choose("form", question, choices, choices[0].value))

    def _example(self, form: FoundForm) -> str:
        """Return a value before and after."""
        old = form.examples[0] if form.examples else ""
        new = self._columns.value_map(form_of(str(form.form))).to_target(old)
        return f"{_short(old)} → {_short(new)}" if new is not None else ""

    def _made_up(self, form: str) -> str:
        values = self._columns.value_map(form)
        return f"{values.source_head}… → {values.target_head}…"


def _no_column(setting: str, text: str) -> Finding:
    return Finding(
        setting, text, "is not table.column", "Write it as avatars.path, or avatars.path=form", Code.WRONG_REFERENCE
    )


def _rows(column: FoundColumn) -> str:
    rows = f"{column.rows:,} rows" if column.whole else f"about {column.estimated or column.rows:,} rows"
    return rows if column.standing == "names" else f"perhaps {rows}"


def _short(text: str) -> str:
    return shortened(printable(text), 60)
