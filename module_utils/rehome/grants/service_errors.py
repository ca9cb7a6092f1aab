"""Report what IAM, STS and S3 refuse to an administrator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from ..config.settings import Side
from ..errors import RefusedError


def error_code(error: ClientError) -> str:
    """Return the service's error code; empty if the reply has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def refuse_service_errors(admin: Side, way_out: str) -> Iterator[None]:
    """Raise RefusedError in place of botocore's errors in the block. `way_out`: what the operator can do about them."""
    try:
        yield
    except ClientError as error:
        message = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
        problem = f"{error.operation_name} was refused ({error_code(error)}: {message})"
        raise RefusedError.of(admin.setting, admin.endpoint_url, problem, way_out) from error
    except BotoCoreError as error:
        problem = f"the service cannot be reached ({error})"
        raise RefusedError.of(admin.setting, admin.endpoint_url, problem, way_out) from error
