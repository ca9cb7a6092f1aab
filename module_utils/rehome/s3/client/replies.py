"""Read the XML document of a reply."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..documents import local_name, root_of
from ..errors import S3Error, read_error
from ..transport.connection import Response


def document_of(reply: Response, name: str, key: str | None, *, verb: str = "GET", problem: str = "") -> ET.Element:
    """Return the root of a 200 reply whose document is a `name`.

    key, verb: of the request
    problem: what the error says if the reply is another one: its code is InvalidReply then

    Raises S3Error for any other reply, with its own code and message unless `problem` is given.
    """
    document = root_of(reply.body)
    if reply.status == 200 and document is not None and local_name(document) == name:
        return document
    code, message = ("InvalidReply", problem) if problem else read_error(reply.status, reply.body)
    raise S3Error(reply.status, code, message, key, verb=verb, attempts=reply.attempts, repeated=reply.repeated)
