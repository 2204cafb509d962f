"""SwinIR, windowed attention: the other super-resolution backbone (Sec. 3.3, Table H.3).

This is the medium network for real-world images: nearest-neighbour upsampling followed by convolutions,
one convolution at the end of each residual group. The parameter names are the official ones, so that
released weights load here and any SwinIR tool opens what is saved here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ourgan._core.mirror import mirror_indices
from ourgan.models.rrdbnet import conv3x3, leaky_relu
from ourgan.models.window_attention import Geometry, WindowAttention, relative_positions, window_geometry

RGB_MEAN = (0.4488, 0.4371, 0.4040)
UPSAMPLING_CHANNELS = 64
# Windows that each thread takes at a time on a CPU: what they need stays in the cache, and small blocks of
# memory are used again where large ones would be fetched from the system each time.
CPU_GROUP = 64
DERIVED = ("attn.relative_position_index", "attn_mask")  # the official buffers that follow from the sizes
OFFICIAL_SIDE = 64  # pixels of the image for which official files hold `attn_mask`


class SwinIR(nn.Module):
    """Groups of window attention, alternately shifted by half a window, then two nearest x2 upsamplings.

    `channels`: width of the trunk; `depths`: attention layers in each residual group; `window`: side of a
    window in LR pixels. The defaults are the paper's SwinIR, 11,715,559 parameters. ValueError if the heads
    do not divide the channels. Stochastic depth (0.1 in the official training) is left out, since fine-tuning
    on one photo starts from released weights and is short.

    The network itself holds parameters only. `state_dict` adds the buffers that official files have
    (20 MB at full size), loading leaves them aside.
    """

    scale = 4  # r of Eq. 5
    checkpointing = False  # True: the backward pass recomputes the activations of the attention layers

    def __init__(
        self, channels: int = 180, depths: Sequence[int] = (6,) * 6, heads: int = 6, window: int = 8
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{heads} heads cannot share {channels} channels evenly")
        self.depths, self.window = tuple(depths), window
        self.size_multiple = window  # of where a tile begins and ends, or its windows lie elsewhere
        self.conv_first = conv3x3(3, channels)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(channels)))
        self.layers = nn.ModuleList(ResidualGroup(channels, depth, heads, window) for depth in depths)
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = conv3x3(channels, channels)
        self.conv_before_upsample = nn.Sequential(
            conv3x3(channels, UPSAMPLING_CHANNELS), nn.LeakyReLU(inplace=True)
        )
        self.conv_up1 = conv3x3(UPSAMPLING_CHANNELS, UPSAMPLING_CHANNELS)
        self.conv_up2 = conv3x3(UPSAMPLING_CHANNELS, UPSAMPLING_CHANNELS)
        self.conv_hr = conv3x3(UPSAMPLING_CHANNELS, UPSAMPLING_CHANNELS)
        self.conv_last = conv3x3(UPSAMPLING_CHANNELS, 3)
        self.register_state_dict_post_hook(_add_derived)
        self.register_load_state_dict_pre_hook(_drop_derived)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 4*h 4*w"]:
        """Upscale images in [0, 1] by four, not clamped: Eq. 5 for one subregion.

        Any size works: the image is mirrored at the bottom and on the right up to whole windows.
        """
        height, width = image.shape[2:]
        mean = image.new_tensor(RGB_MEAN)[:, None, None]
        # With the channels last, the pixels of a map are the tokens of the attention: nothing is copied.
        image = (_pad(image, self.window) - mean).contiguous(memory_format=torch.channels_last)
        features = self.conv_first(image)
        tokens = self.patch_embed(features.permute(0, 2, 3, 1))
        geometry = window_geometry(tokens.shape[1], tokens.shape[2], self.window, tokens)
        for group in self.layers:
            tokens = group(tokens, geometry, self.checkpointing and torch.is_grad_enabled())
        features = features + self.conv_after_body(self.norm(tokens).permute(0, 3, 1, 2))
        features = self.conv_before_upsample(features)
        for conv in (self.conv_up1, self.conv_up2):
            features = leaky_relu(conv(F.interpolate(features, scale_factor=2, mode="nearest")))
        features = leaky_relu(self.conv_hr(features))
        upscaled: Tensor = self.conv_last(features) + mean
        return upscaled[:, :, : height * self.scale, : width * self.scale]


class ResidualGroup(nn.Module):
    """Attention layers and a convolution inside a residual: the RSTB of SwinIR."""

    def __init__(self, channels: int, depth: int, heads: int, window: int) -> None:
        super().__init__()
        shifts = [0 if index % 2 == 0 else window // 2 for index in range(depth)]
        blocks = nn.ModuleList(AttentionLayer(channels, heads, window, shift) for shift in shifts)
        self.residual_group = nn.ModuleDict({"blocks": blocks})
        self.conv = conv3x3(channels, channels)

    def forward(
        self, tokens: Float[Tensor, "n h w c"], geometry: Geometry, checkpointing: bool
    ) -> Float[Tensor, "n h w c"]:
        """Mix the pixels of windows."""
        residual = tokens
        for layer in self.residual_group["blocks"].children():
            if checkpointing:
                residual = checkpoint(
                    layer, residual, geometry, use_reentrant=False, preserve_rng_state=False
                )
            else:
                residual = layer(residual, geometry)
        convolved: Tensor = self.conv(residual.permute(0, 3, 1, 2))
        return convolved.permute(0, 2, 3, 1) + tokens


class AttentionLayer(nn.Module):
    """Attention within windows, their borders moved by `shift` pixels, then an MLP; both residual."""

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(channels, 2 * channels), act=nn.GELU(), fc2=nn.Linear(2 * channels, channels)
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Float[Tensor, "n h w c"], geometry: Geometry) -> Float[Tensor, "n h w c"]:
        """Mix the pixels of windows; H and W are multiples of the window."""
        order, inverse = geometry.shifted if self.shift else geometry.straight
        flat = tokens.flatten(1, 2)
        count, channels = len(flat), flat.shape[2]
        size = (
            max(1, CPU_GROUP * torch.get_num_threads() // count) if flat.device.type == "cpu" else len(order)
        )
        bias = self.attn.relative_position_bias(geometry.positions)
        parts = []
        for pixels, mask in zip(order.split(size), geometry.mask.split(size), strict=True):
            windows = flat.index_select(1, pixels.flatten()).view(-1, order.shape[1], channels)
            added = bias + mask.repeat(count, 1, 1, 1) if self.shift else bias
            windows = windows + self.attn(self.norm1(windows), added)
            windows = windows + self.mlp(self.norm2(windows))
            parts.append(windows.view(count, -1, channels))
        return torch.cat(parts, 1).index_select(1, inverse).view(tokens.shape)


def _pad(image: Tensor, window: int) -> Tensor:
    """Mirror `(N, 3, H, W)` about its last row and column up to multiples of the window."""
    for axis in (2, 3):
        size = image.shape[axis]
        if size % window:
            indices = mirror_indices(size, 0, -size % window, device=image.device)
            image = image.index_select(axis, indices)
    return image


def _add_derived(network: SwinIR, state: dict[str, Tensor], prefix: str, _: object) -> None:
    """Put into a state dict what other implementations insist on finding there."""
    for name, layer in network.named_modules():
        if isinstance(layer, AttentionLayer):
            table = layer.attn.relative_position_bias_table
            index, mask = (f"{prefix}{name}.{derived}" for derived in DERIVED)
            state[index] = relative_positions(layer.window, table.device)
            if layer.shift:
                side = OFFICIAL_SIDE - OFFICIAL_SIDE % layer.window
                state[mask] = window_geometry(side, side, layer.window, table).mask[:, 0]


def _drop_derived(_: SwinIR, state: dict[str, Tensor], *__: Any) -> None:
    """Before loading: what follows from the sizes is not loaded."""
    for name in [name for name in state if name.endswith(DERIVED)]:
        del state[name]
