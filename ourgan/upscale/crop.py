"""A window of a picture that is never made as a whole: its pixels, and of each step only what they need."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.upscale.schedule import Step
from ourgan.upscale.tiles import add_noise

Box = tuple[int, int, int, int]
"""(x, y, width, height), in pixels of the picture."""


class CropError(OurganError):
    """A window that is not within the picture."""


def crop(image: Tensor, seed: int, steps: Sequence[tuple[Step, int]], box: Box) -> Tensor:
    """The pixels `box` of what `steps` make of `image`: (3, h, w) float32 on the CPU, in [0, 1].

    `image`: (3, H, W) in [0, 1], what the first step enlarges; with each step its context, LR pixels beyond
    the window on every side that has so many. The window of a step is that of the step
    before with its context, clipped at the true border, where the network's own padding is what the whole
    image meets as well. Equal to the whole picture if every context is the network's theoretical reach.
    Raises CropError.
    """
    scale = 4 ** len(steps)
    height, width = scale * image.shape[1], scale * image.shape[2]
    x, y, w, h = box
    if min(w, h) < 1 or min(x, y) < 0 or x + w > width or y + h > height:
        raise CropError(f"window {w}x{h} at ({x}, {y}) is not within the picture, {width}x{height} pixels")
    return _window(image, seed, steps, box)


@torch.no_grad()
def _window(image: Tensor, seed: int, steps: Sequence[tuple[Step, int]], box: Box) -> Tensor:
    x, y, w, h = box
    if not steps:
        return image[:, y : y + h, x : x + w].clone()
    *before, (last, context) = steps
    scale = 4 ** len(before)
    size_multiple = last.network.size_multiple
    left, right = _outer(x, x + w, context, size_multiple, scale * image.shape[2])
    top, bottom = _outer(y, y + h, context, size_multiple, scale * image.shape[1])
    window = _window(image, seed, before, (left, top, right - left, bottom - top))
    window = add_noise(window, seed, last.number, last.noise_std, top=top, left=left)
    parameter = next(last.network.parameters())
    upscaled = last.network(window.to(parameter.device, last.dtype)[None])[0].float().cpu()
    y, x = y - 4 * top, x - 4 * left
    return upscaled[:, y : y + h, x : x + w].clamp(0, 1)


def _outer(start: int, stop: int, context: int, size_multiple: int, length: int) -> tuple[int, int]:
    """LR pixels that [start, stop) of the enlarged axis takes, from whole windows to whole windows."""
    first, last = start // 4 - context, -(-stop // 4) + context
    return max(0, first - first % size_multiple), min(length, last + -last % size_multiple)
