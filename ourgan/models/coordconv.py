"""Vertical coordinate convolution (Sec. 3.2), with optional spectral normalisation.

The layer convolves `[x; y]`, where `y` is one extra channel that holds the height of each row,
-1 at the top and +1 at the bottom. It is computed in an equal but cheaper form:

    conv([x; y]; [W_x, W_y]) + b  =  conv(x; W_x) + b  +  conv(y; W_y)

The last term does not depend on x and, along a row, takes only three values (left border, interior,
right border), so it is evaluated on an image three pixels wide and broadcast.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class VerticalCoordConv2d(nn.Module):
    """3x3 convolution, stride 1, zero padding 1, over features and the vertical coordinate.

    Without `coordinate` it is a plain convolution. `coordinate_padding` says what the border cells of the
    coordinate read: "zeros" is literal (they read 0, mid-height); "extrapolate" continues the slope at the
    top and bottom and repeats the rows at the sides, so that no horizontal cue leaks in. Features are always
    padded with zeros. `spectral_norm` divides the full weight, `out x (in + 1) * 9`, by its largest singular
    value, estimated by one power iteration for every forward pass in training mode.

    Parameters: `weight` (out, in + 1, 3, 3), the coordinate's slice last, and `bias` (out,). Both
    are kept in float32; the computation runs in the dtype of the input.
    """

    u: Tensor
    v: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        coordinate: bool = True,
        coordinate_padding: str = "zeros",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.coordinate = coordinate
        self.coordinate_padding = coordinate_padding
        self.spectral_norm = spectral_norm
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels + coordinate, 3, 3))
        self.bias = nn.Parameter(torch.empty(out_channels))
        # The default of nn.Conv2d, with the coordinate counted in the fan.
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.bias, -bound, bound)
        if spectral_norm:
            self.register_buffer("u", F.normalize(torch.randn(out_channels), dim=0))
            self.register_buffer("v", F.normalize(torch.randn(self.weight[0].numel()), dim=0))

    def effective_weight(self) -> Float[Tensor, "outputs inputs 3 3"]:
        """Return the weight that convolves: the parameter, divided by u^T W v with spectral normalisation.

        u and v follow W by one power iteration at each call in training mode.
        """
        if not self.spectral_norm:
            return self.weight
        matrix = self.weight.flatten(1)
        if self.training:
            with torch.no_grad():
                v = F.normalize(matrix.T @ self.u, dim=0)
                u = F.normalize(matrix @ v, dim=0)
                self.u.copy_(u)
                self.v.copy_(v)
        # Clones, since the next power iteration changes the buffers before this graph is used.
        return self.weight / torch.dot(self.u.clone(), matrix @ self.v.clone())

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h w"]:
        """Convolve features; the result has the dtype of `x`."""
        return self.convolve(x, self.effective_weight())

    def convolve(
        self, x: Float[Tensor, "n inputs h w"], weight: Float[Tensor, "outputs _ 3 3"]
    ) -> Float[Tensor, "n outputs h w"]:
        """Convolve with an effective weight: what `forward` does after normalising it."""
        features = weight[:, : self.in_channels].to(x.dtype, memory_format=torch.channels_last)
        y = F.conv2d(x, features, self.bias.to(x.dtype), padding=1)
        if not self.coordinate:
            return y
        columns = coordinate_columns(
            weight[:, self.in_channels :], x.shape[2], x.shape[3], self.coordinate_padding
        )
        result: Tensor = _AddColumns.apply(y, columns)
        return result


def coordinate_plane(height: int, width: int, padding: str, like: Tensor) -> Tensor:
    """Return the coordinate with its border of one cell, (1, 1, height + 2, width + 2), as `like` in type."""
    step = 2 / (height - 1) if height > 1 else 0.0
    rows = torch.arange(-1, height + 1, dtype=like.dtype, device=like.device) * step - float(height > 1)
    plane = rows.view(1, 1, -1, 1).repeat(1, 1, 1, width + 2)
    if padding == "zeros":
        plane = F.pad(plane[:, :, 1:-1, 1:-1], (1, 1, 1, 1))
    return plane


def coordinate_columns(weight: Tensor, height: int, width: int, padding: str) -> Tensor:
    """Return the response to the coordinate alone, (1, out, height, min(width, 3)).

    The columns are those of the left border, the interior and the right border; weight: (out, 1, 3, 3).
    """
    return F.conv2d(coordinate_plane(height, min(width, 3), padding, weight), weight)


class _AddColumns(torch.autograd.Function):
    """y + columns, the middle column broadcast over the interior, in place on y.

    Its backward replaces a sum over batch and width, which is slow in bfloat16 on a CPU, by a
    product with a row of ones (float32 accumulation inside).
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, y: Tensor, columns: Tensor) -> Tensor:
        ctx.mark_dirty(y)
        ctx.columns = columns.shape[3]  # type: ignore[attr-defined]
        columns = columns.to(y.dtype)
        if columns.shape[3] == 3:
            # Channels innermost, like y: otherwise the broadcast gathers, five times slower.
            middle = columns[..., 1:2].permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            left, right = y[..., 0] + columns[..., 0], y[..., -1] + columns[..., 2]
            y.add_(middle)
            y[..., 0], y[..., -1] = left, right
        else:
            y.add_(columns)
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        if not ctx.needs_input_grad[1]:  # type: ignore[attr-defined]
            return grad, None
        return grad, columns_gradient(grad, ctx.columns)  # type: ignore[attr-defined]


def columns_gradient(grad: Tensor, columns: int) -> Tensor:
    """Return the gradient for `coordinate_columns` from the output's, (N, out, H, W); float32 at least."""
    wide = torch.float64 if grad.dtype == torch.float64 else torch.float32
    if columns < 3:
        return grad.to(wide).sum(0, keepdim=True)
    ones = grad.new_ones(1, grad.shape[3])
    total = torch.matmul(ones, grad.permute(0, 2, 3, 1)).to(wide).sum(0)  # (H, 1, out)
    left, right = (grad[..., k].to(wide).sum(0) for k in (0, -1))  # (out, H)
    middle = total.squeeze(1).T - left - right
    return torch.stack((left, middle, right), dim=-1).unsqueeze(0)
