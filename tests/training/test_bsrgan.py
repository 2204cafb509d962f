"""The recipes of the blind degradation: their ranges, their order, and what they make of a picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from ourgan.training.degradation import (
    Step,
    bicubic_downscale,
    bsrgan,
    bsrgan_recipe,
    resize,
    shifted_gaussian_downscale,
)

DRAWS = 3000  # enough to meet every order


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def name(step: Step) -> str:
    return getattr(step.apply, "func", step.apply).__name__


def options(step: Step) -> dict[str, Any]:
    return getattr(step.apply, "keywords", {})


@pytest.fixture(scope="module")
def recipes() -> list[list[Step]]:
    generator = seeded(0)
    return [bsrgan_recipe((64, 96), generator) for _ in range(DRAWS)]


def halved(recipe: list[Step]) -> bool:
    """Whether the first step is the optional halving: three steps shrink then, not two."""
    shrinking = ("resize", "shifted_gaussian_downscale", "_halve")
    return sum(name(step) in shrinking for step in recipe) == 3


def test_one_in_four_is_halved_first_half_of_them_antialiased(recipes: list[list[Step]]) -> None:
    firsts = [recipe[0] for recipe in recipes if halved(recipe)]
    assert len(firsts) == pytest.approx(0.25 * DRAWS, rel=0.2)
    ways = Counter(options(step).get("interpolation", "antialiased") for step in firsts)
    assert ways["antialiased"] == pytest.approx(0.125 * DRAWS, rel=0.3)
    assert set(ways) == {"antialiased", "bilinear", "bicubic", "area"}
    assert {options(step).get("size", (32, 48)) for step in firsts} == {(32, 48)}


def test_every_order_occurs_and_ends_at_the_low_resolution(recipes: list[list[Step]]) -> None:
    orders, places = set(), Counter()
    for recipe in recipes:
        names = [name(step) for step in recipe[halved(recipe) :]]
        assert names.pop() == "jpeg"
        resizes = [i for i, step in enumerate(names) if step in ("resize", "shifted_gaussian_downscale")]
        assert len(resizes) == 2 and names[resizes[1]] == "resize"
        assert options(recipe[halved(recipe) + resizes[1]])["size"] == (16, 24)
        assert names.count("gaussian_blur") == 2 and names.count("gaussian_noise") == 1
        places["jpeg twice"] += names.count("jpeg")
        places["shifted"] += names[resizes[0]] == "shifted_gaussian_downscale"
        names[resizes[0]] = "downscale"
        orders.add(tuple(names))
    assert places["jpeg twice"] == pytest.approx(0.9 * DRAWS, rel=0.03)
    assert places["shifted"] == pytest.approx(0.25 * DRAWS, rel=0.2)
    assert len(orders) == 180 + 30  # 6! / 2 equal blurs / 2 orders of the resizes; 5! / 4 without a JPEG


def test_numbers_fill_their_ranges(recipes: list[list[Step]]) -> None:
    seen: dict[str, list[float]] = {}
    for recipe in recipes:
        scale = 2 if halved(recipe) else 4
        for step in recipe[halved(recipe) :]:
            asked = options(step)
            if name(step) == "gaussian_blur":
                kind = "anisotropic" if "angle" in asked else "isotropic"
                limit = math.sqrt(4 + scale) if "angle" in asked else 2 + 0.2 * scale
                seen.setdefault(kind, []).extend(sigma / limit for sigma in asked["sigmas"])
                seen.setdefault("size", []).append(asked["size"])
                seen.setdefault("angle", []).append(asked.get("angle", 1.0) / math.pi)
            elif name(step) == "shifted_gaussian_downscale":
                seen.setdefault("sigma", []).append((asked["sigma"] - 0.1) / (0.6 * scale - 0.1))
                assert asked["scale"] == scale
            elif name(step) == "jpeg":
                seen.setdefault("quality", []).append(asked["quality"])
            elif asked.get("size", (16, 24)) != (16, 24):
                rows = asked["size"][0] * scale / 64 * (1 if scale == 4 else 2)
                seen.setdefault(f"rows {scale}", []).append(rows)
    assert set(seen["size"]) == set(range(7, 26, 2))
    assert set(seen["quality"]) == set(range(30, 96))
    for kind in ("anisotropic", "isotropic", "angle", "sigma"):
        assert 0 <= min(seen[kind]) < 0.1 and 0.95 < max(seen[kind]) <= 1, kind
    assert len(seen["isotropic"]) == pytest.approx(len(seen["anisotropic"]), rel=0.1)
    for scale in (2, 4):  # between 1 / (2 scale) of the size before and all of it
        assert 0.3 < min(seen[f"rows {scale}"]) < 0.6
        assert scale * 0.9 < max(seen[f"rows {scale}"]) < scale


def test_noise_is_grey_coloured_or_correlated(recipes: list[list[Step]]) -> None:
    kinds, levels, seeds, least = Counter(), set(), set(), []
    for step in (step for recipe in recipes for step in recipe if name(step) == "gaussian_noise"):
        factor = options(step)["factor"]
        seeds.add(options(step)["seed"])
        covariance = factor @ factor.T
        if factor.shape == (3, 1):
            kind = "grey"
            assert len(set(factor.flatten().tolist())) == 1
            levels.add(round(255 * factor[0, 0].item()))
        elif torch.equal(factor, factor[0, 0] * torch.eye(3)):
            kind = "coloured"
            levels.add(round(255 * factor[0, 0].item()))
        else:
            kind = "correlated"
            assert covariance.diagonal().max() <= (25 / 255) ** 2
            least.append((covariance[[0, 0, 1], [1, 2, 2]].min() / covariance.diagonal().max()).item())
        kinds[kind] += 1
    assert levels == set(range(2, 26))
    assert kinds["grey"] == pytest.approx(0.4 * DRAWS, rel=0.12)
    assert kinds["coloured"] == pytest.approx(0.4 * DRAWS, rel=0.12)
    assert kinds["correlated"] == pytest.approx(0.2 * DRAWS, rel=0.2)
    assert len(seeds) == DRAWS
    assert sum(least) / len(least) > 0.05 and min(least) > -0.05  # by absolute values: no anticorrelation


def test_words_say_what_is_done(recipes: list[list[Step]]) -> None:
    words = " | ".join(step.words for recipe in recipes for step in recipe)
    for sample in ("blur 7x7, σ", "at 45°", "to 24x16 (area)", "to 48x32 (antialiased)", "one pixel of 4x4"):
        assert sample in words
    for sample in ("JPEG 45", "grey noise 12/255", "| noise 12/255", "colour-correlated noise"):
        assert sample in words
    assert max(len(step.words) for recipe in recipes for step in recipe) < 40


def test_the_same_seed_gives_the_same_bytes_and_the_recipe_too(photo: Callable[..., Tensor]) -> None:
    image = photo(width=64)[:, :40]
    global_state = torch.random.get_rng_state()
    first = [bsrgan(image, seeded(seed))[0] for seed in range(20)]
    for seed, low in enumerate(first):
        torch.rand(1)
        again, words = bsrgan(image, seeded(seed))
        assert torch.equal(again, low) and words == [s.words for s in bsrgan_recipe((40, 64), seeded(seed))]
        again = image
        for step in bsrgan_recipe((40, 64), seeded(seed)):
            again = step.apply(again)
        assert torch.equal(again, low)
    assert len({low.numpy().tobytes() for low in first}) == 20
    torch.random.set_rng_state(global_state)
    reference = bicubic_downscale(image)
    for low in first:  # still that photo
        assert (low - reference).abs().mean() < 0.15


@settings(max_examples=150, deadline=None, database=None)
@given(
    rows=st.integers(1, 10),
    columns=st.integers(1, 10),
    seed=st.integers(0, 10**9),
)
def test_any_patch_stays_an_image(rows: int, columns: int, seed: int) -> None:
    generator = seeded(seed)
    image = torch.rand(3, 4 * rows, 4 * columns, generator=generator).round()
    kept = image.clone()
    low = image
    for step in bsrgan_recipe((4 * rows, 4 * columns), generator):
        low = step.apply(low)
        assert low.isfinite().all() and low.min() >= 0 and low.max() <= 1, step.words
    assert low.shape == (3, rows, columns) and low.dtype == torch.float32
    assert torch.equal(image, kept)
    torch.testing.assert_close((low * 255).round() / 255, low)  # 8 bits


def smooth_image() -> Tensor:
    """(3, 128, 128), slow waves that are level at the border, where mirroring changes nothing then."""
    waves = [torch.cos(math.pi * frequency * (torch.arange(128) + 0.5) / 128) for frequency in (1, 2, 3)]
    return 0.5 + 0.4 * torch.stack([waves[a][:, None] * waves[b] for a, b in ((0, 2), (2, 0), (1, 1))])


def misalignment(small: Tensor, reference: Tensor) -> Tensor:
    """(y, x) in pixels by which `small` is shifted against a smooth reference, whatever its contrast."""
    down, right = (torch.gradient(reference, dim=axis)[0].flatten() for axis in (1, 2))
    columns = torch.stack((-down, -right, reference.flatten(), torch.ones_like(down)), dim=1)
    return torch.linalg.lstsq(columns, small.flatten()[:, None])[0][:2, 0]


@pytest.mark.parametrize("scale", [2, 4])
def test_no_way_of_shrinking_shifts(scale: int) -> None:
    smooth = smooth_image()
    reference = bicubic_downscale(smooth, scale)
    size = (reference.shape[1], reference.shape[2])
    ways: list[Callable[[Tensor], Tensor]] = [
        partial(resize, size=size, interpolation=way) for way in ("bilinear", "bicubic", "area")
    ]
    for way in [*ways, partial(shifted_gaussian_downscale, sigma=1.0, scale=scale)]:
        assert misalignment(way(smooth), reference).abs().max() < 0.02
    moved = smooth.roll(1, 2)  # the measure itself: one HR pixel to the right
    assert misalignment(ways[2](moved), reference)[1] == pytest.approx(1 / scale, rel=0.15)


@pytest.mark.slow
def test_the_whole_degradation_does_not_shift() -> None:
    smooth, generator = smooth_image(), seeded(0)
    reference = bicubic_downscale(smooth)
    shifts = torch.stack([misalignment(bsrgan(smooth, generator)[0], reference) for _ in range(300)])
    assert shifts.abs().max() < 0.25
    assert shifts.mean(0).abs().max() < 0.01


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="12 x 10 pixels cannot be shrunk by 4"):
        bsrgan(torch.rand(3, 10, 12), seeded(0))
