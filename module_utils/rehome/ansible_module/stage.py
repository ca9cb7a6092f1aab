"""What Rehome's Ansible modules share: their options, the hold on the state folder, and how a failure is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback

from .. import duckdb_engine as duckdb
from ..catalog.catalog import Catalog
from ..config.read import ENVIRONMENT_NAMES, read_settings
from ..config.settings import Settings
from ..errors import RehomeError
from ..progress import Progress
from ..report.summary import Summary, SummaryKind, write_lists
from ..state.database_lock import held
from ..state.folder import prepare_state_dir
from ..state.lock import claim, release
from ..state.outcomes import rescue
from ..state.sync import fetch_state, save_state

CATALOG_FILE = "catalog.duckdb"


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


@dataclass(frozen=True)
class Stage:
    """What a module's work is given.

    run: tells this run from any other; the catalog must have been made by the same one
    run_pid: its process
    verb: what the run is: its playbook's name, and `-check` where that is only tried
    given: all that the module was given, as Ansible hands it over
    """

    settings: Settings
    progress: Progress
    run: str
    run_pid: int
    verb: str
    dry_run: bool
    given: Mapping[str, Any]

    def new_catalog(self, file: str = CATALOG_FILE) -> Catalog:
        """An empty catalog of this run."""
        path = self.settings.state_dir / file
        rescue(path, self.settings.state_dir)
        facts = {"run": self.run, "fingerprint": self.settings.fingerprint}
        return Catalog.create(path, facts)

    def catalog_of_pass(self) -> Catalog:
        """An empty catalog for the plan of a pass, but for the rows that the application changed under earlier ones."""
        if not self.summary().facts["passes"]:
            return self.new_catalog()
        with self.catalog() as earlier:
            changed_rows = earlier.query("FROM changed_rows")
        catalog = self.new_catalog()
        catalog.append("changed_rows", changed_rows)
        return catalog

    def catalog(self) -> Catalog:
        """The catalog that this run's plan has made. Raises RehomeError where there is none."""
        path = self.settings.state_dir / CATALOG_FILE
        if path.exists():
            catalog = Catalog.open(path)
            facts = catalog.facts()
            if (facts.get("run"), facts.get("fingerprint")) == (self.run, self.settings.fingerprint):
                return catalog
            catalog.close()
        raise RehomeError(
            f"{path} holds no plan of this run with these settings. Run the plan stage first, in the same playbook run."
        )

    def report(self, catalog: Catalog, lists: Mapping[str, str], **facts: object) -> dict[str, Any]:
        """Write those `lists` of `catalog`, and take them and `facts` into the summary; answers the lists.

        What is known by then is kept elsewhere, too: the next stage may be killed, and its machine be thrown away.
        """
        written = write_lists(catalog, self.settings, lists)
        summary = self.summary()
        others = {name: about for name, about in summary.facts["lists"].items() if name not in lists}
        summary.add(**facts, lists=others | written)
        # that the state could not be kept, the run's end tells
        with suppress(RehomeError):
            save_state(self.settings)
        return written

    def start_summary(self, kind: SummaryKind) -> Summary:
        """Begin the run, and its summary, with what runs elsewhere have left."""
        fetch_state(self.settings)
        return Summary.start(self.settings, self.run, self.verb, self.dry_run, kind)

    def summary(self) -> Summary:
        """The summary of this run. Raises RehomeError where what lies there is another's."""
        summary = Summary.load(self.settings.state_dir)
        if summary.facts.get("run") != self.run:
            raise RehomeError(f"{summary.path} is of another run. Run the playbook from its beginning.")
        return summary

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the migration in the database, too, for the length of the block: another machine has another folder."""
        with held(self.settings.database, self.settings.name):
            yield

    def held_unless_dry(self) -> AbstractContextManager[None]:
        """As `held`, where something is written: a dry run is in nobody's way."""
        return nullcontext() if self.dry_run else self.held()

    @contextmanager
    def stoppable(self) -> Iterator[Callable[[], bool]]:
        """Within the block, SIGTERM and SIGINT ask instead of killing; what it yields tells whether they did.

        Raises RehomeError at the end of the block where they did, so that nobody takes the work for finished.
        """
        asked: list[int] = []
        before = {
            number: signal.signal(number, lambda received, _: asked.append(received))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield lambda: bool(asked)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if asked:
            raise RehomeError("interrupted; what was under way is finished and recorded. Run it again to go on.")

    def release(self) -> None:
        """Let go of the state folder: the run is over."""
        release(self.settings.state_dir, self.run_pid)


def _hide_passwords_in_urls(module: AnsibleModule) -> None:
    """A URL with a password is refused, but Ansible shows the options of a refused task too."""
    for label in ("source", "target"):
        url = (module.params["settings"][label] or {}).get("endpoint_url") or ""
        secret = url.rpartition("@")[0].rpartition(":")[2]
        if secret:
            module.no_log_values.add(secret)


def run_stage(module: AnsibleModule, work: Callable[[Stage], dict[str, Any]]) -> None:
    """Hold the state folder, do `work`, and answer with what it returns, as an Ansible module.

    module: takes what `ARGUMENT_SPEC` describes, and may take more

    Every expected failure ends as one message and never as a traceback.
    """
    os.umask(0o077)  # the state folder may be the operator's own; its files name keys and rows
    _hide_passwords_in_urls(module)
    try:
        result = _held(module, work)
    except RehomeError as error:
        failure = {"msg": str(error), **_so_far(error)}
    except (OSError, duckdb.Error) as error:
        # what is left of expected trouble: a full disk, a folder that somebody else owns, a damaged catalog
        failure = {"msg": f"rehome_state_dir ({module.params['settings']['state_dir']}): {error}", **_so_far(error)}
    else:
        for text in result.pop("warnings", ()):
            module.warn(text)
        if not module._diff:
            result.pop("diff", None)
        module.exit_json(**result)
    # not inside the handlers: Ansible would add the exception to the message once more
    module.fail_json(**failure)


def _held(module: AnsibleModule, work: Callable[[Stage], dict[str, Any]]) -> dict[str, Any]:
    """Do `work` while this run holds the state folder. A stage that fails ends the run, and so its hold."""
    settings = read_settings(module.params["settings"])
    prepare_state_dir(settings.state_dir)
    holder = claim(settings.state_dir, module.params["run_pid"])
    progress = Progress(settings.state_dir)
    told = (holder.identity, holder.pid, module.params["run_verb"], module.check_mode, module.params)
    stage = Stage(settings, progress, *told)
    try:
        return work(stage)
    except Exception as error:  # whatever it was, it goes on its way: only the hold must not outlive it
        _note_so_far(stage, error)
        release(settings.state_dir, holder.pid)
        # what failed is what is to be told; that the state could not be kept either, the next run tells
        with suppress(RehomeError):
            save_state(settings)
        raise
    finally:
        progress.end()


def _note_so_far(stage: Stage, error: Exception) -> None:
    """A run that fails does not come to its summary: what it has written until then is told with the failure."""
    with suppress(RehomeError, OSError):
        summary = stage.summary()
        if summary.has_written:
            for line in summary.lines():
                error.add_note(line)


def _so_far(error: Exception) -> dict[str, list[str]]:
    lines = getattr(error, "__notes__", [])
    return {"so_far": lines} if lines else {}
