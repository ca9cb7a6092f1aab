"""Certificates for the tests' servers: an authority, and what it signs for a host and a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Signs certificates of servers. `.file` holds its own certificate."""

    def __init__(self, file: Path, name: str) -> None:
        self.file = file
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        made = self._certificate(self._name, self._key, 86_400, x509.BasicConstraints(ca=True, path_length=0))
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def sign(self, certificate: Path, key: Path, host: str = "127.0.0.1", seconds: int = 86_400) -> None:
        """Write a certificate for `host` that ends in so many seconds, with its key, over those that are there."""
        own = ec.generate_private_key(ec.SECP256R1())
        address = [x509.IPAddress(ip_address(host))] if host[0].isdigit() else [x509.DNSName(host)]
        made = self._certificate(_named(host), own, seconds, x509.SubjectAlternativeName(address))
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        key.touch(mode=0o600)
        key.write_bytes(own.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, seconds: int, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(seconds=seconds))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
