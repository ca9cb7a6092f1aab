"""Which plans may be approved for these settings: the digest of a plan ends in a tag of what it was made for."""

from __future__ import annotations

from ..codes import Code
from ..errors import Finding
from .settings import DIGEST_LENGTH, Settings


def made_elsewhere(settings: Settings, digest: str | None) -> list[Finding]:
    """Return a finding if a whole digest is that of a plan which was made under other settings; else nothing.

    The beginning of a digest does not tell. Policies, credentials and slices are not looked at.
    """
    if digest is None or len(digest) < DIGEST_LENGTH or digest.endswith(settings.plan_tag):
        return []
    return [
        Finding(
            "approved_plan",
            digest,
            "is a plan of another environment, or of other buckets, prefixes, globs, references, endpoints or another "
            f"database than these settings name ({settings.place}); or an earlier version of Rehome has made it",
            "Give the digest that playbooks/plan.yml shows for this env, once that plan is approved",
            Code.PLAN_OF_OTHERS,
        )
    ]
