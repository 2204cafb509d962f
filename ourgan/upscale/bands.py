"""Upscaling an image of any height in horizontal bands, equal to that of the whole image.

Tiles that overlap compute their overlaps twice, and differ from the whole image unless they overlap by all
that the network reaches. In bands every layer keeps the few rows that its next band needs instead: nothing is
computed twice, nothing is cut off, and memory depends on the width alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.upscale.banded_network import BandedNetwork, StreamingError
from ourgan.upscale.bands_ops import count_numbers
from ourgan.upscale.line_buffers import RowSource
from ourgan.upscale.reach import theoretical


@dataclass(frozen=True)
class BandPlan:
    """How an image is upscaled in bands.

    Attributes:
        height: of the low-resolution image, in its pixels.
        width: of the same.
        band: LR rows computed at a time, rounded up to whole windows for SwinIR.

    Raises:
        StreamingError: for a band or an image without rows.
    """

    height: int
    width: int
    band: int = 32

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.band) < 1:
            raise StreamingError(
                f"image {self.height}x{self.width} in bands of {self.band} rows: each has to be at least 1"
            )


def upscale_in_bands(
    network: nn.Module, source: RowSource, plan: BandPlan, first: int = 0
) -> Iterator[Float[Tensor, "3 _ rw"]]:
    """Upscale an image that arrives in pieces, a band at a time: Eq. 5 for the whole image.

    Args:
        network: RRDBNet or SwinIR, on its own device and in its own type.
        source: gives the rows of the low-resolution image in [0, 1], noise included, from a given one on, in
            pieces (3, n, W) of any heights.
        plan: sizes of the image and of a band.
        first: the row of the upscaled image to begin with.

    Returns:
        The rows from `first` on, an iterator of pieces (3, n, 4 W), float32 on the CPU and not clamped; bit
        for bit those of a run from the top.

    Raises:
        TypeError: for another network.
        StreamingError: if the pieces do not make up the image, or for values that are not finite.
    """
    parameter = next(network.parameters(), torch.empty(0))
    start = _start(network, plan.band, first) if first else 0
    height, device, dtype = plan.height - start, parameter.device, parameter.dtype
    banded = BandedNetwork(network, height, plan.width, plan.band, device, dtype)
    return _from_row(first - 4 * start, banded.upscale(source(start)))


def _start(network: nn.Module, band: int, first: int) -> int:
    """LR row to begin with, so that the upscaled row `first` comes out as in a run from the top."""
    # The rows that the network reaches, and one band more: the first band below a border, here a false
    # one, has another shape than later ones, and another shape may round differently.
    start = max(0, first // 4 - theoretical(network).reach)
    return max(0, start - start % band - band)


def _from_row(first: int, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    position = 0
    for piece in pieces:
        above = max(0, first - position)
        position += piece.shape[1]
        if position > first:
            yield piece[:, above:]


def band_bytes(network: nn.Module, width: int, band: int) -> int:
    """Return the bytes that bands need on a CPU beside the network, for an image of any height.

    Args:
        network: in the type of the computation.
        width: of the low-resolution image.
        band: its rows at a time.
    """
    dtype = next(network.parameters()).dtype
    banded = BandedNetwork(network, 1 << 40, width, band, torch.device("meta"), dtype)
    return count_numbers(banded.image, banded.trunk, banded.tail) * dtype.itemsize
