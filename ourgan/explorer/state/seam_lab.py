"""The seam lab: a strip of the scene upscaled in tiles and in exact bands, small enough to play with."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.cache import Cache
from ourgan.upscale.bands import upscale_in_bands
from ourgan.upscale.schedule import Network
from ourgan.upscale.seams import SeamDifference, seam_difference
from ourgan.upscale.tiles import TilePlan, upscale

# LR pixels. Wide enough for an overlap of 48 beside a tile of 64; as flat as it is so that any choice takes
# under two seconds on two cores in float32.
HEIGHT, WIDTH = 16, 128
TILES = (16, 32, 64)
MAX_OVERLAP = 48


class SeamError(OurganError):
    """A choice that the seam lab cannot compute."""


@dataclasses.dataclass(frozen=True)
class Seams:
    """What one choice gives: `tiled` and `banded`, (3, 64, 512) in [0, 1], their plan, and the difference."""

    tiled: Tensor
    banded: Tensor
    plan: TilePlan
    difference: SeamDifference


class SeamLab:
    """Tiles against exact bands with the network of step 2, in float32, so that rounding plays no part.

    `network`: gives it when the first strip is upscaled; loading weights takes a moment.
    """

    def __init__(self, network: Callable[[], Network]) -> None:
        self._get = network
        self._network: Network | None = None
        self._lock = threading.Lock()
        self._banded = Cache(8 * 2**20)

    def strip(self, image: Tensor, x: int, y: int) -> Tensor:
        """The strip of a scene (3, H, W) with its upper left corner at (x, y), moved in if it must be."""
        height, width = min(HEIGHT, image.shape[1]), min(WIDTH, image.shape[2])
        left, top = max(0, min(x, image.shape[2] - width)), max(0, min(y, image.shape[1] - height))
        return image[:, top : top + height, left : left + width].contiguous()

    def measure(self, strip: Tensor, tile: int, overlap: int) -> Seams:
        """Upscale a strip in tiles as high as it and `tile` wide, with `overlap`, and in bands; compare.

        The bands of a strip are computed once for all choices. Raises SeamError for an overlap over 48 or
        wider than the tile, which would take far more than two seconds; TilingError for one that the
        network's windows do not allow.
        """
        if tile not in TILES:
            raise SeamError(f"tile {tile}: use one of {', '.join(map(str, TILES))}")
        if not 0 <= overlap <= min(tile, MAX_OVERLAP):
            raise SeamError(f"overlap {overlap} with a tile of {tile}: use 0 to {min(tile, MAX_OVERLAP)}")
        network = self._exact()
        height, width = strip.shape[1:]
        rows = height + -height % network.size_multiple
        plan = TilePlan(height, width, rows, tile, overlap, network.scale, network.size_multiple)
        tiled = upscale(network, strip, plan, progress=False).clamp(0, 1)
        banded = self._banded.get(_bytes(strip), lambda: _in_bands(network, strip))
        return Seams(tiled, banded, plan, seam_difference(tiled, banded, plan))

    def _exact(self) -> Network:
        with self._lock:
            if self._network is None:
                network = self._get()
                single = next(network.parameters()).dtype == torch.float32
                self._network = network if single else copy.deepcopy(network).float()
            return self._network


@torch.no_grad()
def _in_bands(network: Network, strip: Tensor) -> Tensor:
    height, width = strip.shape[1:]
    return torch.cat(list(upscale_in_bands(network, [strip], height, width, band=8)), 1).clamp(0, 1)


def _bytes(strip: Tensor) -> bytes:
    return strip.numpy().tobytes()
