"""RRDBNet, the generator of ESRGAN: one of the two super-resolution backbones (Sec. 3.3, Table H.2).

The parameter names are the official ones (`body.0.rdb1.conv1.weight`, ...), so that any ESRGAN tool
opens what is saved here, and released weights load here without renaming.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

RESIDUAL_SCALE = 0.2
NEGATIVE_SLOPE = 0.2


class RRDBNet(nn.Module):
    """Residual-in-residual dense blocks followed by two nearest x2 upsamplings.

    `channels`: width of the trunk; `growth`: channels that each dense convolution adds. The defaults are the
    paper's ESRGAN: 16,697,987 parameters.
    """

    scale = 4  # r of Eq. 5
    size_multiple = 1  # subregions may begin at any pixel
    checkpointing = False  # True: the backward pass recomputes the activations of the blocks

    def __init__(self, channels: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.blocks = blocks
        self.conv_first = conv3x3(3, channels)
        self.body = nn.Sequential(*(ResidualInResidual(channels, growth) for _ in range(blocks)))
        self.conv_body = conv3x3(channels, channels)
        self.conv_up1 = conv3x3(channels, channels)
        self.conv_up2 = conv3x3(channels, channels)
        self.conv_hr = conv3x3(channels, channels)
        self.conv_last = conv3x3(channels, 3)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 4*h 4*w"]:
        """Upscale images in [0, 1] by four, not clamped: Eq. 5 for one subregion."""
        features = self.conv_first(image)
        trunk = features
        for block in self.body:
            if self.checkpointing and torch.is_grad_enabled():
                trunk = checkpoint(block, trunk, use_reentrant=False)
            else:
                trunk = block(trunk)
        features = features + self.conv_body(trunk)
        for conv in (self.conv_up1, self.conv_up2):
            features = leaky_relu(conv(F.interpolate(features, scale_factor=2, mode="nearest")))
        features = leaky_relu(self.conv_hr(features))  # rebound: the largest maps of all, one less alive
        upscaled: Tensor = self.conv_last(features)
        return upscaled


class ResidualInResidual(nn.Module):
    """Three dense blocks inside one more scaled residual: the RRDB of ESRGAN."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Refine features."""
        return torch.add(features, self.rdb3(self.rdb2(self.rdb1(features))), alpha=RESIDUAL_SCALE)


class DenseBlock(nn.Module):
    """Five convolutions, each seeing everything before it; no normalisation."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, growth)
        self.conv2 = conv3x3(channels + growth, growth)
        self.conv3 = conv3x3(channels + 2 * growth, growth)
        self.conv4 = conv3x3(channels + 3 * growth, growth)
        self.conv5 = conv3x3(channels + 4 * growth, channels)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:  # ESRGAN starts its residual branches small: 69 of them add up in the full network
                nn.init.kaiming_normal_(parameter)
                with torch.no_grad():
                    parameter.mul_(0.1)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Refine features."""
        seen = [features]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(leaky_relu(conv(torch.cat(seen, dim=1) if len(seen) > 1 else features)))
        return torch.add(features, self.conv5(torch.cat(seen, dim=1)), alpha=RESIDUAL_SCALE)


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def leaky_relu(features: Tensor) -> Tensor:
    """Apply the leaky ReLU of both backbones and their discriminators, in place."""
    # In place also in training: a convolution does not need its own output for its gradient, and the
    # sign of a leaky ReLU's output is that of its input.
    return F.leaky_relu(features, NEGATIVE_SLOPE, inplace=True)
