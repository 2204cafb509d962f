"""How far a network looks, where it matters: the context that keeps a window close to the whole image."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path

import torch
from torch import Tensor

from ourgan._core import files
from ourgan._core.caches import cache_directory
from ourgan.io.pixels import digest
from ourgan.upscale.networks import Network
from ourgan.upscale.receptive_field import theoretical

log = logging.getLogger(__name__)

CORE = 16  # LR pixels: side of the windows that are compared
LARGEST = 96  # context of what stands for the whole image
STRIDE = 8  # between the contexts that are tried: whole windows of SwinIR
STORE = "contexts.json"


def measured_context(
    network: Network, image: Tensor, tolerance: float, *, sha256: str = "", store: Path | None = None
) -> int:
    """LR pixels of context with which a window differs by at most `tolerance` levels of 255, in float32.

    Measured in the middle and at the busiest place of `image` (3, H, W) in [0, 1], against a context of
    LARGEST, or of what a smaller image has room for; with `tolerance` 0, or if nothing less will do, all
    that the network reaches. Remembered in `store` (default: `ourgan/contexts.json` in the user's cache)
    for this image and the `sha256` of the weights, unless the image was too small; "" remembers nothing.
    An estimate: elsewhere in the image up to 1.5 times the tolerance was seen.
    """
    reach = theoretical(network).reach
    if not tolerance > 0:
        return reach
    store = store or cache_directory() / STORE
    # The image counts as much as the weights: with x4plus, one asks for 40 pixels and another for 88.
    drawn = digest(image)
    key = f"{sha256} {drawn} {tolerance:g}"
    known = _read(store)
    if sha256 and key in known:
        return known[key]
    log.info("measuring how much context %g levels of 255 take, once for this picture", tolerance)
    exact = copy.deepcopy(network).float()
    # Contexts that go beyond the image on all sides are alike, and would seem to be enough.
    enough = min(LARGEST, reach + -reach % STRIDE)
    room = (min(image.shape[1:]) - CORE) // 2
    largest = max(0, min(enough, room - room % STRIDE))
    context = max(_needed(exact, image, place, tolerance, largest, reach) for place in _places(image))
    if context == reach > largest:
        log.info("under %d pixels of context are not enough; taking all, %d", largest, reach)
    # What a small image tells is too little to be remembered.
    if sha256 and largest == enough:
        try:
            store.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(store, {**known, key: context})
        except OSError as error:
            log.info("%s: cannot be written (%s); it will be measured again", store, error.strerror)
    return context


def _places(image: Tensor) -> list[tuple[int, int]]:
    """Corners of the cores: in the middle, and where neighbours differ most."""
    height, width = (max(0, size - CORE) for size in image.shape[1:])
    # Away from the border, where possible: a side at the border takes no context and tells nothing.
    margin_y, margin_x = min(LARGEST, height // 2), min(LARGEST, width // 2)
    change = (image[:, 1:, 1:] - image[:, :-1, :-1]).abs().sum(0)[None, None]
    busy = torch.nn.functional.avg_pool2d(change, min(CORE, *change.shape[2:]), 1)[0, 0]
    inner = busy[margin_y : height - margin_y + 1, margin_x : width - margin_x + 1]
    row, column = divmod(int(inner.argmax()), inner.shape[1])
    places = [(height // 2, width // 2), (row + margin_y, column + margin_x)]
    return [(y - y % STRIDE, x - x % STRIDE) for y, x in places]


@torch.no_grad()
def _needed(
    network: Network, image: Tensor, place: tuple[int, int], tolerance: float, largest: int, reach: int
) -> int:
    """The least multiple of STRIDE from which on the core at `place` stays within the tolerance.

    `largest`: the context that stands for the whole image; `reach`, if nothing below it will do.
    """
    parameter = next(network.parameters())

    def core(context: int) -> Tensor:
        top, left = (max(0, start - context) for start in place)
        bottom, right = (start + CORE + context for start in place)
        window = image[:, top:bottom, left:right].to(parameter.device)
        upscaled = network(window[None])[0].clamp(0, 1)
        y, x = 4 * (place[0] - top), 4 * (place[1] - left)
        return upscaled[:, y : y + 4 * CORE, x : x + 4 * CORE]

    expected, sufficient = core(largest), largest
    for context in range(largest - STRIDE, -1, -STRIDE):
        # Turned around, so that values that are not numbers never suffice.
        if not (core(context) - expected).abs().max() * 255 <= tolerance:
            break
        sufficient = context
    return min(sufficient, reach) if sufficient < largest else reach


def _read(store: Path) -> dict[str, int]:
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if type(value) is int and value >= 0}
