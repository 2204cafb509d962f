"""The two discriminators of super-resolution: VGG-128 for ESRGAN (Table H.2), a U-Net for SwinIR (Table H.3).

The paper names neither; these are the ones that ESRGAN and SwinIR were released with. Parameter names are
BasicSR's (`conv0_0.weight`, `conv1.weight_orig`, ...), so that released discriminators load without renaming.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ourgan.models.rrdbnet import leaky_relu

ORTHOGONAL_GAIN = 0.2


class VGGDiscriminator(nn.Module):
    """Five levels that halve the image, batch normalisation, and two linear layers: ESRGAN's discriminator.

    The first level has `channels`, the following 2, 4, 8 and 8 times as many; the first linear layer depends
    on `size`, the side of the square images in pixels, a multiple of 32. The defaults, for the paper's
    patches of 128, make 14,499,401 parameters. PyTorch's own init, as released.
    """

    def __init__(self, channels: int = 64, size: int = 128) -> None:
        super().__init__()
        if size <= 0 or size % 32:
            raise ValueError(
                f"VGGDiscriminator halves its input five times: size {size} is no multiple of 32"
            )
        self.size = size
        self.conv0_0 = nn.Conv2d(3, channels, 3, padding=1)
        self.conv0_1 = _halving(channels)
        self.bn0_1 = nn.BatchNorm2d(channels)
        inputs = channels
        for level, outputs in enumerate((2 * channels, 4 * channels, 8 * channels, 8 * channels), start=1):
            self.add_module(f"conv{level}_0", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            self.add_module(f"bn{level}_0", nn.BatchNorm2d(outputs))
            self.add_module(f"conv{level}_1", _halving(outputs))
            self.add_module(f"bn{level}_1", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.linear1 = nn.Linear(inputs * (size // 32) ** 2, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, image: Float[Tensor, "n _ _ _"]) -> Float[Tensor, "n 1"]:
        """Judge images `(N, 3, size, size)` in [0, 1]: logits, high for real. ValueError for another shape.

        In training mode the logits of a batch depend on one another, through its statistics.
        """
        if image.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"this VGGDiscriminator was built for images (N, 3, {self.size}, {self.size}), "
                f"not {tuple(image.shape)}; give its `size` when building it"
            )
        features = leaky_relu(self.conv0_0(image))
        features = leaky_relu(self.bn0_1(self.conv0_1(features)))
        for level in range(1, 5):
            for half in range(2):
                conv = self.get_submodule(f"conv{level}_{half}")
                features = leaky_relu(self.get_submodule(f"bn{level}_{half}")(conv(features)))
        logits: Tensor = self.linear2(leaky_relu(self.linear1(features.flatten(1))))
        return logits


class UNetDiscriminator(nn.Module):
    """A U-Net with spectral normalisation, one logit per pixel: the discriminator of SwinIR and Real-ESRGAN.

    `channels`: width at full resolution, doubled at each of three halvings. The default has 4,376,897
    parameters. Orthogonal init with gain 0.2, zero biases.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, channels, 3, padding=1)
        self.conv1 = SpectralConv2d(channels, 2 * channels, 4, stride=2)
        self.conv2 = SpectralConv2d(2 * channels, 4 * channels, 4, stride=2)
        self.conv3 = SpectralConv2d(4 * channels, 8 * channels, 4, stride=2)
        self.conv4 = SpectralConv2d(8 * channels, 4 * channels, 3)
        self.conv5 = SpectralConv2d(4 * channels, 2 * channels, 3)
        self.conv6 = SpectralConv2d(2 * channels, channels, 3)
        self.conv7 = SpectralConv2d(channels, channels, 3)
        self.conv8 = SpectralConv2d(channels, channels, 3)
        self.conv9 = nn.Conv2d(channels, 1, 3, padding=1)
        for conv in (self.conv0, self.conv9):
            nn.init.orthogonal_(conv.weight, gain=ORTHOGONAL_GAIN)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
        """Judge every pixel of images in [0, 1]: logits, high for real.

        ValueError unless H and W are multiples of 8.
        """
        if image.shape[-2] % 8 or image.shape[-1] % 8:
            raise ValueError(
                f"UNetDiscriminator halves its input three times: {image.shape[-2]} x {image.shape[-1]} "
                "pixels are no multiples of 8"
            )
        full = leaky_relu(self.conv0(image))
        half = leaky_relu(self.conv1(full))
        quarter = leaky_relu(self.conv2(half))
        features = leaky_relu(self.conv3(quarter))
        for conv, skip in ((self.conv4, quarter), (self.conv5, half), (self.conv6, full)):
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = leaky_relu(conv(features)) + skip
        features = leaky_relu(self.conv8(leaky_relu(self.conv7(features))))
        logits: Tensor = self.conv9(features)
        return logits


class SpectralConv2d(nn.Module):
    """A convolution without bias, its kernel divided by sigma, its largest singular value as (outputs, rest).

    sigma = u^T W v, where u and v follow W by one power iteration per forward pass in training mode and stand
    still in eval mode. They are buffers: a run that resumes from the state dict goes on exactly.
    The same numbers and names as `torch.nn.utils.spectral_norm`, with two differences: sigma is float32 under
    autocast too, where it would jitter by the rounding of bfloat16, and u and v start as a pair that fits W.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, kernel_size, kernel_size))
        nn.init.orthogonal_(self.weight_orig, gain=ORTHOGONAL_GAIN)
        with torch.no_grad():
            u, v = _power_iteration(self.weight_orig.flatten(1), torch.randn(outputs))
        self.register_buffer("weight_u", u)
        self.register_buffer("weight_v", v)

    def forward(self, features: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs _ _"]:
        """Convolve features; height and width are divided by the stride."""
        with torch.autocast(features.device.type, enabled=False):
            weight = self._normalised()
        return F.conv2d(features, weight, stride=self.stride, padding=1)

    def _normalised(self) -> Tensor:
        matrix = self.weight_orig.flatten(1)
        u, v = self.weight_u, self.weight_v
        if self.training:
            with torch.no_grad():
                u, v = _power_iteration(matrix, u)
                # The graph keeps the new tensors, not the buffers: a second pass may come before backward.
                self.weight_u.copy_(u)
                self.weight_v.copy_(v)
        return self.weight_orig / (u @ (matrix @ v))


def _power_iteration(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    v = F.normalize(matrix.T @ u, dim=0)
    return F.normalize(matrix @ v, dim=0), v


def _halving(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False)
