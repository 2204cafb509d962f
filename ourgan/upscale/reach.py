"""How far a network reaches: its theoretical receptive field, which follows from its layers (Fig. 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR


@dataclass(frozen=True)
class Convolution:
    """A stride-1 convolution of odd `kernel` size, padded so that it keeps the size."""

    kernel: int

    def source(self, first: int, last: int) -> tuple[int, int]:
        """Return the first and last input position that the outputs `first` to `last` read."""
        return first - self.kernel // 2, last + self.kernel // 2


@dataclass(frozen=True)
class Nearest:
    """Nearest-neighbour upsampling by `factor`."""

    factor: int

    def source(self, first: int, last: int) -> tuple[int, int]:
        """Return the first and last input position that the outputs `first` to `last` read."""
        return first // self.factor, last // self.factor


@dataclass(frozen=True)
class Windows:
    """Attention within windows of side `size`, of which one begins at `shift`."""

    size: int
    shift: int

    def source(self, first: int, last: int) -> tuple[int, int]:
        """Return the first and last input position that the outputs `first` to `last` read."""
        before, after = ((position - self.shift) // self.size for position in (first, last))
        return before * self.size + self.shift, (after + 1) * self.size - 1 + self.shift


Layer = Convolution | Nearest | Windows


@dataclass(frozen=True)
class TheoreticalReceptiveField:
    """Exact extents in LR pixels, the same for rows and columns.

    Attributes:
        extents: for each phase p, (before, after): how far the field of output pixel Y reaches from LR pixel
            Y // r, for Y mod r = p; with windows of side M, where the position in the window counts as well,
            for Y mod rM = p.
    """

    extents: tuple[tuple[int, int], ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Side of the non-zero square for each phase."""
        return tuple(before + 1 + after for before, after in self.extents)

    @property
    def reach(self) -> int:
        """The farthest dependency: with this overlap, tiles equal the whole image."""
        return max(max(extent) for extent in self.extents)


def theoretical(network: nn.Module) -> TheoreticalReceptiveField:
    """Return the theoretical receptive field, by walking an interval backwards through the layers.

    RRDBNet has 347 convolutions at LR, one at x2 and three at x4. The three at x4 read Y - 3 to Y + 3.
    Halving that twice (with one pixel more in between for the convolution at x2) leaves LR pixels -2 to 1
    around Y // 4 for phase 0, -1 to 1 for phases 1 and 2, -1 to 2 for phase 3; the others add 347 on
    either side. So the width is 698, 697, 697 and 698 px and the reach 349.

    SwinIR goes from window border to window border. What follows its last attention layer reads 9 or 10
    pixels of it, which lie in two windows or, for 2 of the 32 phases, in three: 16 or 24 px. Each of the
    other 35 layers, its windows half a window further, adds 4 px on either side, and that takes in the
    convolutions between them; the first convolution adds one. So the width is 298 or 306 px, the reach
    153 (the paper prints a width of 324).

    Raises:
        TypeError: for other networks.
    """
    layers = _layers(network)
    scale = math.prod(layer.factor for layer in layers if isinstance(layer, Nearest))
    period = math.lcm(*(layer.size for layer in layers if isinstance(layer, Windows)))
    extents = []
    for phase in range(scale * period):
        first = last = phase
        for layer in reversed(layers):
            first, last = layer.source(first, last)
        extents.append((phase // scale - first, last - phase // scale))
    return TheoreticalReceptiveField(tuple(extents))


def _layers(network: nn.Module) -> list[Layer]:
    """List the longest path from input to output: with stride 1, every shortcut's field lies within its."""
    conv = Convolution(3)
    trunk: list[Layer] = []
    if isinstance(network, RRDBNet):
        trunk += [conv] * (1 + 15 * network.blocks + 1)
    elif isinstance(network, SwinIR):
        trunk += [conv]
        for depth in network.depths:
            trunk += [Windows(network.window, index % 2 * (network.window // 2)) for index in range(depth)]
            trunk += [conv]
        trunk += [conv, conv]
    else:
        raise TypeError(f"the layers of {type(network).__name__} are not described here")
    return [*trunk, Nearest(2), conv, Nearest(2), conv, conv, conv]
