"""Does fine-tuning help? A photo learned on its left two thirds, evaluated on the right third."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ourgan._core.devices import autocast
from ourgan.io.pixels import crop_middle
from ourgan.metrics.lpips import MetricUnavailable, lpips, psnr, st_lpips
from ourgan.training.degradation import bicubic_downscale
from ourgan.training.finetune import photo_of_step
from ourgan.training.patches import SCALE, Pair, with_noise
from ourgan.training.seeds import stream

CROP_SIDE = 384  # HR pixels
CROPS = 4


@dataclasses.dataclass(frozen=True)
class HoldoutScores:
    """Means over crops.

    Attributes:
        psnr: in dB.
        st_lpips: lower is better.
        lpips: likewise; None where its network cannot be had.
        sample_difference: mean absolute difference, in 8-bit levels, of two pictures of one LR image with
            different noise: what z of Eq. 4 is for. 0 without noise.
    """

    psnr: float
    st_lpips: float
    lpips: float | None
    sample_difference: float


def split_photo(
    photo: Float[Tensor, "3 h w"], step: int
) -> tuple[Float[Tensor, "3 h2 left"], Float[Tensor, "3 h2 right"]]:
    """Return the left two thirds and the right third of a photo in [0, 1], at the size of a step."""
    photo = photo_of_step(photo, step)
    cut = photo.shape[2] * 2 // 3 // 32 * 32
    return photo[:, :, :cut], photo[:, :, cut:]


def holdout_pairs(image: Float[Tensor, "3 height width"], side: int = CROP_SIDE) -> list[Pair]:
    """Return LR and HR crops of an image in [0, 1], evenly from top to bottom and from left to right.

    HR crops have `side` pixels, or fewer where the image is smaller.
    """
    height, width = (size // SCALE * SCALE for size in image.shape[1:])
    lr = bicubic_downscale(image[:, :height, :width])
    side = min(side, height, width) // SCALE * SCALE
    pairs = []
    for number in range(CROPS):
        top = (height - side) * number // (CROPS - 1) // SCALE * SCALE
        left = (width - side) * (0, 2, 1, 2)[number] // 2 // SCALE * SCALE
        small = lr[:, top // SCALE :, left // SCALE :][:, : side // SCALE, : side // SCALE]
        pairs.append((small, image[:, top : top + side, left : left + side]))
    return pairs


def most_textured(pairs: Sequence[Pair], count: int, side: int = 192) -> list[Pair]:
    """Return the `count` pairs of LR and HR whose middle `side` HR pixels change most from pixel to pixel."""

    def change(pair: Pair) -> float:
        middle = crop_middle(pair[1], side)
        return float(middle.diff(dim=1).abs().mean() + middle.diff(dim=2).abs().mean())

    return sorted(pairs, key=change, reverse=True)[:count]


def evaluate_upscaler(
    upscaler: Callable[[Tensor], Tensor], pairs: Sequence[Pair], noise_std: float = 0.0
) -> HoldoutScores:
    """Compare what an upscaler, from (3, h, w) to (3, 4h, 4w) in [0, 1], makes of LR images with their HR.

    The LR side gets noise of `noise_std`, as in synthesis (z of Eq. 4).
    """
    scores = []
    for number, (lr, hr) in enumerate(pairs):
        sr = upscaler(with_noise(lr, noise_std, stream(1, number)))
        # Without noise there is nothing to draw twice.
        other = upscaler(with_noise(lr, noise_std, stream(2, number))) if noise_std else sr
        difference = float((sr - other).abs().mean()) * 255
        scores.append((psnr(sr, hr), st_lpips(sr, hr), _lpips(sr, hr), difference))
    ratios, shift_tolerant, plain, differences = zip(*scores, strict=True)
    known = [value for value in plain if value is not None]
    return HoldoutScores(
        fmean(ratios), fmean(shift_tolerant), fmean(known) if known else None, fmean(differences)
    )


def network_upscaler(network: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return `network` as an upscaler of one image in [0, 1], convolving in `dtype`, returning float32."""
    parameter = next(network.parameters())

    @torch.no_grad()
    def upscaler(lr: Tensor) -> Tensor:
        batch = lr[None].to(parameter).contiguous(memory_format=torch.channels_last)
        with autocast(parameter.device, dtype):
            sr: Tensor = network(batch)[0]
        return sr.float().clamp(0, 1).cpu()

    return upscaler


def bicubic_upscaler(lr: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 4*h 4*w"]:
    """Return an image in [0, 1] enlarged by bicubic interpolation, which needs no network."""
    return F.interpolate(lr[None], scale_factor=SCALE, mode="bicubic")[0].clamp(0, 1)


def _lpips(first: Tensor, second: Tensor) -> float | None:
    try:
        return lpips(first, second)
    except MetricUnavailable:
        return None
