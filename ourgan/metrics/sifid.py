"""SIFID (Tables 3 and 4): the Fréchet distance between the features of one photo and of one sample.

Every position of a feature map is one vector. Where InceptionV3 cannot be had there is no SIFID; `si_fd`, the
same distance on another network, has another name and other values. Both compute on the CPU, in float32.

Published values that were taken from PNG files are wrong by five orders of magnitude: the first script
divided by 255 what its reader had already scaled to [0, 1]. Here every image is in [0, 1], whatever its file.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ourgan._core.caches import cache_directory
from ourgan._core.errors import OurganError
from ourgan._core.files import atomic_path
from ourgan.metrics.frechet import Statistics, frechet_distance, summed
from ourgan.metrics.st_lpips import shift_tolerant
from ourgan.metrics.streaming_features import Stage, in_bands, perceptual_stages
from ourgan.models import inception

log = logging.getLogger(__name__)

LAYERS = tuple(inception.LAYERS)  # "64", "5", "13"
STAND_IN = "SI-FD (VGG16 of ST-LPIPS)"
# Depths of the stand-in: place among the trunk's five, channels. Their maps have a half and an eighth of the
# image's size; SIFID's layers 5 and 13 have 192 and 768 channels at a quarter and a sixteenth.
DEPTHS = {"relu2_2": (1, 128), "relu4_3": (3, 512)}
PIECE = 64  # rows of an image that are fed at a time
BAND_BYTES = 16 * 2**20  # of a layer's input, from which on larger bands are not faster
REMEMBERED = 8  # photos' statistics in memory; 5 MB each at layer 13


class ImageTooSmall(OurganError):
    """An image with fewer feature vectors than a covariance of their dimension needs."""


@dataclass(frozen=True)
class Extractor:
    """A network up to one of its layers, for images scaled to 2 x - 1. `identity`: of its weights."""

    name: str
    stages: Sequence[Stage]
    channels: int
    identity: str

    def positions(self, height: int, width: int) -> int:
        """Vectors that an image has."""
        for stage in self.stages:
            height, width = stage.size(height), stage.size(width)
        return height * width

    def check(self, height: int, width: int) -> None:
        """Raise ImageTooSmall, naming the least size of that shape, if the covariance would be singular."""
        if (found := self.positions(height, width)) > self.channels:
            return
        least = next(
            w for w in range(width, 1 << 20) if self.positions(-(-height * w // width), w) > self.channels
        )
        raise ImageTooSmall(
            f"{self.name}: {width}x{height} pixels have {found} feature vectors, {self.channels} channels "
            f"need {self.channels + 1}: give at least {least}x{-(-height * least // width)} pixels"
        )


def sifid(photo: Tensor, sample: Tensor, layer: str = "5") -> float:
    """SIFID of a sample to its photo, both (3, H, W) in [0, 1], each at its own size; 0 for equal ones.

    `layer`: "5" (Conv2d_4a_3x3, 192 channels), "13" (Mixed_6e, 768), or "64" (Conv2d_2b_3x3), which SinGAN's
    first script took. The photo's statistics are remembered, on the disk too. Raises MetricUnavailable
    without the weights, ImageTooSmall, and ValueError for another layer.
    """
    return _distance(photo, sample, sifid_extractor(layer))


def si_fd(photo: Tensor, sample: Tensor, depth: str = "relu2_2") -> float:
    """What stands in for SIFID where there is no InceptionV3; its values are not comparable with SIFID's.

    The same distance on the VGG16 of ST-LPIPS, after "relu2_2" (128 channels) or "relu4_3" (512). Raises
    ImageTooSmall, and ValueError for another depth.
    """
    return _distance(photo, sample, si_fd_extractor(depth))


def statistics(image: Tensor, layer: str = "5") -> Statistics:
    """Mean and covariance of the features of an image (3, H, W) in [0, 1]; see `sifid`."""
    return extracted(image, sifid_extractor(layer))


def sifid_extractor(layer: str) -> Extractor:
    """InceptionV3 up to a layer of SIFID. Raises MetricUnavailable, ValueError."""
    if layer not in LAYERS:
        raise ValueError(f"layer {layer!r}: SIFID has {', '.join(LAYERS)}")
    blocks, sha256 = inception.inception()
    stages = inception.stages(blocks, layer)
    return Extractor(
        f"SIFID, layer {layer}", stages, inception.LAYERS[layer][1], f"inception-v3 {sha256} {layer}"
    )


def si_fd_extractor(depth: str) -> Extractor:
    """The VGG16 of ST-LPIPS up to a depth of the stand-in. Raises ValueError."""
    if depth not in DEPTHS:
        raise ValueError(f"depth {depth!r}: {STAND_IN} has {', '.join(DEPTHS)}")
    place, channels = DEPTHS[depth]
    stages, taps = perceptual_stages(_vgg16())
    version = importlib.metadata.version("stlpips-pytorch")
    return Extractor(
        f"{STAND_IN}, {depth}", stages[: taps[place] + 1], channels, f"stlpips-pytorch {version} {depth}"
    )


@torch.inference_mode()
def extracted(image: Tensor, extractor: Extractor) -> Statistics:
    """Statistics of the features of an image (3, H, W) in [0, 1], summed band by band. Raises ImageTooSmall.

    The bands are exact; memory grows with the width alone, and is 0.8 GB at 4,096 pixels.
    """
    extractor.check(*image.shape[1:])
    pieces = (2 * piece[None].float() - 1 for piece in image.split(PIECE, 1))
    last = len(extractor.stages) - 1
    bands = in_bands(extractor.stages, pieces, image.shape[1], [last], BAND_BYTES)
    return summed(rows for _, rows in bands)


def _distance(photo: Tensor, sample: Tensor, extractor: Extractor) -> float:
    extractor.check(*sample.shape[1:])  # before a minute goes into the photo
    return frechet_distance(_remembered(photo, extractor), extracted(sample, extractor))


_known: dict[str, Statistics] = {}


def _remembered(photo: Tensor, extractor: Extractor) -> Statistics:
    """`extracted`, once for these pixels and these weights: in memory, and in the user's cache directory."""
    # The number stands for the arithmetic of `summed`: other rounding is another entry.
    digest = hashlib.sha256(f"2 {extractor.identity} {tuple(photo.shape)} ".encode())
    digest.update(photo.detach().cpu().float().contiguous().numpy().data)
    key = digest.hexdigest()
    cache = cache_directory() / "statistics"
    found = _known.pop(key, None) or _read(cache / f"{key}.safetensors", extractor.channels)
    if found is None:
        found = extracted(photo, extractor)
        _write(cache / f"{key}.safetensors", found)
    _known[key] = found
    if len(_known) > REMEMBERED:
        del _known[next(iter(_known))]  # the one not asked for longest
    return found


def _write(path: Path, found: Statistics) -> None:
    tensors = {"mean": found.mean, "covariance": found.covariance, "count": torch.tensor(found.count)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
    except OSError as error:
        log.info("%s: cannot be written (%s); it will be computed again", path, error.strerror)


def _read(path: Path, channels: int) -> Statistics | None:
    """What `_write` left; None where there is nothing, or something else."""
    try:
        tensors = load_file(path)
        found = Statistics(tensors["mean"], tensors["covariance"], int(tensors["count"]))
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
    whole = found.covariance.shape == (channels, channels) and found.mean.shape == (channels,)
    return found if whole and found.covariance.isfinite().all() else None


@functools.cache
def _vgg16() -> Any:
    return shift_tolerant("vgg")
