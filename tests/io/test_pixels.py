"""Tensors to 8-bit pixels, other sizes, files and contact sheets."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from pictures import PHOTO, expected
from PIL import Image

from ourgan.io import pixels
from ourgan.io.pixels import (
    contact_sheet,
    encode_png,
    from_uint8,
    preview,
    pyramid,
    resize,
    to_uint8,
    write_image,
)
from ourgan.io.read import ImageError, read_image


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    with Image.open(PHOTO) as image:
        return np.asarray(image.resize((60, 44)))


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.integers(0, 255), min_size=3 * n, max_size=3 * n)))
def test_uint8_round_trip(values):
    array = np.array(values, dtype=np.uint8).reshape(1, -1, 3)
    assert np.array_equal(to_uint8(from_uint8(array)), array)


def test_to_uint8_rounds_clips_and_refuses_nan():
    row = torch.tensor([-1.0, 0.0, 0.49 / 255, 0.51 / 255, 1.0, 7.0]).expand(3, 1, 6)
    assert to_uint8(row)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    with pytest.raises(ImageError, match="NaN"):
        to_uint8(torch.full((3, 1, 1), float("nan")))


def test_resize_without_antialias_samples_at_half_pixel_centres():
    ramp = torch.arange(12.0).div(12).expand(3, 12, 12)
    # 12 to 3: the centre of output pixel i is 4 i + 1.5, between two pixels.
    assert torch.allclose(resize(ramp, (3, 3), antialias=False)[0, 0], torch.tensor([1.5, 5.5, 9.5]) / 12)
    assert torch.allclose(resize(ramp, (3, 3))[0, 0].mean(), torch.tensor(5.5 / 12))
    impulse = torch.zeros(3, 12, 12)
    impulse[:, 0, 0] = 1
    assert resize(impulse, (3, 3), antialias=False).sum() == 0  # it falls between the samples
    assert resize(impulse, (3, 3)).sum() > 0.05


def test_resize_keeps_range_and_batches():
    step = torch.zeros(2, 3, 8, 8)
    step[..., 4:] = 1
    large = resize(step, (32, 16), mode="bicubic")
    assert large.shape == (2, 3, 32, 16)
    assert large.min() == 0 and large.max() == 1
    sizes = ((3, 5), (6, 10))
    levels = pyramid(step[0], sizes, antialias=False)
    for level, size in zip(levels, sizes, strict=True):
        assert torch.equal(level, resize(step[0], size, antialias=False))


def test_written_pictures_are_whole_or_absent(array, tmp_path):
    image = expected(array)
    write_image(tmp_path / "a.png", image)
    assert torch.equal(read_image(tmp_path / "a.png"), image)
    write_image(tmp_path / "a.jpg", image)
    assert (read_image(tmp_path / "a.jpg") - image).abs().mean() < 0.03
    with pytest.raises(ImageError, match="pictures are written as"):
        write_image(tmp_path / "a.gif", image)
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "no" / "a.png", image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png"]


def test_preview_shrinks_and_never_enlarges(array):
    image = expected(array)
    assert preview(image, 30).size == (30, 22)
    assert np.array_equal(np.asarray(preview(image, 1000)), array)


def test_contact_sheet_shows_every_picture_unchanged(array):
    image = expected(array)
    sheet = np.asarray(contact_sheet([image, image, image[:, :20]], 2))
    gap = pixels._GAP
    assert sheet.shape == (44 + 20 + 3 * gap, 2 * 60 + 3 * gap, 3)
    assert np.array_equal(sheet[gap : gap + 44, gap : gap + 60], array)
    assert np.array_equal(sheet[gap : gap + 44, 2 * gap + 60 : 2 * gap + 120], array)
    assert np.array_equal(sheet[2 * gap + 44 : -gap, gap : gap + 60], array[:20])
    assert (sheet[:gap] == 255).all() and (sheet[2 * gap + 44 :, 2 * gap + 60 :] == 255).all()

    captioned = np.asarray(contact_sheet([image] * 2, 2, ["first", "a caption that no such width can hold"]))
    strip = captioned[gap + 44 : -gap]
    for left in (gap, 2 * gap + 60):
        assert (strip[:, left : left + 60] < 128).any()
    outside = np.r_[0:gap, gap + 60 : 2 * gap + 60, 2 * gap + 120 : 3 * gap + 120]
    assert (strip[:, outside] == 255).all()
    with pytest.raises(ValueError, match="1 captions for 2"):
        contact_sheet([image] * 2, 2, ["one"])


@pytest.mark.parametrize("small", [False, True])
def test_a_png_is_the_same_from_a_tensor_pixels_or_a_picture(array, small):
    data = encode_png(array, small)
    assert data == encode_png(from_uint8(array), small) == encode_png(Image.fromarray(array), small)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG" and np.array_equal(np.asarray(image), array)
    assert len(encode_png(array, small=True)) < len(encode_png(array))


@pytest.mark.parametrize("shape", [(1, 8, 9), (2, 3, 8, 9)])
def test_what_is_no_colour_picture_is_refused(shape, tmp_path):
    # In tests alone: jaxtyping and beartype compare every call with its signature.
    for function in (to_uint8, encode_png, preview, lambda image: write_image(tmp_path / "a.png", image)):
        with pytest.raises(TypeCheckError):
            function(torch.rand(shape))
