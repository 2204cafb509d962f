"""Patches: pairs that belong together, a strip never learned from, the same ones after a resume."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.io.pixels import write_image
from ourgan.training import patches
from ourgan.training.degradation import bicubic_downscale
from ourgan.training.patches import FolderPatches, PhotoPatches
from ourgan.training.seeds import stream

Photo = Callable[..., Tensor]


def of_photo(image: Tensor, **changes: Any) -> PhotoPatches:
    return PhotoPatches(image, **{"patch": 32, "validation_share": 0.25, **changes})


def places(batch: Tensor, image: Tensor) -> list[tuple[int, int, bool]]:
    """Where in the image each HR patch was cut: row, column, mirrored."""
    found = []
    windows = image.unfold(1, batch.shape[2], 4).unfold(2, batch.shape[3], 4)  # (3, rows, columns, h, w)
    for patch in batch:
        for mirrored in (False, True):
            wanted = patch.flip(2) if mirrored else patch
            same = (windows == wanted[:, None, None]).all(dim=(0, 3, 4)).nonzero()
            found += [(4 * int(row), 4 * int(column), mirrored) for row, column in same]
    return found


def test_patches_are_cut_from_the_photo_and_shrunk_with_their_surroundings(photo: Photo) -> None:
    image = photo(width=160)
    source = of_photo(image)
    low, high = source.batch(3, 24)
    assert low.shape == (24, 3, 8, 8) and high.shape == (24, 3, 32, 32)
    whole = bicubic_downscale(image[:, :120, :120])
    found = places(high, image)
    assert len(found) == 24
    assert {mirrored for _, _, mirrored in found} == {False, True}
    for patch, (top, left, mirrored) in zip(low, found, strict=True):
        expected = whole[:, top // 4 : top // 4 + 8, left // 4 : left // 4 + 8]
        torch.testing.assert_close(patch, expected.flip(2) if mirrored else expected)
    rows, columns = {top for top, _, _ in found}, {left for _, left, _ in found}
    assert max(rows) > 60 and min(rows) < 20 and max(columns) > 60 and min(columns) < 20


@pytest.mark.parametrize("degradation", ["bicubic", "bsrgan"])
def test_nothing_of_the_validation_strip_is_ever_learned(photo: Photo, degradation: str) -> None:
    image = photo(width=160).clone()
    image[:, :, 120:] = float("nan")  # would spread through any filter
    source = of_photo(image, degradation=degradation)
    assert source.train_width == 120
    for iteration in range(20):
        assert all(side.isfinite().all() for side in source.batch(iteration, 8))


def test_the_validation_strip_is_judged_and_nothing_else(photo: Photo) -> None:
    image = photo(width=320).clone()
    image[:, :, :240] = float("nan")
    source = of_photo(image, noise_std=0.1)
    pairs = source.validation()
    assert 1 < len(pairs) <= 4
    for (low, high), (again, _) in zip(pairs, source.validation(), strict=True):
        assert high.isfinite().all() and low.isfinite().all()
        assert high.shape == (3, 80, 80) and low.shape == (3, 20, 20)
        assert torch.equal(low, again)  # its noise too
    assert not torch.equal(pairs[0][1], pairs[1][1])


@pytest.mark.parametrize("degradation", ["bicubic", "bsrgan"])
def test_a_batch_depends_on_seed_and_iteration_alone(photo: Photo, degradation: str) -> None:
    image, settings = photo(width=160), {"degradation": degradation, "noise_std": 0.05}
    source = of_photo(image, seed=7, **settings)
    for iteration in (5, 2, 5):
        torch.manual_seed(iteration)
        batch = source.batch(iteration, 3)
        other = of_photo(image, seed=7, **settings).batch(iteration, 3)
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))
    assert not torch.equal(source.batch(5, 3)[1], source.batch(6, 3)[1])
    assert not torch.equal(source.batch(5, 3)[1], of_photo(image, seed=8, **settings).batch(5, 3)[1])


def test_noise_has_the_strength_asked_for_and_leaves_the_hr_side_alone(photo: Photo) -> None:
    image = photo(width=160)
    low, high = of_photo(image).batch(0, 16)
    noisy, same = of_photo(image, noise_std=0.1).batch(0, 16)
    assert torch.equal(high, same)
    assert 0.095 < (noisy - low).std() < 0.105


def test_dihedral_turns_both_sides_alike() -> None:
    ramp = torch.linspace(0, 1, 128)[:, None] * torch.tensor([0.5, 0.3, 0.2])[:, None, None]
    image = (ramp + 0.4 * torch.linspace(0, 1, 128)[None, None, :]).contiguous()
    low, high = of_photo(image, dihedral=True).batch(0, 64)
    shrunk = torch.nn.functional.avg_pool2d(high, 4)
    assert (low - shrunk).abs().max() < 0.02
    down = (high[:, 0, -1, 0] > high[:, 0, 0, 0]).tolist()
    right = (high[:, 0, 0, -1] > high[:, 0, 0, 0]).tolist()
    assert len(set(zip(down, right, strict=True))) == 4  # upside down and mirrored both occur
    upright = of_photo(image).batch(0, 64)[1]
    assert (upright[:, 0, -1, 0] > upright[:, 0, 0, 0]).all()  # and without it the sky stays above


@pytest.mark.parametrize("size", [(28, 200), (200, 40), (200, 100)])
def test_a_photo_too_small_is_refused_with_its_size(size: tuple[int, int]) -> None:
    with pytest.raises(OurganError, match=f"{size[1]}x{size[0]} at this step, too small for patches of 32"):
        of_photo(torch.rand(3, *size))


# Folders


@pytest.fixture
def folder(photo: Photo, tmp_path: Path) -> Path:
    inner = tmp_path / "images" / "more"
    inner.mkdir(parents=True)
    for number, name in enumerate(("picos-de-europa", "sunset", "stream")):
        write_image(tmp_path / "images" / f"{name}.png", photo(name, width=80 + 10 * number))
    write_image(inner / "aitzgorri.PNG", photo("aitzgorri", width=96))
    return tmp_path / "images"


def test_a_folder_gives_patches_of_all_its_images(folder: Path) -> None:
    source = FolderPatches(folder, patch=32, seed=1)
    assert [path.name for path in source.paths] == [
        "aitzgorri.PNG", "picos-de-europa.png", "stream.png", "sunset.png"
    ]  # fmt: skip
    low, high = source.batch(0, 8)
    assert low.shape == (8, 3, 8, 8) and high.shape == (8, 3, 32, 32)
    torch.testing.assert_close(low, bicubic_downscale(high))
    assert len({round(float(patch.mean()), 4) for patch in high}) == 8
    again = FolderPatches(folder, patch=32, seed=1).batch(0, 8)
    assert torch.equal(again[1], high)


def test_what_cannot_be_used_is_named_and_left_out(
    folder: Path, photo: Photo, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.jpg").write_bytes((folder / "sunset.png").read_bytes()[:900])
    write_image(folder / "tiny.png", photo(width=24))
    (folder / "notes.txt").write_text("no image")
    with caplog.at_level(logging.WARNING):
        source = FolderPatches(folder, patch=32)
        for iteration in range(0, 500, 100):
            source.batch(iteration, 4)
    assert caplog.text.count("broken.jpg: truncated") == 1  # once, not in every pool
    assert "tiny.png: 24x18, smaller than a patch of 32" in caplog.text
    assert "notes.txt" not in caplog.text


def test_pools_pass_through_the_folder_and_come_back_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "POOL", 1)
    source = FolderPatches(folder, patch=32, seed=4)
    seen = []
    for number in range(5):
        (image,) = source._images(number)
        seen.append(tuple(image.shape))
    assert len(set(seen[:4])) == 4 and seen[4] == seen[0]
    # A resumed training goes straight to its pool.
    assert torch.equal(FolderPatches(folder, patch=32, seed=4).batch(250, 2)[1], source.batch(250, 2)[1])


def test_a_folder_without_a_usable_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OurganError, match="no such folder of images"):
        FolderPatches(tmp_path / "nowhere", patch=32)
    with pytest.raises(OurganError, match="holds no image"):
        FolderPatches(tmp_path, patch=32)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(OurganError, match="none of its 1 images can be used"):
        FolderPatches(tmp_path, patch=32)


def test_streams_differ_by_every_part_of_their_place() -> None:
    firsts = [int(torch.randint(2**62, (), generator=stream(*place))) for place in
              [(0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 12), (0, 1), (0, -1, 2)]]  # fmt: skip
    assert len(set(firsts)) == len(firsts)
