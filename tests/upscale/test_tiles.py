"""Tiles: that they partition, that enough overlap is exact, and that too little is noticed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ourgan.io.pixels import resize
from ourgan.io.read import read_image
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.noise import add_noise
from ourgan.upscale.reach import theoretical
from ourgan.upscale.schedule import upscale
from ourgan.upscale.seams import seam_difference
from ourgan.upscale.tiles import (
    Tile,
    TilePlan,
    TilingError,
    choose_tile_plan,
    concat,
    split,
    tile_cost,
    trim,
)

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A piece of the photo, (3, 61, 83): larger than what the tiny network reaches."""
    image = read_image(PHOTO)
    small = resize(image, (256 * image.shape[1] // image.shape[2], 256))
    return small[:, 40:101, 90:173].clone()


@pytest.fixture(scope="module")
def network() -> RRDBNet:
    torch.manual_seed(4)
    network = RRDBNet(channels=4, blocks=1, growth=8).eval()
    for parameter in network.parameters():  # strong enough for the far border to matter
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        network.conv_last.weight /= 100
    return network


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    size_multiple = draw(st.sampled_from([1, 1, 2, 8]))
    return TilePlan(
        height=draw(st.integers(1, 70)),
        width=draw(st.integers(1, 70)),
        tile_height=size_multiple * draw(st.integers(1, 40)),
        tile_width=size_multiple * draw(st.integers(1, 40)),
        overlap=size_multiple * draw(st.integers(0, 20)),
        scale=draw(st.sampled_from([1, 2, 4])),
        size_multiple=size_multiple,
    )


@settings(deadline=None)
@given(plans())
def test_tiles_partition_the_image(plan: TilePlan) -> None:
    covered = torch.zeros(plan.height, plan.width, dtype=torch.int)
    count = 0
    for tile in plan.tiles():
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
        count += 1
        top, left, bottom, right = tile.outer
        assert top % plan.size_multiple == left % plan.size_multiple == 0
        assert bottom == plan.height or bottom % plan.size_multiple == 0
        assert right == plan.width or right % plan.size_multiple == 0
        assert (top, left) == (max(0, tile.top - plan.overlap), max(0, tile.left - plan.overlap))
        assert bottom == min(plan.height, tile.bottom + plan.overlap)
        assert right == min(plan.width, tile.right + plan.overlap)
    assert bool((covered == 1).all())
    assert (
        count
        == plan.rows * plan.columns
        == -(-plan.height // plan.tile_height) * -(-plan.width // plan.tile_width)
    )


@settings(deadline=None)
@given(plans())
def test_split_trim_concat_is_the_identity(plan: TilePlan) -> None:
    image = torch.rand(3, plan.height, plan.width)
    nearest = image.repeat_interleave(plan.scale, 1).repeat_interleave(plan.scale, 2)
    parts = (
        (tile, trim(part.repeat_interleave(plan.scale, 1).repeat_interleave(plan.scale, 2), tile, plan.scale))
        for tile, part in split(image, plan)
    )
    assert torch.equal(concat(parts, plan), nearest)


def test_inner_subregions_have_the_shapes_of_the_equations() -> None:
    plan = TilePlan(30, 40, 10, 10, overlap=3)
    tile, part = list(split(torch.rand(3, 30, 40), plan))[5]  # the second of the second row
    assert (tile.top, tile.left) == (10, 10)
    assert part.shape == (3, 10 + 2 * 3, 10 + 2 * 3)
    assert trim(torch.empty(3, 64, 64), tile, 4).shape == (3, 40, 40)


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(height=st.integers(20, 80), width=st.integers(20, 90))
def test_overlap_of_the_theoretical_reach_is_exact(
    height: int, width: int, network: RRDBNet, photo: Tensor
) -> None:
    # In float64, because these weights amplify the rounding of float32 more than released ones do.
    twin = copy.deepcopy(network).double()
    whole = twin(photo[None].double())[0].detach().float()
    reach = theoretical(network).reach
    tiled = upscale(twin, photo, TilePlan(61, 83, height, width, reach))
    torch.testing.assert_close(tiled, whole, atol=1e-6, rtol=1e-6)
    if height < 61 - reach:  # and one pixel less is already too little
        short = upscale(twin, photo, TilePlan(61, 83, height, 83, reach - 1))
        assert not torch.equal(short, tiled)


def test_tiles_of_swinir_have_to_begin_where_its_windows_do(photo: Tensor) -> None:
    torch.manual_seed(6)
    swin = SwinIR(channels=8, depths=(2,), heads=2).eval()
    for parameter in swin.parameters():
        if parameter.ndim == 2:  # what attention adds is next to nothing at first
            parameter.data *= 20
    reach = theoretical(swin).reach
    overlap = reach + -reach % swin.size_multiple
    with torch.no_grad():
        whole = swin(photo[None])[0]
    for chosen, same in ((overlap, True), (overlap - 16, False)):
        plan = TilePlan(61, 83, 32, 24, chosen, size_multiple=swin.size_multiple)
        difference = (upscale(swin, photo, plan) - whole).abs().max()
        assert difference < 1e-6 if same else difference > 1e-3
    core = 12 + reach  # from here on nothing depends on the border of any of these tiles
    for start, same in ((8, True), (4, False), (12, False)):
        with torch.no_grad():
            tile = swin(photo[None, :, :, start:])[0]
        difference = (tile[:, :, 4 * (core - start) :] - whole[:, :, 4 * core :]).abs().max()
        assert difference < 1e-6 if same else difference > 1e-3


def test_less_overlap_shows(network: RRDBNet, photo: Tensor) -> None:
    whole = network(photo[None])[0].detach()
    differences = []
    for overlap in (0, 4, theoretical(network).reach):
        plan = TilePlan(61, 83, 20, 30, overlap)
        tiled = upscale(network, photo, plan)
        differences.append(seam_difference(tiled, whole, plan, band=16))
    none, some, enough = differences
    assert none.mean_in_band > 2 * some.mean_in_band > 20 * enough.mean_in_band
    assert none.largest > 10 and none.changed > 0.1
    assert enough.largest < 0.01 and enough.changed < 1e-3


def test_bfloat16_comes_back_as_float32(network: RRDBNet, photo: Tensor) -> None:
    plan = TilePlan(61, 83, 61, 40, 8)
    exact = upscale(network, photo, plan)
    fast = upscale(copy.deepcopy(network).bfloat16(), photo, plan)
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().mean() < 0.05 * exact.std()


def test_noise_is_the_same_in_every_tiling(photo: Tensor) -> None:
    noisy = add_noise(photo, seed=5, step=3, std=0.1)
    assert (noisy - photo).std() == pytest.approx(0.1, rel=0.03)
    for plan in (TilePlan(61, 83, 16, 24, 8), TilePlan(61, 83, 61, 7, 3)):
        for tile, part in split(add_noise(photo, seed=5, step=3, std=0.1), plan):
            top, left, bottom, right = tile.outer
            assert torch.equal(part, noisy[:, top:bottom, left:right])
    assert not torch.equal(noisy, add_noise(photo, seed=5, step=4, std=0.1))


class Overflow(nn.Module):
    """Nearest x4 that gives infinity where the image is white, as float16 does in deep networks."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        image = image.masked_fill(image == 1, float("inf")) * self.gain
        return nn.functional.interpolate(image, scale_factor=4.0)


def test_a_tile_that_is_not_finite_stops_everything(photo: Tensor) -> None:
    plan = TilePlan(61, 83, 20, 30, 4)
    image = photo * 0.9
    assert upscale(Overflow(), image, plan).shape == (3, 244, 332)
    image[1, 33, 44] = 1
    with pytest.raises(TilingError, match=r"top=20, left=30, .* not finite in torch\.float32"):
        upscale(Overflow(), image, plan)


def test_wrong_sizes_are_refused(network: RRDBNet, photo: Tensor) -> None:
    with pytest.raises(TilingError, match="tile_height 270 is not a multiple of 8; use 272"):
        TilePlan(540, 1024, 270, 512, 24, size_multiple=8)
    with pytest.raises(TilingError, match="overlap 10 is not a multiple of 8; use 16"):
        TilePlan(540, 1024, 272, 512, 10, size_multiple=8)
    with pytest.raises(TilingError, match="negative"):
        TilePlan(540, 1024, 272, 512, -1)
    with pytest.raises(TilingError, match="at least 1"):
        TilePlan(540, 1024, 0, 512, 1)
    with pytest.raises(TilingError, match="plan is for 60x83"):
        upscale(network, photo, TilePlan(60, 83, 20, 20, 4))
    with pytest.raises(TilingError, match="check scale"):
        upscale(network, photo, TilePlan(61, 83, 20, 20, 4, scale=2))


# Eq. 8 and the choice of a tile


def test_equation_8() -> None:
    far, near = tile_cost(270, 512, 4, 324), tile_cost(270, 512, 4, 24)
    assert (far, near) == (17_038_080, 2_849_280)
    assert round(far / near, 2) == 5.98
    h, w, r, a = 270, 512, 4, 24
    assert near == r**2 * h * w + 2 * r**2 * (h + w) * a + 4 * r**2 * a**2


def areas(plan: TilePlan) -> list[int]:
    return [(t.outer[2] - t.outer[0]) * (t.outer[3] - t.outer[1]) for t in plan.tiles()]


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    overlap=st.integers(0, 3),
    budget=st.integers(1, 900),
    size_multiple=st.sampled_from([1, 4]),
)
def test_chosen_plan_fits_and_no_other_computes_less(
    height: int, width: int, overlap: int, budget: int, size_multiple: int
) -> None:
    overlap *= size_multiple
    candidates = [
        TilePlan(height, width, h, w, overlap, 4, size_multiple)
        for h in range(size_multiple, height + size_multiple, size_multiple)
        for w in range(size_multiple, width + size_multiple, size_multiple)
    ]
    fitting = [plan for plan in candidates if max(areas(plan)) <= budget]
    arguments = {"overlap": overlap, "budget_bytes": budget * 16 * 100, "bytes_per_output_pixel": 100}
    if not fitting:
        with pytest.raises(TilingError, match="raise the budget"):
            choose_tile_plan(height, width, size_multiple=size_multiple, **arguments)
        return
    chosen = choose_tile_plan(height, width, size_multiple=size_multiple, **arguments)
    assert max(areas(chosen)) <= budget
    cost, count = min((sum(areas(plan)), plan.rows * plan.columns) for plan in fitting)
    assert (sum(areas(chosen)), chosen.rows * chosen.columns) == (cost, count)


def test_an_image_within_the_budget_stays_whole() -> None:
    plan = choose_tile_plan(540, 1024, overlap=48, budget_bytes=10**10, bytes_per_output_pixel=1000)
    assert list(plan.tiles()) == [Tile(0, 0, 540, 1024, (0, 0, 540, 1024))]


# The measure of a seam


def test_seam_difference_counts_what_was_put_there() -> None:
    plan = TilePlan(8, 8, 8, 4, 0)  # 32x32, one seam at x = 16
    whole = torch.full((3, 32, 32), 0.5)
    tiled = whole.clone()
    tiled[0, :, 15] += 10 / 255
    tiled[2, 0, 0] += 40 / 255
    found = seam_difference(tiled, whole, plan, band=8)
    assert found.mean_in_band == pytest.approx(10 / (3 * 8), rel=1e-4)
    assert found.largest == pytest.approx(40, rel=1e-4)
    assert found.changed == pytest.approx((32 + 1) / 32**2)
    assert seam_difference(tiled, whole, TilePlan(8, 8, 8, 8, 0)).mean_in_band == 0
    with pytest.raises(ValueError, match="the plan's is"):
        seam_difference(tiled, whole, TilePlan(8, 9, 8, 4, 0))
