"""The state folder is one that only its owner can have prepared."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from rehome.errors import RefusedError
from rehome.state.folder import prepare_state_dir


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder like /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def test_a_folder_is_made_for_its_owner_alone(public: Path) -> None:
    folder = public / "rehome-job-42" / "prod" / "avatars"
    prepare_state_dir(folder)
    prepare_state_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_somebody_else_has_put_where_everybody_may_write_is_refused(public: Path, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (public / "rehome-job-42").symlink_to(tmp_path / "trap")
    with pytest.raises(RefusedError, match=r"rehome_state_dir \(.*\): .*/rehome-job-42 is of another user, or a link"):
        prepare_state_dir(public / "rehome-job-42" / "prod" / "avatars")


def test_a_folder_of_another_user_is_refused_there(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (public / "rehome-job-42").mkdir()
    _own_everything(os.geteuid() + 1, monkeypatch)
    with pytest.raises(RefusedError, match="is of another user"):
        prepare_state_dir(public / "rehome-job-42" / "prod")


def test_a_folder_of_root_is_trusted_there(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (public / "rehome-job-42").mkdir()
    _own_everything(0, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    prepare_state_dir(public / "rehome-job-42" / "prod")


def _own_everything(user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files look like this user's: only root can give files away."""
    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: SimpleNamespace(st_mode=lstat(path).st_mode, st_uid=user))


def test_a_link_in_a_folder_of_ones_own_is_the_owners_business(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    prepare_state_dir(tmp_path / "state" / "prod")
    assert (tmp_path / "disk" / "prod").is_dir()
