"""What notebooks 01 and 02 measure and draw: small networks, a real photograph, warnings as errors."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ourgan._core.devices import memory_trace
from ourgan.models.rrdbnet import RRDBNet
from ourgan.reproduce.figures import as_picture, table
from ourgan.reproduce.figures import receptive_field as fields
from ourgan.reproduce.figures import tiling as seams
from ourgan.reproduce.figures.super_resolution import draw_seam_means
from ourgan.reproduce.figures.synthesis import draw_budgets, draw_memory
from ourgan.upscale.receptive_field import EffectiveReceptiveField, effective
from ourgan.upscale.seams import SeamDifference, measured_seams, seam_difference
from ourgan.upscale.tiles import TilePlan, upscale

Photo = Callable[..., Tensor]


@pytest.fixture(scope="module")
def network() -> RRDBNet:
    torch.manual_seed(0)
    return RRDBNet(channels=4, blocks=2, growth=2).eval()


def random_field(seed: int, samples: int, crop: int = 8) -> EffectiveReceptiveField:
    maps = torch.rand(2, 15, 15, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    maps /= maps.sum((1, 2), keepdim=True)
    return EffectiveReceptiveField(maps[0], maps[1], (7.0 + seed / 10, 7.0), crop, samples)


def difference(mean: float) -> SeamDifference:
    return SeamDifference(mean_in_band=mean, largest=10 * mean, changed=0.5)


# Tables


def test_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    lines = str(table(["|g|", "px"], [["a|b", 0.15], ["c", 1234.5], ["d", 24]]).data).splitlines()
    assert lines[2:] == ["| a\\|b | 0.150 |", "| c | 1,234 |", "| d | 24 |"]
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)


# Effective receptive fields


def test_mean_counts_samples_alike() -> None:
    one, three = random_field(1, samples=1), random_field(2, samples=3)
    mean = fields.mean_field([one, three])
    torch.testing.assert_close(mean.energy, (one.energy + 3 * three.energy) / 4)
    torch.testing.assert_close(mean.magnitude, (one.magnitude + 3 * three.magnitude) / 4)
    assert mean.centre == pytest.approx((7.175, 7.0))
    assert mean.samples == 4
    with pytest.raises(ValueError, match="crops"):
        fields.mean_field([one, random_field(1, samples=1, crop=16)])


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 20))
def test_share_within_is_the_inverse_of_radius(share: float, seed: int) -> None:
    field = random_field(seed, samples=1)
    radius = field.radius(share, "energy")
    assert fields.share_within(field, radius, "energy") >= share
    assert fields.share_within(field, radius - 1e-6, "energy") < share


def test_fields_are_drawn(photo: Photo, network: RRDBNet) -> None:
    image = photo("stream", 96)
    by_crop = {crop: effective(network, [image], positions=2, crop=crop, progress=False) for crop in (16, 32)}
    assert as_picture(fields.draw_theory(image, {"a": 40, "b": 20}, fields.PAPER_RADII)).width > 300
    maps = fields.draw_maps(by_crop[32])
    title = maps.axes[1].get_title()
    assert title == f"g²: 98 % within {by_crop[32].radius(norm='energy'):.1f} px"
    assert as_picture(maps).width > 300  # rendering warns, hence fails, where a glyph is missing
    shares = fields.draw_shares({"stream": by_crop[32]}, by_crop[32])
    assert as_picture(shares).width > 300
    radii = fields.draw_crops(by_crop).axes[0].lines[0].get_ydata()
    assert list(radii) == [by_crop[16].radius(), by_crop[32].radius()]


# Seams


def test_smallest_overlap_holds_for_all_larger_ones() -> None:
    measured = {0: difference(6.0), 8: difference(0.4), 16: difference(0.6), 32: difference(0.1)}
    assert seams.smallest_overlap(measured, mean=0.5) == 32
    assert seams.smallest_overlap(measured, mean=0.7) == 8
    assert seams.smallest_overlap(measured, mean=10) == 0
    assert seams.smallest_overlap(measured, mean=0.1) is None


def test_seam_crops_show_the_worst_place() -> None:
    plan = TilePlan(40, 40, tile_height=40, tile_width=20, overlap=0)
    levels = torch.zeros(160, 160)
    levels[100:104, 78:82] = 50  # at the seam
    levels[10:14, 10:60] = 200  # worse, but far from it
    picture = torch.zeros(3, 160, 160)
    picture[0, 100:104] = 1
    sheet = seams.seam_crops({"a": picture, "b": picture}, plan, levels, side=40)
    reds = [y for y in range(46) if sheet.getpixel((20, y)) == (255, 0, 0)]
    assert len(reds) == 4
    assert sheet.width == 2 * (40 + 6) + 6


def test_seams_are_drawn(photo: Photo, network: RRDBNet) -> None:
    image = photo("stream", 96)
    assert image.shape == (3, 64, 96)
    whole = upscale(network, image, TilePlan(64, 96, 64, 96, overlap=0), progress=False)
    plans = {overlap: TilePlan(64, 96, 64, 48, overlap) for overlap in (0, 4)}
    tiled = {overlap: upscale(network, image, plan, progress=False) for overlap, plan in plans.items()}
    maps = {overlap: seams.level_difference(pieces, whole) for overlap, pieces in tiled.items()}
    measured = {overlap: seam_difference(tiled[overlap], whole, plans[overlap]) for overlap in plans}
    assert measured_seams(network, image, (0, 4)) == measured
    with pytest.raises(ValueError, match="overlap 48: use less than 48"):
        measured_seams(network, image, (0, 48))
    assert float(maps[0].max()) == pytest.approx(measured[0].largest, rel=1e-4)
    curve = seams.draw_seams(measured, marked=4)
    assert list(curve.axes[0].lines[1].get_ydata()) == [measured[a].mean_in_band for a in (0, 4)]
    split = seams.draw_split(image, TilePlan(64, 96, 32, 32, overlap=8), chosen=4)
    cost = seams.draw_cost([(64, 64), (270, 512)], 24, 900)
    assert float(cost.axes[0].lines[1].get_ydata()[24]) == pytest.approx(2849280 / (16 * 270 * 512))
    means = draw_seam_means({"before": measured, "after": measured}, marked=4)
    assert [line.get_label() for line in means.axes[0].lines[:2]] == ["before", "after"]
    assert list(means.axes[0].lines[1].get_ydata()) == [measured[a].mean_in_band for a in (0, 4)]
    for figure in (curve, means, split, cost, seams.draw_differences(maps)):
        assert as_picture(figure).width > 300


def test_memory_is_drawn_as_it_was_traced() -> None:
    with memory_trace(torch.device("cpu"), every=0.01) as trace:
        held = torch.ones(2**24)
        time.sleep(0.1)
    assert len(trace) > 2 and max(used for _, used in trace) > held.nbytes
    assert [seconds for seconds, _ in trace] == sorted(seconds for seconds, _ in trace)
    (line,) = draw_memory({"bands": trace}).axes[0].lines
    assert line.get_ydata()[0] == trace[0][1] / 2**30
    points = {"stream": [(2**30, 2**29, 2**28)], "tile": [(2**31, 2**30, 2**30)]}
    drawn = {line.get_label() for line in draw_budgets(points).axes[0].lines}
    assert {"stream, measured", "tile, predicted"} <= drawn
