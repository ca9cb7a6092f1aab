"""Ask for the database, and connect to it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rehome.codes import Code
from rehome.config.environment import Exported as ExportedSettings
from rehome.config.environment_names import ENVIRONMENT_NAMES
from rehome.config.read_database import read_database
from rehome.config.settings import Database
from rehome.db.dialect import DatabaseError
from rehome.db.engines.open import connect
from rehome.errors import Finding, RefusedError

from .answers import Answers, Choice
from .draft import Draft, Exported, Secret, plain

PORTS = {"mariadb": 3306, "mysql": 3306, "postgresql": 5432}
_ENGINES = (
    Choice("mariadb", "MariaDB"),
    Choice("mysql", "MySQL"),
    Choice("postgresql", "PostgreSQL"),
    Choice("sqlite", "SQLite, a file"),
)


class DatabaseQuestions:
    """The questions about the database. `before` and `kept` are as in `BucketQuestions`."""

    def __init__(
        self,
        answers: Answers,
        draft: Draft,
        environ: Mapping[str, str],
        before: Mapping[str, Any],
        kept: Mapping[str, str],
    ) -> None:
        self._answers = answers
        self._draft = draft
        self._environ = environ
        self._before = before
        self._kept = kept

    def ask(self) -> None:
        """Ask for all of it, until a connection is made."""
        self._answers.head("The database: whose rows name the objects")
        if not self._use_exported_url():
            self._engine()
        while findings := self._try():
            self._answers.explain(findings)
            self._again(findings[0].setting)

    @property
    def database(self) -> Database:
        """The database as it is answered."""
        return self._read([])

    def _read(self, findings: list[Finding]) -> Database:
        given: Mapping[str, Any] = plain(self._draft.database)
        if self._draft.exported_database:
            exported = ExportedSettings(self._environ)
            given = exported.add_to({"database": {}})["database"]
            findings += exported.findings
        return read_database(given, findings)

    def _try(self) -> list[Finding]:
        findings: list[Finding] = []
        database = self._read(findings)
        if findings:
            return findings
        try:
            with connect(database):
                return []
        except RefusedError as refusal:
            return list(refusal.findings)
        except DatabaseError as error:
            return [
                Finding(
                    "rehome_database",
                    None,
                    str(error),
                    "Correct what it names",
                    error.trouble or Code.DATABASE_ANSWERED,
                )
            ]

    def _set(self, name: str, value: object) -> None:
        self._draft.database.pop(name, None)
        if value not in (None, ""):
            self._draft.database[name] = value

    def _proposal(self, part: str) -> str | None:
        exported = self._exported(part)
        before = self._before.get(part)
        return exported.value if exported else str(before) if before and "{{" not in str(before) else None

    def _exported(self, part: str) -> Exported | None:
        setting = f"rehome_database.{part}"
        variable = next((name for name in ENVIRONMENT_NAMES.get(setting, ()) if self._environ.get(name)), None)
        return Exported(setting, variable, self._environ[variable]) if variable else None

    def _use_exported_url(self) -> bool:
        """Ask whether the exported URL names the database."""
        url = self._exported("url")
        if url is None or any(self._answers.has(f"database_{part}") for part in ("engine", "host", "name", "path")):
            return False
        if not self._answers.confirm(f"Use the database of {url.variable}, which is exported?", True):
            return False
        self._draft.exported_database = url.variable
        return True

    def _engine(self) -> None:
        engine = self._answers.choose("database_engine", "Kind of database", _ENGINES, self._proposal("engine"))
        known = [choice.value for choice in _ENGINES]
        if engine not in known:
            problem = Finding(
                "rehome_database.engine", engine, "is no database that Rehome knows", _known(known), Code.UNUSABLE_VALUE
            )
            self._answers.explain([problem])
            self._engine()
            return
        self._draft.database.clear()
        self._set("engine", engine)
        if engine == "sqlite":
            self._path()
            return
        self._host()
        self._name()
        self._user()
        self._tls_given()

    def _path(self) -> None:
        self._set("path", self._answers.text("database_path", "The database's file", self._proposal("path")))

    def _host(self) -> None:
        default = self._draft.database.get("host") or self._proposal("host")
        socket = self._answers.take("database_socket")
        if socket:
            self._set("socket", socket)
            return
        self._set("host", self._answers.text("database_host", "Host", default))
        self._port()

    def _port(self) -> None:
        usual = PORTS[self._draft.database["engine"]]
        default = str(self._draft.database.get("port") or self._proposal("port") or usual)
        while True:
            text = self._answers.text("database_port", "Port", default)
            if text.isdigit() and 0 < int(text) < 2**16:
                break
            problem = Finding(
                "rehome_database.port", text, "is not the number of a port", "Write 1 to 65535", Code.UNUSABLE_VALUE
            )
            self._answers.explain([problem])
        self._set("port", None if int(text) == usual else int(text))

    def _name(self) -> None:
        default = self._draft.database.get("name") or self._proposal("name")
        self._set("name", self._answers.text("database_name", "Name of the database", default))

    def _user(self) -> None:
        again = "user" in self._draft.database
        default = self._draft.database.get("user") or self._proposal("user")
        self._set("user", self._answers.text("database_user", "User", default))
        self._password(again)

    def _password(self, again: bool) -> None:
        exported = self._exported("password")
        secret = Secret("rehome_database.password", self._kept.get("vault_rehome_database_password", ""))
        if exported and not again:
            self._answers.say(f"The password is the one of {exported.variable}, which is exported.")
            self._set("password", exported)
        elif secret.value and not again:
            self._answers.say("The password is the one of the vault's file.")
            self._set("password", secret)
        else:
            typed = self._answers.secret("Password (empty: none)")
            self._set("password", Secret(secret.setting, typed) if typed else None)

    def _tls_given(self) -> None:
        wanted, ca = self._answers.take("database_tls"), self._answers.take("database_ca")
        before = self._before.get("tls")
        if ca:
            self._set("tls", {"ca": str(ca)})
        elif wanted is not None:
            self._set("tls", {"enabled": bool(wanted)})
        elif isinstance(before, Mapping):
            self._set("tls", dict(before))

    def _tls(self) -> None:
        choices = [
            Choice("on", "with TLS, and the system's authorities"),
            Choice("ca", "with TLS, and a file of authorities"),
            Choice("off", "without TLS"),
        ]
        chosen = self._answers.choose("tls", "How shall the connection be secured", choices, "ca")
        if chosen == "ca":
            self._set("tls", {"ca": self._answers.text("database_ca", "File of the authorities' certificates")})
        else:
            self._set("tls", {"enabled": chosen == "on"})

    def _again(self, setting: str) -> None:
        if self._draft.exported_database:
            self._draft.exported_database = None
            self._engine()
            return
        questions: Mapping[str, Callable[[], None]] = {
            "rehome_database.path": self._path,
            "rehome_database.host": self._host,
            "rehome_database.port": self._port,
            "rehome_database.name": self._name,
            "rehome_database.user": self._user,
        }
        if setting.startswith("rehome_database.tls"):
            self._tls()
        else:
            questions.get(setting, self._engine)()


def _known(engines: list[str]) -> str:
    return f"Use one of {', '.join(engines)}"
