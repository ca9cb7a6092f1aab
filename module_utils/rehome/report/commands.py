"""What to run next, how to take a run back, and what nothing takes back. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Final

from ..config.settings import Settings
from .facts import NextStep, Origin, Report

_PLAYBOOKS: Final = {
    "grants": "playbooks/grants.yml",  # in full: the collection has other names for them
    "preflight": "playbooks/preflight.yml",
    "plan": "playbooks/plan.yml",
    "migrate": "playbooks/migrate.yml",
    "verify": "playbooks/verify.yml",
    "rollback": "playbooks/rollback.yml",
    "redirect": "playbooks/redirect.yml",
    "retire": "playbooks/retire.yml",
}

SOURCE: Final = "source bucket"
"""The subject of the preflight's checks of it."""

_WORD: Final = re.compile(rf"\b({'|'.join(_PLAYBOOKS)})(?=(?:\.ya?ml)?$)")


def playbook_of(verb: str, origin: Origin) -> str:
    """Return the playbook of a verb as the operator would name it: beside the one that was run."""
    named = origin.get("playbook", "")
    if verb not in _PLAYBOOKS:
        return named  # a playbook of the operator's own
    if not _WORD.search(named):
        return _PLAYBOOKS[verb]
    if verb != "migrate" and "/" not in named and named.endswith((".yml", ".yaml")):
        return _PLAYBOOKS[verb]  # only migrate has a playbook at the top
    return _WORD.sub(verb, named)


def command(verb: str, origin: Origin, *more: str) -> str:
    """Return the command line of a verb, with what this run was given, ready to paste into a shell."""
    return shlex.join(
        [origin.get("program", "ansible-playbook"), playbook_of(verb, origin), *origin.get("arguments", []), *more]
    )


def next_steps(report: Report, settings: Settings) -> list[NextStep]:
    """Return what to run next."""
    if report.get("refusals") or report.get("error"):
        return _after_stop(report, settings)
    verb, is_check = report["verb"].removesuffix("-check"), report["verb"].endswith("-check")
    if verb == "preflight":
        return [NextStep(why="See the plan", command=_of(report, "plan"))]
    if verb == "plan" or (verb == "migrate" and is_check):
        return _after_plan(report)
    if report["dry_run"] and verb != "verify":
        return [NextStep(why="Do it for real", command=_of(report, verb, *_second_key(verb, settings)))]
    return _after_end(report, settings) if report["complete"] else _after_stop(report, settings)


def _after_plan(report: Report) -> list[NextStep]:
    moves = report["counts"].get("objects_to_copy", 0) + report["counts"].get("rows_to_rewrite", 0)
    if not moves:
        return [NextStep(why="Nothing is to be moved. See that all is as it should be", command=_of(report, "verify"))]
    approval = f"approved_plan={report['plan_sha256']}"
    return [
        NextStep(
            why="Once it is approved, carry out exactly this plan; what has changed since is refused",
            command=_of(report, "migrate", "-e", approval),
        )
    ]


def _after_stop(report: Report, settings: Settings) -> list[NextStep]:
    verb = report["verb"].removesuffix("-check")
    if verb == "verify" and not (report.get("refusals") or report.get("error")):
        return [NextStep(why="See what a run would do about it", command=_of(report, "plan"))]
    more = ["--check"] if report["verb"].endswith("-check") else _second_key(verb, settings)
    if report["approved_plan"]:
        more += ["-e", f"approved_plan={report['approved_plan']}"]
    why = "Clear up what stopped it or is left, then run the same again: what is done is found done"
    return [NextStep(why=why, command=_of(report, verb, *more))]


def _after_end(report: Report, settings: Settings) -> list[NextStep]:
    if report["verb"] not in ("migrate", "verify"):
        return [NextStep(why="See how buckets and rows stand", command=_of(report, "plan"))]
    days = settings.retire.after.total_seconds() / 86_400
    after = f"{days:g} days after the end of the migration"
    why = f"See what of the legacy objects may be deleted, {after}"
    if _keeps_no_versions(report) and not settings.retire.unversioned:
        why = f"Switch versioning on in {settings.source.bucket}, then see what may be deleted, {after}"
    return [
        NextStep(why="Verify again at any time; it writes nothing", command=_of(report, "verify")),
        NextStep(why=why, command=_of(report, "retire", "--check")),
    ]


def _keeps_no_versions(report: Report) -> bool:
    """Return whether the preflight has found that the source keeps no versions, without which retire refuses."""
    checks = report["preflight"]["checks"] if "preflight" in report else []
    return any((check["subject"], check["name"]) == (SOURCE, "versioning") for check in checks)


def _of(report: Report, verb: str, *more: str) -> str:
    return command(verb, report["origin"], *more)


def _second_key(verb: str, settings: Settings) -> list[str]:
    """Return the confirmation that a deletion needs."""
    if verb == "retire":
        return ["-e", "restore=true"] if settings.retire.restore else ["-e", f"confirm={settings.source.bucket}"]
    if verb == "rollback" and settings.rollback.copies == "remove":
        return ["-e", "rehome_rollback_copies=remove", "-e", f"confirm={settings.target.bucket}"]
    return []


def way_back(report: Report, settings: Settings) -> list[NextStep]:
    """Return how to take the run back; for a dry run, how to take back the run that it stands for."""
    verb = report["verb"].removesuffix("-check")
    if verb in ("plan", "migrate"):
        return [
            NextStep(why="See what a rollback would do", command=_of(report, "rollback", "--check", "--diff")),
            NextStep(
                why="Put back the old value of each row that still holds what Rehome wrote, byte for byte",
                command=_of(report, "rollback"),
            ),
            NextStep(
                why="Put the rows back, and remove the copies that this migration made and no row names",
                command=_of(
                    report,
                    "rollback",
                    *("-e", "rehome_rollback_copies=remove", "-e", f"confirm={settings.target.bucket}"),
                ),
            ),
        ]
    if verb == "rollback":
        return [NextStep(why="Migrate again", command=_of(report, "migrate"))]
    if verb == "retire" and not settings.retire.restore:
        return [
            NextStep(
                why="Remove the delete markers again, if the bucket keeps versions",
                command=_of(report, "retire", "-e", "restore=true"),
            )
        ]
    return []


def irreversible(report: Report, settings: Settings) -> list[str]:
    """Return what no command of Rehome's takes back, as sentences without their full stops."""
    verb = report["verb"].removesuffix("-check")
    if verb in ("plan", "migrate"):
        found = [
            "Nothing is deleted, and the source stays as it is, until somebody runs retire",
            "What the copies set off in the target (events, replication) and what the database does beyond the column "
            "(triggers) is not undone",
            "Requests, transfer and storage are paid for, also after a rollback",
        ]
        if settings.on_conflict == "overwrite":
            found.append(
                f"Objects of {settings.target.bucket} that are overwritten come back only if that bucket keeps versions"
            )
        return found
    if verb == "retire" and not settings.retire.restore:
        return [
            f"If {settings.source.bucket} keeps no versions, what is deleted is gone. If it does, it comes back until "
            "its lifecycle rules expire it",
            "A rollback of the rows no longer finds the objects that were deleted",
        ]
    if verb == "rollback" and settings.rollback.copies == "remove":
        return [f"If {settings.target.bucket} keeps no versions, removed copies are gone; the source has them all"]
    return []
