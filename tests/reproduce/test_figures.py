"""What notebooks 01 and 02 measure and draw: small networks, a real photograph, warnings as errors."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from ourgan.benchmark.memory_probe import memory_trace
from ourgan.models.rrdbnet import RRDBNet
from ourgan.reproduce import figures
from ourgan.reproduce.chapter import as_picture
from ourgan.reproduce.figures.style import COLOURS
from ourgan.upscale.receptive_field import effective
from ourgan.upscale.schedule import upscale
from ourgan.upscale.seams import level_difference, measure_seams, seam_difference
from ourgan.upscale.tiles import TilePlan

Photo = Callable[..., Tensor]


@pytest.fixture(scope="module")
def network() -> RRDBNet:
    torch.manual_seed(0)
    return RRDBNet(channels=4, blocks=2, growth=2).eval()


# Effective receptive fields


def test_fields_are_drawn(photo: Photo, network: RRDBNet) -> None:
    image = photo("stream", 96)
    by_crop = {crop: effective(network, [image], positions=2, crop=crop, progress=False) for crop in (16, 32)}
    assert (
        as_picture(figures.draw_theoretical_fields(image, {"a": 40, "b": 20}, figures.PAPER_RADII)).width
        > 300
    )
    maps = figures.draw_effective_field(by_crop[32])
    title = maps.axes[1].get_title()
    assert title == f"g²: 98 % within {by_crop[32].radius(norm='energy'):.1f} px"
    assert as_picture(maps).width > 300  # rendering warns, hence fails, where a glyph is missing
    shares = figures.draw_shares({"stream": by_crop[32]}, by_crop[32])
    assert as_picture(shares).width > 300
    radii = figures.draw_radius_over_crop(by_crop).axes[0].lines[0].get_ydata()
    assert list(radii) == [by_crop[16].radius(), by_crop[32].radius()]


# Seams


def test_seam_crops_show_the_worst_place() -> None:
    plan = TilePlan(40, 40, tile_height=40, tile_width=20, overlap=0)
    levels = torch.zeros(160, 160)
    levels[100:104, 78:82] = 50  # at the seam
    levels[10:14, 10:60] = 200  # worse, but far from it
    picture = torch.zeros(3, 160, 160)
    picture[0, 100:104] = 1
    sheet = figures.seam_crop_sheet({"a": picture, "b": picture}, plan, levels, side=40)
    reds = [y for y in range(46) if sheet.getpixel((20, y)) == (255, 0, 0)]
    assert len(reds) == 4
    assert sheet.width == 2 * (40 + 6) + 6


def test_seams_are_drawn(photo: Photo, network: RRDBNet) -> None:
    image = photo("stream", 96)
    assert image.shape == (3, 64, 96)
    whole = upscale(network, image, TilePlan(64, 96, 64, 96, overlap=0))
    plans = {overlap: TilePlan(64, 96, 64, 48, overlap) for overlap in (0, 4)}
    tiled = {overlap: upscale(network, image, plan) for overlap, plan in plans.items()}
    maps = {overlap: level_difference(pieces, whole) for overlap, pieces in tiled.items()}
    measured = {overlap: seam_difference(tiled[overlap], whole, plans[overlap]) for overlap in plans}
    assert measure_seams(network, image, (0, 4)) == measured
    with pytest.raises(ValueError, match="overlap 48: use less than 48"):
        measure_seams(network, image, (0, 48))
    assert float(maps[0].max()) == pytest.approx(measured[0].largest, rel=1e-4)
    curve = figures.draw_seams(measured, marked=4)
    assert list(curve.axes[0].lines[1].get_ydata()) == [measured[a].mean_in_band for a in (0, 4)]
    split = figures.draw_split(image, TilePlan(64, 96, 32, 32, overlap=8), chosen=4)
    cost = figures.draw_tile_cost([(64, 64), (270, 512)], 24, 900)
    assert float(cost.axes[0].lines[1].get_ydata()[24]) == pytest.approx(2849280 / (16 * 270 * 512))
    means = figures.draw_network_seams(
        {"step 2, pre-trained": measured, "step 2, fine-tuned": measured}, marked=4
    )
    assert [line.get_label() for line in means.axes[0].lines[:2]] == [
        "step 2, pre-trained",
        "step 2, fine-tuned",
    ]
    assert list(means.axes[0].lines[1].get_ydata()) == [measured[a].mean_in_band for a in (0, 4)]
    for drawn in (curve, means, split, cost, figures.draw_difference_maps(maps)):
        assert as_picture(drawn).width > 300


def test_memory_is_drawn_as_it_was_traced() -> None:
    with memory_trace(torch.device("cpu"), every=0.01) as trace:
        held = torch.ones(2**24)
        time.sleep(0.1)
    assert len(trace) > 2 and max(used for _, used in trace) > held.nbytes
    assert [seconds for seconds, _ in trace] == sorted(seconds for seconds, _ in trace)
    (line,) = figures.draw_memory({"bands": trace}).axes[0].lines
    assert line.get_ydata()[0] == trace[0][1] / 2**30
    points = {"bands": [(2**30, 2**29, 2**28)], "tiles": [(2**31, 2**30, 2**30)]}
    drawn = {line.get_label() for line in figures.draw_budgets(points).axes[0].lines}
    assert {"bands, measured", "tiles, predicted"} <= drawn


def test_a_thing_has_its_colour_in_every_figure_and_shares_it_with_none() -> None:
    same = {"with the coordinate": "OUR-GAN", "without": "HP-VAE-GAN"}  # one thing under two names
    colours = {name: colour for name, colour in COLOURS.items() if name not in same}
    assert len(set(colours.values())) == len(colours)
    assert all(COLOURS[name] == COLOURS[other] for name, other in same.items())
    trace, budget = [(0.0, 2**30)], [(2**30, 2**30, 2**30)]
    for figure in (figures.draw_memory({"bands": trace}), figures.draw_budgets({"bands": budget})):
        assert figure.axes[0].lines[-1].get_color() == COLOURS["bands"]
        plt.close(figure)
