"""Files that are whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ourgan._core import files
from ourgan._core.errors import OurganError


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_finished_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.write_bytes(path, b"old")
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path  # a rename is atomic within one directory only
        assert temporary.suffix == path.suffix  # so that writers which go by the suffix still do
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), files.atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_unwritable_file_is_one_line_with_the_reason_and_the_advice(tmp_path: Path) -> None:
    class OwnError(OurganError):
        pass

    path = tmp_path / "no" / "a.bin"
    with pytest.raises(OwnError) as caught, files.refuse_unwritable(path, "choose another --out", OwnError):
        files.write_bytes(path, b"new")
    assert str(caught.value) == f"{path}: cannot be written (No such file or directory); choose another --out"
    with pytest.raises(ValueError, match="another"), files.refuse_unwritable(path, "wait"):
        raise ValueError("another")


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a.bin"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_killed_while_writing_keeps_the_old_file(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = (
        "import os, signal, sys\n"
        "from ourgan._core import files\n"
        f"os.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_bytes(sys.argv[1], b'new' * 1000)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    left_over = [name for name in names(tmp_path) if name != "a.bin"]
    assert len(left_over) == 1
    assert left_over[0].startswith(files.PARTIAL)
    files.clean_partial(tmp_path)
    assert names(tmp_path) == ["a.bin"]


def test_cleaning_removes_partial_files_of_this_directory_only(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in (".partial-1-a.png", "a.partial-1", ".hidden", "inner/.partial-2-b"):
        (tmp_path / name).write_bytes(b"x")
    files.clean_partial(tmp_path)
    assert names(tmp_path) == [".hidden", "a.partial-1", "inner"]
    assert names(tmp_path / "inner") == [".partial-2-b"]


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with files.atomic_path(path) as first, files.atomic_path(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"  # the one that finished last
    assert names(tmp_path) == ["a.bin"]


def test_json_keeps_the_order_of_keys_and_letters_beyond_ascii(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"b": [1, 2.5], "a": "Größe", "nothing": None}
    files.write_json(path, value)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.index('"b"') < text.index('"a"')
    assert "Größe" in text
    assert text.endswith("}\n")


def test_the_directory_is_synced_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    files.write_bytes(tmp_path / "a.bin", b"x")
    assert calls == ["fsync", "replace", "fsync"]


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9999  # several blocks
    (tmp_path / "a.bin").write_bytes(data)
    assert files.sha256(tmp_path / "a.bin") == hashlib.sha256(data).hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="the variable of Linux")
def test_the_cache_follows_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_directory() == tmp_path / "ourgan"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_directory() == tmp_path / ".cache" / "ourgan"
