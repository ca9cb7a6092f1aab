"""Keys of a cluster's own: `python certificates.py FOLDER --days N [--check]`.

An authority signs one certificate for all members and one for the controller, and is forgotten: its key is never
written, so that nobody can sign another one. Whoever has one of the two keys can run code on every member.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOLDERS = ("member", "controller")
SPARE = 0.25
"""The part of their lifetime that certificates must have left; those with less are made anew."""
CLOCKS_DIFFER_BY = timedelta(hours=1)


def main() -> int:
    """Run the command line and print one line of JSON. Return the exit status."""
    parser = argparse.ArgumentParser(description="Keys of a cluster's own.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, required=True, help="their lifetime")
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    now = datetime.now(UTC)
    changed = not are_good(options.folder, now)
    digest, problem = "", ""
    try:
        if changed and options.check:
            require_writable(options.folder)
        elif changed:
            write(options.folder, now, timedelta(days=options.days))
        if not (changed and options.check):
            digest = hashlib.sha256((options.folder / "member.pem").read_bytes()).hexdigest()
    except OSError as error:
        problem = f"{error.strerror}: {error.filename}"
    sys.stdout.write(json.dumps({"changed": changed, "digest": digest, "problem": problem}) + "\n")
    return 0


def require_writable(folder: Path) -> None:
    """Raise OSError if the keys could not be written there. Writes nothing."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def are_good(folder: Path, now: datetime) -> bool:
    """Return whether the keys are there, belong together, and last for a while."""
    try:
        authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        for holder in HOLDERS:
            certificate = x509.load_pem_x509_certificate((folder / f"{holder}.pem").read_bytes())
            certificate.verify_directly_issued_by(authority)
            key = serialization.load_pem_private_key((folder / f"{holder}.key").read_bytes(), None)
            if key.public_key() != certificate.public_key() or _is_nearly_over(certificate, now):
                return False
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_nearly_over(certificate: x509.Certificate, now: datetime) -> bool:
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < lifetime * SPARE


def write(folder: Path, now: datetime, lifetime: timedelta) -> None:
    """Write new keys, of an authority of their own."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    until = now + lifetime
    authority = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rehome cluster")])
    root = (
        _builder(name, name, authority, now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(authority, hashes.SHA256())
    )
    _write(folder / "ca.pem", root.public_bytes(serialization.Encoding.PEM))
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    for holder in HOLDERS:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Rehome {holder}")])
        # members listen and call; the controller only calls
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if holder == "member" else [])]
        certificate = (
            _builder(subject, name, key, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{holder}.rehome.internal")]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(authority, hashes.SHA256())
        )
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        _write(folder / f"{holder}.key", key.private_bytes(encoding, form, serialization.NoEncryption()))
        _write(folder / f"{holder}.pem", certificate.public_bytes(encoding))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER_BY)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes) -> None:
    """Replace a file, which only its owner can read at any time."""
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
