"""Whether the target is left to prove that content is the source's."""

from __future__ import annotations

from ..capabilities import Capabilities
from .etags import Headers, hides_digest, is_md5

_MOST_REFUSALS = 5
"""From then on it is not bad luck: the source's ETags are no digests, or something on the way changes what is sent."""


class TargetProof:
    """Decides, for one run, which objects' ETags go along as Content-MD5 in place of a digest that is made here.

    The target compares them with what it receives, and refuses what differs: that proves what was read as well as what
    was sent. What it refuses is read and sent again with a digest made here, which tells what is wrong.
    """

    def __init__(self) -> None:
        self._refusals = 0
        self._other_parts = 0

    def holds(self, able: Capabilities, etag: str, headers: Headers) -> bool:
        """Return whether the target is known to compare, and has the MD5 of this object to compare with.

        etag: of the source object, without quotes
        headers: of any reply to HEAD or GET of it
        """
        return bool(able.content_md5) and self._refusals < _MOST_REFUSALS and is_md5(etag, headers)

    def refused(self) -> None:
        """Record that the target refused content."""
        self._refusals += 1

    def holds_parts(self, able: Capabilities, etag: str, count: int, headers: Headers) -> bool:
        """Return whether the ETags that the target gives to parts are likely to prove them: together they give `etag`.

        It has computed them from what it received, and nothing else gives the source's ETag. The source's parts may
        have had other sizes, though, and the target's ETags may be no digests: see `other_parts`.

        etag, headers: as for `holds`
        count: of the parts to send
        """
        digests = etag.endswith(f"-{count}") and not hides_digest(headers)
        return bool(able.content_md5) and self._other_parts < _MOST_REFUSALS and digests

    def other_parts(self) -> None:
        """Record that parts did not give the source's ETag."""
        self._other_parts += 1
