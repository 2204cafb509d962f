"""Where measurements are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ourgan._core.caches import cache_directory


@pytest.mark.skipif(sys.platform != "linux", reason="the variable of Linux")
def test_the_cache_follows_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "ourgan"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "ourgan"
