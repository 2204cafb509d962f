"""The seam lab: a strip of the scene upscaled in tiles and in exact bands, small enough to play with."""

from __future__ import annotations

import dataclasses

from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.background import ByteCache
from ourgan.io.pixels import contact_sheet, from_uint8
from ourgan.upscale.bands import BandPlan
from ourgan.upscale.schedule import upscale
from ourgan.upscale.seams import SeamDifference, level_difference, seam_difference
from ourgan.upscale.tiles import TilePlan
from ourgan.upscale.upscaler import Upscaler

# LR pixels. Wide enough for an overlap of 48 beside a tile of 64; as flat as it is so that any choice takes
# under two seconds on two cores in float32.
HEIGHT, WIDTH = 16, 128
TILES = (16, 32, 64)
MAX_OVERLAP = 48


class SeamError(OurganError):
    """A choice that the seam lab cannot compute."""


@dataclasses.dataclass(frozen=True)
class Seams:
    """A strip upscaled in two ways.

    Attributes:
        tiled: upscaled in tiles, (3, 64, 512) in [0, 1].
        banded: upscaled in exact bands, of the same shape and range.
        plan: the tiles.
        difference: between the two, in 8-bit levels.
    """

    tiled: Float[Tensor, "3 h w"]
    banded: Float[Tensor, "3 h w"]
    plan: TilePlan
    difference: SeamDifference

    def sheet(self) -> Image.Image:
        """Draw both and where they differ: black up to a tenth of an 8-bit level, white from 100 levels."""
        levels = level_difference(self.tiled, self.banded).clamp(min=0.1).numpy()
        colours = colormaps["magma"](LogNorm(0.1, 100, clip=True)(levels), bytes=True)[:, :, :3]
        plan, shown = self.plan, self.difference
        captions = [
            f"{plan.columns} tiles of {plan.tile_width} px, overlap {plan.overlap}",
            "exact bands",
            f"difference: {shown.mean_in_band:.2f} levels near the seams, {shown.largest:.1f} at most",
        ]
        return contact_sheet([self.tiled, self.banded, from_uint8(colours)], 1, captions)


class SeamLab:
    """Tiles against exact bands with the network of step 2, in float32, so that rounding plays no part.

    Args:
        upscaler: of the model; its network is loaded for the first strip.
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self._upscaler = upscaler.using(dtype="float32")
        self._banded = ByteCache(8 * 2**20)

    def strip(self, image: Float[Tensor, "3 H W"], x: int, y: int) -> Float[Tensor, "3 h w"]:
        """Return the strip of a scene with its upper left corner at (x, y), moved in if it must be."""
        height, width = min(HEIGHT, image.shape[1]), min(WIDTH, image.shape[2])
        left, top = max(0, min(x, image.shape[2] - width)), max(0, min(y, image.shape[1] - height))
        return image[:, top : top + height, left : left + width].contiguous()

    def measure(self, strip: Float[Tensor, "3 h w"], tile: int, overlap: int) -> Seams:
        """Upscale a strip in tiles and in bands, and compare; its bands are computed once for all choices.

        Args:
            strip: in [0, 1], as `strip` returns it.
            tile: width of the tiles, which are as high as the strip, in LR pixels.
            overlap: alpha in Eq. 4, in LR pixels.

        Raises:
            SeamError: for another tile than those of TILES, and for an overlap over 48 or wider than the
                tile, which would take far more than two seconds.
            TilingError: for an overlap that the network's windows do not allow.
        """
        if tile not in TILES:
            raise SeamError(f"tile {tile}: use one of {', '.join(map(str, TILES))}")
        if not 0 <= overlap <= min(tile, MAX_OVERLAP):
            raise SeamError(f"overlap {overlap} with a tile of {tile}: use 0 to {min(tile, MAX_OVERLAP)}")
        network = self._upscaler.network(2)[0]
        height, width = strip.shape[1:]
        rows = height + -height % network.size_multiple
        plan = TilePlan(height, width, rows, tile, overlap, network.scale, network.size_multiple)
        tiled = upscale(network, strip, plan).clamp(0, 1)
        key, bands = strip.numpy().tobytes(), BandPlan(height, width, band=8)
        banded = self._banded.find_or_make(key, lambda: upscale(network, strip, bands).clamp(0, 1))
        return Seams(tiled, banded, plan, seam_difference(tiled, banded, plan))
