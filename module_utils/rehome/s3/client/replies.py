"""Read the XML document of a reply."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..documents import local_name, root_of
from ..errors import S3RequestError, read_error
from ..transport.connection import Response


def document_of(
    reply: Response, name: str, key: str | None, *, verb: str = "GET", problem: str = "", repeated: bool = False
) -> ET.Element:
    """Return the root of a 200 reply whose document is a `name`.

    key, verb: of the request
    problem: begins the error's message
    repeated: the request may have taken effect in any case

    Raises S3Error for any other reply: with its own code, or InvalidReply if its status is 200.
    """
    document = root_of(reply.body)
    if reply.status == 200 and document is not None and local_name(document) == name:
        return document
    code, message = read_error(reply.status, reply.body)
    raise S3RequestError(
        reply.status,
        "InvalidReply" if reply.status == 200 else code,
        f"{problem}: {message}" if problem else message,
        key,
        verb=verb,
        attempts=reply.attempts,
        repeated=reply.repeated or repeated,
    )
