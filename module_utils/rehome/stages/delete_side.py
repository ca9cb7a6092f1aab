"""Where objects are deleted, where the same contents must be, and what a deletion must know of the bucket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ..checks import Check
from ..codes import Code, marked
from ..config.settings import Settings, Side
from ..s3.deletion.versions import Versioning


@dataclass(frozen=True, slots=True)
class DeleteSide:
    """A bucket to delete from, and the bucket that must hold the same contents.

    settings: of a migration from `delete_from` to `proof_in`. A scan and a plan under these settings find out which
    objects of `delete_from` are proven to be in `proof_in`.
    """

    settings: Settings

    @property
    def delete_from(self) -> Side:
        """The bucket and prefix whose objects are deleted."""
        return self.settings.source

    @property
    def proof_in(self) -> Side:
        """The bucket and prefix that must hold the same contents."""
        return self.settings.target

    @classmethod
    def legacy_objects(cls, settings: Settings) -> DeleteSide:
        """Delete from the source of a migration what its target holds."""
        return cls(replace(settings, source=_listed(settings.source), limit=None))

    @classmethod
    def copies(cls, settings: Settings) -> DeleteSide:
        """Delete from the target of a migration what its source holds."""
        references = tuple(replace(one, form=one.form.inverse) for one in settings.references)
        source, target = _listed(settings.target), _listed(settings.source)
        return cls(replace(settings, source=source, target=target, references=references, limit=None))


@dataclass(frozen=True, slots=True)
class BucketState:
    """What a deletion must know of a bucket.

    locks: whether it may have objects under retention or legal hold
    noncurrent_days: after how many days lifecycle rules remove old versions; None: never
    now: the earlier of the service's clock and ours
    way_back: whether these credentials may remove delete markers; None if a delete leaves none
    """

    versioning: Versioning
    locks: bool
    noncurrent_days: int | None
    now: datetime
    way_back: Check | None = None

    @property
    def keeps_versions(self) -> bool:
        """Whether a delete only adds a delete marker."""
        return self.versioning == "enabled"

    @property
    def warnings(self) -> list[str]:
        """What is in the way of removing delete markers, or unknown."""
        check = self.way_back
        if check is None or check.status == "pass":
            return []
        return [marked(check.text, Code.NO_WAY_BACK)]


def _listed(side: Side) -> Side:
    """Return the side without its inventory: that is as old as its report, and the present state is what counts."""
    return replace(side, inventory=None)
