"""`sandbox.json`: what the inventory, the seed and the user read about a running sandbox; and its users as profiles."""

from __future__ import annotations

import dataclasses
from typing import Any

from .database import USERS, DatabaseServer
from .s3_server import SOURCE_BUCKET, TARGET_BUCKET, S3Server
from .sqlite import SQLite

FILE = "sandbox.json"
PROFILES = "aws-credentials"
"""The users of the object store as profiles (`AWS_SHARED_CREDENTIALS_FILE`), for processes that are told no keys."""


def describe(db: str, store: S3Server, database: DatabaseServer | SQLite) -> dict[str, Any]:
    """Return the record of a sandbox whose servers run."""
    return {
        "db": db,
        "s3": {
            "endpoint_url": store.endpoint_url,
            "region": store.region,
            "source_bucket": SOURCE_BUCKET,
            "target_bucket": TARGET_BUCKET,
            "users": {user: dataclasses.asdict(keys) for user, keys in store.users.items()},
        },
        "database": _describe_database(database),
        "processes": [process.to_json() for process in (*store.processes, *database.processes)],
    }


def profiles(store: S3Server) -> str:
    """Return the text of `PROFILES`."""
    return "".join(
        f"[{user}]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
        for user, keys in store.users.items()
    )


def _describe_database(database: DatabaseServer | SQLite) -> dict[str, Any]:
    if isinstance(database, SQLite):
        return {**database.database(), "users": {}}
    users = {user: database.database(user) for user in USERS}
    place = {key: value for key, value in users["admin"].items() if key not in ("user", "password")}
    logins = {user: {key: settings[key] for key in ("user", "password")} for user, settings in users.items()}
    return {**place, "users": logins}
