"""Chained steps, row by row: equal to one step after the other, and the same from whatever row they begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.bands import BandPlan
from ourgan.upscale.noise import add_noise
from ourgan.upscale.schedule import (
    Layout,
    Step,
    UpscalePlan,
    bytes_in_bands,
    choose_plans,
    render_rows,
    upscale,
)
from ourgan.upscale.tiles import TilePlan

Networks = RRDBNet | SwinIR


@pytest.fixture(scope="module", params=["rrdbnet", "swinir"])
def network(request: pytest.FixtureRequest) -> Networks:
    torch.manual_seed(0)
    if request.param == "rrdbnet":
        made: Networks = RRDBNet(channels=8, blocks=1, growth=4)
    else:
        made = SwinIR(channels=12, depths=(2, 2), heads=2)
    return made.eval().requires_grad_(False)


def joined(rows: Iterator[Tensor]) -> Tensor:
    return torch.cat(list(rows), 1)


def test_chained_steps_are_one_step_after_the_other(network: Networks) -> None:
    image = torch.rand(3, 21, 13)
    steps = [Step(step, network, 0.1) for step in (2, 3)]
    whole = image
    for step in steps:
        noisy = add_noise(whole, 5, step.number, 0.1)
        whole = network(noisy[None])[0].clamp(0, 1)
    for method in ("stream", "tile"):
        plans, why = choose_plans(steps, 21, 13, method=method, overlap=0, budget_bytes=2**30)
        assert method == "tile" or "no seam" in why
        torch.testing.assert_close(joined(render_rows(image, plans, 5)), whole, rtol=0, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_from_any_row_on_it_is_bit_for_bit_the_same(network: Networks, data: st.DataObject) -> None:
    height = data.draw(st.integers(1, 90), "height")
    band = data.draw(st.sampled_from((8, 16)), "band")
    image = torch.rand(3, height, 9, generator=torch.Generator().manual_seed(height))
    steps = [Step(step, network, 0.05) for step in (2, 3)]
    tiled, _ = choose_plans(steps, height, 9, method="tile", overlap=8, budget_bytes=900 * 16 * 40 * 40)
    sizes = [BandPlan(height * 4**n, 9 * 4**n, band) for n in range(2)]
    banded = [UpscalePlan(step, layout) for step, layout in zip(steps, sizes, strict=True)]
    plans = data.draw(st.sampled_from([banded, tiled]))
    whole = joined(render_rows(image, plans, 5))
    assert whole.shape == (3, 16 * height, 16 * 9)
    first = data.draw(st.integers(0, 16 * height - 1), "first")
    assert torch.equal(joined(render_rows(image, plans, 5, first)), whole[:, first:])


def test_tiles_are_those_of_the_plan(network: Networks) -> None:
    image = torch.rand(3, 50, 70)
    [plan], why = choose_plans(
        [Step(2, network, 0)], 50, 70, method="tile", overlap=8, budget_bytes=900 * 16 * 1500
    )
    layout = plan.layout
    assert isinstance(layout, TilePlan) and layout.rows > 1 and layout.columns > 1 and "asked" in why
    expected = upscale(network, image, layout).clamp(0, 1)
    assert torch.equal(joined(render_rows(image, [plan], 5)), expected)


def test_the_largest_band_that_fits_else_tiles_else_a_clear_line(network: Networks) -> None:
    steps = [Step(step, network, 0) for step in (2, 3, 4)]

    def chosen(budget: int, method: str = "auto") -> list[Layout]:
        plans, _ = choose_plans(steps, 30, 40, method=method, overlap=0, budget_bytes=budget)
        return [plan.layout for plan in plans]

    for band in (64, 32, 8):
        needed = bytes_in_bands(steps, 40, band)
        assert all(isinstance(plan, BandPlan) and plan.band == band for plan in chosen(needed))
        assert all(not isinstance(plan, BandPlan) or plan.band < band for plan in chosen(needed - 1))
    plans, why = choose_plans(steps, 30, 40, method="auto", overlap=0, budget_bytes=needed - 1)
    assert (
        all(isinstance(plan.layout, TilePlan) for plan in plans)
        and "tiles, because bands of 8 rows 640" in why
    )
    for method in ("stream", "tile"):
        with pytest.raises(OurganError, match="budget") as caught:
            chosen(1000, method)
        assert "\n" not in str(caught.value)


def test_memory_is_that_of_the_width(network: Networks) -> None:
    # Reading stops once rows come out: nothing runs ahead, whatever the height.
    read = 0

    def image(first: int) -> Iterator[Tensor]:
        nonlocal read
        for _ in range(first, 10_000, 8):
            read += 8
            yield torch.rand(3, 8, 9)

    next(UpscalePlan(Step(2, network, 0), BandPlan(10_000, 9, 8)).rows(image, 5, 0))
    assert read < 400
