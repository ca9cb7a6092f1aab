"""What S3 refuses, told apart by what it means: this object failed, or nothing more can succeed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..errors import RehomeError

STOP_CODES = frozenset(
    {
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "NotSignedUp",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""Codes that every further request would get as well ("Error responses", S3 API reference)."""

THROTTLE_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
"""Codes that ask for fewer requests, not only for a later one (also KMS's, which S3 hands through)."""

RETRY_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
"""Codes that a later attempt may not get; statuses 500, 502 and 504 count as well."""

_CODE_OF_STATUS = {
    301: "PermanentRedirect",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "OperationAborted",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}

_MESSAGE_LIMIT = 500


class S3Error(RehomeError):
    """One request that S3 refused, or that got no whole reply within its attempts.

    status: HTTP status, 0 where no reply came
    code: S3's error code, or ours where there was none
    message: what S3 said
    key: the object that was asked for, None for the bucket
    verb: the HTTP method
    attempts: how many requests were sent
    repeated: an earlier attempt may have taken effect although its reply was lost
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        key: str | None,
        *,
        verb: str = "",
        attempts: int = 1,
        repeated: bool = False,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.key = key
        self.verb = verb
        self.attempts = attempts
        self.repeated = repeated
        subject = " ".join(part for part in (verb, "the bucket" if key is None else repr(key)) if part)
        super().__init__(f"{subject}: {code}{f' ({status})' if status else ''}: {message}")


class S3StopError(S3Error):
    """A failure that every further request would meet as well: the run must stop."""


def read_error(status: int, body: bytes) -> tuple[str, str]:
    """Code and message of an error reply; derived from the status where the body is no S3 error document."""
    try:
        # Expat limits entity expansion itself since 2.4.1, so a hostile document costs nothing.
        document = ET.fromstring(body)  # noqa: S314
    except (ET.ParseError, ValueError):
        document = None
    found = {}
    if document is not None and document.tag.rpartition("}")[2] == "Error":
        found = {child.tag.rpartition("}")[2]: child.text or "" for child in document}
    code = found.get("Code") or _CODE_OF_STATUS.get(status) or f"Status{status}"
    message = found.get("Message") or f"the reply has status {status} and no explanation"
    return code, message[:_MESSAGE_LIMIT]
