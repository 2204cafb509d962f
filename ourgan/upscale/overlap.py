"""How much subregions overlap (alpha of Eq. 4): a number, the paper's rule, or a tolerated difference."""

from __future__ import annotations

import copy
import logging
import math

from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.upscale.margin import measured_context
from ourgan.upscale.networks import Network
from ourgan.upscale.receptive_field import effective

log = logging.getLogger(__name__)

SHARE = 0.98  # of |g|, in the paper's words
CROP = 128  # LR pixels: 4.5 GB for RRDBNet in float32


def parse_overlap(rule: int | str) -> int | str | float:
    """The rule as a number of LR pixels, "erf", or a tolerance in levels of 255 (float).

    `rule`: 48, "48", "erf" or "tolerance=1". Raises OurganError for anything else.
    """
    text = str(rule)
    if text == "erf":
        return text
    name, _, value = text.rpartition("=")
    try:
        if name == "tolerance":
            tolerance = float(value)
            if tolerance > 0 and math.isfinite(tolerance):
                return tolerance
        elif not name and (pixels := int(value)) >= 0:
            return pixels
    except ValueError:
        pass
    raise OurganError(
        f"overlap '{rule}': give LR pixels (48), 'erf' (98 % of the effective receptive field) or "
        "'tolerance=1' (levels of 255)"
    )


def measured_overlap(rule: int | str, network: Network, image: Tensor, *, sha256: str = "") -> int:
    """The overlap in LR pixels that `rule` means for a network and what it enlarges, (3, H, W) in [0, 1].

    "erf": the radius of the circle that holds 98 % of |g|, in crops of at most 128 pixels, which cut it off:
    a lower bound for RRDBNet, whose seam it does not hide (notebook 02). "tolerance=1": the context with
    which a window differs by at most a level of 255 from the whole, see `measured_context`.
    """
    parsed = parse_overlap(rule)
    if isinstance(parsed, int):
        return parsed
    if isinstance(parsed, float):
        return measured_context(network, image, parsed, sha256=sha256)
    crop = min(CROP, *image.shape[1:])
    radius = effective(copy.deepcopy(network).float(), [image], crop=crop).radius(SHARE)
    log.info("98 %% of |g| lie within %.1f pixels, of a crop of %d", radius, crop)
    return math.ceil(radius)
