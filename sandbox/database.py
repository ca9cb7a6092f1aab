"""What the sandbox's database servers share: the database `app`, its users and their rights."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from .errors import missing_binary
from .server import Login, Server

NAME = "app"
JOURNAL = "rehome"
"""The schema that Rehome keeps for itself, beside the application's."""
USERS = ("admin", "migrate", "reader")
"""admin owns the database; migrate may what a migration needs; reader may what a dry run needs."""


class DatabaseServer(Server):
    """A database server with the application's database and the three users."""

    engine: ClassVar[str]
    superuser: ClassVar[str]
    programs: ClassVar[Mapping[str, str]]
    """The programs it needs, each with the Debian package that has it."""
    port_names = ("sql",)

    def database(self, user: str) -> dict[str, Any]:
        """Return how to reach the application's database as this user, as `rehome_database` has it."""
        state = self.state
        return {
            "engine": self.engine,
            "host": "127.0.0.1",
            "port": state.ports["sql"],
            "name": NAME,
            "user": state.logins[user].name,
            "password": state.logins[user].secret,
        }

    def new_logins(self) -> dict[str, Login]:
        """Return the superuser and the three users, with generated passwords."""
        return {user: Login(user, secrets.token_urlsafe(24)) for user in (self.superuser, *USERS)}

    @classmethod
    def missing_programs(cls) -> list[str]:
        """Return those of its programs that are not installed."""
        return [program for program in cls.programs if cls.find_program(program) is None]

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of one of its programs. Raises SandboxError if it is not installed."""
        if (path := cls.find_program(name)) is None:
            raise missing_binary(name, cls.programs[name])
        return path

    @classmethod
    @abstractmethod
    def find_program(cls, name: str) -> str | None:
        """Return the path of a program, or None if it is not installed."""

    @abstractmethod
    def connect(self, user: str) -> Any:
        """Return a DB-API connection of this user to the application's database."""
