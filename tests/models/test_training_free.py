"""Patches of a photo: a generator that learns nothing, exact, and what its options do."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ourgan import read_image
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError
from ourgan.config.training_free import PatchesConfig
from ourgan.io.pixels import to_uint8
from ourgan.models.training_free import Patches
from ourgan.projection.project import project
from ourgan.projection.search import Pixels, resized
from ourgan.upscale.noise import scene_noise

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"
CONFIG = PatchesConfig(width=64, min_width=24, refinements=2, piece=8, first_passes=3, passes=2)
GPNN = dataclasses.replace(CONFIG, start="noisy", vertical=0.0, reuse=0.0, finer_noise=0.0)


@functools.cache
def photo() -> Pixels:
    return resized(to_uint8(read_image(PHOTO)), (48, 64))


def patches(config: PatchesConfig = CONFIG) -> Patches:
    generator = Patches(config, 0.75)
    generator.hold(photo())
    return generator


def draw(generator: Patches, seed: int = 7, **options: object) -> Tensor:
    return generator.draw(scene_noise(seed), **options)[0]


def held(generator: Patches) -> Tensor:
    return generator.photo.permute(2, 0, 1) / 127.5 - 1


def distance_of_rows(generator: Patches, seed: int = 7) -> float:
    return float((draw(generator, seed).mean(2) - held(generator).mean(2)).abs().mean())


def test_the_same_bits_on_two_threads_and_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = draw(patches())
        torch.set_num_threads(2)
        assert torch.equal(draw(patches()), one)
        monkeypatch.setenv("OURGAN_KERNELS", "numpy")
        assert torch.equal(draw(patches()), one)
    finally:
        torch.set_num_threads(threads)


def test_seeds_draw_scenes_that_differ() -> None:
    generator = patches()
    first, second = draw(generator, 1), draw(generator, 2)
    assert first.shape == (3, 48, 64) and first.abs().max() <= 1
    assert torch.equal(first, draw(generator, 1))
    assert (first - second).abs().mean() > 4 / 255
    assert (first - held(generator)).abs().mean() > 4 / 255


@pytest.mark.parametrize("config", [CONFIG, GPNN])
def test_without_noise_it_is_the_photo(config: PatchesConfig) -> None:
    generator, none = patches(config), [0.0, 0.0, 0.0]
    made = [draw(generator, noise_scales=none)]
    made += [draw(generator, noise_scales=none, inject_at=(scale, held(generator))) for scale in (1, 2)]
    for scene in made:
        assert (scene - held(generator)).abs().mean() < 1 / 255  # half a level of 8 bits


def test_an_injected_image_decides_the_scene_whatever_its_size() -> None:
    generator = patches()
    mirrored = held(generator).flip(2)
    made = draw(generator, inject_at=(2, torch.nn.functional.interpolate(mirrored[None], (96, 128))[0]))
    assert made.shape == (3, 48, 64)
    assert (made - mirrored).abs().mean() < (draw(generator) - mirrored).abs().mean()
    assert not torch.equal(made, draw(generator, seed=8, inject_at=(2, mirrored)))  # by the noise of scale 2
    for scale in (0, 3):
        with pytest.raises(ValueError, match=f"inject_at scale {scale}: this generator refines at 1 to 2"):
            draw(generator, inject_at=(scale, mirrored))


def test_every_size_has_noise_of_its_own_that_obeys_its_factor() -> None:
    generator = patches()
    as_it_is = draw(generator)
    for scale in range(3):
        factors = [1.0] * 3
        factors[scale] = 0.0
        assert not torch.equal(draw(generator, noise_scales=factors), as_it_is)
    quiet = patches(dataclasses.replace(CONFIG, finer_noise=0.0))
    assert [quiet.noisy(scale) for scale in range(3)] == [True, False, False]
    assert torch.equal(draw(quiet, noise_scales=[1.0, 3.0, 3.0]), draw(quiet))


def test_with_the_vertical_term_rows_keep_their_colours() -> None:
    # Squares are moved anywhere: without the term nothing says which height they are from.
    anywhere = dataclasses.replace(CONFIG, upwards=1.0)
    with_term, without = (
        [distance_of_rows(patches(dataclasses.replace(anywhere, vertical=v)), seed) for seed in range(3)]
        for v in (60.0, 0.0)
    )
    assert all(a < b for a, b in zip(with_term, without, strict=True))


def test_any_width_from_a_patch_to_a_panorama() -> None:
    generator = patches()
    assert generator.margin == 0
    for width in (generator.narrowest, 200):
        assert generator.scene_size(width) == (48, width)
        assert draw(generator, width=width).shape == (3, 48, width)
    for width in (generator.narrowest - 1, 64 * 16 + 1):
        with pytest.raises(
            OurganError, match=f"width {width}: this model draws {generator.narrowest} to 1024"
        ):
            generator.scene_size(width)


def test_projecting_a_scene_again_keeps_it() -> None:
    generator = patches()
    scene = ((draw(generator) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    again = project(scene, photo()).picture.astype(float)
    other = ((draw(generator, 8) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert abs(again - scene).mean() < abs(other - scene).mean() / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [({"start": "noise"}, "start is 'noise'"), ({"passes": 0}, "passes"), ({"vertical": -1.0}, "vertical")],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(CONFIG, **change)


def test_a_photo_too_flat_for_a_patch_is_refused() -> None:
    with pytest.raises(OurganError, match="a first size of 24x6 pixels is too small for patches"):
        Patches(CONFIG, 0.25)
