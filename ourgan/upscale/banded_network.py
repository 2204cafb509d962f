"""RRDBNet and SwinIR laid out row by row: every layer keeps the few rows that its next band needs.

Nothing is computed twice, nothing is cut off, and memory depends on the width alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ourgan._core.errors import OurganError
from ourgan.models import rrdbnet, swinir
from ourgan.models.rrdbnet import DenseBlock, ResidualInResidual, RRDBNet
from ourgan.models.swinir import AttentionLayer, ResidualGroup, SwinIR
from ourgan.upscale.bands_ops import (
    Attention,
    Convolution,
    Function,
    Operator,
    Pointwise,
    Source,
    band_geometry,
)
from ourgan.upscale.line_buffers import InputBuffer, LineBuffer, MemoryMeter, NearestUpsample, Workspace

# LR rows that the enlarged maps take at a time. They are the largest maps by far, and a convolution over
# this many of their rows is nearly as fast as one over more (96 % of it).
TAIL_ROWS = 4

Module = TypeVar("Module", bound=nn.Module)


class StreamingError(OurganError):
    """Rows that do not make up the image, values that are not finite, or a budget that is too small."""


class BandedNetwork:
    """A network laid out as operators over maps of rows; for one image.

    Attributes:
        trunk: operators at the size of the image.
        tail: operators on enlarged maps.
        meter: bytes that their maps hold.
    """

    def __init__(
        self,
        network: nn.Module,
        height: int,
        width: int,
        band: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        if not isinstance(network, RRDBNet | SwinIR):
            raise TypeError(f"{type(network).__name__} cannot be computed in bands; RRDBNet and SwinIR can")
        multiple = network.size_multiple
        self.height, self.width, self.dtype = height, width, dtype
        self.band = band + -band % multiple
        self.meter = MemoryMeter()
        self.trunk: list[Operator] = []
        self.tail: list[Operator] = []
        self._workspace = Workspace(device, dtype, self.meter)
        self._geometry = functools.lru_cache(maxsize=2)(band_geometry)
        mean = swinir.RGB_MEAN if isinstance(network, SwinIR) else (0.0, 0.0, 0.0)
        self._mean = torch.tensor(mean, device=device, dtype=dtype)
        self.image = InputBuffer(height, width, multiple, self._mean, self.meter)
        if isinstance(network, RRDBNet):
            self._upsample(network, self._rrdbnet(network), rrdbnet.NEGATIVE_SLOPE)
        else:
            self._upsample(network, self._swinir(network), rrdbnet.NEGATIVE_SLOPE)
        self.output = self.tail[-1].output
        self._collector = self.output.reader(self.output.lag + -self.output.lag % 4)
        self._delivered = 0

    def _rrdbnet(self, network: RRDBNet) -> LineBuffer:
        scale = rrdbnet.RESIDUAL_SCALE
        activate = functools.partial(F.leaky_relu, negative_slope=rrdbnet.NEGATIVE_SLOPE, inplace=True)
        trunk = self._convolve([self.image], network.conv_first)
        for block in _each(network.body, ResidualInResidual):
            entered = trunk
            for dense in _each(block, DenseBlock):
                seen = [trunk]
                for conv in (dense.conv1, dense.conv2, dense.conv3, dense.conv4):
                    seen.append(self._convolve(seen, conv, activate))
                residuals = [(trunk, scale)]
                if dense is block.rdb3:
                    residuals.append((entered, scale))
                trunk = self._convolve(seen, dense.conv5, plus=residuals)
        features = self._features_again(network.conv_first, trunk)
        return self._convolve([trunk], network.conv_body, plus=[(features, 1.0)])

    def _swinir(self, network: SwinIR) -> LineBuffer:
        features = self._convolve([self.image], network.conv_first)
        tokens = self._map(features, network.patch_embed)
        for group in _each(network.layers, ResidualGroup):
            entered = tokens
            for layer in _each(group.residual_group["blocks"], AttentionLayer):
                tokens = self._attend(tokens, layer)
            tokens = self._convolve([tokens], group.conv, plus=[(entered, 1.0)])
        tokens = self._map(tokens, network.norm)
        features = self._features_again(network.conv_first, tokens)
        features = self._convolve([tokens], network.conv_after_body, plus=[(features, 1.0)])
        conv, activate = network.conv_before_upsample
        assert isinstance(conv, nn.Conv2d)
        return self._convolve([features], conv, activate)

    def _features_again(self, conv: nn.Conv2d, trunk: LineBuffer) -> LineBuffer:
        """Compute the first features again for the outermost residual, which takes them with `trunk`.

        Keeping them until then would take a fifth of all memory, hundreds of rows of 64 channels or more;
        the image has 3, and this convolution is a two-thousandth of the work at most.
        """
        return self._convolve([self.image], conv, delay=trunk.lag - 1 - self.image.lag)

    def _upsample(self, network: RRDBNet | SwinIR, features: LineBuffer, slope: float) -> None:
        activate = functools.partial(F.leaky_relu, negative_slope=slope, inplace=True)
        for factor, conv in ((2, network.conv_up1), (4, network.conv_up2)):
            features = self._convolve([NearestUpsample(features)], conv, activate, enlarged=factor)
        features = self._convolve([features], network.conv_hr, activate, enlarged=4)
        self._convolve([features], network.conv_last, self._mean.add, enlarged=4)

    def _convolve(
        self,
        sources: Sequence[Source],
        module: nn.Conv2d,
        then: Function | None = None,
        plus: Sequence[tuple[LineBuffer, float]] = (),
        enlarged: int = 0,
        delay: int = 0,
    ) -> LineBuffer:
        limit = enlarged * TAIL_ROWS or self.band
        operator = Convolution(sources, module, then, plus, limit, self._workspace, delay)
        (self.tail if enlarged else self.trunk).append(operator)
        return operator.output

    def _map(self, source: LineBuffer, function: Function) -> LineBuffer:
        self.trunk.append(Pointwise(source, function, self.band, self._workspace))
        return self.trunk[-1].output

    def _attend(self, source: LineBuffer, layer: AttentionLayer) -> LineBuffer:
        self.trunk.append(Attention(source, layer, self._geometry, self.band, self._workspace))
        return self.trunk[-1].output

    def upscale(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the upscaled image, (3, 4 n, 4 width) at a time, as its rows arrive."""
        for piece in self._pieces(rows):
            self.image.feed(piece)
            if self.image.stop % self.band == 0:
                yield from self._advance()
        self.image.finish()
        while self._delivered < self.output.height:
            yield from self._advance()

    def _pieces(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Check the rows and cut them where a band ends."""
        position = 0
        for piece in rows:
            last = position + piece.shape[1]
            if piece.shape != (3, last - position, self.width) or last > self.height:
                raise StreamingError(
                    f"rows {position} to {last - 1} are {tuple(piece.shape)}; the image is "
                    f"(3, {self.height}, {self.width})"
                )
            faulty = (~piece.isfinite()).any(2).any(0).nonzero()
            if len(faulty):
                raise StreamingError(
                    f"the image has values that are not finite, first in row {position + int(faulty[0])}"
                )
            while piece.shape[1]:
                part = piece[:, : self.band - position % self.band]
                yield part
                piece, position = piece[:, part.shape[1] :], position + part.shape[1]
        if position < self.height:
            raise StreamingError(f"only {position} rows came of an image of {self.height}")

    def _advance(self) -> Iterator[Tensor]:
        """Let the trunk compute a band, then the tail all that follows from it."""
        _run(self.trunk)
        while _run(self.tail):
            first, last = self._delivered, self.output.stop - self.output.stop % 4  # whole LR rows
            self._delivered = last
            pixels = self._mean.new_empty(last - first, self.output.width, 3)
            self.output.fill(pixels, first, last)
            self.output.release(self._collector, last)
            image = pixels[: max(0, 4 * self.height - first), : 4 * self.width].permute(2, 0, 1)
            if not image.isfinite().all():
                raise StreamingError(
                    f"rows {first} to {last - 1} of the upscaled image have values that are not finite in "
                    f"{self.dtype}; try bfloat16 or float32"
                )
            if image.numel():
                yield image.float().cpu().contiguous()


@torch.no_grad()
def _run(operators: Sequence[Operator]) -> bool:
    """Run each once, in order; whether any could compute something."""
    return any([operator.run() for operator in operators])


def _each(parent: nn.Module, kind: type[Module]) -> Iterator[Module]:
    """Iterate over the children of a container, in order, with their type."""
    for module in parent.children():
        assert isinstance(module, kind)
        yield module
