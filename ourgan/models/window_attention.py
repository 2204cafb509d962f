"""Attention within the windows of an image, and which pixels lie in which window: the core of SwinIR."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# Not minus infinity, because released weights were trained beside this number.
FORBIDDEN = -100.0


class Geometry(NamedTuple):
    """What the windows of one size of image have in common.

    `positions`: (L, L), which entry of the bias table holds for a query and a key, L pixels in a window;
    `straight`, `shifted`: which pixels lie in each window, (windows, L), and the way back, (H * W,);
    `mask`: (windows, 1, L, L), `FORBIDDEN` where the shift brought together what is far apart, else 0.
    """

    positions: Tensor
    straight: tuple[Tensor, Tensor]
    shifted: tuple[Tensor, Tensor]
    mask: Tensor


class WindowAttention(nn.Module):
    """Multi-head self-attention with a learnt bias for each relative position."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def relative_position_bias(self, positions: Int[Tensor, "l l"]) -> Float[Tensor, "1 heads l l"]:
        """Return what is added to the logits: the entries of the table at `positions`."""
        return self.relative_position_bias_table[positions].permute(2, 0, 1).contiguous()[None]

    def forward(
        self, windows: Float[Tensor, "b l c"], bias: Float[Tensor, "_ heads l l"]
    ) -> Float[Tensor, "b l c"]:
        """Attend within each window; `bias`, one for all or for each of them, is added to the logits."""
        count, length, channels = windows.shape
        width = channels // self.heads
        # Zeros to a multiple of 8 channels a head (30 becomes 32) change nothing, and fast kernels want it.
        padding = -width % 8
        weight = F.pad(self.qkv.weight.view(3 * self.heads, width, channels), (0, 0, 0, padding))
        qkv_bias = F.pad(self.qkv.bias.view(3 * self.heads, width), (0, padding))
        qkv = F.linear(windows, weight.flatten(0, 1), qkv_bias.flatten())
        query, key, value = qkv.view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = _attend(query, key, value, bias.to(query.dtype), width**-0.5)
        attended: Tensor = self.proj(mixed[..., :width].transpose(1, 2).reshape(windows.shape))
        return attended


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Return softmax(scale * Q K^T + bias) V, all `(B, heads, L, width)`."""
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, bias, scale=scale)
    # The fused kernel for CPUs takes half as long again over windows this small, and has no gradient for
    # the bias: it gives way to one that takes four times as long.
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    logits = torch.add(bias, query @ key.transpose(-2, -1), alpha=scale)
    return logits.softmax(-1) @ value


def window_geometry(height: int, width: int, window: int, like: Tensor) -> Geometry:
    """Return which pixels of an image lie in which window, on the device and in the type of `like`.

    Height and width are multiples of the window. Computing it for every image takes a thousandth of the pass.
    """
    shift = window // 2
    pixels = torch.arange(height * width, device=like.device).view(height, width)
    orders = [_partition(pixels, window), _partition(pixels.roll((-shift, -shift), (0, 1)), window)]
    straight, shifted = ((order, order.flatten().argsort()) for order in orders)
    # After the shift, the last half window of an axis holds what came around from its beginning.
    rows, columns = (torch.arange(size, device=like.device) >= size - shift for size in (height, width))
    region = _partition(2 * rows[:, None].int() + columns[None, :].int(), window)
    mask = like.new_zeros(len(region), 1, window**2, window**2)
    mask.masked_fill_((region[:, :, None] != region[:, None, :])[:, None], FORBIDDEN)
    return Geometry(relative_positions(window, like.device), straight, shifted, mask)


def relative_positions(window: int, device: torch.device) -> Tensor:
    """Return the row of the bias table for each query and key, (L, L), L = window^2 pixels."""
    index = torch.arange(window**2, device=device)
    rows, columns = index // window, index % window
    side = 2 * window - 1
    return (rows[:, None] - rows + window - 1) * side + columns[:, None] - columns + window - 1


def _partition(values: Tensor, window: int) -> Tensor:
    """Rearrange `(H, W)` to `(windows, L)`."""
    height, width = values.shape
    split = values.view(height // window, window, width // window, window)
    return split.transpose(1, 2).reshape(-1, window**2)
