"""What S3 refuses, told apart by what it means: wait, try again, this object failed, or nothing more can succeed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from enum import Enum, auto

from ..errors import RehomeError

CREDENTIAL_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
"""Codes that newer credentials may not get."""

REGION_CODES = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"})
"""Codes that say in which region the bucket is."""

SKEW_CODE = "RequestTimeTooSkewed"

ARCHIVED_CODES = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
"""Codes of an object that must be restored before it can be read (GetObject and CopyObject, S3 API reference)."""

FULL_CODES = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"})
"""Codes of a service that has no room left (Ceph's and MinIO's, too)."""

STOP_CODES = (
    CREDENTIAL_CODES
    | REGION_CODES
    | FULL_CODES
    | {
        SKEW_CODE,
        "AccessPointNotFound",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthFailure",
        "AuthorizationQueryParametersError",
        "CredentialsNotSupported",
        "DeviceNotActiveError",
        "EndpointNotFound",
        "IllegalLocationConstraintException",
        "InvalidAccessKeyId",
        "InvalidAccessPoint",
        "InvalidAccessPointAliasError",
        "InvalidAddressingHeader",
        "InvalidBucketName",
        "InvalidBucketOwnerAWSAccountID",
        "InvalidClientTokenId",
        "InvalidPayer",
        "InvalidRegion",
        "InvalidSecurity",
        "KMS.OptInRequired",
        "KMS.SubscriptionRequiredException",
        "MissingAuthenticationToken",
        "NoSuchAccessPoint",
        "NoSuchBucket",
        "NoSuchMultiRegionAccessPoint",
        "NotSignedUp",
        "OptInRequired",
        "ProxyAuthenticationRequired",
        "SignatureDoesNotMatch",
        "SubscriptionRequired",
        "UnauthorizedAccess",
        "UnauthorizedAccessError",
        "UnrecognizedClientException",
        "UserSuspended",
    }
)
"""Codes that every further request would get as well ("Error responses", S3 API reference; KMS's, which S3 hands
through with `KMS.` before them)."""

THROTTLE_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "KMS.LimitExceededException",
        "KMS.RequestLimitExceeded",
        "KMS.Throttling",
        "KMS.ThrottlingException",
        "LimitExceededException",
        "RateLimitExceeded",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServerBusy",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
"""Codes that ask for fewer requests, not only for a later one (also KMS's and MinIO's)."""

RETRY_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KMS.DependencyTimeoutException",
        "KMS.InternalException",
        "KMS.InternalFailure",
        "KMS.KMSInternalException",
        "KMS.KeyUnavailableException",
        "KMS.XksProxyUriUnreachableException",
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestTimeout",
        "RequestTimeoutException",
        "TransactionInProgressException",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
        "XMinioServerNotInitialized",
    }
)
"""Codes that a later attempt may not get: a passing trouble, or a request that was damaged on its way."""

OBJECT_CODES = ARCHIVED_CODES | {
    "AccessControlListNotSupported",
    "AccessDenied",
    "AmbiguousGrantByEmailAddress",
    "BadRequest",
    "EntityTooLarge",
    "EntityTooSmall",
    "InvalidArgument",
    "InvalidDigest",
    "InvalidEncryptionAlgorithmError",
    "InvalidPart",
    "InvalidPartNumber",
    "InvalidPartOrder",
    "InvalidRange",
    "InvalidRequest",
    "InvalidStorageClass",
    "InvalidTag",
    "InvalidURI",
    "KMS.AccessDeniedException",
    "KMS.DisabledException",
    "KMS.IncorrectKeyException",
    "KMS.InvalidArnException",
    "KMS.InvalidCiphertextException",
    "KMS.InvalidGrantTokenException",
    "KMS.InvalidKeyUsageException",
    "KMS.InvalidStateException",
    "KMS.KMSInvalidStateException",
    "KMS.NotFoundException",
    "KMS.UnsupportedOperationException",
    "KeyTooLongError",
    "MalformedACLError",
    "MalformedXML",
    "MaxMessageLengthExceeded",
    "MetadataTooLarge",
    "MethodNotAllowed",
    "MissingContentLength",
    "MissingRequestBodyError",
    "MissingSecurityHeader",
    "NoSuchKey",
    "NoSuchTagSet",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotImplemented",
    "NotModified",
    "PreconditionFailed",
    "RequestHeaderSectionTooLarge",
    "UnexpectedContent",
    "UnresolvableGrantByEmailAddress",
    "UnsupportedOperation",
}
"""Codes that are about what was asked for (one KMS key among others, too): the object is listed as failed, and the
others go on. Where all objects get the same one (a right that is missing, a header that the service does not know),
whoever asks for them sees it."""


class Meaning(Enum):
    """What to do about a refusal."""

    WAIT = auto()
    """throttled: try again, with fewer requests at once"""
    RETRY = auto()
    SKIP = auto()
    """this object failed"""
    STOP = auto()
    """every further request would meet it as well"""


_MEANING_OF_CODE = {
    code: meaning
    for codes, meaning in (
        (OBJECT_CODES, Meaning.SKIP),
        (RETRY_CODES, Meaning.RETRY),
        (THROTTLE_CODES, Meaning.WAIT),
        (STOP_CODES, Meaning.STOP),
    )
    for code in codes
}

_MEANING_OF_STATUS = {
    200: Meaning.RETRY,  # an error inside a success: botocore takes every one for a 500 (handlers._handle_200_error)
    408: Meaning.RETRY,
    421: Meaning.RETRY,
    425: Meaning.RETRY,
    429: Meaning.WAIT,
    407: Meaning.STOP,
    501: Meaning.SKIP,
    503: Meaning.WAIT,
    505: Meaning.STOP,
    507: Meaning.STOP,
    509: Meaning.WAIT,
}

_CODE_OF_STATUS = {
    301: "PermanentRedirect",
    307: "TemporaryRedirect",
    403: "AccessDenied",
    404: "NoSuchKey",
    407: "ProxyAuthenticationRequired",
    409: "OperationAborted",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
    507: "InsufficientStorage",
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


def meaning_of(status: int, code: str) -> Meaning:
    """What a refusal means: a known code decides, and otherwise its status."""
    known = _MEANING_OF_CODE.get(code) or _MEANING_OF_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return Meaning.RETRY
    # A redirect that names no region leads nowhere that may be followed.
    return Meaning.STOP if 300 <= status < 400 else Meaning.SKIP


def read_error(status: int, body: bytes) -> tuple[str, str]:
    """Code and message of an error reply; derived from the status where the body is no S3 error document."""
    found = read_error_fields(body)
    code = found.get("Code") or _CODE_OF_STATUS.get(status) or f"Status{status}"
    message = found.get("Message") or f"the reply has status {status} and no explanation"
    return code, message[:_MESSAGE_LIMIT]


def read_error_fields(body: bytes) -> dict[str, str]:
    """The elements of an error document (`Code`, `Message`, `Region` …); empty where it is none."""
    try:
        # S3 keeps a long copy's connection open with white space, which XML does not allow before its prologue.
        body = body.strip()
        # Expat limits entity expansion itself since 2.4.1, so a hostile document costs nothing.
        document = ET.fromstring(body)  # noqa: S314
    except (ET.ParseError, ValueError):
        return {}
    if document.tag.rpartition("}")[2] != "Error":
        return {}
    return {child.tag.rpartition("}")[2]: child.text or "" for child in document}


_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_REGION_OF_HOST = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?([a-z]{2,}(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?$")


def read_region(headers: dict[bytes, bytes], body: bytes) -> str | None:
    """The region that a refusal names: in a header, in its document, or as part of the endpoint it points to."""
    fields = read_error_fields(body)
    told = headers.get(b"x-amz-bucket-region", b"").decode("latin-1") or fields.get("Region", "")
    if not told:
        named = _REGION_OF_HOST.search(fields.get("Endpoint", ""))
        told = named[1] if named else ""
    return told if _REGION.fullmatch(told) else None
