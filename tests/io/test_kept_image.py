"""Images kept tile by tile: what is there is right, whoever was killed."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from ourgan._core.errors import OurganError
from ourgan.io import kept_image
from ourgan.io.kept_image import Box, KeptImage

SIZE = (70, 50)  # height, width: 3 x 2 tiles of 32


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
        kept_image._write(half._files[0], 3 * (y * SIZE[1] + 32), row.tobytes())
    assert image(2).missing(half.tiles()) == half.tiles()[1:]
    with (made.directory / kept_image.PIXELS).open("r+b") as file:
        file.seek(3 * 40 * SIZE[1])
        file.write(b"rot")
    assert image().missing(made.tiles()) == [made.tiles()[2]]
    assert "damaged at (0, 32), made again" in caplog.text
    (made.directory / kept_image.PIXELS).unlink()
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


def test_a_whole_image_that_may_only_be_read_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    filled()
    image(1).write((0, 0, 32, 32), pixels_of((0, 0, 32, 32)))
    monkeypatch.setattr(os, "utime", read_only)
    assert np.array_equal(image().pixels, pixels_of((0, 0, *SIZE)))
    assert not image().missing(image().tiles())
    for number in (1, 2):
        with pytest.raises(OurganError, match=r"cannot be written \(Permission denied\)"):
            image(number)


def test_a_tile_is_made_once_at_a_time_and_others_meanwhile() -> None:
    first, second = image().tiles()[:2]

    def turn() -> None:
        with image().alone(first):
            pass

    with ThreadPoolExecutor(1) as pool:
        with image().alone(first), image().alone(second):
            waiting = pool.submit(turn)
            assert not wait([waiting], 0.3).done
        waiting.result(timeout=60)
    removed = image()
    shutil.rmtree(removed.directory)
    with removed.alone(first):
        removed.write(first, pixels_of(first))
    assert not removed.missing([first])
