"""Rough changes, what is refused of them, and the pictures that a person uploads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from pictures import blank_png
from PIL import Image
from strategies import edits
from torch import Tensor

from ourgan.explorer.state.edits import (
    MAX_UPLOAD,
    Edit,
    EditError,
    cover,
    decode_picture,
    encode_picture,
    read_upload,
)
from ourgan.explorer.state.scene import Scene, SceneError, draw, harmonise
from ourgan.io.pixels import to_uint8
from ourgan.io.read import ImageError
from ourgan.pipeline import OurGAN


@settings(max_examples=60, deadline=None)
@given(edits)
def test_an_edit_changes_its_places_alone_or_is_refused(edit: Edit) -> None:
    image = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
    try:
        edit.check(24, 32)
    except EditError as error:
        assert "outside the picture of 32 x 24" in str(error)
        with pytest.raises(EditError):
            edit.apply(image)
        return
    changed = edit.apply(image)
    assert changed.shape == image.shape and 0 <= changed.min() and changed.max() <= 1
    allowed = torch.zeros(24, 32, dtype=torch.bool)
    for x, y in [edit.box[:2], *([edit.to] if edit.operation in ("move", "duplicate") else [])]:
        allowed[max(0, y) : max(0, y + edit.box[3]), max(0, x) : max(0, x + edit.box[2])] = True
    if edit.operation == "duplicate":  # each pixel that is there, and whose place is there
        for y, x in allowed.nonzero().tolist():
            source = (y - edit.to[1] + edit.box[1], x - edit.to[0] + edit.box[0])
            inside = all(0 <= s < n for s, n in zip(source, (24, 32), strict=True))
            copied = inside and all(
                b <= s < b + n for s, b, n in zip(source, edit.box[1::-1], edit.box[:1:-1], strict=True)
            )
            expected = image[:, source[0], source[1]] if copied else image[:, y, x]
            assert torch.equal(changed[:, y, x], expected)
    assert torch.equal(changed[:, ~allowed], image[:, ~allowed])


def test_each_operation_does_what_it_says(photo) -> None:
    image = photo(width=64)
    box = (8, 8, 16, 16)
    region = image[:, 8:24, 8:24]
    mirrored = Edit("mirror", box).apply(image)
    assert torch.equal(mirrored[:, 8:24, 8:24], region.flip(2))
    assert torch.equal(Edit("mirror", box).apply(mirrored), image)
    twice = Edit("duplicate", box, (40, 20)).apply(image)
    assert torch.equal(twice[:, 20:36, 40:56], region) and torch.equal(twice[:, 8:24, 8:24], region)
    moved = Edit("move", box, (40, 20)).apply(image)
    assert torch.equal(moved[:, 20:36, 40:56], region)
    # The place it left runs from its neighbour on the left to the one on the right, row by row.
    rows = moved[:, 8:24, 7:25]
    assert torch.allclose(rows.diff(dim=2).diff(dim=2), torch.zeros(1), atol=1e-5)
    whole = Edit("move", (0, 0, 64, 48), (10, 0)).apply(image)  # nothing is left to go on from
    assert whole.isfinite().all()
    pasted = Edit("paste", box, picture=encode_picture(photo("sunset", 50))).apply(image)
    assert not torch.equal(pasted[:, 8:24, 8:24], region)
    with pytest.raises(EditError, match="target"):
        Edit("duplicate", box, (64, 0)).apply(image)


def test_a_pasted_picture_keeps_its_shape_and_its_8_bits(photo) -> None:
    wide = photo(width=80)
    filled = cover(wide, (30, 30))
    assert filled.shape == (3, 30, 30)
    middle = cover(wide, (wide.shape[1], 20))  # no scaling: the middle columns themselves
    assert torch.equal(middle, wide[:, :, 30:50])
    assert torch.equal(decode_picture(encode_picture(wide)), wide)
    with pytest.raises(EditError, match="damaged"):
        decode_picture(encode_picture(wide)[:2000])
    with pytest.raises(EditError, match="damaged"):
        decode_picture("no base64!")
    with pytest.raises(EditError, match="characters"):
        decode_picture("A" * 9_000_000)


def test_an_edit_is_handed_to_its_scale(toy: OurGAN) -> None:
    scene = Scene(seed=2)
    before = draw(toy, scene)
    edit = Edit("mirror", (0, 0, 80, 120), scale=2)
    expected = toy.sample(2, inject_at=(2, edit.apply(before)))
    edited = dataclasses.replace(scene, edits=(edit,))
    assert torch.equal(draw(toy, edited), expected)
    assert torch.equal(harmonise(toy, scene, edit, before), expected)
    twice = dataclasses.replace(scene, edits=(edit, Edit("mirror", (4, 4, 9, 9), scale=1)))
    assert not torch.equal(draw(toy, twice), expected)
    with pytest.raises(SceneError, match="scales 1 to 2"):
        draw(toy, dataclasses.replace(scene, edits=(dataclasses.replace(edit, scale=3),)))


def test_an_upload_is_read_under_the_policy(tmp_path: Path, photo: Callable[..., Tensor]) -> None:
    small = photo(width=40)
    picture = Image.fromarray(to_uint8(small))
    picture.save(tmp_path / "a.png")
    assert torch.equal(read_upload((tmp_path / "a.png").read_bytes()), small)
    picture.putalpha(0)
    picture.save(tmp_path / "b.png")
    assert (read_upload((tmp_path / "b.png").read_bytes()) == 1).all()  # transparent on white


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file"),
        (b"<svg onload=alert(1)>", "the file"),
        (bytes(MAX_UPLOAD + 1), "8.0 MiB; use one of 8 at most"),
        (blank_png(30_000, 20_000), "30,000 x 20,000 are more than 402,653,184 pixels; make it smaller"),
        (blank_png(40_000, 40_000), "the file"),
    ],
)
def test_an_upload_out_of_bounds_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_upload(data)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "/tmp" not in str(caught.value)
