"""Operations that make low-resolution (LR) images from high-resolution (HR) ones, to train steps 2 to 4.

`bicubic_downscale` is all that ESRGAN was trained with; `ourgan.training.bsrgan` draws from the others.
Images are float32; all but `bicubic_downscale` work on the CPU.
"""

from __future__ import annotations

import io
import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from ourgan._core.mirror import mirror_indices
from ourgan.io import pixels

Interpolation = Literal["bilinear", "bicubic", "area"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic", "area")


def bicubic_downscale(image: Tensor, scale: int = 4) -> Tensor:
    """Shrink (..., 3, H, W) in [0, 1] to (..., 3, H / scale, W / scale) as MATLAB's imresize does.

    Keys' cubic with a = -0.5, antialiased, symmetric border. Neither clamped nor rounded: beside sharp edges
    it overshoots. Data sets keep such images in 8-bit files; `from_uint8(to_uint8(image))` gives their
    numbers. ValueError unless H and W are multiples of the scale.
    """
    height, width = shrink_size(image.shape[-2:], scale)
    # torch leaves taps beyond the border out where MATLAB mirrors them: two pixels would be wrong.
    padded = _mirror(image, 2 * scale, repeat_edge=True)
    small = F.interpolate(
        padded.reshape(-1, *padded.shape[-3:]),
        (height + 4, width + 4),
        mode="bicubic",
        align_corners=False,
        antialias=True,
    )
    return small[..., 2:-2, 2:-2].reshape(*image.shape[:-2], height, width)


def gaussian_kernel(size: int, sigmas: tuple[float, float], angle: float = 0.0) -> Tensor:
    """Return a Gaussian (size, size) of sum 1, its standard deviations along two axes, the first at `angle`.

    `size`: odd; `sigmas`: in pixels; `angle`: in radians. Equal sigmas make it isotropic.
    """
    ticks = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = ticks[:, None], ticks[None, :]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    first, second = (max(sigma, 1e-3) for sigma in sigmas)  # so narrow a one leaves one pixel
    kernel = torch.exp(-0.5 * ((along / first).square() + (across / second).square()))
    return (kernel / kernel.sum()).float()


def gaussian_blur(image: Tensor, size: int, sigmas: tuple[float, float], angle: float = 0.0) -> Tensor:
    """Blur (3, H, W) in [0, 1] with `gaussian_kernel`, mirroring at the border."""
    padded = _mirror(image, size // 2)
    shape = (padded.shape[1], padded.shape[2])
    # By Fourier: seven times as fast as a direct 25 x 25 convolution of 128 x 128 pixels on one CPU thread.
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(gaussian_kernel(size, sigmas, angle), s=shape)
    return torch.fft.irfft2(spectrum, s=shape)[:, size - 1 :, size - 1 :].clamp(0, 1)


def resize(image: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Resample (3, H, W) in [0, 1] to `size` = (height, width), clamped, as OpenCV does.

    Bilinear and bicubic (a = -0.75) sample without antialiasing; area averages what a pixel covers.
    """
    if interpolation != "area":
        return pixels.resize(image, size, antialias=False, mode=interpolation)
    rows, columns = _coverage(image.shape[1], size[0]), _coverage(image.shape[2], size[1])
    return (rows @ image @ columns.T).clamp(0, 1)


def shifted_gaussian_downscale(image: Tensor, sigma: float, scale: int) -> Tensor:
    """Blur (3, H, W) in [0, 1] by a Gaussian, `sigma` in pixels, and take every `scale`-th pixel; scale even.

    The kernel is shifted by (scale - 1) / 2 pixels: else the samples would lie at the corners of what LR
    pixels cover and not at their centres. The shifted kernel of 25 taps is interpolated linearly between
    pixels, as upstream. Mirrors at the border.
    """
    profile = gaussian_kernel(25, (sigma, sigma))[12]
    taps = F.conv1d(profile[None, None], torch.full((1, 1, 2), 0.5), padding=1).flatten()
    taps = taps / taps.sum()
    padded = _mirror(image, 13 - scale // 2)[:, None]  # 26 taps around the middle of `scale` pixels
    rows = F.conv2d(padded, taps.view(1, 1, -1, 1), stride=(scale, 1))
    return F.conv2d(rows, taps.view(1, 1, 1, -1), stride=(1, scale))[:, 0].clamp(0, 1)


def gaussian_noise(image: Tensor, factor: Tensor, seed: int) -> Tensor:
    """Add `factor` (3, K) times K standard normal numbers to every pixel of (3, H, W) in [0, 1], clamped.

    The covariance of the channels is factor factor^T. The numbers come from `seed`.
    """
    generator = Generator().manual_seed(seed)
    normal = torch.randn(factor.shape[1], image[0].numel(), generator=generator)
    return (image + (factor @ normal).view_as(image)).clamp(0, 1)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """Return what a JPEG file of `quality` 1 to 95 leaves of (3, H, W) in [0, 1], colours halved (4:2:0)."""
    file = io.BytesIO()
    Image.fromarray(pixels.to_uint8(image)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as picture:
        return pixels.from_uint8(np.asarray(picture))


def shrink_size(size: tuple[int, ...], scale: int) -> tuple[int, int]:
    """Divide `size` = (height, width) by the scale; ValueError unless both are multiples of it."""
    height, width = size
    if height % scale or width % scale:
        raise ValueError(
            f"an image of {width} x {height} pixels cannot be shrunk by {scale}: crop it to multiples"
        )
    return height // scale, width // scale


def _mirror(image: Tensor, border: int, *, repeat_edge: bool = False) -> Tensor:
    """Mirror as often as `border` needs, which torch's padding refuses; "cb|abc|ba", or "ba|abc|cb"."""

    rows, columns = (
        mirror_indices(length, border, border, repeat_edge=repeat_edge, device=image.device)
        for length in image.shape[-2:]
    )
    return image[..., rows[:, None], columns]


def _coverage(inputs: int, outputs: int) -> Tensor:
    """Share (outputs, inputs) of every input pixel in the stretch that an output pixel covers."""
    edges = torch.arange(outputs + 1, dtype=torch.float64) * inputs / outputs
    start = torch.arange(inputs, dtype=torch.float64)
    shared = torch.minimum(edges[1:, None], start + 1) - torch.maximum(edges[:-1, None], start)
    return (shared.clamp_min(0) * outputs / inputs).float()
