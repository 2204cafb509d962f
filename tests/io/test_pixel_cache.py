"""The cache of large images: no more than the limit, the last used stays, and what cannot be is one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ourgan._core.errors import OurganError
from ourgan.cli import main
from ourgan.io.kept_image import KeptImage
from ourgan.io.pixel_cache import ABOUT, clear_images, images_directory, kept_images

SIZE = (70, 50)
WHOLE = 3 * SIZE[0] * SIZE[1]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)


def image(number: int = 0) -> KeptImage:
    return KeptImage({"photo": number}, SIZE, 32, f"{number}.jpg")


def filled(number: int = 0) -> KeptImage:
    made = image(number)
    for tile in made.tiles():
        made.write(tile, np.full((*tile[2:], 3), 7 + number, np.uint8))
    return made


def test_a_cache_that_cannot_be_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 5))
        with pytest.raises(OurganError, match="MiB are free: make room, set XDG_CACHE_HOME"):
            image()
    monkeypatch.setenv("OURGAN_CACHE_LIMIT", "10k")
    with pytest.raises(OurganError, match="the cache's limit is 0 MiB: set OURGAN_CACHE_LIMIT"):
        image()
    monkeypatch.setenv("OURGAN_CACHE_LIMIT", "much")
    with pytest.raises(OurganError, match="OURGAN_CACHE_LIMIT: 'much' is not an amount"):
        image()
    monkeypatch.delenv("OURGAN_CACHE_LIMIT")
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(OurganError, match="cannot be written"):
        image()


def test_what_was_used_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        os.utime(filled(number).directory / ABOUT, (number, number))
    image(0)  # used again
    taken = [kept.bytes for kept in kept_images()]
    assert [kept.about["name"] for kept in kept_images()] == ["0.jpg", "2.jpg", "1.jpg"]
    monkeypatch.setenv("OURGAN_CACHE_LIMIT", str(taken[0] + taken[1] + WHOLE))
    held = image(1)  # itself does not count twice
    assert len(kept_images()) == 3
    filled(3)
    assert [kept.about["name"] for kept in kept_images()] == ["3.jpg", "1.jpg", "0.jpg"]
    monkeypatch.setenv("OURGAN_CACHE_LIMIT", str(WHOLE))
    image(4)
    assert [kept.about["name"] for kept in kept_images()] == ["4.jpg"]
    # Who is at work on one that was removed has it still, and may go on.
    assert (held.pixels == 8).all()
    held.write(held.tiles()[0], np.zeros((32, 32, 3), np.uint8))
    assert not held.missing(held.tiles())


def test_the_command_lists_and_clears(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert "0 MiB of 4,096" in capsys.readouterr().out
    filled()
    (images_directory() / ".partial-old").mkdir()
    assert main(["cache"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert "0.jpg at 50x70" in first and "--clear" in last
    assert json.loads((kept_images()[0].directory / ABOUT).read_text())["photo"] == 0
    assert main(["cache", "--clear"]) == 0
    assert "freed" in capsys.readouterr().out and not list(images_directory().iterdir())
    assert clear_images() == 0
