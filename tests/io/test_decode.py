"""Damaged, cut, lying and enormous files: one line or the whole picture, never something between."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pictures import ADOBE_RGB, PHOTO, blank_png, deep, png, refused
from PIL import Image, ImageCms, ImageFile

from ourgan.io.read import ImageError, read_image


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.resize((60, 44))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_truncated_files_are_refused(photo, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as a careless import may leave it
    whole = tmp_path / f"whole.{suffix}"
    photo.save(whole)
    data = whole.read_bytes()
    for kept in (12, len(data) // 3, len(data) * 9 // 10):
        path = tmp_path / f"{kept}.{suffix}"
        path.write_bytes(data[:kept])
        assert f"{kept:,} bytes" in refused(path, "truncated or damaged")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_truncated_float_tiff_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((20, 20, 3), 0.5, np.float32), photometric="rgb")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "truncated or damaged")


def test_tiff_without_one_of_its_tiles_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tiles = iter([np.full((16, 16, 3), 0.5, np.float32), None])
    tifffile.imwrite(path, tiles, shape=(16, 32, 3), dtype=np.float32, tile=(16, 16), photometric="rgb")
    refused(path, "pixels are missing")


@pytest.mark.parametrize("size", [(402_653_185, 1), (16_385, 24_576), (2**30, 2**30)])
def test_bombs_are_refused_before_memory_is_taken(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(blank_png(*size))
    assert f"{size[0]:,} x {size[1]:,}" in refused(path, "more than 402,653,184 pixels")


def test_float_bombs_are_refused_too(tmp_path):
    path = tmp_path / "bomb.tif"
    # A sparse file: it says what it holds, and holds nothing.
    tifffile.imwrite(path, shape=(30_000, 20_000, 3), dtype=np.float32, photometric="rgb", bigtiff=True)
    refused(path, "20,000 x 30,000 are more than 402,653,184 pixels")
    path.unlink()


def test_large_photographs_pass_without_a_warning(tmp_path):
    path = tmp_path / "16k.png"
    path.write_bytes(blank_png(16_384, 8_640))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(path, "truncated or damaged")  # its pixels are missing, its size is in order


def test_limits_survive_threads(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    path, bomb = tmp_path / "ours.png", tmp_path / "bomb.png"
    Image.new("RGB", (70, 60)).save(path)
    bomb.write_bytes(blank_png(30_000, 20_000))
    passed = []

    def work() -> None:
        for _ in range(20):
            assert read_image(path).shape == (3, 60, 70)
            passed.append(1)
            refused(bomb, "more than")
            passed.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 160
    assert Image.MAX_IMAGE_PIXELS == before


def seeds() -> dict[str, bytes]:
    """Small real pictures of many kinds, which hypothesis then damages."""
    with Image.open(PHOTO) as image:
        photo = image.resize((24, 18))
    exif = Image.Exif()
    exif[0x0112] = 6
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def saved(image: Image.Image, kind: str, **options) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    def tiff(array: np.ndarray, **options) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        return buffer.getvalue()

    return {
        "jpeg": saved(photo, "JPEG", exif=exif, icc_profile=srgb),
        "progressive": saved(photo, "JPEG", progressive=True),
        "cmyk": saved(photo.convert("CMYK"), "JPEG"),
        "png": saved(photo, "PNG", exif=exif, icc_profile=ADOBE_RGB),
        "palette": saved(photo.convert("P"), "PNG", transparency=0),
        "png16": png(deep(3), 16),
        "webp": saved(photo, "WEBP", exif=exif),
        "lossless": saved(photo, "WEBP", lossless=True),
        "tiff": saved(photo, "TIFF", compression="tiff_lzw"),
        "raw": saved(photo, "TIFF"),
        "tiff16": tiff(deep(3), photometric="rgb", compression="zlib"),
        "planes": tiff(np.moveaxis(deep(3), -1, 0).copy(), photometric="rgb", planarconfig="separate"),
        "float": tiff(deep(3).astype(np.float32) / 65535, photometric="rgb"),
    }


SEEDS = seeds()
fuzzed = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
kinds = st.sampled_from(sorted(SEEDS))
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)


@pytest.mark.slow
@fuzzed
@given(kind=kinds, edits=edits)
@example(kind="planes", edits=[(0.03125, 0)])  # tifffile gives an empty array without a word
def test_damaged_files_give_a_picture_or_one_line(tmp_path, kind, edits):
    data = bytearray(SEEDS[kind])
    for where, value in edits:
        data[int(where * len(data))] = value
    path = tmp_path / "damaged"
    path.write_bytes(data)
    try:
        image = read_image(path)
    except ImageError as error:
        assert "\n" not in str(error)
        return
    assert image.dtype == torch.float32 and image.dim() == 3 and image.shape[0] == 3 and image.numel()
    assert 0 <= image.min() and image.max() <= 1  # false for NaN too


@pytest.mark.slow
@fuzzed
@given(kind=kinds, kept=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_refused_or_read_in_full(tmp_path, kind, kept):
    path = tmp_path / "cut"
    path.write_bytes(SEEDS[kind])
    matte = (0.0, 0.0, 0.0)
    whole = read_image(path, matte=matte)
    path.write_bytes(SEEDS[kind][: int(kept * len(SEEDS[kind]))])
    try:
        image = read_image(path, matte=matte)
    except ImageError:
        return
    assert torch.equal(image, whole)  # only what follows the pixels was lost
