"""A classifier's features in horizontal bands of a large image, equal to those of the whole image.

Every layer keeps the rows that its next band needs again, so only a few rows are computed twice and memory
depends on the width alone. Zero or mirrored padding is applied at the true border only: what a layer pads at
the edge of a band is cut off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

SHARE = 8  # a band is at least this many times what it computes twice


@dataclass(frozen=True)
class Block:
    """A layer, or a few of them, the same along both axes, that pads its input by itself.

    Its output row i depends on input rows i stride - padding to i stride - padding + kernel - 1; a larger
    window than the true one is allowed, and needed where mirrored rows come from outside of it.
    """

    module: nn.Module
    kernel: int = 1
    stride: int = 1
    padding: int = 0

    def size(self, length: int) -> int:
        """Return the rows or columns of the output for `length` of the input; at least 0."""
        return max(0, (length + 2 * self.padding - self.kernel) // self.stride + 1)


def plain_blocks(layers: Iterable[nn.Module]) -> list[Block]:
    """Return the blocks of layers: Conv2d, MaxPool2d, ReLU, and the blurring `Downsample` of ST-LPIPS.

    Raises TypeError for one of another kind, or with a window that differs between the axes.
    """
    from stlpips_pytorch.models_lpf.downsample import Downsample

    blocks: list[Block] = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, stride, padding = (_one(layer.kernel_size), _one(layer.stride), _one(layer.padding))
            blocks.append(Block(layer, kernel, stride, padding))
        elif isinstance(layer, nn.ReLU):
            # Part of the layer before: it works in place, on rows that nobody else has yet.
            before = blocks.pop()
            blocks.append(dataclasses.replace(before, module=nn.Sequential(before.module, layer)))
        elif isinstance(layer, Downsample):
            # Of two mirrored rows the farther one comes from two rows beyond the filter's window.
            blocks.append(Block(layer, layer.filt_size + 4, layer.stride, 4))
        else:
            raise TypeError(f"{type(layer).__name__} has no known window of rows")
    return blocks


def perceptual_blocks(network: nn.Module) -> tuple[list[Block], list[int]]:
    """Return the trunk of an LPIPS or ST-LPIPS network and the indices of the five blocks it compares after.

    It is for images scaled to 2 x - 1.
    """
    blocks, taps = [Block(network.get_submodule("scaling_layer"))], []
    for number in range(1, 6):
        blocks += plain_blocks(network.get_submodule(f"net.slice{number}").children())
        taps.append(len(blocks) - 1)
    return blocks, taps


def in_bands(
    blocks: Sequence[Block],
    pieces: Iterable[Float[Tensor, "1 c _ w"]],
    height: int,
    taps: Iterable[int],
    band_bytes: int,
) -> Iterator[tuple[int, Tensor]]:
    """Feed an image of `height` rows through `blocks`, in pieces from top to bottom.

    A block waits for `band_bytes` of its input before it computes.

    Yields:
        The index of a block in `taps` and the next rows of its output, (1, C', n', W'); for each block from
        top to bottom, without gaps.
    """
    taps, states = set(taps), []
    for block in blocks[: max(taps) + 1]:
        states.append(_State(block, height, band_bytes))
        height = block.size(height)
    for piece in pieces:
        rows = piece
        for index, state in enumerate(states):
            output = state.push(rows)
            if output is None:
                break
            if index in taps:
                yield index, output
            rows = output


class _State:
    """The input rows of a block that are still needed, and how far its output has come."""

    def __init__(self, block: Block, height: int, band_bytes: int) -> None:
        self.block, self.height, self.band_bytes = block, height, band_bytes
        self.buffer: list[Tensor] = []
        self.start = self.stop = self.done = 0  # first row in the buffer, rows arrived, output rows delivered

    def push(self, rows: Tensor) -> Tensor | None:
        """Take the next input rows; return the next output rows, if there are enough to be worth it."""
        block = self.block
        self.buffer.append(rows)
        self.stop += rows.shape[2]
        ready = block.size(self.height)
        if self.stop < self.height:
            ready = min(ready, (self.stop + block.padding - block.kernel) // block.stride + 1)
            row_bytes = block.stride * rows[:, :, :1].nbytes
            worth = max(SHARE * (block.kernel - block.stride), self.band_bytes // row_bytes, 1)
            if ready - self.done < worth:
                return None
        if ready == self.done:
            return None
        x = torch.cat(self.buffer, 2) if len(self.buffer) > 1 else self.buffer[0]
        first = self.start // block.stride
        output = block.module(x)[:, :, self.done - first : ready - first]
        self.done = ready
        # A whole number of strides, or the next band would be sampled at other rows.
        start = min(self.stop, max(0, ready * block.stride - block.padding)) // block.stride * block.stride
        self.buffer = [x[:, :, start - self.start :].clone()]
        self.start = start
        return output


def _one(value: int | tuple[int, ...] | str) -> int:
    """Return the one number that a layer gives for both axes."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int):
        raise TypeError(f"a window of {value} differs between the axes")
    return value
