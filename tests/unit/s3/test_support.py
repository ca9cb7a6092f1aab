"""What an answer says about a feature: every wording of a rejection that is known, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.s3.support import Support, is_rejection, judge

REJECTIONS = [
    (501, "NotImplemented", "A header you provided implies functionality that is not implemented"),
    (501, "NotImplemented", "Header 'x-amz-tagging-directive' with value 'REPLACE' not implemented"),
    (501, "", "the reply has status 501 and no explanation"),
    (501, "Status501", ""),
    (405, "MethodNotAllowed", "The specified method is not allowed against this resource."),
    (405, "Status405", ""),
    (400, "InvalidArgument", "Unsupported header 'x-amz-tagging' received for this API call."),
    (400, "NotImplemented", "A header or query you provided requested a function that is not implemented."),
    (400, "InvalidRequest", "This operation is not supported"),
    (400, "InvalidRequest", "The service does not support tags"),
    (400, "BadRequest", "unknown header x-amz-checksum-mode"),
    (400, "XNotImplemented", "because"),
    (400, "UnsupportedHeader", "because"),
    (400, "AccessControlListNotSupported", "The bucket does not allow ACLs"),
    (400, "InvalidStorageClass", "The storage class you specified is not valid"),
    (400, "InvalidEncryptionAlgorithmError", "The encryption request you specified is not valid."),
    (403, "UnsupportedOperation", "not here"),
    (403, "NotImplemented", "not here"),
    (422, "Whatever", "unrecognised parameter"),
]

NO_REJECTIONS = [
    (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption"),
    (400, "InvalidArgument", "Invalid argument."),
    (403, "AccessDenied", "Access Denied"),
    (403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
    (404, "NoSuchKey", "The specified key does not exist."),
    (409, "OperationAborted", "A conflicting operation is in progress"),
    (412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"),
    (429, "TooManyRequests", "slow down"),
    (500, "InternalError", "We encountered an internal error"),
    (503, "SlowDown", "this is not supported at such a rate"),
    (0, "tls", "tlsv1 unrecognized name"),
]


@pytest.mark.parametrize(("status", "code", "message"), REJECTIONS)
def test_a_rejection_is_told_from_what_is_wrong_with_one_object(status: int, code: str, message: str) -> None:
    assert is_rejection(status, code, message)
    assert judge(status, code or "NotImplemented", message) is Support.REJECTS


@pytest.mark.parametrize(("status", "code", "message"), NO_REJECTIONS)
def test_other_errors_are_no_rejections(status: int, code: str, message: str) -> None:
    assert not is_rejection(status, code, message)


@pytest.mark.parametrize(
    ("status", "code", "kept", "expected"),
    [
        (200, "", True, Support.HAS),
        (204, "", True, Support.HAS),
        (200, "", False, Support.IGNORES),
        (412, "PreconditionFailed", False, Support.HAS),
        (409, "ConditionalRequestConflict", False, Support.HAS),
        (304, "NotModified", False, Support.HAS),
        (404, "NoSuchTagSet", True, Support.HAS),
        (404, "NoSuchKey", True, Support.REJECTS),
        (400, "InvalidArgument", False, Support.REJECTS),
        (400, "InvalidRequest", True, Support.REJECTS),
        (401, "Unauthorized", True, Support.DENIED),
        (403, "AccessDenied", True, Support.DENIED),
        (403, "AccessDenied", False, Support.DENIED),
        (200, "InternalError", True, Support.UNKNOWN),
        (408, "RequestTimeout", True, Support.UNKNOWN),
        (429, "TooManyRequests", True, Support.UNKNOWN),
        (500, "InternalError", True, Support.UNKNOWN),
        (502, "Status502", True, Support.UNKNOWN),
        (503, "SlowDown", True, Support.UNKNOWN),
        (0, "timeout", True, Support.UNKNOWN),
    ],
)
def test_the_answer_to_a_trial(status: int, code: str, kept: bool, expected: Support) -> None:
    assert judge(status, code, kept=kept) is expected


@given(status=st.integers(0, 599), code=st.text(min_size=1), message=st.text(), kept=st.booleans())
def test_only_a_success_or_a_failed_condition_shows_that_a_service_has_a_feature(
    status: int, code: str, message: str, kept: bool
) -> None:
    support = judge(status, code, message, kept=kept)
    assert support is not Support.IGNORES
    assert not support or status in (304, 409, 412) or code.startswith("NoSuchTagSet")
    assert support is not Support.DENIED or status in (401, 403)
