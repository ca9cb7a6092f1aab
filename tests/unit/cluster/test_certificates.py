from __future__ import annotations

import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.cluster.programs import load

certificates = load("cluster", "certificates")
NOW = datetime(2026, 11, 29, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    certificates.write(tmp_path / "keys", NOW, WEEK)
    return tmp_path / "keys"


def test_only_the_owner_can_read_what_is_written(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_folder_that_cannot_be_made_is_told_without_a_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as refused:
        certificates.require_writable(tmp_path / "file" / "keys")
    assert refused.value.filename == str(tmp_path / "file")
    certificates.require_writable(tmp_path / "new" / "keys")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_key_of_the_authority_is_never_written(folder: Path) -> None:
    names = {"ca.pem", "controller.key", "controller.pem", "member.key", "member.pem"}
    assert {file.name for file in folder.iterdir()} == names
    assert "PRIVATE" not in (folder / "ca.pem").read_text()


def test_keys_are_good_until_a_quarter_of_their_time_is_left(folder: Path) -> None:
    assert certificates.are_good(folder, NOW)
    assert certificates.are_good(folder, NOW + timedelta(days=5))
    assert not certificates.are_good(folder, NOW + timedelta(days=6))
    assert not certificates.are_good(folder, NOW + timedelta(days=8))


@pytest.mark.parametrize("name", ["ca.pem", "controller.key", "controller.pem", "member.key", "member.pem"])
def test_keys_are_no_good_if_one_is_missing_damaged_or_of_another_cluster(
    name: str, folder: Path, tmp_path: Path
) -> None:
    certificates.write(tmp_path / "other", NOW, WEEK)
    shutil.copy(tmp_path / "other" / name, folder / name)
    assert not certificates.are_good(folder, NOW)
    (folder / name).write_text("-----BEGIN CERTIFICATE-----\n")
    assert not certificates.are_good(folder, NOW)
    (folder / name).unlink()
    assert not certificates.are_good(folder, NOW)


def test_the_certificates_stand_a_strict_check(folder: Path) -> None:
    """As Python 3.13 makes it by default."""
    certificates.write(folder, datetime.now(UTC), WEEK)
    client = _context(ssl.Purpose.SERVER_AUTH, folder, "controller")
    client.check_hostname = False
    server = _context(ssl.Purpose.CLIENT_AUTH, folder, "member")
    server.verify_mode = ssl.CERT_REQUIRED
    at_client, at_server = [ssl.MemoryBIO(), ssl.MemoryBIO()], [ssl.MemoryBIO(), ssl.MemoryBIO()]
    sides = [
        (client.wrap_bio(at_client[0], at_client[1]), at_client[1], at_server[0]),
        (server.wrap_bio(at_server[0], at_server[1], server_side=True), at_server[1], at_client[0]),
    ]
    done = [False, False]
    for _ in range(4):
        for number, (side, outgoing, incoming) in enumerate(sides):
            try:
                side.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                pass
            incoming.write(outgoing.read())
    assert done == [True, True]


def _context(purpose: ssl.Purpose, folder: Path, holder: str) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(folder / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(folder / f"{holder}.pem", folder / f"{holder}.key")
    return context
