"""A window of a picture that is never made as a whole: its pixels, and of each step only what they need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.upscale.noise import add_noise
from ourgan.upscale.overlap import measure_margin
from ourgan.upscale.schedule import Step
from ourgan.upscale.tiles import Tile, TilePlan
from ourgan.upscale.tiles_ops import upscale_tile
from ourgan.upscale.upscaler import Upscaler

SCENES = 4  # of step 2 that are remembered, some 10 MB each

Box = tuple[int, int, int, int]
"""(x, y, width, height), in pixels of the picture."""


class CropError(OurganError):
    """A window that is not within the picture."""


def crop(
    image: Float[Tensor, "3 H W"], seed: int, steps: Sequence[tuple[Step, int]], box: Box
) -> Float[Tensor, "3 h w"]:
    """Return the pixels `box` of the picture that `steps` make of `image`, float32 on the CPU, in [0, 1].

    The window of a step is one tile (Eq. 4 to 6), cut from the window of the step before and clipped at the
    true border, where the network's own padding is what the whole image meets as well. It equals the whole
    picture if every margin is the network's theoretical reach.

    Args:
        image: in [0, 1], what the first step upscales.
        seed: of the noise.
        steps: each with its margin: LR pixels beyond the window on every side that has so many.
        box: (x, y, w, h), pixels of the picture.

    Raises:
        CropError: for a window that is not within the picture.
        TilingError: as `upscale_tile` does.
    """
    scale = 4 ** len(steps)
    check_box(box, scale * image.shape[1], scale * image.shape[2])
    return _window(image, seed, steps, box)


def check_box(box: Box, height: int, width: int) -> None:
    """Raise CropError unless the window lies within a picture of this size."""
    x, y, w, h = box
    if min(w, h) < 1 or min(x, y) < 0 or x + w > width or y + h > height:
        raise CropError(f"window {w}x{h} at ({x}, {y}) is not within the picture, {width}x{height} pixels")


def _window(image: Tensor, seed: int, steps: Sequence[tuple[Step, int]], box: Box) -> Tensor:
    x, y, w, h = box
    if not steps:
        return image[:, y : y + h, x : x + w].clone()
    *before, (last, margin) = steps
    height, width = (4 ** len(before) * size for size in image.shape[1:])
    multiple = last.network.size_multiple
    left, right, outer_left, outer_right = _span(x, x + w, margin, multiple, width)
    top, bottom, outer_top, outer_bottom = _span(y, y + h, margin, multiple, height)
    window_box = (outer_left, outer_top, outer_right - outer_left, outer_bottom - outer_top)
    window = _window(image, seed, before, window_box)
    window = add_noise(window, seed, last.number, last.noise_std, top=outer_top, left=outer_left)
    tile = Tile(top, left, bottom, right, (outer_top, outer_left, outer_bottom, outer_right))
    overlap = margin + -margin % multiple  # of the halves, should the window be too large for the memory
    plan = TilePlan(height, width, multiple, multiple, overlap, last.network.scale, multiple)
    upscaled = upscale_tile(last.network, window, tile, plan)
    y, x = y - 4 * top, x - 4 * left
    return upscaled[:, y : y + h, x : x + w].clamp(0, 1)


def _span(start: int, stop: int, margin: int, multiple: int, length: int) -> tuple[int, int, int, int]:
    """LR pixels under [start, stop) of the upscaled axis; and with the margin, out to whole windows."""
    first, last = start // 4, -(-stop // 4)
    outer_first, outer_last = first - margin, last + margin
    outer = max(0, outer_first - outer_first % multiple), min(length, outer_last + -outer_last % multiple)
    return first, last, *outer


@dataclass(frozen=True)
class _Scene:
    """What windows are cut from: the picture of step 2, and the margins measured on it."""

    picture: Tensor
    margins: dict[tuple[str, float], int] = field(default_factory=dict)  # by weights and tolerance


class WindowSource:
    """Windows of large pictures of the last few scenes; for any threads, and for one upscaler.

    Step 2 is computed whole, once for each scene, later steps for the window and its surroundings alone.
    """

    def __init__(self) -> None:
        self._scenes: LRUCache[Hashable, _Scene] = LRUCache(SCENES)
        self._lock = threading.Lock()

    def crop(
        self,
        upscaler: Upscaler,
        key: Hashable,
        scene: Callable[[], Float[Tensor, "3 _ _"]],
        seed: int,
        steps: Iterable[int],
        box: Box,
        tolerance: float,
    ) -> Float[Tensor, "3 h w"]:
        """Return the pixels `box` of a scene's picture, float32 on the CPU, in [0, 1].

        Args:
            upscaler: the same at every call.
            key: of the scene.
            scene: draws it, in [0, 1], if it is not among the last few.
            seed: of the noise.
            steps: the paper's numbers, 2 and on.
            box: (x, y, w, h), pixels of the picture.
            tolerance: about the largest difference from the whole picture that each step may bring through
                what it does not see, in 8-bit levels, in float32 (in bfloat16 rounding adds its own). How
                large a margin that takes is estimated at two positions of the scene, the first time it is
                asked for; elsewhere up to 1.5 times the tolerance was seen. 0 takes all that the networks
                reach. Steps add up, and in bfloat16 sharp edges may differ by tens of levels.

        Raises:
            CropError: for a window that is not within the picture.
        """
        first, *later = steps
        with self._lock:
            kept = self._scenes.get(key)
            if kept is None:
                kept = _Scene(upscaler.upscale(scene(), seed, [first], method="stream"))
                self._scenes[key] = kept
            windows = []
            for number in later:
                network, source = upscaler.network(number)
                wanted = (source.sha256, tolerance)
                if wanted not in kept.margins:
                    kept.margins[wanted] = measure_margin(
                        network, kept.picture, tolerance, sha256=source.sha256
                    )
                windows.append((upscaler.step(number), kept.margins[wanted]))
        return crop(kept.picture, seed, windows, box)
