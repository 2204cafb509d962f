"""The overlap by rule: a number, the share of the effective receptive field, or a tolerated difference."""

from __future__ import annotations

import math

import pytest
import torch

from ourgan._core.errors import OurganError
from ourgan.models.rrdbnet import RRDBNet
from ourgan.upscale.overlap import measure_margin, parse_overlap, resolve_overlap
from ourgan.upscale.receptive_field import effective
from ourgan.upscale.schedule import upscale
from ourgan.upscale.seams import seam_difference
from ourgan.upscale.tiles import TilePlan


@pytest.fixture(scope="module")
def network() -> RRDBNet:
    torch.manual_seed(1)
    return RRDBNet(channels=8, blocks=2, growth=4).eval()


def test_rules() -> None:
    assert parse_overlap(48) == 48 and parse_overlap("16") == 16
    assert parse_overlap("erf") == "erf"
    tolerance = parse_overlap("tolerance=0.5")
    assert isinstance(tolerance, float) and tolerance == 0.5


@pytest.mark.parametrize("rule", ["", "-1", "4.5", "tolerance", "tolerance=", "tolerance=0", "tolerance=nan",
                                  "tolerance=-1", "ERF", "x=3", -2])  # fmt: skip
def test_anything_else_is_refused_in_one_line(rule: str | int) -> None:
    with pytest.raises(OurganError, match="give LR pixels") as caught:
        parse_overlap(rule)
    assert "\n" not in str(caught.value)


def test_erf_is_the_radius_of_98_percent(network: RRDBNet, photo) -> None:
    image = photo(width=96)
    field = effective(network, [image], crop=min(image.shape[1:]), progress=False)
    assert resolve_overlap("erf", network, image) == math.ceil(field.radius(0.98, "magnitude"))
    assert next(network.parameters()).requires_grad  # left as it was


def test_a_tolerance_keeps_the_seam_under_it(network: RRDBNet, photo) -> None:
    image = photo(width=160)
    overlaps = {t: resolve_overlap(f"tolerance={t}", network, image) for t in (200.0, 0.05)}
    assert overlaps[200.0] < overlaps[0.05]
    assert overlaps[0.05] == measure_margin(network, image, 0.05)
    height, width = image.shape[1:]
    whole = upscale(network, image, TilePlan(height, width, height, width, 0))
    plan = TilePlan(height, width, height, width // 2, overlaps[0.05])
    seam = seam_difference(upscale(network, image, plan), whole, plan, band=32)
    assert seam.mean_in_band < 0.05
