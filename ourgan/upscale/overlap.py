"""How much tiles overlap (alpha of Eq. 4): a number, the paper's rule, or a tolerated difference.

The overlap of tiles and the margin of a window are one thing: low-resolution pixels that the network sees
beyond those that are wanted. All that it reaches (349 pixels for RRDBNet) makes the result exact; how much
less is enough depends on the weights and on the picture, and is measured here.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan._core.files import cache_directory
from ourgan.io.pixels import digest
from ourgan.upscale.reach import theoretical
from ourgan.upscale.receptive_field import effective
from ourgan.upscale.schedule import Network

log = logging.getLogger(__name__)

SHARE = 0.98  # of |g|, in the paper's words
CROP = 128  # LR pixels: 4.5 GB for RRDBNet in float32
CORE = 16  # LR pixels: side of the windows that are compared
LARGEST = 96  # margin of the window that is taken for the whole image
STRIDE = 8  # between the margins that are tried: whole windows of SwinIR
STORE = "margins.json"


def parse_overlap(rule: int | str) -> int | str | float:
    """Return a rule as a number of LR pixels (int), "erf" (str), or a tolerance in 8-bit levels (float).

    Args:
        rule: 48, "48", "erf" or "tolerance=1".

    Raises:
        OurganError: for anything else.
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
        "'tolerance=1' (8-bit levels)"
    )


def resolve_overlap(
    rule: int | str, network: Network, image: Float[Tensor, "3 h w"], *, sha256: str = ""
) -> int:
    """Return the overlap in LR pixels that `rule` means for a network and the image that it upscales.

    Args:
        rule: "erf" is the radius of the circle that holds 98 % of |g|, in crops of at most 128 pixels, which
            cut it off: a lower bound for RRDBNet, whose seam it does not hide (notebook 02). "tolerance=1" is
            the margin with which a window differs by at most one 8-bit level from the whole, see
            `measure_margin`. A number is itself.
        network: that upscales the image.
        image: in [0, 1].
        sha256: of the weights, under which a measured margin is remembered.

    Raises:
        OurganError: for a rule that `parse_overlap` does not know.
    """
    parsed = parse_overlap(rule)
    if isinstance(parsed, int):
        return parsed
    if isinstance(parsed, float):
        return measure_margin(network, image, parsed, sha256=sha256)
    crop = min(CROP, *image.shape[1:])
    radius = effective(copy.deepcopy(network).float(), [image], crop=crop).radius(SHARE)
    log.info("98 %% of |g| lie within %.1f pixels, of a crop of %d", radius, crop)
    return math.ceil(radius)


def measure_margin(
    network: Network,
    image: Float[Tensor, "3 h w"],
    tolerance: float,
    *,
    sha256: str = "",
    store: Path | None = None,
) -> int:
    """Return the LR pixels around a window with which it is as in the whole image, to `tolerance`.

    Measured in float32 in the middle and at the busiest position of the image, against a margin of LARGEST
    or of what a smaller image has room for. An estimate: elsewhere in the image up to 1.5 times the tolerance
    was seen.

    Args:
        network: whose margin is measured; a copy in float32 of it is.
        image: in [0, 1].
        tolerance: largest difference in 8-bit levels. With 0, or if nothing less will do, the result is all
            that the network reaches.
        sha256: of the weights. The margin is remembered for them and this image, unless the image was too
            small to tell; "" remembers nothing.
        store: the file that remembers; by default `margins.json` in the user's cache directory.
    """
    reach = theoretical(network).reach
    if not tolerance > 0:
        return reach
    store = store or cache_directory() / STORE
    # The image counts as much as the weights: with x4plus, one asks for 40 pixels and another for 88.
    key = f"{sha256} {digest(image)} {tolerance:g}"
    known = _read(store)
    if sha256 and key in known:
        return known[key]
    log.info("measuring how much margin %g 8-bit levels take, once for this picture", tolerance)
    exact = copy.deepcopy(network).float()
    # Margins that go beyond the image on all sides are alike, and would seem to be enough.
    enough = min(LARGEST, reach + -reach % STRIDE)
    room = (min(image.shape[1:]) - CORE) // 2
    largest = max(0, min(enough, room - room % STRIDE))
    margin = max(_smallest_margin(exact, image, at, tolerance, largest, reach) for at in _positions(image))
    if margin == reach > largest:
        log.info("under %d pixels of margin are not enough; taking all, %d", largest, reach)
    # What a small image tells is too little to be remembered.
    if sha256 and largest == enough:
        try:
            store.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(store, {**known, key: margin})
        except OSError as error:
            log.info("%s: cannot be written (%s); it will be measured again", store, error.strerror)
    return margin


def _positions(image: Tensor) -> list[tuple[int, int]]:
    """Corners (y, x) of the cores: in the middle, and where neighbours differ most."""
    height, width = (max(0, size - CORE) for size in image.shape[1:])
    # Away from the border, where possible: a side at the border takes no margin and tells nothing.
    border_y, border_x = min(LARGEST, height // 2), min(LARGEST, width // 2)
    change = (image[:, 1:, 1:] - image[:, :-1, :-1]).abs().sum(0)[None, None]
    busy = torch.nn.functional.avg_pool2d(change, min(CORE, *change.shape[2:]), 1)[0, 0]
    inner = busy[border_y : height - border_y + 1, border_x : width - border_x + 1]
    row, column = divmod(int(inner.argmax()), inner.shape[1])
    positions = [(height // 2, width // 2), (row + border_y, column + border_x)]
    return [(y - y % STRIDE, x - x % STRIDE) for y, x in positions]


@torch.no_grad()
def _smallest_margin(
    network: Network, image: Tensor, position: tuple[int, int], tolerance: float, largest: int, reach: int
) -> int:
    """Return the least multiple of STRIDE from which on the core at `position` is within the tolerance.

    `largest`: the margin that is taken for the whole image; `reach`, if nothing below it will do.
    """
    parameter = next(network.parameters())

    def core(margin: int) -> Tensor:
        top, left = (max(0, start - margin) for start in position)
        bottom, right = (start + CORE + margin for start in position)
        window = image[:, top:bottom, left:right].to(parameter.device)
        upscaled = network(window[None])[0].clamp(0, 1)
        y, x = 4 * (position[0] - top), 4 * (position[1] - left)
        return upscaled[:, y : y + 4 * CORE, x : x + 4 * CORE]

    expected, sufficient = core(largest), largest
    for margin in range(largest - STRIDE, -1, -STRIDE):
        # Turned around, so that values that are not numbers never suffice.
        if not (core(margin) - expected).abs().max() * 255 <= tolerance:
            break
        sufficient = margin
    return min(sufficient, reach) if sufficient < largest else reach


def _read(store: Path) -> dict[str, int]:
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if type(value) is int and value >= 0}
