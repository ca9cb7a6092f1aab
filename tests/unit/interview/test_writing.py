from __future__ import annotations

import stat
from pathlib import Path

import pytest
from rehome.errors import RefusedError

from interview import writing
from interview.writing import NewFile, write_all


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_all_files_are_written_with_their_folders_and_secrets_are_the_owners(tmp_path: Path) -> None:
    write_all({tmp_path / "a" / "b" / "c.yml": NewFile(b"1"), tmp_path / "s.yml": NewFile(b"2", private=True)})
    assert everything(tmp_path) == {"a": None, "a/b": None, "a/b/c.yml": b"1", "s.yml": b"2"}
    assert stat.S_IMODE((tmp_path / "s.yml").stat().st_mode) == 0o600


def test_a_file_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(b"0")
    path.chmod(0o640)
    write_all({path: NewFile(b"1")})
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"1", 0o640)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_whatever_fails_the_files_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException
) -> None:
    old = tmp_path / "old.yml"
    old.write_bytes(b"0")
    before = everything(tmp_path)
    replace, calls = Path.replace, []

    def failing(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == at + 1:
            raise error
        return replace(path, target)

    monkeypatch.setattr(writing.Path, "replace", failing)
    files = {old: NewFile(b"1"), tmp_path / "n" / "x.yml": NewFile(b"2"), tmp_path / "m" / "y.yml": NewFile(b"3")}
    with pytest.raises(RefusedError if isinstance(error, OSError) else KeyboardInterrupt):
        write_all(files)
    assert everything(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RefusedError, match="cannot be written"):
        write_all({tmp_path / "file" / "a.yml": NewFile(b"1")})
