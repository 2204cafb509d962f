"""A picture that is killed, or whose disk is full, while it is drawn, and goes on to the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ourgan._core.errors import OurganError
from ourgan._core.files import sha256
from ourgan.io import canvas as canvas_module
from ourgan.io import tiff
from ourgan.io.canvas import Canvas, check_output

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills processes")
PHOTO = Path(__file__).parents[2] / "data/photos/picos-de-europa.jpg"
IDENTITY = {"seed": 7, "weights": {"step 2": "abc"}}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "TILE", 64)
    monkeypatch.setattr(canvas_module, "TILE", 64)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    with Image.open(PHOTO) as image:
        return np.asarray(image.resize((330, 517)))


def begin(path: Path, shape: tuple[int, int], identity: dict[str, Any] = IDENTITY, **options: bool) -> Canvas:
    canvas = Canvas(path, *shape, **options)
    assert canvas.begin(identity) == canvas.rows
    return canvas


def draw(path: Path, pixels: np.ndarray, *, pause: float = 0, resume: bool = False) -> None:
    canvas = begin(path, pixels.shape[:2], resume=resume)
    for row in range(canvas.rows, len(pixels), 7):
        time.sleep(pause)
        canvas.append(pixels[row : row + 7])
    canvas.finish({"seed": 7})


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_killed_at_20_moments_it_ends_with_the_same_bytes(tmp_path, pixels, suffix):
    draw(tmp_path / f"whole{suffix}", pixels)
    whole, path, chance = sha256(tmp_path / f"whole{suffix}"), tmp_path / f"scene{suffix}", random.Random(0)
    kills, begun = 0, []
    while kills < 20:  # however fast the machine: a picture that is finished is drawn again
        child = os.fork()
        if child == 0:
            try:
                draw(path, pixels, pause=0.001, resume=True)
            finally:  # what is finished is refused: never back into pytest, of which this is a second process
                os._exit(0)
        time.sleep(chance.uniform(0.005, 0.15))
        os.kill(child, signal.SIGKILL)
        killed = os.waitpid(child, 0)[1] == signal.SIGKILL
        kills += killed
        if (tmp_path / f".scene{suffix}.unfinished" / "run.json").exists():
            begun.append(begin(path, pixels.shape[:2], resume=True).rows)
        if not killed:
            assert sha256(path) == whole
            for output in tmp_path.glob("scene*"):
                output.unlink()
    if not path.with_suffix(".json").exists():
        draw(path, pixels, resume=True)
    assert any(begun)
    assert sha256(path) == whole
    with Image.open(path) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


def test_another_picture_in_the_same_file_is_refused_by_what_differs(tmp_path, pixels):
    path, shape = tmp_path / "scene.tif", pixels.shape[:2]
    begin(path, shape).append(pixels[:130])
    with pytest.raises(OurganError, match=r"begun and not finished; pass --resume"):
        begin(path, shape)
    for other, size, words in (
        (IDENTITY | {"seed": 8}, shape, "begun with seed 7, this is 8"),
        (IDENTITY | {"weights": {}}, shape, "begun with weights"),
        (IDENTITY, (shape[0], 331), "begun with width 330, this is 331"),
    ):
        with pytest.raises(OurganError, match=words) as caught:
            begin(path, size, other, resume=True)
        assert "\n" not in str(caught.value)
    assert begin(path, shape, resume=True).rows == 128
    assert begin(path, shape, IDENTITY | {"seed": 8}, overwrite=True).rows == 0


def test_who_resumes_never_loses_another_picture(tmp_path, pixels):
    path, shape = tmp_path / "scene.tif", pixels.shape[:2]
    begin(path, shape).append(pixels[:130])
    both = {"resume": True, "overwrite": True}
    assert begin(path, shape, **both).rows == 128
    with pytest.raises(OurganError, match="begun with seed 7, this is 8"):
        begin(path, shape, IDENTITY | {"seed": 8}, **both)
    assert begin(path, shape, IDENTITY | {"seed": 8}, overwrite=True).rows == 0


def test_a_crash_while_the_rows_are_removed_leaves_a_finished_picture(tmp_path, pixels, monkeypatch):
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "scene.tif"
    canvas = begin(path, pixels.shape[:2])
    canvas.append(pixels)
    rename = Path.rename
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        # Removing is many steps, of which the first is one: the rows are not an unfinished picture any more.
        patch.setattr(Path, "rename", lambda self, to: (rename(self, to), crash()))
        canvas.finish({})
    assert not (tmp_path / ".scene.tif.unfinished").exists()
    with pytest.raises(OurganError, match="exists already"):
        Canvas(path, *pixels.shape[:2], resume=True)
    draw(tmp_path / "other.tif", pixels)
    assert path.read_bytes() == (tmp_path / "other.tif").read_bytes()
    Canvas(path, *pixels.shape[:2], overwrite=True).begin()
    assert not (tmp_path / ".scene.tif.discarded").exists()


def test_what_a_crash_of_the_disk_has_spoilt_is_drawn_again(tmp_path, pixels):
    path, shape = tmp_path / "scene.tif", pixels.shape[:2]
    begin(path, shape).append(pixels)
    parts = sorted((tmp_path / ".scene.tif.unfinished").glob("level0-*"))
    whole = parts[3].read_bytes()
    for spoilt in (b"", whole[:-1], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
        parts[3].write_bytes(spoilt)
        assert begin(path, shape, resume=True).rows == 3 * 64
    (tmp_path / ".scene.tif.unfinished/run.json").write_text("{")
    with pytest.raises(OurganError, match=r"run.json: damaged"):
        begin(path, shape, resume=True)


FULL_DISK = """
import resource, sys
import numpy as np
from ourgan._core.errors import OurganError
from ourgan.io.canvas import Canvas
limit = int(sys.argv[2])
noise = np.random.default_rng(0).integers(0, 256, (1100, 600, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    canvas = Canvas(sys.argv[1], 1100, 600, resume=True)
    canvas.append(noise[canvas.begin() :])
    canvas.finish({})
except OurganError as error:
    sys.exit(f"{canvas.rows} {error}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [10_000, 900_000, 2_000_000])
def test_a_full_disk_is_one_line_and_goes_on_once_there_is_room(tmp_path, limit):
    def run(limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "scene.tif"), str(limit)]
        return subprocess.run(command, capture_output=True, text=True)

    done = run(limit)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "--resume" in done.stderr
    assert int(done.stderr.split()[0]) == (0 if limit < 1_000_000 else 1100)
    assert not (tmp_path / "scene.tif").exists()
    assert run(-1).returncode == 0
    noise = np.random.default_rng(0).integers(0, 256, (1100, 600, 3), dtype=np.uint8)
    with Image.open(tmp_path / "scene.tif") as picture:
        assert np.array_equal(np.asarray(picture), noise)
    assert json.loads((tmp_path / "scene.json").read_text())["picture"]["height"] == 1100


def test_a_disk_that_cannot_hold_it_is_refused_before_anything_is_drawn(tmp_path):
    side = int(shutil.disk_usage(tmp_path).free ** 0.5)
    with pytest.raises(OurganError, match="MiB are free; make room"):
        check_output(tmp_path / "scene.tif", (side, side))
    with pytest.raises(OurganError, match="MiB are free; make room"):
        Canvas(tmp_path / "scene.tif", side, side)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("vips") is None, reason="needs vips (Debian: libvips-tools)")
def test_vips_reads_the_picture_and_its_levels(tmp_path, pixels):
    draw(tmp_path / "scene.tif", pixels)
    for level, name in ((0, "scene.tif"), (2, "scene.tif[page=2]")):
        subprocess.run(["vips", "copy", name, f"{level}.ppm"], cwd=tmp_path, check=True)
        expected = pixels
        for _ in range(level):
            expected = tiff.half_size(expected)
        with Image.open(tmp_path / f"{level}.ppm") as picture:
            assert np.array_equal(np.asarray(picture), expected)
