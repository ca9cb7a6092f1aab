"""The errors of S3, classified by what to do: slow down, retry, skip the object, or stop the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto

from ..codes import Code
from ..errors import RehomeError
from .documents import fields_of, local_name, root_of

CREDENTIAL_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
"""Codes that newer credentials may resolve."""

REGION_CODES = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"})
"""Codes whose reply may name the region of the bucket."""

WRONG_REGION_CODES = REGION_CODES | {"301", "IllegalLocationConstraintException"}
"""Codes of a request to the wrong region. (botocore reports the status as the code if a reply has no body.)"""

DENIED_CODES = frozenset({"403", "AccessDenied", "AllAccessDisabled", "Forbidden"})
"""Codes of a missing right, with the status that botocore reports in place of a code if a reply has no body."""

ENDPOINT_DEAD = "EndpointDead"
"""Our code of a service that does not answer any more."""

NOT_RENEWED = "CredentialsNotRefreshed"
"""Our code of credentials that have expired, and of which there are no newer ones."""

SKEW_CODE = "RequestTimeTooSkewed"
"""The code of a request whose clock differs by more than 15 minutes from the server's."""

ARCHIVED_CODES = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
"""Codes of an object that must be restored before it can be read (GetObject and CopyObject, S3 API reference)."""

FULL_CODES = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"})
"""Codes of a service that has no space left (Ceph's and MinIO's, too)."""

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
"""Codes that every further request would get, too ("Error responses", S3 API reference; those of KMS have the prefix
`KMS.`)."""

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
"""Codes that ask for fewer requests, not only for a later one (KMS's and MinIO's, too)."""

DIGEST_CODES = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"})
"""Codes of a body that is not the one whose digest was sent along."""

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
"""Codes of a temporary error or of a request that was damaged in transit: another attempt may succeed."""

TEMPORARY_CODES = THROTTLE_CODES | RETRY_CODES

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
"""Codes about one object (or its KMS key): the object is listed as failed, and the others go on. If all objects get the
same code (a missing right, a header that the service does not know), it is up to the caller to stop."""


class Meaning(Enum):
    """What to do about an error reply."""

    WAIT = auto()
    """throttled: retry, with fewer requests in flight"""
    RETRY = auto()
    """temporary: retry"""
    SKIP = auto()
    """this object failed"""
    STOP = auto()
    """every further request would fail, too: stop the run"""


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
    200: Meaning.RETRY,  # an error in the body: botocore treats all of these as a 500 (handlers._handle_200_error)
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
    405: "MethodNotAllowed",
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
    """A request that S3 refused, or that got no complete reply in any of its attempts.

    status: HTTP status, 0 if no reply arrived
    code: S3's error code, or one of ours if the reply has none
    message: S3's explanation
    key: the requested object, None for the bucket
    verb: the HTTP method
    attempts: requests sent
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
        self.trouble = trouble_of(code)


def trouble_of(code: str, otherwise: Code = Code.S3_ANSWERED) -> Code:
    """Return the kind of trouble that an error code of S3 tells of, or `otherwise` if it is no common one."""
    if code == ENDPOINT_DEAD:
        return Code.SERVICE_GONE
    if code == NOT_RENEWED or code in CREDENTIAL_CODES:
        return Code.CREDENTIALS_EXPIRED
    if code in DENIED_CODES:
        return Code.S3_DENIED
    return Code.NO_BUCKET if code == "NoSuchBucket" else otherwise


class S3RequestError(S3Error):
    """An error of one request or object: others may succeed."""


class S3StopError(S3Error):
    """An error that every further request would get, too: the run must stop."""


def meaning_of(status: int, code: str) -> Meaning:
    """Return what to do about an error reply: its code decides if it is known, else its status."""
    known = _MEANING_OF_CODE.get(code) or _MEANING_OF_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return Meaning.RETRY
    # A redirect without a region cannot be followed: credentials must not go to another host.
    return Meaning.STOP if 300 <= status < 400 else Meaning.SKIP


def read_error(status: int, body: bytes) -> tuple[str, str]:
    """Return code and message of an error reply, derived from the status if the body is no S3 error document."""
    found = _error_fields(body)
    code = found.get("Code") or _CODE_OF_STATUS.get(status) or f"Status{status}"
    message = found.get("Message") or f"the reply has status {status} and no explanation"
    # Amazon names the header that is not implemented, and Google what it does not do, beside the message
    details = "; ".join(found[name] for name in ("Header", "Details") if found.get(name, message) not in message)
    if details:
        message = f"{message.rstrip('.')} ({details})"
    return code, message[:_MESSAGE_LIMIT]


def _error_fields(body: bytes) -> dict[str, str]:
    """Return the elements of an error document (`Code`, `Message`, `Region` …), or nothing if it is none."""
    document = root_of(body)
    return fields_of(document) if document is not None and local_name(document) == "Error" else {}


_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_REGION_OF_HOST = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?([a-z]{2,}(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?$")


def read_region(headers: Mapping[bytes, bytes], body: bytes) -> str | None:
    """Return the region that an error reply names: in a header, in its document, or in the endpoint it points to."""
    fields = _error_fields(body)
    region = headers.get(b"x-amz-bucket-region", b"").decode("latin-1") or fields.get("Region", "")
    if not region:
        host = _REGION_OF_HOST.search(fields.get("Endpoint", ""))
        region = host[1] if host else ""
    return region if _REGION.fullmatch(region) else None
