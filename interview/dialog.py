"""The whole interview: in which order is asked, what is shown at the end, and what is written."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rehome.codes import Code
from rehome.config.read_values import read_name
from rehome.config.settings import SideLabel
from rehome.errors import Finding, RefusedError

from . import rendering, validation
from .answers import Answers, Choice
from .bucket_questions import BucketQuestions
from .database_questions import DatabaseQuestions
from .difference import difference
from .draft import Draft
from .glob_question import ask_globs
from .place import DEFAULT_INVENTORY, Place, check_environment, find_place
from .reference_questions import ReferenceQuestions
from .vault import VaultPassword, encrypted, password_file_of, read_password, read_vault
from .writing import NewFile, write_all

WRITTEN = (
    *("rehome_name", "rehome_source", "rehome_target", "rehome_include", "rehome_exclude"),
    *("rehome_database", "rehome_references"),
)
"""The settings that are written; others of an existing file are kept."""

INTRODUCTION = (
    "This asks what moves, tries each answer at once, and writes the inventory of an environment. It reads buckets and "
    "database, and changes nothing there. Nothing is written before you have seen it; Ctrl-C ends at any time."
)


class Interview:
    """Asks for everything, and writes it."""

    def __init__(self, answers: Answers, environ: Mapping[str, str]) -> None:
        self._answers = answers
        self._environ = environ
        self._password: VaultPassword | None = None
        self._kept: dict[str, str] = {}

    def hold(self) -> None:
        """Ask, show, write, and say what comes next.

        Raises RefusedError if an answer will not do and nobody can be asked.
        """
        answers = self._answers
        if answers.asks:
            answers.say(INTRODUCTION)
        environment = self._environment()
        place = self._place(environment)
        before = place.before
        kept = self._kept_settings(place)
        self._open_vault(place)
        draft = Draft(environment, exclude=list(answers.take("exclude") or before.get("rehome_exclude") or []))

        def side(label: SideLabel) -> BucketQuestions:
            known = before.get(f"rehome_{label}")
            return BucketQuestions(
                answers, draft, label, self._environ, known if isinstance(known, dict) else {}, self._kept
            )

        source, target = side("source"), side("target")
        source.ask()
        self._globs(draft, source, before)
        target.ask()
        known = before.get("rehome_database")
        database = DatabaseQuestions(
            answers, draft, self._environ, known if isinstance(known, dict) else {}, self._kept
        )
        database.ask()
        references = ReferenceQuestions(answers, draft, database.database, source.side, target.side, source.measured)
        references.ask()
        draft.name = self._name(draft, before)
        while findings := self._findings(draft):
            answers.explain(findings)
            setting = findings[0].setting
            if setting.startswith("rehome_name"):
                draft.name = self._name(draft, {})
            elif setting.startswith("rehome_database"):
                database.ask()
            elif setting.startswith("rehome_source"):
                source.ask_again(setting)
                self._globs(draft, source, before)
            else:
                target.ask_again("rehome_target.prefix")
            ReferenceQuestions(answers, draft, database.database, source.side, target.side, source.measured).ask()
        self._secrets(draft, place)
        self._write(draft, place, kept)

    # Before the questions

    def _environment(self) -> str:
        while True:
            name = self._answers.text("env", "Name of the environment, such as staging")
            finding = check_environment(name)
            if finding is None:
                return name
            self._answers.explain([finding])

    def _place(self, environment: str) -> Place:
        exported = self._environ.get("ANSIBLE_INVENTORY") or DEFAULT_INVENTORY
        while True:
            text = self._answers.text("inventory", "Folder of the inventory (best outside of this checkout)", exported)
            try:
                return find_place(Path(os.path.expanduser(text)), environment)  # noqa: PTH111 - Path raises where there is no home
            except RefusedError as refusal:
                self._answers.explain(refusal.findings)

    def _kept_settings(self, place: Place) -> list[str]:
        """Return the settings of an existing file that are not asked for. Raises RefusedError if it cannot be read."""
        text = place.settings_text
        if text is None:
            return []
        if not self._answers.asks and not self._answers.take("overwrite"):
            problem, way_out = "exists", "Give --overwrite to replace it, or name another INVENTORY or ENV"
            raise RefusedError.of("INVENTORY", str(place.settings_file), problem, way_out, Code.NOT_WRITABLE)
        try:
            kept = rendering.kept_settings(text, WRITTEN)
        except ValueError as error:
            way_out = "Correct it, or move it away"
            raise RefusedError.of(
                "INVENTORY", str(place.settings_file), str(error), way_out, Code.NOT_WRITABLE
            ) from None
        self._answers.say(f"{place.settings_file} exists: what it says is proposed, and shown beside what is new.")
        return kept

    def _open_vault(self, place: Place) -> None:
        """Read the secrets that are kept already."""
        file = self._answers.take("vault_password_file") or password_file_of(self._environ)
        if file:
            self._password = read_password(Path(file))
        if not place.vault_file.exists():
            return
        while True:
            try:
                password = self._password or self._typed_password("Password of the vault's file, which exists")
                if password is None:
                    return
                self._kept = read_vault(place.vault_file, password)
                self._password = password
                return
            except RefusedError as refusal:
                self._password = None
                self._answers.explain(refusal.findings)

    def _typed_password(self, question: str) -> VaultPassword | None:
        typed = self._answers.secret(f"{question} (empty: none)")
        return VaultPassword(typed) if typed else None

    # The questions that are no section

    def _globs(self, draft: Draft, source: BucketQuestions, before: Mapping[str, object]) -> None:
        known = before.get("rehome_include")
        if source.measured is not None:
            draft.include = ask_globs(self._answers, source.measured, list(known) if isinstance(known, list) else [])

    def _name(self, draft: Draft, before: Mapping[str, object]) -> str:
        self._answers.head("The name: of the state folder, and of what the journal in the database records")
        table = str(draft.references[0]["table"]).rpartition(".")[2]
        default = str(before.get("rehome_name") or f"{table}-{draft.environment}")
        while True:
            name = self._answers.text("name", "Name, one of a kind on the database server", default)
            findings: list[Finding] = []
            read_name(name, findings)
            if not findings:
                return name
            self._answers.explain(findings)

    def _findings(self, draft: Draft) -> list[Finding]:
        """Return what the engine finds wrong with all answers together."""
        environ = self._environ if draft.exported_database else {}
        try:
            validation.read(draft.settings(), environ)
        except RefusedError as refusal:
            return list(refusal.findings)
        return []

    def _secrets(self, draft: Draft, place: Place) -> None:
        """Ask where typed secrets are kept."""
        if self._answers.take("secrets") == "vault":
            draft.keep_secrets = True
            draft.take_over_exported()
        if not list(draft.secrets()):
            return
        self._answers.head("The secrets: what you typed, which is in no file yet")
        choices = [
            Choice("vault", "in a file beside the inventory, encrypted by ansible-vault"),
            Choice("exported", "nowhere: I export them (docs/environment.md)"),
        ]
        if not draft.keep_secrets:
            draft.keep_secrets = self._answers.choose("secrets", "Where are they kept", choices, "vault") == "vault"
        if draft.keep_secrets and self._password is None and not self._answers.asks:
            problem, way_out = "is not given, and the secrets are to be kept in the vault's file", "Give VAULT=<file>"
            raise RefusedError.of("--vault-password-file", None, problem, way_out, Code.VAULT_FILE)
        while draft.keep_secrets and self._password is None:
            first = self._answers.secret("New password of the vault's file")
            if not first:
                self._answers.say("✗ It is empty, and would protect nothing. Type one, which each run will ask for.")
            elif first == self._answers.secret("Once more"):
                self._password = VaultPassword(first)
            else:
                self._answers.say("✗ The two are not the same. Type it again.")

    # The end

    def _write(self, draft: Draft, place: Place, kept: list[str]) -> None:
        text = rendering.settings_text(draft, kept)
        secrets = self._vault_content(draft)
        read = validation.variables_of(
            place, draft.environment, text, secrets or self._present_vault(place), self._password
        )
        validation.read(read, self._with_typed(draft))
        files = {place.settings_file: NewFile(text.encode())}
        hosts = place.new_hosts_text(draft.environment)
        if hosts is not None:
            files[place.hosts_file] = NewFile(hosts.encode())
        if secrets is not None:
            files[place.vault_file] = NewFile(secrets, private=True)
        self._show(place, text, hosts is not None, secrets is not None)
        if not self._answers.confirm("Write this?", True):
            self._answers.say("Nothing was written.")
            return
        with _undisturbed():
            write_all(files)
        self._answers.show("\n".join(["", *(f"✓ {path}" for path in files), ""]))
        self._next(draft, place, secrets is not None)

    def _vault_content(self, draft: Draft) -> bytes | None:
        typed = {secret.vault_variable: secret.value for secret in draft.secrets()} if draft.keep_secrets else {}
        if not typed or self._password is None or typed.items() <= self._kept.items():
            return None
        return encrypted({**self._kept, **typed}, self._password)

    def _present_vault(self, place: Place) -> bytes | None:
        return place.vault_file.read_bytes() if self._kept else None

    def _with_typed(self, draft: Draft) -> dict[str, str]:
        """Return the environment as it is when what is not kept is exported."""
        if draft.keep_secrets:
            return dict(self._environ)
        typed = {rendering.variable_of(secret.setting): secret.value for secret in draft.secrets()}
        keys = {
            rendering.variable_of(f"rehome_{label}.access_key"): str(draft.side(label).get("access_key"))
            for label in ("source", "target")
            if rendering.variable_of(f"rehome_{label}.secret_key") in typed
        }
        return {**self._environ, **keys, **typed}

    def _show(self, place: Place, text: str, hosts: bool, secrets: bool) -> None:
        say = self._answers.say
        old = place.settings_text
        if old is None:
            say(f"\n{place.settings_file} will be:")
            self._answers.show(_indented(text))
        elif old == text:
            say(f"\n{place.settings_file} stays as it is.")
        else:
            shown = difference(place.settings_file.name, old, text) or "Only secrets in it change."
            say(f"\nHow {place.settings_file} will change:")
            self._answers.show(_indented(shown))
        if hosts:
            say(f"{place.hosts_file} gets the group with the host {place.host}.")
        if secrets:
            say(f"{place.vault_file} gets the secrets, encrypted.")

    def _next(self, draft: Draft, place: Place, secrets: bool) -> None:
        say = self._answers.say
        if not draft.keep_secrets and (names := self._to_export(draft)):
            say(f"Export before you go on: {', '.join(names)}.")
        say("Next, see what a migration would do. It writes nothing to the buckets and the database:")
        self._answers.show(
            f"\n  {next_command(draft.environment, place, self._vault_option(secrets or bool(self._kept)))}"
        )

    def _to_export(self, draft: Draft) -> list[str]:
        return sorted(set(self._with_typed(draft)) - set(self._environ))

    def _vault_option(self, is_kept: bool) -> str | None:
        if not is_kept or self._environ.get("ANSIBLE_VAULT_PASSWORD_FILE"):
            return None
        file = self._password.file if self._password else None
        return f"VAULT={shlex.quote(str(file))}" if file else "ARGS=--ask-vault-pass"


def next_command(environment: str, place: Place, vault: str | None) -> str:
    """Return the command that shows the plan."""
    inventory = place.hosts_file if place.hosts_file.name not in ("hosts.yml", "hosts.yaml") else place.folder
    words = [
        "make",
        "plan",
        f"ENV={environment}",
        f"INVENTORY={shlex.quote(str(inventory))}",
        *([vault] if vault else []),
    ]
    return " ".join(words)


def _indented(text: str) -> str:
    lines = ["", *(f"  {line}".rstrip() for line in text.splitlines()), ""]
    return "\n".join(line or " " for line in lines)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C and the end of the session wait for the milliseconds that the files take."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
