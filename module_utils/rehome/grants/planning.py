"""Plan what to grant and revoke, before anything is changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..config.settings import Settings, Side
from ..errors import Finding, RefusedError
from .access import PlannedAccess, plan_access
from .account import plan_account
from .settings import GrantSettings


def make_plan(settings: Settings, grants: GrantSettings) -> dict[str, Any]:
    """Return all changes in the structure that the tasks of roles/grants use. Writes nothing.

    `diff` shows the changes as policies and statements.
    Raises RefusedError with every finding.
    """
    findings: list[Finding] = []
    access, account = PlannedAccess([], None, []), None
    if grants.principals != "none":
        try:
            access = plan_access(settings, grants)
        except RefusedError as refusal:
            findings += refusal.findings
    if grants.database:
        try:
            account = plan_account(settings, grants)
        except RefusedError as refusal:
            findings += refusal.findings
    if findings:
        raise RefusedError(list(dict.fromkeys(findings)))
    diffs = [*access.diffs, *(account.diffs if account else [])]
    return {
        "changed": bool(diffs),
        "principals": [asdict(principal) for principal in access.principals],
        "bucket_policy": asdict(access.bucket_policy) if access.bucket_policy else None,
        "account": asdict(account.account) if account else None,
        "places": {"source": _place(grants.admin_source), "target": _place(grants.admin_target)},
        "counts": {"principals": len(access.principals), "changes": len(diffs)},
        "diff": diffs,
    }


def _place(admin: Side) -> dict[str, str | None]:
    """Return where the administrator's requests go, which may be what the environment says."""
    return {"endpoint_url": admin.endpoint_url, "region": admin.region}
