"""Tiles of a scene and of a finished picture, and the thread that makes those that are wanted."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from large_pictures import save_picture
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.deep_zoom.file import PictureSource
from ourgan.explorer.deep_zoom.source import BLOCK, SceneSource, Tile, TileSource
from ourgan.explorer.deep_zoom.worker import TileWorker
from ourgan.explorer.state.background import ByteCache
from ourgan.explorer.state.switches import project
from ourgan.io.pixels import encode_png, to_uint8
from ourgan.io.tiff import Pixels, half_size
from ourgan.pipeline import OurGAN

sys.path.insert(0, str(Path(__file__).parent))
from toy import toy_model


@pytest.fixture(scope="module")
def model() -> OurGAN:
    return toy_model()


@pytest.fixture
def source(model: OurGAN) -> SceneSource:
    return SceneSource(model, 7, "16k", ByteCache())


def whole_level(source: TileSource, level: int) -> Pixels:
    height, width = source.shapes[level]
    pixels = np.zeros((height, width, 3), np.uint8)
    for y in range(-(-height // source.tile)):
        for x in range(-(-width // source.tile)):
            tile = source.pixels((level, x, y))
            top, left = y * source.tile, x * source.tile
            target = pixels[top : top + source.tile, left : left + source.tile]
            assert tile.shape == target.shape and tile.dtype == np.uint8
            target[:] = tile
    return pixels


@pytest.mark.slow
def test_levels_are_the_steps_and_halves_of_the_next(model: OurGAN, source: SceneSource) -> None:
    assert source.shapes == [(120 << n, 160 << n) for n in range(7)]
    assert np.array_equal(whole_level(source, 0), to_uint8(model.sample(7)))
    second = to_uint8(model.crop(7, "1k", (0, 0, 640, 480)))
    assert np.array_equal(whole_level(source, 2), second)
    assert np.array_equal(whole_level(source, 1), half_size(second))
    fourth = whole_level(source, 4)
    assert np.array_equal(whole_level(source, 3), half_size(fourth))
    # Windows with some context: equal to the whole picture within the tolerance of two steps.
    assert np.abs(fourth.astype(int) - model.synthesize(7, "4k", progress=False)).max() <= 2


@pytest.mark.parametrize("detail", ["photo", "network"])
def test_levels_of_a_scene_that_is_redrawn(photographed: OurGAN, detail: str) -> None:
    """Levels of detail photo are those of the finished picture; of the network, within the tolerance."""
    way = {"scene": "projected", "detail": detail}
    source = SceneSource(photographed, 7, "4k", ByteCache(), width=40, **way)
    drawn = photographed.sample(7, width=40)
    assert np.array_equal(whole_level(source, 0), to_uint8(project(photographed, drawn)))
    largest = 0 if detail == "photo" else 2
    for level, size in ((2, "1k"), (4, "4k")):
        finished = photographed.synthesize(7, size, width=40, progress=False, **way)
        apart = np.abs(whole_level(source, level).astype(int) - finished)
        below = np.abs(whole_level(source, level - 1).astype(int) - half_size(finished))
        assert max(apart.max(), below.max()) <= largest
    plain = SceneSource(photographed, 7, "4k", ByteCache(), width=40)
    assert not np.array_equal(whole_level(plain, 2), whole_level(source, 2))
    assert ("redrawn from the photo" in source.note) == (detail == "photo") and "minute" in plain.note


def test_one_cache_holds_both_ways(photographed: OurGAN) -> None:
    cache = ByteCache()
    drawn = SceneSource(photographed, 7, "1k", cache, width=40)
    redrawn = SceneSource(photographed, 7, "1k", cache, width=40, scene="auto", detail="auto")
    for tile in ((0, 0, 0), (2, 0, 0)):
        assert not np.array_equal(drawn.pixels(tile), redrawn.pixels(tile))
    with pytest.raises(OurganError, match="detail photo does not go with scene drawn"):
        SceneSource(photographed, 7, "1k", cache, detail="photo")
    with pytest.raises(OurganError, match="not at hand"):
        SceneSource(toy_model(), 7, "1k", cache, scene="projected")


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_16k_tile_is_what_crop_gives(model: OurGAN, data: st.DataObject) -> None:
    source = SceneSource(model, 7, "16k", ByteCache())
    height, width = source.shapes[6]
    x, y = data.draw(st.integers(0, width // 256 - 1)), data.draw(st.integers(0, height // 256 - 1))
    column, row = x // 2 * BLOCK, y // 2 * BLOCK
    block = to_uint8(model.crop(7, "16k", (column, row, BLOCK, BLOCK)))
    inner = block[y % 2 * 256 :, x % 2 * 256 :][:256, :256]
    assert np.array_equal(source.pixels((6, x, y)), inner)
    assert np.array_equal(source.pixels((5, x // 2, y // 2)), half_size(block))


def test_tiles_beyond_the_picture_are_not_in_it(source: SceneSource) -> None:
    inside = [(0, 0, 0), (6, 39, 29), (5, 19, 14)]
    outside = [(7, 0, 0), (-1, 0, 0), (6, 40, 0), (6, 0, 30), (6, -1, 0), (0, 1, 0)]
    assert all(tile in source for tile in inside) and not any(tile in source for tile in outside)


def test_an_image_takes_the_place_of_the_seeds(model: OurGAN, photo: Callable[..., Tensor]) -> None:
    image = torch.nn.functional.interpolate(photo(width=192)[None], (120, 192))[0]
    cache = ByteCache()
    drawn, other = (SceneSource(model, 7, "4k", cache, image=i) for i in (image, image.flip(2)))
    assert drawn.shapes == [(120 << n, 192 << n) for n in range(5)]
    assert np.array_equal(drawn.pixels((0, 0, 0)), to_uint8(image))
    expected = to_uint8(model.crop(7, "4k", (512, 1024, BLOCK, BLOCK), image=image))
    assert np.array_equal(drawn.pixels((3, 1, 2)), half_size(expected))
    assert not np.array_equal(other.pixels((3, 1, 2)), half_size(expected))  # one cache, another picture
    assert np.array_equal(SceneSource(model, 7, "4k", cache, width=64).pixels((0, 0, 0)).shape, (120, 64, 3))


def test_what_was_made_is_held_until_others_need_the_room(model: OurGAN) -> None:
    cache = ByteCache(limit=3 * BLOCK * BLOCK * 3)
    source = SceneSource(model, 7, "16k", cache)
    assert source.find((6, 4, 4)) is None
    made = source.pixels((6, 4, 4))
    same = source.find((6, 4, 4))
    assert same is not None and np.array_equal(same, made)
    assert all(source.find(t) is not None for t in [(6, 5, 5), (6, 5, 4), (5, 2, 2)]), "the same block"
    for column in range(3):
        source.pixels((5, column, 9))
    assert source.find((6, 4, 4)) is None and cache.currsize <= cache.maxsize


def test_an_unknown_size_is_refused(model: OurGAN) -> None:
    with pytest.raises(OurganError, match="size '2k': use one of 1k, 4k, 16k"):
        SceneSource(model, 7, "2k", ByteCache())


# -- finished pictures ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory, photo: Callable[..., Tensor]) -> tuple[Path, Pixels]:
    path = tmp_path_factory.mktemp("picture") / "scene.tif"
    pixels = to_uint8(photo(width=1301))
    save_picture(path, pixels, {})
    return path, pixels


def test_tiles_of_a_file_are_its_levels(picture: tuple[Path, Pixels]) -> None:
    path, pixels = picture
    source = PictureSource(path, ByteCache())
    levels = [pixels]
    while max(levels[0].shape) > 512:
        levels.insert(0, half_size(levels[0]))
    assert source.shapes == [level.shape[:2] for level in levels] and source.tile == 512
    for number, level in enumerate(levels):
        assert np.array_equal(whole_level(source, number), level)
    source.close()


def test_a_file_that_is_replaced_stays_one_picture(tmp_path: Path, picture: tuple[Path, Pixels]) -> None:
    path, cache = tmp_path / "scene.tif", ByteCache()
    path.write_bytes(picture[0].read_bytes())
    first = PictureSource(path, cache)
    save_picture(path, 255 - picture[1], {})
    second = PictureSource(path, cache)
    assert np.array_equal(first.pixels((2, 1, 1)), picture[1][512:1024, 512:1024])
    assert np.array_equal(second.pixels((2, 1, 1)), 255 - picture[1][512:1024, 512:1024])
    first.close()
    second.close()


def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path, picture: tuple[Path, Pixels]) -> None:
    pixels = picture[1]
    (tmp_path / "text.tif").write_text("no picture")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes(picture[0].read_bytes()[:-5000])
    tifffile.imwrite(tmp_path / "strips.tif", pixels)
    tifffile.imwrite(tmp_path / "grey.tif", pixels[..., 0], tile=(512, 512))
    tifffile.imwrite(tmp_path / "deep.tif", pixels.astype(np.uint16), tile=(512, 512))
    for name, why in {
        "absent": "No such file",
        "text": "not a readable TIFF",
        "empty": "not a readable TIFF",
        "cut": "cut.tif: not a readable TIFF",
        "strips": "no RGB tiles in levels",
        "grey": "no RGB tiles in levels",
        "deep": "no RGB tiles in levels",
    }.items():
        with contextlib.ExitStack() as opened, pytest.raises(OurganError, match=why) as caught:
            source = opened.enter_context(
                contextlib.closing(PictureSource(tmp_path / f"{name}.tif", ByteCache()))
            )
            whole_level(source, 0)  # damage may lie in the pixels
        assert "\n" not in str(caught.value) and f"{name}.tif" in str(caught.value)


# -- the thread -----------------------------------------------------------------------------------


class Slow(TileSource):
    """Grey tiles; one is made when `go` is released. `begun`: which."""

    def __init__(self, levels: int = 3) -> None:
        super().__init__(ByteCache())
        self.shapes, self.tile, self.note = [(8 << n, 8 << n) for n in range(levels)], 4, ""
        self.go, self.begun, self.closed = threading.Semaphore(0), list[Tile](), False

    def close(self) -> None:
        self.closed = True

    def _block(self, tile: Tile) -> Tile:
        return tile

    def _key(self, block: Tile) -> Tile:
        return block

    def _make(self, block: Tile) -> Pixels:
        self.begun.append(block)
        assert self.go.acquire(timeout=600)
        if block == (2, 7, 7):
            raise OurganError("this tile cannot be made")
        return np.full((4, 4, 3), sum(block), np.uint8)

    def _cut(self, tile: Tile, block: Pixels) -> Pixels:
        return block


class Heard:
    """What a worker told."""

    def __init__(self, source: TileSource) -> None:
        self.tiles, self.failed = dict[Tile, bytes](), dict[Tile, str]()
        self.worker = TileWorker(source, self.tiles.__setitem__, self.failed.__setitem__)


@pytest.fixture
def slow() -> Iterator[tuple[Slow, Heard]]:
    source = Slow()
    heard = Heard(source)
    yield source, heard
    heard.worker.close()
    source.go.release(100)
    assert heard.worker.join(600)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_small_levels_first_then_as_asked(slow: tuple[Slow, Heard]) -> None:
    source, heard = slow
    wanted = [(2, 5, 5), (2, 1, 1), (1, 2, 2), (0, 1, 0), (2, 0, 0)]
    source.go.release(len(wanted))
    heard.worker.want("a", wanted)
    assert heard.worker.join(600)
    assert source.begun == [(0, 1, 0), (1, 2, 2), (2, 5, 5), (2, 1, 1), (2, 0, 0)]
    assert heard.tiles.keys() == set(wanted) and not heard.failed
    with Image.open(io.BytesIO(heard.tiles[2, 5, 5])) as image:
        assert np.array_equal(np.asarray(image), np.full((4, 4, 3), 12))
    assert not [thread for thread in threading.enumerate() if thread.name == "ourgan-tiles"]


def test_what_is_out_of_view_is_never_begun(slow: tuple[Slow, Heard]) -> None:
    source, heard = slow
    heard.worker.want("a", [(2, x, 0) for x in range(6)])
    until(lambda: source.begun)
    heard.worker.want("a", [(2, 3, 7)])  # a pan
    source.go.release(10)
    assert heard.worker.join(600)
    assert source.begun == [(2, 0, 0), (2, 3, 7)]
    assert heard.tiles.keys() == {(2, 3, 7)}  # the one that was begun is not sent either
    heard.worker.want("a", [(2, 0, 0)])
    assert (2, 0, 0) in heard.tiles and len(source.begun) == 2  # but kept: answered at once


def test_what_is_there_does_not_wait_for_what_is_being_made(slow: tuple[Slow, Heard]) -> None:
    source, heard = slow
    source.go.release()
    heard.worker.want("a", [(0, 0, 0)])
    assert heard.worker.join(600)
    heard.worker.want("a", [(2, 0, 0)])
    until(lambda: len(source.begun) == 2)
    heard.tiles.clear()
    heard.worker.want("a", [(2, 0, 0), (0, 0, 0)])
    assert heard.tiles.keys() == {(0, 0, 0)}


def test_two_views_of_one_picture_both_get_theirs(slow: tuple[Slow, Heard]) -> None:
    source, heard = slow
    heard.worker.want("a", [(1, 0, 0)])
    heard.worker.want("b", [(1, 1, 1)])
    heard.worker.want("b", [(1, 2, 2)])
    source.go.release(10)
    assert heard.worker.join(600)
    assert heard.tiles.keys() == {(1, 0, 0), (1, 2, 2)}
    heard.worker.want("c", [])
    assert not heard.worker._wanted


def test_a_failure_is_told_once_and_the_rest_goes_on(slow: tuple[Slow, Heard]) -> None:
    source, heard = slow
    source.go.release(10)
    heard.worker.want("a", [(2, 7, 7), (2, 6, 6), (9, 0, 0)])
    assert heard.worker.join(600)
    assert heard.failed == {
        (2, 7, 7): "this tile cannot be made",
        (9, 0, 0): "tile (9, 0, 0) is not within the picture",
    }
    assert heard.tiles.keys() == {(2, 6, 6)}
    heard.worker.want("a", [(2, 7, 7)])  # try again
    assert heard.worker.join(600)
    assert source.begun.count((2, 7, 7)) == 2


def test_closed_it_says_nothing_more_and_its_thread_ends(slow: tuple[Slow, Heard]) -> None:
    source, heard = slow
    heard.worker.want("a", [(2, 0, 0), (2, 1, 0)])
    until(lambda: source.begun)
    heard.worker.close()
    assert not source.closed  # it is being read from
    source.go.release(10)
    assert heard.worker.join(600)
    assert source.closed and source.begun == [(2, 0, 0)] and not heard.tiles
    heard.worker.want("a", [(1, 0, 0)])
    assert len(source.begun) == 1
    idle = Slow()
    TileWorker(idle, heard.tiles.__setitem__, heard.failed.__setitem__).close()
    assert idle.closed


def test_a_hundred_pans_leave_no_thread_and_answer_the_last(source: SceneSource) -> None:
    heard = Heard(source)
    for step in range(100):
        wanted = [(4, x % 10, y % 7) for x in (step, step + 1) for y in (step, step + 1)]
        heard.worker.want("a", [(2, 0, 0), *wanted])
    assert heard.worker.join(60)
    assert set(wanted) <= heard.tiles.keys()
    assert not heard.worker._wanted and not heard.failed
    heard.worker.close()


def test_png_loses_nothing(photo: Callable[..., Tensor]) -> None:
    pixels = to_uint8(photo(width=256))
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)
