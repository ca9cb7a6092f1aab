"""TODO-DOC."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from ..config.read_values import ENVIRONMENT_NAMES


def _text(setting: str | None = None, **more: Any) -> dict[str, Any]:
    name = ENVIRONMENT_NAMES.get(setting or "")
    return {"type": "str", **({"fallback": (env_fallback, [name])} if name else {}), **more}


def _side(label: str, **more: Any) -> dict[str, Any]:
    setting = f"rehome_{label}"
    return {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "bucket": _text(f"{setting}.bucket"),
            "prefix": _text(f"{setting}.prefix"),
            "whole_bucket": {"type": "bool", "default": False},
            "endpoint_url": _text(f"{setting}.endpoint_url"),
            "region": _text(),
            "access_key": _text(no_log=False),  # an identifier, and the name by which people know the account
            "secret_key": _text(no_log=True),
            "session_token": _text(no_log=True),
            "profile": _text(),
            "addressing_style": _text(choices=["auto", "path", "virtual"], default="auto"),
            "ca_bundle": {"type": "path"},
            "verify_tls": {"type": "bool", "default": True},
            "dualstack": {"type": "bool"},
            "fips": {"type": "bool"},
            "requester_pays": {"type": "bool", "default": False},
            "expected_bucket_owner": _text(),
            **more,
        },
    }


_DATABASE = {
    "type": "dict",
    "apply_defaults": True,
    "options": {
        "url": _text(no_log=True),
        "engine": _text(choices=["mariadb", "mysql", "postgresql", "sqlite"]),
        "host": _text("rehome_database.host"),
        "port": {"type": "int"},
        "socket": {"type": "path"},
        "name": _text("rehome_database.name"),
        "user": _text("rehome_database.user"),
        "password": _text("rehome_database.password", no_log=True),
        "path": {"type": "path"},
        "tls": {
            "type": "dict",
            "options": {
                "enabled": {"type": "bool", "default": True},
                "verify": {"type": "bool", "default": True},
                "ca": {"type": "path"},
                "cert": {"type": "path"},
                "key": {"type": "path", "no_log": False},  # the path of the key, not the key
            },
        },
    },
}


_REFERENCES = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "table": _text(),
        "column": _text(),
        "form": {"type": "raw", "default": "key"},
        "where": _text(),
    },
}


_THROTTLE = {
    "type": "dict",
    "apply_defaults": True,
    "options": {
        "max_lag_s": {"type": "float"},
        "replicas": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"host": _text(), "port": {"type": "int"}},
        },
        "max_running": {"type": "int"},
        "max_redo_ratio": {"type": "float"},
        "max_dead_ratio": {"type": "float"},
        "vacuum": {"type": "bool", "default": True},
        "pause_file": {"type": "path"},
        "window": _text(),
        "query": _text(),
        "query_limit": {"type": "float", "default": 0.0},
        "nice": {"type": "float", "default": 0.0},
        "max_wait_s": {"type": "float"},
    },
}


ARGUMENT_SPEC: dict[str, Any] = {
    "settings": {
        "type": "dict",
        "required": True,
        "options": {
            "name": _text(),
            "source": _side("source", inventory=_text()),
            "target": _side("target"),
            "include": {"type": "list", "elements": "str", "default": ["*"]},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "database": _DATABASE,
            "references": _REFERENCES,
            "on_conflict": _text(choices=["fail", "skip", "overwrite"], default="fail"),
            "on_dangling": _text(choices=["fail", "keep", "rewrite"], default="fail"),
            "journal_schema": _text(default="rehome"),
            "chunk_ms": {"type": "int"},
            "connections": {"type": "int", "default": 2},
            "touch_updated_at": {"type": "bool", "default": False},
            "state_dir": {"type": "path", "required": True},
            "copy_method": _text(choices=["auto", "server_side", "stream"], default="auto"),
            "storage_class": _text(default="keep"),
            "encryption": _text(choices=["bucket", "SSE-S3", "SSE-KMS"], default="bucket"),
            "kms_key_id": _text(no_log=False),  # the name of a key, not the key
            "acl": _text(choices=["none", "bucket-owner-full-control", "copy"], default="none"),
            "multipart_threshold": {"type": "bytes", "default": "1GB"},
            "max_requests": {"type": "int", "default": 256},
            "objects_per_second": {"type": "float"},
            "restore": {
                "type": "dict",
                "options": {
                    "days": {"type": "int"},
                    "tier": _text(choices=["Standard", "Bulk", "Expedited"], default="Standard"),
                },
            },
            "verify_sample": {"type": "int", "default": 0},
            "only_keys": {"type": "path", "no_log": False},  # keys of objects
            "throttle": _THROTTLE,
            "limit": {"type": "int"},
            "approved_plan": _text(),
            "quiet_objects": {"type": "int", "default": 0},
            "state_uri": _text(),
            "max_passes": {"type": "int", "default": 5},
            "confirm": _text(),
            "retire_after": _text(default="7d"),
            "retire_unversioned": _text(),
            "retire_restore": {"type": "bool", "default": False},
            "redirect": {
                "type": "dict",
                "apply_defaults": True,
                "options": {
                    "state": _text(choices=["present", "absent"], default="present"),
                    "base_url": _text(),
                    "code": {"type": "int", "choices": [301, 302, 307, 308], "default": 301},
                    "from_path": _text(default="/"),
                    "website": _text(choices=["merge", "create", "none"], default="merge"),
                    "website_index": _text(default="index.html"),
                    "error_codes": {"type": "list", "elements": "int", "default": [404]},
                    "directory": {"type": "path"},
                },
            },
            "rollback_since": _text(),
            "rollback_missing": _text(choices=["keep", "restore"], default="keep"),
            "rollback_copies": _text(choices=["keep", "remove"], default="keep"),
        },
    },
    "run_pid": {"type": "int", "required": True},
    "run_verb": {"type": "str", "required": True},
}


_ADMIN_SIDE = {
    "type": "dict",
    "options": {
        "endpoint_url": _text(),
        "region": _text(),
        "access_key": _text(no_log=False),  # an identifier
        "secret_key": _text(no_log=True),
        "session_token": _text(no_log=True),
        "profile": _text(),
    },
}


GRANTS_SPEC: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "state": _text(choices=["present", "absent"], default="present"),
        "principals": _text(choices=["user", "role", "document", "none"], default="user"),
        "name": _text(),
        "trust": {"type": "dict"},
        "bucket_policy": {"type": "bool", "default": False},
        "account": _text(),
        "kms_keys": {
            "type": "dict",
            "no_log": False,  # names of keys, not the keys
            "options": {
                "source": {"type": "list", "elements": "str", "default": []},
                "target": {"type": "list", "elements": "str", "default": []},
            },
        },
        "undelete": {"type": "bool", "default": False},
        "database": {"type": "bool", "default": True},
        "database_host": _text(default="%"),
        "database_tls": {"type": "bool"},
        "connections": {"type": "int", "default": 10},
        "expire_days": {"type": "int"},
        "secrets_file": {"type": "path", "no_log": False},  # a path
        "hand_over": {"type": "path"},
        "rotate": {"type": "bool", "default": False},
        "folder": {"type": "path"},
        "admin_source": _ADMIN_SIDE,
        "admin_target": _ADMIN_SIDE,
        "admin_database": {
            "type": "dict",
            "apply_defaults": True,
            "options": {
                "user": _text("rehome_admin_database.user"),
                "password": _text("rehome_admin_database.password", no_log=True),
                "host": _text(),
                "port": {"type": "int"},
                "socket": {"type": "path"},
            },
        },
    },
}
"""What the modules of `grants` take as their `grants`."""
