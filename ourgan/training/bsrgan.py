"""The blind degradation that SwinIR's real-world model was trained with, drawn as a recipe and then applied.

From Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (ICCV
2021), in the form of the code released with it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from ourgan.training.degradation import (
    INTERPOLATIONS,
    bicubic_downscale,
    gaussian_blur,
    gaussian_noise,
    jpeg,
    resize,
    shifted_gaussian_downscale,
    shrink_size,
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of a recipe: `words` for people; `apply` takes and gives (3, H, W) in [0, 1]."""

    words: str
    apply: Callable[[Tensor], Tensor]


def bsrgan(image: Tensor, generator: Generator, scale: int = 4) -> Tensor:
    """Degrade an HR patch (3, H, W) in [0, 1] to an LR one (3, H / scale, W / scale) in [0, 1], not shifted.

    Float32 on the CPU; whatever is random comes from `generator`. The values are multiples of 1/255, since a
    JPEG comes last. Upstream degrades a whole image and crops LR and HR afterwards; here every operation
    mirrors at the border of the patch, and the 8-pixel blocks of JPEG begin at its corner. For upstream's,
    give a patch with a margin and crop both. ValueError unless the scale is 2 or 4 and divides H and W.
    """
    return bsrgan_in_words(image, generator, scale)[0]


def bsrgan_in_words(image: Tensor, generator: Generator, scale: int = 4) -> tuple[Tensor, list[str]]:
    """Return what `bsrgan` does, and each operation in words: "blur 7x7, σ 1.2", "JPEG 60"."""
    recipe = bsrgan_recipe((image.shape[-2], image.shape[-1]), generator, scale)
    for step in recipe:
        image = step.apply(image)
    return image, [step.words for step in recipe]


def bsrgan_recipe(size: tuple[int, int], generator: Generator, scale: int = 4) -> list[Step]:
    """Draw what `bsrgan` does to an HR patch of `size` = (H, W); ValueError as there.

    At scale 4 one patch in four is halved first and goes on as if the scale were 2. Then follow, in random
    order, two blurs, a downscale by a random factor and later a resize to the LR size, noise and (90 %) JPEG;
    at last JPEG once more. Upstream's sensor noise, which does nothing in the released code, is left out.
    """
    if scale not in (2, 4):
        raise ValueError(f"the BSRGAN degradation is defined for scales 2 and 4, not {scale}")
    low = shrink_size(size, scale)
    steps = []
    if scale == 4 and _uniform(generator) < 0.25:
        size, scale = shrink_size(size, 2), 2
        steps.append(_draw_halving(size, generator))
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


def _draw_halving(size: tuple[int, int], generator: Generator) -> Step:
    if _uniform(generator) < 0.5:
        return Step(f"to {size[1]}x{size[0]} (antialiased)", _halve)
    return _draw_resize(size, generator)


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
    return Step(
        f"blur {size}x{size}, σ {sigma:.1f}", partial(gaussian_blur, size=size, sigmas=(sigma, sigma))
    )


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
