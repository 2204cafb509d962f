"""Generators of step 1 that learn nothing: they hold the photo, and make scenes of it when one is drawn.

`Patches` is GPNN (Granot et al. 2022) by the search of `ourgan.projection`, with the vertical coordinate in
the distance of two patches, so that sky stays above ground. It begins otherwise: GPNN adds noise to the
photo, and its samples keep the photo's layout. Here the photo, 33 pixels wide, is cut into squares which
noise moves sideways, and noise enters at every size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.config.sizes import SizesConfig
from ourgan.config.training_free import PatchesConfig
from ourgan.models.generator import Generator, Normal
from ourgan.projection.plain_search import PATCH
from ourgan.projection.project import Schedule, enlarged, redrawn, unsought
from ourgan.projection.search import Distance, Pixels, resized

Size = tuple[int, int]  # height, width


class TrainingFree(Generator):
    """A generator that holds its photo, at the scene's size, in place of networks."""

    photo: UInt8[Tensor, "h w 3"]

    def __init__(self, config: SizesConfig, aspect_ratio: float) -> None:
        super().__init__(config, aspect_ratio)
        self.register_buffer("photo", torch.zeros(*self.sizes[-1], 3, dtype=torch.uint8))

    def hold(self, photo: Pixels) -> None:
        """Take the photo: (H, W, 3) uint8 of any size above the scene's."""
        self.photo.copy_(torch.from_numpy(resized(photo, self.sizes[-1]).copy()))

    @property
    def margin(self) -> int:
        """None is needed: no padding makes a border different."""
        return 0

    def photo_at(self, scale: int) -> Pixels:
        """Return the photo at the size of a scale."""
        return resized(self.photo.cpu().numpy(), self.sizes[scale])


class Patches(TrainingFree):
    """Patches of the photo, found and voted from the coarsest size up."""

    config: PatchesConfig

    def __init__(self, config: PatchesConfig, aspect_ratio: float) -> None:
        super().__init__(config, aspect_ratio)
        if min(self.sizes[0]) <= PATCH:
            height, width = self.sizes[0]
            raise OurganError(f"a first size of {width}x{height} pixels is too small for patches")
        self.distance = Distance(config.vertical, config.reuse, config.alone, config.mirror)

    @property
    def narrowest(self) -> int:
        """The least width of a scene, in pixels: at the first size one patch and a pixel."""
        return -(-(PATCH + 1) * self.sizes[-1][1] // self.sizes[0][1])

    def noisy(self, scale: int) -> bool:
        """Return whether noise enters at `scale`."""
        return scale == 0 or self.config.finer_noise > 0

    @torch.no_grad()
    def draw(
        self,
        normal: Normal,
        *,
        width: int | None = None,
        noise_scales: Sequence[float] | None = None,
        inject_at: tuple[int, Float[Tensor, "3 _ _"]] | None = None,
    ) -> Float[Tensor, "1 3 h w"]:
        """Draw one scene, see `Generator.draw`; with no noise at all it is the photo."""
        widths = self.scale_widths(width or self.sizes[-1][1])
        sizes = [(height, w) for (height, _), w in zip(self.sizes, widths, strict=True)]
        factors = [1.0] * len(sizes) if noise_scales is None else list(noise_scales)
        if inject_at is None:
            first, start = 0, self._start(normal, factors[0], sizes[0])
        else:
            first, image = inject_at
            self.check_scale(first)
            start = resized(resized(_to_uint8(image), sizes[first - 1]), sizes[first])
        now = unsought(start, self.sizes[first], self._schedule(first))
        for scale in range(first, len(sizes)):
            if scale > first:
                now = enlarged(now, sizes[scale], self.sizes[scale])
            if scale and (deviation := factors[scale] * self.config.finer_noise):
                noisy = _with_noise(now.picture, deviation * normal(scale, 3, *sizes[scale]))
                now = dataclasses.replace(now, picture=noisy)
            photo, threads = self.photo_at(scale), torch.get_num_threads()
            now = redrawn(now, photo, self._schedule(scale), scale, threads=threads)
        made = torch.from_numpy(now.picture).to(self.photo.device).permute(2, 0, 1)
        return (made / 127.5 - 1).unsqueeze(0)

    def _schedule(self, scale: int) -> Schedule:
        return Schedule(self.distance, passes=self.config.passes if scale else self.config.first_passes)

    def _start(self, normal: Normal, factor: float, size: Size) -> Pixels:
        """Return what the first size begins with: the photo where `factor`, on all noise there, is 0."""
        config, photo = self.config, self.photo_at(0)
        (height, width), (tall, wide) = size, self.sizes[0]
        y, x = np.arange(height)[:, None], np.arange(width)
        if config.start == "noisy":
            there = photo[y, _reflected(x, wide)]
            return _with_noise(there, factor * config.noise * normal(0, 3, height, width))
        rows, columns = y // config.piece, x // config.piece
        ways = factor * normal(0, 2, -(-height // config.piece), -(-width // config.piece)).cpu().double()
        up, side = ways.numpy()[:, rows, columns]
        v = np.clip(y + np.rint(config.upwards * tall * up).astype(np.int64), 0, tall - 1)
        return photo[v, _reflected(x + np.rint(config.sideways * wide * side).astype(np.int64), wide)]


def _reflected(x: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return positions from 0 to `length` - 1, those beyond the borders reflected as often as it takes."""
    period = 2 * (length - 1)
    return (length - 1) - np.abs((length - 1) - x % period)


def _with_noise(picture: Pixels, noise: Float[Tensor, "3 h w"]) -> Pixels:
    """Return a picture with noise, of pixels from 0 to 1, rounded and clipped."""
    added = 255 * noise.cpu().double().permute(1, 2, 0).numpy()
    return np.clip(np.rint(picture + added), 0, 255).astype(np.uint8)


def _to_uint8(image: Float[Tensor, "3 h w"]) -> Pixels:
    """Return an image in [-1, 1] in 8 bits."""
    levels = image.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().contiguous().numpy()
