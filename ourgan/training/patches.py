"""Pairs of patches to learn super-resolution from: of one photo, or of a folder of images.

A batch is a function of (seed, iteration) alone, so that a resumed training sees what it would have seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan._core.files import PICTURES
from ourgan.io.read import ImageError, read_image
from ourgan.training.degradation import bicubic_downscale, bsrgan
from ourgan.training.seeds import stream

log = logging.getLogger(__name__)

SCALE = 4
POOL = 32  # images of a folder held in memory at a time
POOL_ITERATIONS = 100  # for which each pool serves
VALIDATION_CROPS = 4
VALIDATION_SIDE = 256  # in HR pixels

Pair = tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 4*h 4*w"]]  # LR and HR, in [0, 1]
Batch = tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 4*h 4*w"]]


@runtime_checkable
class Patches(Protocol):
    """Where pairs of patches come from."""

    def batch(self, iteration: int, size: int) -> Batch:
        """Return `size` LR and HR patches in [0, 1], a function of the iteration alone."""

    def validation(self) -> list[Pair]:
        """Return LR and HR crops in [0, 1] to judge by, the same at every call."""


class PhotoPatches:
    """LR and HR patches of one photo at a step's own scale (Alg. F.3, F.5).

    The photo, (3, H, W) in [0, 1], has the size that the step is to produce. A share of its width, at the
    right, is kept from `batch` for `validation`. `patch` is the side of HR patches in pixels; `degradation`
    is "bicubic" for ESRGAN, "bsrgan" for SwinIR; noise is added to LR patches as in synthesis (Eq. 4).
    `dihedral` draws all eight flips and turns; else patches are mirrored left to right half of the time.

    Raises OurganError for a photo in which no patch fits beside the validation strip.
    """

    def __init__(
        self,
        photo: Tensor,
        *,
        patch: int,
        validation_share: float,
        degradation: str = "bicubic",
        noise_std: float = 0.0,
        dihedral: bool = False,
        seed: int = 0,
    ) -> None:
        height, width = (side // SCALE * SCALE for side in photo.shape[1:])
        self.photo = photo[:, :height, :width]
        self.train_width = train_width(height, width, patch, validation_share)
        self.patch, self.noise_std, self.dihedral, self.seed = patch, noise_std, dihedral, seed
        self.degradation = degradation
        # Large images at once: their patches then have what lies beyond their borders in their pixels. The
        # strip for itself, or its colours would reach into what is learned.
        parts = self.photo[:, :, : self.train_width], self.photo[:, :, self.train_width :]
        self.lr = torch.cat([bicubic_downscale(part) for part in parts], dim=2)

    def batch(self, iteration: int, size: int) -> Batch:
        """Return LR patches with noise, of side patch / 4, and HR patches of an iteration."""
        return _stack([self._pair(stream(self.seed, iteration, number)) for number in range(size)])

    def validation(self) -> list[Pair]:
        """Return up to four LR and HR crops of the strip, the same at every call; noise included."""
        strip, height = self.photo.shape[2] - self.train_width, self.photo.shape[1]
        side = min(VALIDATION_SIDE, strip, height) // SCALE * SCALE
        count = min(VALIDATION_CROPS, height // side)
        tops = [(height - side) * (2 * i + 1) // (2 * count) // SCALE * SCALE for i in range(count)]
        left = (self.train_width + (strip - side) // 2) // SCALE * SCALE
        pairs = []
        for number, top in enumerate(tops):
            hr = self.photo[:, top : top + side, left : left + side]
            lr = self._degrade(hr, top, left, stream(self.seed, -1, number))
            pairs.append((lr, hr))
        return pairs

    def _pair(self, random: torch.Generator) -> Pair:
        top = SCALE * _integer((self.photo.shape[1] - self.patch) // SCALE + 1, random)
        left = SCALE * _integer((self.train_width - self.patch) // SCALE + 1, random)
        turn = _turn(random, self.dihedral)  # before the noise: the same patches at any strength of it
        hr = self.photo[:, top : top + self.patch, left : left + self.patch]
        lr = self._degrade(hr, top, left, random)
        return turn(lr), turn(hr)

    def _degrade(self, hr: Tensor, top: int, left: int, random: torch.Generator) -> Tensor:
        if self.degradation == "bsrgan":
            lr = bsrgan(hr, random)[0]
        else:
            height, width = hr.shape[1] // SCALE, hr.shape[2] // SCALE
            lr = self.lr[:, top // SCALE :, left // SCALE :][:, :height, :width]
        return with_noise(lr, self.noise_std, random)


def train_width(height: int, width: int, patch: int, validation_share: float) -> int:
    """Return the width in pixels that patches are cut from, at the left of the validation strip.

    Raises OurganError where no patch fits, or the strip is under 32 pixels.
    """
    trained = int(width * (1 - validation_share)) // SCALE * SCALE
    if min(height, trained) < patch or min(height, width - trained) < 32:
        raise OurganError(
            f"the photo is {width}x{height} at this step, too small for patches of {patch} pixels beside "
            f"{width - trained} for validation (32 at least): use a larger photo or a smaller patch"
        )
    return trained


class FolderPatches:
    """LR and HR patches of a folder of images (Alg. F.2, F.4), searched through all its levels.

    A broken or too small image is named in the log and skipped. Raises OurganError for a folder with no
    image that serves. Every `POOL_ITERATIONS` iterations the next `POOL` images are decoded.
    """

    def __init__(
        self, folder: Path, *, patch: int, degradation: str = "bicubic", noise_std: float = 0.0, seed: int = 0
    ) -> None:
        if not folder.is_dir():
            raise OurganError(f"{folder}: no such folder of images")
        self.paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
        if not self.paths:
            raise OurganError(f"{folder}: holds no image ({', '.join(PICTURES)})")
        self.folder, self.patch, self.seed = folder, patch, seed
        self.degradation, self.noise_std = degradation, noise_std
        self._skipped: set[Path] = set()
        self._pool: tuple[int, list[Tensor]] = (-1, [])
        self._images(0)

    def batch(self, iteration: int, size: int) -> Batch:
        """Return LR patches, of side patch / 4, and HR patches of an iteration."""
        images = self._images(iteration // POOL_ITERATIONS)
        pairs = []
        for number in range(size):
            random = stream(self.seed, iteration, number)
            image = images[_integer(len(images), random)]
            top = _integer(image.shape[1] - self.patch + 1, random)
            left = _integer(image.shape[2] - self.patch + 1, random)
            hr = image[:, top : top + self.patch, left : left + self.patch].float() / 255
            hr = _turn(random, dihedral=True)(hr)
            lr = bsrgan(hr, random)[0] if self.degradation == "bsrgan" else bicubic_downscale(hr)
            pairs.append((with_noise(lr, self.noise_std, random), hr))
        return _stack(pairs)

    def validation(self) -> list[Pair]:
        """Return crops of four images, as in `PhotoPatches`; they may also be learned from."""
        batch = self.batch(-1, VALIDATION_CROPS)
        return list(zip(*batch, strict=True))

    def _images(self, number: int) -> list[Tensor]:
        number = max(number, 0)
        if self._pool[0] != number:
            self._pool = (number, self._decode(number))
        return self._pool[1]

    def _decode(self, number: int) -> list[Tensor]:
        order = torch.randperm(len(self.paths), generator=stream(self.seed, -2)).tolist()
        images: list[Tensor] = []
        for offset in range(len(order)):
            path = self.paths[order[(number * POOL + offset) % len(order)]]
            if len(images) == min(POOL, len(order)):
                break
            if path not in self._skipped and (image := self._read(path)) is not None:
                images.append(image)
        if not images:
            raise OurganError(f"{self.folder}: none of its {len(order)} images can be used")
        return images

    def _read(self, path: Path) -> Tensor | None:
        try:
            image = read_image(path)
        except ImageError as error:
            reason = str(error)
        else:
            if min(image.shape[1:]) >= self.patch:
                return (image * 255).round().to(torch.uint8)  # a quarter of the memory
            reason = f"{path}: {image.shape[2]}x{image.shape[1]}, smaller than a patch of {self.patch}"
        self._skipped.add(path)
        log.warning("skipped: %s", reason)
        return None


def with_noise(lr: Tensor, std: float, random: torch.Generator) -> Tensor:
    """Add Gaussian noise to `lr`: z of Eq. 4, as the network meets it in synthesis."""
    return lr + std * torch.randn(lr.shape, generator=random) if std else lr


def _stack(pairs: Sequence[Pair]) -> Batch:
    lr, hr = zip(*pairs, strict=True)
    return torch.stack(lr), torch.stack(hr)


def _integer(below: int, random: torch.Generator) -> int:
    return int(torch.randint(0, below, (), generator=random))


def _turn(random: torch.Generator, dihedral: bool) -> Callable[[Tensor], Tensor]:
    """Draw a flip, or one of the eight flips and turns of a square."""
    mirror, upside_down, transpose = (torch.rand(3, generator=random) < 0.5).tolist()

    def turn(image: Tensor) -> Tensor:
        if mirror:
            image = image.flip(2)
        if dihedral and upside_down:
            image = image.flip(1)
        return image.transpose(1, 2) if dihedral and transpose else image

    return turn
