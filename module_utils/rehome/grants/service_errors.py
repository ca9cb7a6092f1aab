"""Report what IAM, STS and S3 refuse to an administrator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

from ..codes import Code
from ..config.settings import Side
from ..errors import RefusedError
from ..s3.errors import CREDENTIAL_CODES, DENIED_CODES
from ..s3.support import is_rejection

_WITHOUT_IAM = (
    "Set rehome_grants_principals to document, and grant what the files say by the service's own means; or to none"
)

_OTHERS_OWN = (
    "It still has policies, groups, keys or profiles that Rehome did not make. Take those away if nobody needs them,"
    " and run the same command again"
)


def error_code(error: ClientError) -> str:
    """Return the service's error code; empty if the reply has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_unsupported(error: ClientError) -> bool:
    """Return whether the service does not have the operation, whoever asks for it."""
    given = error.response.get("Error", {})
    return is_rejection(_status(error), str(given.get("Code", "")), str(given.get("Message", "")))


def is_denied(error: ClientError) -> bool:
    """Return whether the credentials are wrong, or may not do it."""
    if error_code(error) in DENIED_CODES | CREDENTIAL_CODES:
        return True
    return _status(error) in (401, 403) and not is_unsupported(error)


@contextmanager
def refuse_service_errors(admin: Side, way_out: str) -> Iterator[None]:
    """Raise RefusedError in place of botocore's errors in the block.

    way_out: what the operator can do if the credentials are the trouble
    """
    try:
        yield
    except ClientError as error:
        given = error.response.get("Error", {})
        why = ": ".join(filter(None, (error_code(error), str(given.get("Message") or "").rstrip("."))))
        code = Code.NOT_ADMINISTRATOR
        problem = f"{error.operation_name} was refused ({_status(error)} {why})"
        if is_unsupported(error):
            problem = f"the service has no {error.operation_name}, which is no missing right ({_status(error)} {why})"
            way_out, code = _WITHOUT_IAM, Code.NO_IAM
        elif error_code(error) == "DeleteConflict":
            way_out, code = _OTHERS_OWN, Code.FOREIGN_USER
        elif not is_denied(error):
            way_out, code = "Correct what the service names", Code.S3_ANSWERED
        raise RefusedError.of(admin.setting, admin.endpoint_url, problem, way_out, code=code) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise RefusedError.of(
            admin.setting, admin.endpoint_url, str(error).rstrip("."), way_out, code=Code.NO_S3_CREDENTIALS
        ) from error
    except BotoCoreError as error:
        problem = f"the service cannot be reached ({error})"
        place = "Correct the endpoint, or the way to it"
        raise RefusedError.of(admin.setting, admin.endpoint_url, problem, place, code=Code.S3_UNREACHABLE) from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
