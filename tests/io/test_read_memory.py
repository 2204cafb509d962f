"""What a large picture costs to read: in a child, by the most memory that it ever held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pictures import ADOBE_RGB, refused
from PIL import Image

MEASURE = """
import resource, sys
import numpy as np, torch
from ourgan.io.read import read_image
torch.set_num_threads(1)
read_image(sys.argv[1])  # imports what it needs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
image = read_image(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before, image.shape[1], image.shape[2])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in KiB there alone")
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_upright_photo_with_a_profile_costs_half_its_pixels_beside_the_result(tmp_path, suffix):
    """40 million pixels, turned and converted: what 200 million cost, in miniature."""
    width, height = 8000, 5000
    exif = Image.Exif()
    exif[0x0112] = 6
    row = Image.linear_gradient("L").resize((width, height))
    options = {"exif": exif, "icc_profile": ADOBE_RGB}
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png", icc_profile=ADOBE_RGB)
    Image.merge("RGB", (row, row, row)).save(tmp_path / f"large.{suffix}", **options)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "small.png"), str(tmp_path / f"large.{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, *shape = map(int, done.stdout.split())
    assert shape == [width, height]
    # The float32 result, 12 bytes a pixel; the decoded picture is 3, and Pillow holds 4.
    assert grown < width * height * (12 + 1.5 * 3) + 30 * 2**20


def test_what_memory_does_not_hold_is_refused_with_sizes(tmp_path: Path, monkeypatch):
    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    monkeypatch.setattr("ourgan.io.pillow_limits.free_memory", lambda: 300 * 200 * 16 - 1)
    assert "are free" in refused(tmp_path / "a.png", "300 x 200 pixels take 0.0 GiB of memory to read")


@pytest.mark.parametrize("size", [(16_384, 12_288), (16_384, 24_576), (12_240, 16_320)])
def test_sizes_of_our_own_and_of_phones_are_within_the_limit(size, monkeypatch):
    from ourgan.io import pillow_limits

    monkeypatch.setattr(pillow_limits, "free_memory", lambda: 2**40)
    pillow_limits.check_size(Path("own.tif"), *size)
