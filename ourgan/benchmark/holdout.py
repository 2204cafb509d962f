"""Does fine-tuning help? A photo learned on its left two thirds, judged on the right third it never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ourgan._core.devices import autocast
from ourgan.io.pixels import crop_middle
from ourgan.metrics.lpips import MetricUnavailable, lpips, psnr, st_lpips
from ourgan.training.degradation import bicubic_downscale
from ourgan.training.finetune import photo_of_step
from ourgan.training.patches import SCALE, Pair, stream, with_noise

CROP_SIDE = 384  # HR pixels
CROPS = 4


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Means over crops. `lpips` is None where its network cannot be had.

    `variety`: mean absolute difference, in levels of 255, of two pictures of the same LR image with
    different noise: what z of Eq. 4 is for. 0 without noise.
    """

    psnr: float
    st_lpips: float
    lpips: float | None
    variety: float


def split_photo(photo: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The photo (3, H, W) at the size of a step, as its left two thirds and its right third."""
    photo = photo_of_step(photo, step)
    cut = photo.shape[2] * 2 // 3 // 32 * 32
    return photo[:, :, :cut], photo[:, :, cut:]


def judged_pairs(judged: Tensor, side: int = CROP_SIDE) -> list[Pair]:
    """LR and HR crops of an image, evenly from top to bottom and from left to right, without noise."""
    height, width = (size // SCALE * SCALE for size in judged.shape[1:])
    low = bicubic_downscale(judged[:, :height, :width])
    side = min(side, height, width) // SCALE * SCALE
    pairs = []
    for number in range(CROPS):
        top = (height - side) * number // (CROPS - 1) // SCALE * SCALE
        left = (width - side) * (0, 2, 1, 2)[number] // 2 // SCALE * SCALE
        small = low[:, top // SCALE :, left // SCALE :][:, : side // SCALE, : side // SCALE]
        pairs.append((small, judged[:, top : top + side, left : left + side]))
    return pairs


def most_textured(pairs: Sequence[Pair], count: int, side: int = 192) -> list[Pair]:
    """Return the `count` pairs of LR and HR whose middle `side` HR pixels change most from pixel to pixel."""

    def change(pair: Pair) -> float:
        middle = crop_middle(pair[1], side)
        return float(middle.diff(dim=1).abs().mean() + middle.diff(dim=2).abs().mean())

    return sorted(pairs, key=change, reverse=True)[:count]


def judge(upscaler: Callable[[Tensor], Tensor], pairs: Sequence[Pair], noise_std: float = 0.0) -> Judgement:
    """Judge an upscaler, (3, h, w) to (3, 4h, 4w), by pairs; the LR side gets noise as in synthesis."""
    found: list[tuple[float, float, float | None, float]] = []
    for number, (low, high) in enumerate(pairs):
        made = upscaler(with_noise(low, noise_std, stream(1, number)))
        # Without noise there is nothing to draw twice.
        other = upscaler(with_noise(low, noise_std, stream(2, number))) if noise_std else made
        variety = float((made - other).abs().mean()) * 255
        found.append((psnr(made, high), st_lpips(made, high), _lpips(made, high), variety))
    ratios, shift_tolerant, plain, varieties = zip(*found, strict=True)
    known = [value for value in plain if value is not None]
    return Judgement(_mean(ratios), _mean(shift_tolerant), _mean(known) if known else None, _mean(varieties))


def network_upscaler(network: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """`network` as an upscaler of one image in [0, 1]: convolutions in `dtype`, float32 on the CPU back."""
    parameter = next(network.parameters())

    @torch.no_grad()
    def upscaler(low: Tensor) -> Tensor:
        batch = low[None].to(parameter).contiguous(memory_format=torch.channels_last)
        with autocast(parameter.device, dtype):
            made: Tensor = network(batch)[0]
        return made.float().clamp(0, 1).cpu()

    return upscaler


def bicubic_upscaler(low: Tensor) -> Tensor:
    """What needs no network: bicubic interpolation, (3, h, w) to (3, 4h, 4w)."""
    return F.interpolate(low[None], scale_factor=SCALE, mode="bicubic")[0].clamp(0, 1)


def _lpips(first: Tensor, second: Tensor) -> float | None:
    try:
        return lpips(first, second)
    except MetricUnavailable:
        return None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
