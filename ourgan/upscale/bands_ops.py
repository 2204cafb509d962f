"""What a network does to its maps, a band of rows at a time: each output row is computed once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ourgan.models.swinir import CPU_GROUP, AttentionLayer
from ourgan.models.window_attention import FORBIDDEN, Geometry, relative_positions
from ourgan.upscale.line_buffers import LineBuffer, NearestUpsample, Workspace

Source = LineBuffer | NearestUpsample
Function = Callable[[Tensor], Tensor]


class Operator(ABC):
    """Reads maps and appends to `output`, at most `limit` rows at a time.

    `reads`: each map read, and how many rows above and below an output row; `lag`: of the output.
    """

    def __init__(
        self, reads: Sequence[tuple[Source, int]], channels: int, lag: int, limit: int, workspace: Workspace
    ) -> None:
        source = reads[0][0]
        self.output = LineBuffer(source.height, source.width, channels, lag, workspace.meter)
        self.limit = limit
        self.workspace = workspace
        self.reads = [(source, reach, source.reader(lag + reach)) for source, reach in reads]

    def run(self) -> bool:
        """Compute the rows that have become possible; return whether there were any."""
        first, height = self.output.stop, self.output.height
        ready = min(source.stop - reach * (source.stop < height) for source, reach, _ in self.reads)
        last = self.whole(min(ready, first + self.limit))
        if last <= first:
            return False
        self.output.append(self.compute(first, last))
        for source, reach, reader in self.reads:
            source.release(reader, last - reach)
        return True

    def whole(self, last: int) -> int:
        """Return the last row up to which the output can be computed, given the last that is possible."""
        return last

    @abstractmethod
    def compute(self, first: int, last: int) -> Tensor:
        """Return the output rows [first, last), a tensor of their own."""

    @abstractmethod
    def working(self) -> tuple[int, int]:
        """Return the numbers kept while it runs at its limit: in the workspace; beside it and the output."""


class Convolution(Operator):
    """A 3x3 convolution of the concatenated `sources`, then a pointwise function, then scaled residuals.

    `then` may work in place; `plus`: (map, s), each making map + s x result, in order; `delay`: rows by
    which it waits longer than it must, so that its output need not be kept for a late reader.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        module: nn.Conv2d,
        then: Function | None,
        plus: Sequence[tuple[LineBuffer, float]],
        limit: int,
        workspace: Workspace,
        delay: int = 0,
    ) -> None:
        reads: list[tuple[Source, int]] = [(source, 1 + delay) for source in sources]
        reads += [(residual, 0) for residual, _ in plus if residual not in sources]
        lag = max(source.lag for source in sources) + 1 + delay
        super().__init__(reads, module.out_channels, lag, limit, workspace)
        self.sources, self.module, self.then, self.plus = tuple(sources), module, then, plus

    def compute(self, first: int, last: int) -> Tensor:
        """See `Operator.compute`."""
        window = self.workspace.view(last - first + 2, self.output.width, self.module.in_channels)
        channel = 0
        for source in self.sources:
            source.fill(window[:, :, channel : channel + source.channels], first - 1, last + 1)
            channel += source.channels
        image = window[None].permute(0, 3, 1, 2)
        # Only the columns are padded here: the window has its neighbours' rows.
        result = F.conv2d(image, self.module.weight, self.module.bias, padding=(0, 1))[0].permute(1, 2, 0)
        if self.then is not None:
            result = self.then(result)
        for residual, scale in self.plus:
            for start, rows in residual.segments(first, last):
                part = result[start - first : start - first + len(rows)]
                torch.add(rows, part, alpha=scale, out=part)
        return result

    def working(self) -> tuple[int, int]:
        """See `Operator.working`."""
        return (self.limit + 2) * self.output.width * self.module.in_channels, 0


class Pointwise(Operator):
    """A function of each pixel alone, which returns a tensor of its own."""

    def __init__(self, source: LineBuffer, function: Function, limit: int, workspace: Workspace) -> None:
        super().__init__([(source, 0)], source.channels, source.lag, limit, workspace)
        self.source, self.function = source, function

    def compute(self, first: int, last: int) -> Tensor:
        """See `Operator.compute`."""
        window = self.workspace.view(last - first, self.output.width, self.output.channels)
        self.source.fill(window, first, last)
        return self.function(window)

    def working(self) -> tuple[int, int]:
        """See `Operator.working`."""
        return self.limit * self.output.width * self.output.channels, 0


class Attention(Operator):
    """An attention layer over rows of windows; if shifted, it ends half a window above a band's end.

    In the whole image a shifted layer puts the top half window and the bottom one into the same windows and
    keeps them apart by `FORBIDDEN`. Here each is attended to alone: the same, up to a weight of e^-100.
    `geometry`: `band_geometry`, best with a memory.
    """

    def __init__(
        self,
        source: LineBuffer,
        layer: AttentionLayer,
        geometry: Callable[[int, int, int, int, torch.device, torch.dtype], Geometry],
        limit: int,
        workspace: Workspace,
    ) -> None:
        lag = source.lag + (-layer.shift - source.lag) % layer.window
        super().__init__([(source, 0)], source.channels, lag, limit, workspace)
        self.source, self.layer, self.geometry = source, layer, geometry

    def whole(self, last: int) -> int:
        """See `Operator.whole`: windows are computed whole."""
        if last == self.output.height:
            return last
        return last - (last - self.layer.shift) % self.layer.window

    def compute(self, first: int, last: int) -> Tensor:
        """See `Operator.compute`."""
        window, shift = self.layer.window, self.layer.shift
        halves = (shift, self.output.height - window + shift) if shift else ()
        cuts = sorted({first, last, *(cut for cut in halves if first < cut < last)})
        parts = []
        for start, stop in pairwise(cuts):
            rows = self.workspace.view(stop - start, self.output.width, self.output.channels)
            self.source.fill(rows, start, stop)
            geometry = self.geometry(len(rows), rows.shape[1], window, shift, rows.device, rows.dtype)
            parts.append(self.layer(rows[None], geometry)[0])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def working(self) -> tuple[int, int]:
        """See `Operator.working`: the layer's output twice more, its mask and indices, a group of windows."""
        pixels, channels, area = self.limit * self.output.width, self.output.channels, self.layer.window**2
        indices = 16  # two geometries of two lists, eight bytes each, as numbers of two bytes
        group = min(pixels, CPU_GROUP * torch.get_num_threads() * area)
        inside = 12 * channels + 4 * self.layer.attn.heads * area  # of a pixel: keys, MLP, logits, ...
        return pixels * channels, pixels * (2 * channels + area + indices) + group * inside


def count_numbers(image: LineBuffer, trunk: Sequence[Operator], tail: Sequence[Operator]) -> int:
    """Return the numbers kept at most, far from the borders: those kept between bands, and what one adds.

    A band's rows of a map are all there from its operator to its last reader; the workspace is as large as
    its largest user; the trunk's last map stays while the tail reads it in several turns.
    """
    operators = [*trunk, *tail]
    kept = sum(rows.kept * rows.width * rows.channels for rows in [image, *(op.output for op in operators)])
    last_reader = {source.base: operator for operator in operators for source, _, _ in operator.reads}
    last_reader[trunk[-1].output] = tail[-1]
    fresh = {image: trunk[0].limit * image.width * image.channels}
    workspace = most = 0
    for operator in operators:
        output = operator.output
        fresh[output] = operator.limit * output.width * output.channels
        shared, beside = operator.working()
        workspace = max(workspace, shared)
        most = max(most, sum(fresh.values()) + beside)
        fresh = {rows: count for rows, count in fresh.items() if last_reader.get(rows) is not operator}
    return kept + workspace + most


def band_geometry(
    height: int, width: int, window: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Geometry:
    """Return the windows of a band of tokens, shifted along its rows only.

    Args:
        height: rows of the band: whole windows, or a part of one.
        width: of the band, whole windows.
        window: side of a window.
        shift: by which the windows are moved, 0 or half a window.
        device: where the indices are needed.
        dtype: of the mask.
    """
    tall = window if height % window == 0 else height
    pixels = torch.arange(height * width, device=device).view(height, width)
    order = _partition(pixels.roll(-shift, 1), tall, window)
    indices = (order, order.flatten().argsort())
    positions = relative_positions(window, device)[: tall * window, : tall * window]
    if not shift:
        mask = torch.zeros(1, device=device, dtype=dtype).view(1, 1, 1, 1).expand(len(order), 1, 1, 1)
        return Geometry(positions, indices, indices, mask)
    # After the shift, the last columns are those that came around from the first.
    region = _partition(pixels % width >= width - shift, tall, window)
    mask = torch.zeros(len(order), 1, tall * window, tall * window, device=device, dtype=dtype)
    mask.masked_fill_((region[:, :, None] != region[:, None, :])[:, None], FORBIDDEN)
    return Geometry(positions, indices, indices, mask)


def _partition(values: Tensor, tall: int, wide: int) -> Tensor:
    """`(H, W)` to `(windows, tall * wide)`."""
    height, width = values.shape
    split = values.view(height // tall, tall, width // wide, wide)
    return split.transpose(1, 2).reshape(-1, tall * wide)
