"""F7 to F9: pictures that are damaged or lie about their size, and what they may cost (and test_decoding)."""

from __future__ import annotations

import logging
import os
import resource
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_seeds import image_seeds, tiff_of_many_widths
from pictures import blank_png

from ourgan.io.read import ImageError, read_image

SEEDS = image_seeds()
kinds = st.sampled_from(sorted(SEEDS))
places = st.floats(0, 1, exclude_max=True)
MOST = 300 * 2**20  # bytes: far less than what the lies below are about
SLOW = 10.0  # seconds of processor time


def cost(path: Path) -> tuple[int, float, str]:
    """Bytes by which a child grows while it reads a picture, seconds, and the line of its refusal."""
    heard, says = os.pipe()
    child = os.fork()
    if child == 0:
        # Only what is taken from here on may count, and not what this process took before.
        resource.setrlimit(resource.RLIMIT_AS, (_size() + 2 * MOST, resource.RLIM_INFINITY))
        before, began, text = _resident(), time.process_time(), "read"
        try:
            read_image(path, matte=(0.0, 0.0, 0.0))
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        os.write(says, f"{grown}\n{time.process_time() - began}\n{text}".encode())
        os._exit(0)
    os.close(says)
    with os.fdopen(heard) as pipe:
        grown, seconds, text = pipe.read().split("\n", 2)
    os.waitpid(child, 0)
    return int(grown), float(seconds), text


def _pages(field: int) -> int:
    return int(Path("/proc/self/statm").read_text().split()[field]) * resource.getpagesize()


def _size() -> int:
    return _pages(0)


def _resident() -> int:
    return _pages(1)


LIES = {
    "a width of many numbers": tiff_of_many_widths(),
    "many widths and few rows": tiff_of_many_widths(1_000_000, 9),
    "a bomb": blank_png(2**30, 2**30),
    "a bomb just over the limit": blank_png(402_653_185, 1),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("lie", LIES)
def test_a_small_file_that_claims_to_be_large_costs_little(tmp_path: Path, lie: str) -> None:
    path = tmp_path / "lie"
    path.write_bytes(LIES[lie])
    grown, seconds, text = cost(path)
    assert text.startswith(f"ImageError: {path}: ") and "\n" not in text
    assert "Memory" not in text  # refused for what it is, not because memory ended
    assert grown < MOST and seconds < SLOW, (grown, seconds)


def test_the_width_of_many_numbers_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "found"
    path.write_bytes(tiff_of_many_widths(39, 1000))
    with pytest.raises(ImageError, match="its width and height are not two numbers"):
        read_image(path)


@pytest.mark.parametrize("kind", SEEDS)
def test_every_seed_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "seed"
    path.write_bytes(SEEDS[kind])
    # Pillow reads no grey of 16 bits with alpha: refused as a kind, not read wrongly.
    if "truncated" in kind or kind in ("tiff-many-widths", "png-16-2"):
        with pytest.raises(ImageError, match=r"truncated or damaged|are not read"):
            read_image(path, matte=(0.0, 0.0, 0.0))
    else:
        assert read_image(path, matte=(0.0, 0.0, 0.0)).shape[0] == 3


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=kinds, other=kinds, cut=places, where=places, length=st.integers(1, 40), data=st.data())
def test_spliced_and_overwritten_pictures_give_a_picture_or_one_line(
    tmp_path: Path, kind: str, other: str, cut: float, where: float, length: int, data: st.DataObject
) -> None:
    """The head of one kind on the tail of another, and a run of bytes that a disk or an attacker changed."""
    logging.disable()
    head, tail = SEEDS[kind], SEEDS[other]
    mixed = bytearray(head[: int(cut * len(head))] + tail[int(cut * len(tail)) :])
    start = int(where * len(mixed))
    mixed[start : start + length] = data.draw(st.binary(min_size=length, max_size=length))
    path = tmp_path / "mixed"
    path.write_bytes(mixed)
    began = time.process_time()
    try:
        image = read_image(path, matte=(0.0, 0.0, 0.0))
    except ImageError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert image.dtype == torch.float32 and image.dim() == 3 and image.shape[0] == 3 and image.numel()
        assert 0 <= image.min() and image.max() <= 1  # false for NaN too
    finally:
        logging.disable(logging.NOTSET)
    assert time.process_time() - began < SLOW
