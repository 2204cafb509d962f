"""What a canvas writes is read back by other programs, and is whole or absent."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from large_pictures import save_picture
from PIL import Image, ImageCms

from ourgan._core.errors import OurganError
from ourgan._core.files import sha256
from ourgan.io.canvas import MemoryCanvas, check_output
from ourgan.io.pixels import to_uint8
from ourgan.io.read import read_image
from ourgan.io.tiff import half_size

PHOTO = Path(__file__).parents[2] / "data/photos/picos-de-europa.jpg"


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A real photograph whose size is no multiple of a tile: 2600 wide, 1301 high."""
    with Image.open(PHOTO) as image:
        return np.asarray(image.resize((2600, 1301)))


@pytest.fixture(scope="module")
def saved(pixels, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("canvas") / "scene.v2.tif"
    save_picture(path, pixels, {"seed": 7})
    return path


def test_tiff_is_what_was_given(saved, pixels):
    with Image.open(saved) as image:
        assert np.array_equal(np.asarray(image), pixels)
        assert "dpi" not in image.info  # it was drawn, and has no size in inches
    assert np.array_equal(tifffile.imread(saved), pixels)
    assert np.array_equal(to_uint8(read_image(saved)), pixels)


def test_tiff_is_classic_tiled_deflated_and_tagged_srgb(saved, pixels):
    with tifffile.TiffFile(saved) as tiff:
        assert not tiff.is_bigtiff and len(tiff.pages) == 4
        page = tiff.pages.first
        assert page.tile == (512, 512)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == tifffile.PREDICTOR.HORIZONTAL
        profile = ImageCms.ImageCmsProfile(io.BytesIO(page.iccprofile))
    assert page.iccprofile[24:36] == bytes.fromhex("07e6 0001 0001 0000 0000 0000")  # not today
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert saved.stat().st_size < pixels.nbytes


def test_what_a_classic_tiff_cannot_hold_is_a_bigtiff_of_the_same_pixels(
    saved, pixels, tmp_path, monkeypatch
):
    size = saved.stat().st_size
    for limit, big in ((size - 1, True), (size + 2**17, False)):
        monkeypatch.setattr("ourgan.io.tiff.CLASSIC", limit)
        save_picture(tmp_path / "scene.tif", pixels)
        with tifffile.TiffFile(tmp_path / "scene.tif") as tiff:
            assert tiff.is_bigtiff == big
            assert np.array_equal(tiff.series[0].levels[0].asarray(), pixels)
            assert len(tiff.series[0].levels) == 4


def test_levels_are_not_taken_for_other_pictures(saved, caplog):
    read_image(saved)
    assert not caplog.records


def test_pyramid_halves_down_to_one_tile(saved, pixels):
    with tifffile.TiffFile(saved) as tiff:
        levels = tiff.series[0].levels
        assert [level.shape[:2] for level in levels] == [(1301, 2600), (651, 1300), (326, 650), (163, 325)]
        assert [page.subfiletype for page in tiff.pages] == [0, 1, 1, 1]  # which slide viewers look for
        expected = pixels
        for level in levels[1:]:
            expected = half_size(expected)
            assert np.array_equal(level.asarray(), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_half_size_averages(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    half = half_size(pixels)
    for y, x in np.ndindex(half.shape[:2]):
        block = [
            pixels[min(2 * y + i, height - 1), min(2 * x + j, width - 1)] for i in (0, 1) for j in (0, 1)
        ]
        assert np.array_equal(half[y, x], np.floor(np.mean(block, axis=0) + 0.5))


def test_half_size_has_no_seams_between_bands():
    pixels = np.random.default_rng(0).integers(0, 256, (2050, 6, 3), dtype=np.uint8)
    blocks = pixels.reshape(1025, 2, 3, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.array_equal(half_size(pixels), np.floor(blocks + 0.5))


def test_preview_and_record_lie_beside(saved, pixels):
    with Image.open(saved.with_name("scene.v2.preview.jpg")) as preview:
        assert preview.size == (2048, 1025)
        small = np.asarray(Image.fromarray(pixels).resize(preview.size)).astype(int)
        assert np.abs(np.asarray(preview) - small).mean() < 4
    record = json.loads(saved.with_name("scene.v2.json").read_text())
    assert record["seed"] == 7
    assert record["picture"] == {
        "file": "scene.v2.tif",
        "width": 2600,
        "height": 1301,
        "bytes": saved.stat().st_size,
        "sha256": sha256(saved),
    }
    assert len(list(saved.parent.iterdir())) == 3


@pytest.mark.slow
def test_same_pixels_give_the_same_bytes(saved, pixels, tmp_path):
    save_picture(tmp_path / "again.tif", pixels, {"seed": 8})
    assert sha256(tmp_path / "again.tif") == sha256(saved)


def test_png_and_a_picture_smaller_than_a_tile(pixels, tmp_path):
    save_picture(tmp_path / "a.png", pixels[:40, :30], {})
    save_picture(tmp_path / "b.tif", pixels[:40, :30], {})
    for name in ("a.png", "b.tif"):
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(np.asarray(image), pixels[:40, :30])
            assert image.info["icc_profile"]
    with Image.open(tmp_path / "a.preview.jpg") as preview:
        assert preview.size == (30, 40)


def test_what_is_no_picture_or_no_record_is_refused(pixels, tmp_path):
    with pytest.raises(TypeError):
        save_picture(tmp_path / "a.tif", pixels, {"device": object()})
    with pytest.raises(ValueError, match="uint8"):
        save_picture(tmp_path / "a.tif", pixels.astype(np.float32), {})
    assert not list(tmp_path.glob("a*"))


def test_a_picture_in_memory_is_drawn_alike(pixels):
    canvas = MemoryCanvas(*pixels.shape[:2])
    for row in range(canvas.begin({}), len(pixels), 100):
        canvas.append(pixels[row : row + 100])
    assert canvas.rows == len(pixels) and np.array_equal(canvas.finish({}), pixels)


FULL_DISK = """
import resource, sys
import numpy as np
from ourgan._core.errors import OurganError
from ourgan.io.canvas import Canvas
limit = int(sys.argv[2])
noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
canvas = Canvas(sys.argv[1], 600, 600, overwrite=True)
try:
    canvas.begin()
    canvas.append(noise)
    canvas.finish({})
except OurganError as error:
    canvas.discard()
    sys.exit(str(error))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("limit", [1_000, 300_000, 900_000])
def test_full_disk_is_one_line_and_leaves_what_was(tmp_path, suffix, limit):
    for name in (f"scene{suffix}", "scene.preview.jpg", "scene.json"):
        (tmp_path / name).write_text(f"earlier {name}")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / f"scene{suffix}"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        assert path.read_text() == f"earlier {path.name}"


def test_check_output_refuses_in_one_line(tmp_path, monkeypatch):
    check_output(tmp_path / "scene.tif", (10, 10))
    assert not list(tmp_path.iterdir())

    def refused(path: Path, words: str, **options) -> None:
        with pytest.raises(OurganError, match=words) as caught:
            check_output(path, **{"shape": (10, 10), **options})
        assert "\n" not in str(caught.value) and str(path.parent) in str(caught.value)

    refused(tmp_path / "scene.jpg", "written as")
    refused(tmp_path / "no" / "scene.tif", "there is no directory")
    refused(tmp_path / "scene.tif", "MiB are free", shape=(shutil.disk_usage(tmp_path).total, 1))
    for taken in ("scene.tif", "scene.json", "scene.preview.jpg"):
        (tmp_path / taken).touch()
        refused(tmp_path / "scene.tif", "exists already")
        check_output(tmp_path / "scene.tif", (10, 10), overwrite=True)
        (tmp_path / taken).unlink()
    (tmp_path / "scene.tif").mkdir()
    refused(tmp_path / "scene.tif", "exists already", overwrite=True)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a directory that even root cannot write")
def test_check_output_finds_an_unwritable_directory():
    with pytest.raises(OurganError, match="/proc cannot be written"):
        check_output(Path("/proc/scene.tif"), (10, 10))
