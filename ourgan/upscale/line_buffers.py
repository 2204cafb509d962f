"""Feature maps of which only a few rows exist at a time: what a network keeps between two bands.

Rows are `(n, W, C)`: the channels_last order of a convolution and the token order of an attention, so that
neither has to move anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ourgan._core.mirror import mirror_indices

RowSource = Callable[[int], Iterator[Tensor]]
"""Rows of an image (3, H, W) from a given one on, in pieces (3, n, W)."""


class MemoryMeter:
    """Counts the bytes that the maps and the workspace of one network hold.

    Attributes:
        in_use: now.
        peak: at most so far.
    """

    def __init__(self) -> None:
        self.in_use = 0
        self.peak = 0

    def add(self, count: int) -> None:
        """Note `count` bytes more, or fewer if it is negative."""
        self.in_use += count
        self.peak = max(self.peak, self.in_use)


class LineBuffer:
    """A map of `height` x `width` pixels; its rows appear in order and go when every reader is past them.

    `lag`: rows by which it stays behind the image, far from the borders, both in rows of its own size;
    `stop`: rows that have appeared; `kept`: rows that it holds between two bands, far from the borders.
    """

    def __init__(self, height: int, width: int, channels: int, lag: int, meter: MemoryMeter) -> None:
        self.height, self.width, self.channels, self.lag = height, width, channels, lag
        self.stop = 0
        self.kept = 0
        self._ledger = meter
        self._chunks: deque[tuple[int, Tensor]] = deque()
        self._needed: list[int] = []

    @property
    def base(self) -> LineBuffer:
        """The map that holds the rows: this one."""
        return self

    def reader(self, behind: int) -> int:
        """Register a reader that stays `behind` rows behind the image; return its number."""
        self.kept = max(self.kept, behind - self.lag)
        self._needed.append(0)
        return len(self._needed) - 1

    def append(self, rows: Tensor) -> None:
        """Add the next rows; they belong to the map from then on."""
        self._chunks.append((self.stop, rows))
        self._ledger.add(_bytes(rows))
        self.stop += len(rows)

    def release(self, reader: int, first: int) -> None:
        """Say that this reader needs no row above `first` any more."""
        self._needed[reader] = first
        needed = min(self._needed)
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) <= needed:
            self._ledger.add(-_bytes(self._chunks.popleft()[1]))
        if self._chunks and self._chunks[0][0] < needed:
            start, rows = self._chunks[0]
            rest = rows[needed - start :]
            if len(rest) <= self.kept:  # what stays until the next band; a view would keep all of this one
                rest = rest.clone()
                self._chunks[0] = (needed, rest)
                self._ledger.add(_bytes(rest))
                self._ledger.add(-_bytes(rows))

    def segments(self, first: int, last: int) -> Iterator[tuple[int, Tensor]]:
        """Iterate over the rows [first, last) as views, each with the position of its first row."""
        for start, rows in self._chunks:
            low, high = max(first, start), min(last, start + len(rows))
            if low < high:
                yield low, rows[low - start : high - start]

    def fill(self, target: Tensor, first: int, last: int) -> None:
        """Write the rows [first, last) into `target`, zeros for those beyond the top and the bottom."""
        if first < 0:
            target[:-first].zero_()
        if last > self.height:
            target[self.height - first :].zero_()
        for start, rows in self.segments(first, last):
            target[start - first : start - first + len(rows)].copy_(rows)


class InputBuffer(LineBuffer):
    """The image itself, mirrored on the right and at the bottom up to whole windows, as in SwinIR.

    `mean`: (3,), subtracted from its pixels; its device and type are those of the rows.
    """

    def __init__(self, height: int, width: int, size_multiple: int, mean: Tensor, meter: MemoryMeter) -> None:
        padded_height, padded_width = (size + -size % size_multiple for size in (height, width))
        super().__init__(padded_height, padded_width, 3, 0, meter)
        self._height, self._width, self._multiple, self._mean = height, width, size_multiple, mean
        self._bottom = mean.new_empty(0, padded_width, 3)

    def feed(self, piece: Tensor) -> None:
        """Add the next rows of the image, `(3, n, W)`."""
        # A copy: the caller may use the memory of these rows again.
        rows = piece.permute(1, 2, 0).to(self._mean.device, self._mean.dtype, copy=True)
        if self.width > self._width:
            rows = rows.index_select(
                1, mirror_indices(self._width, 0, -self._width % self._multiple).to(rows.device)
            )
        rows -= self._mean
        if self.height > self._height:
            self._bottom = torch.cat([self._bottom, rows])[-self._multiple :]
        self.append(rows)

    def finish(self) -> None:
        """After the last row: mirror the bottom."""
        if self.stop < self.height:
            missing = mirror_indices(self._height, 0, -self._height % self._multiple)[self._height :]
            indices = missing - (self._height - len(self._bottom))  # in what is left of the image
            self.append(self._bottom.index_select(0, indices.to(self._bottom.device)))


class NearestUpsample:
    """A map twice as high and as wide, each pixel four times: it exists only where it is written."""

    def __init__(self, source: LineBuffer) -> None:
        self.base = source
        self.height, self.width = 2 * source.height, 2 * source.width
        self.channels, self.lag = source.channels, 2 * source.lag

    @property
    def stop(self) -> int:
        """Rows that have appeared."""
        return 2 * self.base.stop

    def reader(self, behind: int) -> int:
        """See `LineBuffer.reader`; rows are those of the enlarged map."""
        return self.base.reader(-(-behind // 2))

    def release(self, reader: int, first: int) -> None:
        """See `LineBuffer.release`."""
        self.base.release(reader, first // 2)

    def fill(self, target: Tensor, first: int, last: int) -> None:
        """See `LineBuffer.fill`."""
        for top in range(min(2, last - first)):
            start = (first + top) // 2
            for left in range(2):
                part = target[top::2, left::2]
                self.base.fill(part, start, start + len(part))


class Workspace:
    """Memory that the operators use in turn: fetched from the system once instead of for every band."""

    def __init__(self, device: torch.device, dtype: torch.dtype, meter: MemoryMeter) -> None:
        self._flat = torch.empty(0, device=device, dtype=dtype)
        self.meter = meter

    def view(self, rows: int, width: int, channels: int) -> Tensor:
        """Return `(rows, width, channels)`, holding anything, until the next call."""
        size = rows * width * channels
        if size > self._flat.numel():
            self.meter.add(-self._flat.nbytes)
            self._flat = self._flat.new_empty(0)  # give back first: both at once would be a peak
            self._flat = self._flat.new_empty(size)
            self.meter.add(self._flat.nbytes)
        return self._flat[:size].view(rows, width, channels)


def _bytes(rows: Tensor) -> int:
    """Return how much the tensor keeps alive: of a view, all that it is a part of."""
    return rows.untyped_storage().nbytes()
