"""TLS contexts: which certificates of a service are trusted."""

from __future__ import annotations

import ssl

from ...codes import Code
from ...config.settings import Side
from ...errors import RefusedError


def tls_of(side: Side, bundle: str | None) -> ssl.SSLContext:
    """Return the TLS context of a side. Raises RefusedError if `bundle` has no CA certificates.

    bundle: the path of a file of CA certificates; None: the system's
    """
    if not side.verify_tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise RefusedError.of(
            f"{side.setting}.ca_bundle",
            bundle,
            f"cannot be read as certificates ({error.strerror or error})",
            "Name a readable file of CA certificates in PEM form",
            code=Code.S3_CERTIFICATE,
        ) from None
