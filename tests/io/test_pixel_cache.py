"""Images kept tile by tile: what is there is right, whoever was killed, and no more than the limit."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ourgan._core.errors import OurganError
from ourgan.cli import main
from ourgan.io import pixel_cache
from ourgan.io.pixel_cache import Box, KeptImage, clear_images, images_directory, kept_images

SIZE = (70, 50)  # height, width: 3 x 2 tiles of 32


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)


def image(number: int = 0, *, side: int = 32) -> KeptImage:
    return KeptImage({"photo": number}, SIZE, side, f"{number}.jpg")


def pixels_of(tile: Box) -> np.ndarray:
    y, x = np.mgrid[tile[0] : tile[0] + tile[2], tile[1] : tile[1] + tile[3]]
    return np.stack([y, x, y + x], 2).astype(np.uint8)


def filled(number: int = 0) -> KeptImage:
    made = image(number)
    for tile in made.tiles():
        made.write(tile, pixels_of(tile))
    return made


def test_tiles_make_up_the_image_in_any_order() -> None:
    made = image()
    assert made.missing(made.tiles()) == made.tiles() and len(made.tiles()) == 6
    for tile in reversed(made.tiles()):
        made.write(tile, pixels_of(tile))
        assert tile not in made.missing(made.tiles())
    for again in (made, image()):
        assert not again.missing(again.tiles())
        assert np.array_equal(again.pixels, pixels_of((0, 0, *SIZE)))
    assert image(1).missing(made.tiles()) == made.tiles()
    assert len(image(side=16).missing(image(side=16).tiles())) == 20


def test_a_tile_counts_only_as_it_was_written(caplog: pytest.LogCaptureFixture) -> None:
    made = filled()
    half = image(2)
    half.write(half.tiles()[0], pixels_of(half.tiles()[0]))
    for y, row in enumerate(pixels_of(half.tiles()[1])):  # killed before the checksum
        pixel_cache._write(half._files[0], 3 * (y * SIZE[1] + 32), row.tobytes())
    assert image(2).missing(half.tiles()) == half.tiles()[1:]
    with (made.directory / pixel_cache.PIXELS).open("r+b") as file:
        file.seek(3 * 40 * SIZE[1])
        file.write(b"rot")
    assert image().missing(made.tiles()) == [made.tiles()[2]]
    assert "damaged at (0, 32), made again" in caplog.text
    (made.directory / pixel_cache.PIXELS).unlink()
    assert len(image().missing(made.tiles())) == 6


def test_a_disk_that_is_full_while_a_tile_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    made = image()
    tile = made.tiles()[0]
    with Path("/dev/full").open("wb", buffering=0) as full:
        with monkeypatch.context() as patch:
            patch.setattr(made, "_files", [full, made._files[1]])
            with pytest.raises(OurganError, match=r"cannot be written \(No space left.*make room"):
                made.write(tile, pixels_of(tile))
        assert made.missing([tile]) == [tile]
    made.write(tile, pixels_of(tile))
    assert not made.missing([tile])


def test_a_cache_that_cannot_be_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 5))
        with pytest.raises(OurganError, match="MiB are free: make room there, set XDG_CACHE_HOME"):
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
        os.utime(filled(number).directory / pixel_cache.ABOUT, (number, number))
    image(0)  # used again
    taken = [kept.bytes for kept in kept_images()]
    assert [kept.about["name"] for kept in kept_images()] == ["0.jpg", "2.jpg", "1.jpg"]
    monkeypatch.setenv("OURGAN_CACHE_LIMIT", str(taken[0] + taken[1] + 3 * SIZE[0] * SIZE[1]))
    held = image(1)  # itself does not count twice
    assert len(kept_images()) == 3
    filled(3)
    assert [kept.about["name"] for kept in kept_images()] == ["3.jpg", "1.jpg", "0.jpg"]
    monkeypatch.setenv("OURGAN_CACHE_LIMIT", str(3 * SIZE[0] * SIZE[1]))
    image(4)
    assert [kept.about["name"] for kept in kept_images()] == ["4.jpg"]
    # Who is at work on one that was removed has it still, and may go on.
    assert np.array_equal(held.pixels, pixels_of((0, 0, *SIZE)))
    held.write(held.tiles()[0], pixels_of(held.tiles()[0]))


def test_the_command_lists_and_clears(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert "0 MiB of 4,096" in capsys.readouterr().out
    filled()
    (images_directory() / ".partial-old").mkdir()
    assert main(["cache"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert "0.jpg at 50x70" in first and "--clear" in last
    assert json.loads((kept_images()[0].directory / pixel_cache.ABOUT).read_text())["photo"] == 0
    assert main(["cache", "--clear"]) == 0
    assert "freed" in capsys.readouterr().out and not list(images_directory().iterdir())
    assert clear_images() == 0
