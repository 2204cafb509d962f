"""A classifier's features in horizontal bands of a large image, equal to those of the whole image.

Every layer keeps the rows that its next band needs again, so only a few rows are computed twice and memory
depends on the width alone. Zero or mirrored padding is applied at the true border only: what a layer pads at
the edge of a band is cut off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SHARE = 8  # a band is at least this many times what it computes twice


@dataclass(frozen=True)
class Stage:
    """A layer or a block, the same along both axes, that pads what it is given by itself.

    Its output row i depends on input rows i stride - padding to i stride - padding + kernel - 1; a larger
    window than the true one is allowed, and needed where mirrored rows come from outside of it.
    """

    module: Callable[[Tensor], Tensor]
    kernel: int = 1
    stride: int = 1
    padding: int = 0

    def size(self, length: int) -> int:
        """Rows or columns of the output for `length` of the input; at least 0."""
        return max(0, (length + 2 * self.padding - self.kernel) // self.stride + 1)


def plain_stages(layers: Iterable[nn.Module]) -> list[Stage]:
    """Stages of layers in a row: Conv2d, MaxPool2d, ReLU, and the blurring `Downsample` of ST-LPIPS."""
    from stlpips_pytorch.models_lpf.downsample import Downsample

    found: list[Stage] = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, stride, padding = (_one(layer.kernel_size), _one(layer.stride), _one(layer.padding))
            found.append(Stage(layer, kernel, stride, padding))
        elif isinstance(layer, nn.ReLU):
            # Part of the layer before: it works in place, on rows that nobody else holds yet.
            found.append(dataclasses.replace(found[-1], module=_then(found.pop().module, layer)))
        elif isinstance(layer, Downsample):
            # Of two mirrored rows the farther one comes from two rows beyond the filter's window.
            found.append(Stage(layer, layer.filt_size + 4, layer.stride, 4))
        else:
            raise TypeError(f"{type(layer).__name__} has no known window of rows")
    return found


def perceptual_stages(network: nn.Module) -> tuple[list[Stage], list[int]]:
    """The trunk of an LPIPS or ST-LPIPS network, and the stages after which it compares; input 2 x - 1."""
    found, taps = [Stage(network.get_submodule("scaling_layer"))], []
    for number in range(1, 6):
        found += plain_stages(network.get_submodule(f"net.slice{number}").children())
        taps.append(len(found) - 1)
    return found, taps


def in_bands(
    stages: Sequence[Stage],
    pieces: Iterable[Tensor],
    height: int,
    taps: Iterable[int],
    band_bytes: int,
) -> Iterator[tuple[int, Tensor]]:
    """Feed an image of `height` rows, in pieces (1, C, n, W) from top to bottom, through `stages`.

    Yields (number of the stage, rows of its output (1, C', n', W')) for the stages in `taps`, each from top
    to bottom without gaps. `band_bytes`: input that a stage waits for before it computes.
    """
    taps, states = set(taps), []
    for stage in stages[: max(taps) + 1]:
        states.append(_State(stage, height, band_bytes))
        height = stage.size(height)
    for piece in pieces:
        rows = piece
        for number, state in enumerate(states):
            made = state.push(rows)
            if made is None:
                break
            if number in taps:
                yield number, made
            rows = made


class _State:
    """The input rows of a stage that are still needed, and how far its output has come."""

    def __init__(self, stage: Stage, height: int, band_bytes: int) -> None:
        self.stage, self.height, self.band_bytes = stage, height, band_bytes
        self.held: list[Tensor] = []
        self.start = self.stop = self.done = 0  # first row held, rows arrived, output rows delivered

    def push(self, rows: Tensor) -> Tensor | None:
        """Take the next input rows; return the next output rows, if there are enough to be worth it."""
        stage = self.stage
        self.held.append(rows)
        self.stop += rows.shape[2]
        ready = stage.size(self.height)
        if self.stop < self.height:
            ready = min(ready, (self.stop + stage.padding - stage.kernel) // stage.stride + 1)
            row_bytes = stage.stride * rows[:, :, :1].nbytes
            if ready - self.done < max(
                SHARE * (stage.kernel - stage.stride), self.band_bytes // row_bytes, 1
            ):
                return None
        if ready == self.done:
            return None
        x = torch.cat(self.held, 2) if len(self.held) > 1 else self.held[0]
        first = self.start // stage.stride
        made = stage.module(x)[:, :, self.done - first : ready - first]
        self.done = ready
        # A whole number of strides, or the next band would be sampled at other rows.
        start = min(self.stop, max(0, ready * stage.stride - stage.padding)) // stage.stride * stage.stride
        self.held = [x[:, :, start - self.start :].clone()]
        self.start = start
        return made


def _then(
    first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return lambda x: second(first(x))


def _one(value: int | tuple[int, ...] | str) -> int:
    """The one number that a layer gives for both axes."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int):
        raise TypeError(f"a window of {value} differs between the axes")
    return value
