"""A photo beyond its own size: fixed tiles, the same bits in any order, by anybody, after anything."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig
from ourgan.io import kept_image
from ourgan.io.model_photo import ModelPhoto
from ourgan.io.pixel_cache import clear_images, kept_images
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale import enlarged_photo
from ourgan.upscale.enlarged_photo import EnlargedPhoto, steps_beyond
from ourgan.upscale.schedule import Network
from ourgan.upscale.upscaler import Upscaler
from ourgan.weights import Weights

SHOWN = (225, 300)  # of a photo of 60 x 45: 5 times
SETTINGS = SuperResolutionConfig(noise_std=0.0, dtype="float32")
MINE = ModelPhoto(Path("mine.png"), "1" * 64)


def tiny(settings: SuperResolutionConfig) -> tuple[Network, Weights]:
    torch.manual_seed(5)
    swinir = settings.backbone == "swinir"
    network: Network = SwinIR(channels=8, depths=(2,), heads=2) if swinir else RRDBNet(8, 1, 4)
    return network.eval(), Weights("tiny", {}, "a test", settings.released[:1] * 64, "CC0-1.0")


@pytest.fixture(autouse=True)
def small_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("ourgan.upscale.upscaler.starting_network", tiny)
    monkeypatch.setattr(enlarged_photo, "CORE", 32)  # of the photo: tiles of 128


@pytest.fixture
def pixels(photo: Callable[..., Tensor]) -> np.ndarray:
    return to_uint8(photo(width=60))


def enlarged(pixels: np.ndarray, shown: tuple[int, int] = SHOWN, **changes: Any) -> EnlargedPhoto:
    upscaler = Upscaler(dataclasses.replace(SETTINGS, **changes), device=torch.device("cpu"))
    steps = steps_beyond(pixels.shape[:2], shown, [2, 3, 4])
    return EnlargedPhoto.of(MINE, pixels, upscaler, steps, shown)


def whole(photo: EnlargedPhoto, *, backwards: bool = False) -> np.ndarray:
    tiles = photo.kept.tiles()
    assert list(photo.make(tiles[::-1] if backwards else tiles))
    assert not list(photo.make(tiles))
    return np.array(photo.pixels)


def test_as_many_steps_as_the_size_asks_for() -> None:
    for width, expected in ((90, []), (133, []), (134, [4]), (533, [4]), (534, [3, 4]), (6400, [2, 3, 4])):
        assert steps_beyond((75, 100), (width * 3 // 4, width), [2, 3, 4]) == expected
    assert steps_beyond((75, 100), (75, 300), [2, 3]) == [3]


@pytest.mark.parametrize("backbone", ["esrgan", "swinir"])
def test_a_tile_is_the_same_alone_in_any_order_and_from_the_disk(pixels: np.ndarray, backbone: str) -> None:
    released = {"backbone": backbone, "weights": "auto"}
    every = whole(enlarged(pixels, **released))
    assert np.array_equal(enlarged(pixels, **released).pixels, every)
    clear_images()
    assert np.array_equal(whole(enlarged(pixels, **released), backwards=True), every)
    clear_images()
    alone = enlarged(pixels, **released)
    tile = alone.kept.tiles()[4]
    top, left, height, width = tile
    assert list(alone.make([tile])) == [tile]
    assert np.array_equal(
        alone.pixels[top : top + height, left : left + width], every[top:, left:][:height, :width]
    )
    assert not alone.pixels[:top].any()


@pytest.mark.parametrize("shown", [(180, 240), SHOWN, (100, 134), (720, 960)])
def test_it_is_what_the_network_makes_of_the_photo(
    pixels: np.ndarray, shown: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enlarged_photo, "CORE", 64 if shown[1] == 960 else 16)
    made, upscaler = whole(enlarged(pixels, shown)), Upscaler(SETTINGS, device=torch.device("cpu"))
    steps = steps_beyond(pixels.shape[:2], shown, [2, 3, 4])
    once = to_uint8(upscaler.upscale(from_uint8(pixels), 0, steps))  # MARGIN is all that the network reaches
    wanted = np.asarray(Image.fromarray(once).resize(shown[::-1], Image.Resampling.BICUBIC))
    assert made.shape == (*shown, 3) and len(steps) == (2 if shown[1] == 960 else 1)
    assert np.abs(made.astype(int) - wanted).max() <= (3 if len(steps) == 2 else 1)


def test_a_second_thread_changes_no_bit(pixels: np.ndarray) -> None:
    made = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        photo = enlarged(pixels)
        made.append(photo._tile(photo.kept.tiles()[0]))
    assert np.array_equal(*made)


def test_what_decides_the_pixels_decides_the_place(pixels: np.ndarray, tmp_path: Path) -> None:
    first = enlarged(pixels)
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"never read")
    others = [
        enlarged(pixels, (216, 288)),
        enlarged(pixels, dtype="bfloat16"),
        enlarged(pixels, noise_std=0.1),
        enlarged(pixels, backbone="swinir"),
        EnlargedPhoto.of(ModelPhoto(Path("mine.png"), "2" * 64), pixels, first.upscaler, [4], SHOWN),
    ]
    assert len({photo.kept.directory for photo in [first, *others]}) == 6
    assert enlarged(pixels).kept.directory == first.kept.directory
    about = first.describe()
    assert about["photo"] == "1" * 64 and about["size"] == [300, 225] and about["dtype"] == ["float32"]
    assert "mine.png" not in str(about), "the same photo under another name is the same photo"
    assert not np.array_equal(whole(first), whole(others[2])), "noise of Eq. 4, for networks that know it"
    assert np.abs(whole(others[1]).astype(int) - first.pixels).max() < 8


def test_fine_tuned_weights_of_the_step_are_taken(
    pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuned(backbone: str, path: Path) -> tuple[Network, Weights]:
        network, source = tiny(SETTINGS)
        with torch.no_grad():
            network.conv_first.weight.mul_(0.5)
        return network, dataclasses.replace(source, sha256="9" * 64)

    monkeypatch.setattr("ourgan.upscale.upscaler.fine_tuned_network", tuned)
    plain = whole(enlarged(pixels))
    for step, same in ((3, True), (4, False)):
        upscaler = Upscaler(SETTINGS, {step: Path("own.safetensors")}, torch.device("cpu"))
        own = EnlargedPhoto.of(MINE, pixels, upscaler, [4], SHOWN)
        assert (own.describe()["weights"] == ["9" * 64]) is not same
        assert np.array_equal(own.pixels if same else whole(own), plain) is same


def test_values_that_are_not_finite_are_refused(pixels: np.ndarray) -> None:
    photo = enlarged(pixels)
    with torch.no_grad():
        photo.upscaler.network(4)[0].conv_first.weight.fill_(torch.nan)
    with pytest.raises(OurganError, match="not finite"):
        list(photo.make(photo.kept.tiles()))
    assert photo.kept.missing(photo.kept.tiles()) == photo.kept.tiles()


CHILD = """
    import os, signal, sys
    import numpy as np
    sys.path[:0] = {paths!r}
    import test_enlarged_photo as test
    from ourgan.io import kept_image
    from ourgan.upscale import enlarged_photo, upscaler
    upscaler.starting_network, enlarged_photo.CORE = test.tiny, 32
    write, made = kept_image._write, []
    def until(file, offset, data):
        write(file, offset, data)
        if len(data) == 4:
            made.append(offset)
        elif len(made) == {kill_after}:
            os.kill(os.getpid(), signal.SIGKILL)
    kept_image._write = until
    photo = test.enlarged(np.load({pixels!r}))
    print("ready", flush=True)
    sys.stdin.readline()
    test.torch.set_num_threads(1)
    list(photo.make(photo.kept.tiles()))
    print(len(made))
"""


@contextlib.contextmanager
def child(pixels: np.ndarray, tmp_path: Path, kill_after: int = 1000) -> Iterator[subprocess.Popen[str]]:
    np.save(tmp_path / "pixels.npy", pixels)
    here = Path(__file__).parent
    values = {"paths": [str(here), str(here.parent)], "pixels": str(tmp_path / "pixels.npy")}
    code = textwrap.dedent(CHILD).format(kill_after=kill_after, **values)
    pipe = subprocess.PIPE
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.slow
def test_killed_and_repeated_it_is_the_same_photo(pixels: np.ndarray, tmp_path: Path) -> None:
    with child(pixels, tmp_path, kill_after=3) as process:
        process.communicate("go\n")
    assert process.returncode == -signal.SIGKILL
    photo = enlarged(pixels)
    assert photo.kept.missing(photo.kept.tiles()) == photo.kept.tiles()[3:]
    resumed = whole(photo)
    clear_images()
    assert np.array_equal(whole(enlarged(pixels)), resumed)


@pytest.mark.slow
def test_two_processes_share_the_work(pixels: np.ndarray, tmp_path: Path) -> None:
    with child(pixels, tmp_path) as one, child(pixels, tmp_path) as other:
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        counts = [int(process.communicate()[0]) for process in (one, other)]
    photo = enlarged(pixels)
    assert sum(counts) == len(photo.kept.tiles()) and not photo.kept.missing(photo.kept.tiles())
    shared = np.array(photo.pixels)
    assert len(kept_images()) == 1
    clear_images()
    assert np.array_equal(whole(enlarged(pixels)), shared)


def test_a_disk_that_is_full_stops_with_one_line(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, write = enlarged(pixels), kept_image._write

    def full(file: Any, offset: int, data: bytes) -> None:
        if offset > 3 * 150 * SHOWN[1]:
            raise OSError(28, "No space left on device")
        write(file, offset, data)

    with monkeypatch.context() as patch:
        patch.setattr(kept_image, "_write", full)
        with pytest.raises(OurganError, match="No space left on device"):
            list(photo.make(photo.kept.tiles()))
    assert photo.kept.missing(photo.kept.tiles()) == photo.kept.tiles()[3:]  # of the second row on
    rest = whole(photo)
    clear_images()
    assert np.array_equal(whole(enlarged(pixels)), rest)
