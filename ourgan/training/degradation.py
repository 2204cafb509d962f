"""Low-resolution (LR) images from high-resolution (HR) ones, float32, to train steps 2 to 4.

`bicubic_downscale` is all that ESRGAN was trained with. `bsrgan`, on the CPU, is the blind degradation of
SwinIR's real-world model: Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution" (ICCV 2021), in the form of the code released with it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

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
    it overshoots. ValueError unless H and W are multiples of the scale.
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
    """Return a Gaussian (size, size) of sum 1; `sigmas` are in pixels, the first along `angle` (radians)."""
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
    """Add noise with the covariance `factor` factor^T, (3, K), to every pixel of (3, H, W), and clamp."""
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


class Step(NamedTuple):
    """One operation of a recipe: `words` for people; `apply` takes and gives (3, H, W) in [0, 1]."""

    words: str
    apply: Callable[[Tensor], Tensor]


def bsrgan(image: Tensor, generator: Generator) -> tuple[Tensor, list[str]]:
    """Degrade an HR patch (3, H, W) in [0, 1] to an LR one (3, H / 4, W / 4) in [0, 1], not shifted.

    Return it with each operation in words: "blur 7x7, σ 1.2", "JPEG 60". Whatever is random comes from
    `generator`. The values are multiples of 1/255, since a JPEG comes last. Upstream degrades a whole image
    and crops LR and HR afterwards; here every operation mirrors at the border of the patch, and the 8-pixel
    blocks of JPEG begin at its corner. ValueError unless H and W are multiples of 4.
    """
    recipe = bsrgan_recipe((image.shape[-2], image.shape[-1]), generator)
    for step in recipe:
        image = step.apply(image)
    return image, [step.words for step in recipe]


def bsrgan_recipe(size: tuple[int, int], generator: Generator) -> list[Step]:
    """Draw what `bsrgan` does to an HR patch of `size` = (H, W); ValueError as there.

    One patch in four is halved first and goes on as if it were to be halved once more. Then follow, in random
    order, two blurs, a downscale by a random factor and later a resize to the LR size, noise and (90 %) JPEG;
    at last JPEG once more. Upstream's sensor noise, which does nothing in the released code, is left out.
    """
    scale, low, steps = 4, shrink_size(size, 4), []
    if _uniform(generator) < 0.25:
        size, scale = shrink_size(size, 2), 2
        halving = Step(f"to {size[1]}x{size[0]} (antialiased)", _halve)
        steps.append(halving if _uniform(generator) < 0.5 else _draw_resize(size, generator))
    operations = ["blur", "blur", "downscale", "resize", "noise", "jpeg"]
    order = [operations[i] for i in torch.randperm(6, generator=generator).tolist()]
    first, second = sorted((order.index("downscale"), order.index("resize")))
    order[first], order[second] = "downscale", "resize"
    for operation in order:
        if operation == "blur":
            steps.append(_draw_blur(scale, generator))
        elif operation == "downscale":
            steps.append(_draw_downscale(size, scale, generator))
        elif operation == "resize":
            steps.append(_draw_resize(low, generator))
        elif operation == "noise":
            steps.append(_draw_noise(generator))
        elif _uniform(generator) < 0.9:
            steps.append(_draw_jpeg(generator))
    return [*steps, _draw_jpeg(generator)]


def _halve(image: Tensor) -> Tensor:
    return bicubic_downscale(image, 2).clamp(0, 1)


def _draw_blur(scale: int, generator: Generator) -> Step:
    size = 2 * _integer(generator, 2, 11) + 3
    if _uniform(generator) < 0.5:
        first, second = (math.sqrt(_uniform(generator, 0, 4 + scale)) for _ in range(2))
        angle = _uniform(generator, 0, math.pi)
        words = f"blur {size}x{size}, σ {first:.1f} and {second:.1f} at {math.degrees(angle):.0f}°"
        return Step(words, partial(gaussian_blur, size=size, sigmas=(first, second), angle=angle))
    sigma = _uniform(generator, 0, 2 + 0.2 * scale)
    words = f"blur {size}x{size}, σ {sigma:.1f}"
    return Step(words, partial(gaussian_blur, size=size, sigmas=(sigma, sigma)))


def _draw_downscale(size: tuple[int, int], scale: int, generator: Generator) -> Step:
    if _uniform(generator) < 0.75:
        factor = _uniform(generator, 1, 2 * scale)
        # Patches may be so small that upstream's rounding down leaves nothing.
        return _draw_resize((max(int(size[0] / factor), 1), max(int(size[1] / factor), 1)), generator)
    sigma = _uniform(generator, 0.1, 0.6 * scale)
    words = f"blur σ {sigma:.1f} and one pixel of {scale}x{scale}"
    return Step(words, partial(shifted_gaussian_downscale, sigma=sigma, scale=scale))


def _draw_resize(size: tuple[int, int], generator: Generator) -> Step:
    interpolation = INTERPOLATIONS[_integer(generator, 0, 2)]
    words = f"to {size[1]}x{size[0]} ({interpolation})"
    return Step(words, partial(resize, size=size, interpolation=interpolation))


def _draw_noise(generator: Generator) -> Step:
    level, kind = _integer(generator, 2, 25), _uniform(generator)
    if kind < 0.4:
        words, factor = f"grey noise {level}/255", torch.full((3, 1), level / 255)
    elif kind < 0.8:
        words, factor = f"noise {level}/255", torch.eye(3) * (level / 255)
    else:
        words, factor = "colour-correlated noise", _correlated_factor(generator)
    return Step(words, partial(gaussian_noise, factor=factor, seed=_integer(generator, 0, 2**31 - 1)))


def _correlated_factor(generator: Generator) -> Tensor:
    """Return a square root of |L^2 U^T D U|, with L = 25/255, U orthogonal and D diagonal in [0, 1]."""
    variances = torch.rand(3, generator=generator, dtype=torch.float64)
    basis = torch.linalg.svd(torch.rand(3, 3, generator=generator, dtype=torch.float64))[0]
    covariance = (25 / 255) ** 2 * (basis.T @ variances.diag() @ basis).abs()
    # The absolute values may leave it indefinite; upstream's numpy then takes |eigenvalues|.
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.abs().sqrt()).float()


def _draw_jpeg(generator: Generator) -> Step:
    quality = _integer(generator, 30, 95)
    return Step(f"JPEG {quality}", partial(jpeg, quality=quality))


def _uniform(generator: Generator, low: float = 0, high: float = 1) -> float:
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def _integer(generator: Generator, low: int, high: int) -> int:
    """From `low` to `high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator).item())
