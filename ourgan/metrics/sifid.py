"""SIFID (Tables 3 and 4): the Fréchet distance between the features of one photo and of one sample.

Shaham et al., SinGAN, ICCV 2019. Every position of a feature map is one vector. Where InceptionV3 cannot be
had there is no SIFID; `si_fd`, the same distance on another network, has another name and other values. Both
compute on the CPU, in float32; statistics are summed in bands, and the photo's are remembered.

Published values that were taken from PNG files are wrong by five orders of magnitude: the first script
divided by 255 what its reader had already scaled to [0, 1]. Here every image is in [0, 1], whatever its file.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from cachetools import LRUCache
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan._core.files import atomic_path, cache_directory
from ourgan.metrics.lpips import MetricUnavailable, cached_shift_tolerant
from ourgan.metrics.streaming_features import Block, in_bands, perceptual_blocks
from ourgan.models.feature_nets import INCEPTION_BLOCKS, inception_blocks

log = logging.getLogger(__name__)

# Last block of InceptionV3 and its channels: "5" and "13" as the paper counts them (a Mixed block is one),
# "64" by its channels: the first script of SinGAN took it, though SinGAN's text names "5".
LAYERS = {"64": ("Conv2d_2b_3x3", 64), "5": ("Conv2d_4a_3x3", 192), "13": ("Mixed_6e", 768)}
STAND_IN = "SI-FD (VGG16 of ST-LPIPS)"
# Depths of the stand-in: index among the trunk's five, channels. Their maps have a half and an eighth of the
# image's size; SIFID's layers 5 and 13 have 192 and 768 channels at a quarter and a sixteenth.
DEPTHS = {"relu2_2": (1, 128), "relu4_3": (3, 512)}
ROWS = 64  # of an image that are fed at a time
BAND_BYTES = 16 * 2**20  # of a block's input, from which on larger bands are not faster
PIECE = 2048  # vectors at a time, which stay in a processor's cache in float64: twice as fast as whole bands
REMEMBERED = 8  # statistics in memory; 5 MB each for 768 channels


class ImageTooSmall(OurganError):
    """An image with fewer feature vectors than a covariance of their dimension needs."""


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance (divided by count - 1) of `count` vectors, float64."""

    mean: Float[Tensor, " c"]
    covariance: Float[Tensor, "c c"]
    count: int


_remembered: LRUCache[str, Statistics] = LRUCache(REMEMBERED)


@dataclass(frozen=True)
class Extractor:
    """A network up to one of its layers, for images scaled to 2 x - 1, with `channels` as its output.

    `name` is what errors call it; `identity` is of its weights and the layer, and what is remembered under it
    depends on nothing else.
    """

    name: str
    blocks: Sequence[Block]
    channels: int
    identity: str

    def positions(self, height: int, width: int) -> int:
        """Return how many feature vectors an image has."""
        for block in self.blocks:
            height, width = block.size(height), block.size(width)
        return height * width

    def check_size(self, height: int, width: int) -> None:
        """Raise ImageTooSmall, naming the least size of that shape, if the covariance would be singular."""
        if (positions := self.positions(height, width)) > self.channels:
            return
        least = next(
            w for w in range(width, 1 << 20) if self.positions(-(-height * w // width), w) > self.channels
        )
        raise ImageTooSmall(
            f"{self.name}: {width}x{height} pixels have {positions} feature vectors, {self.channels} "
            f"channels need {self.channels + 1}: give at least {least}x{-(-height * least // width)} pixels"
        )


def sifid(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h2 w2"], layer: str = "5") -> float:
    """Return the SIFID of a sample to its photo, both in [0, 1] and at the size they have; 0 for equal ones.

    The layer is one of LAYERS. The photo's statistics are remembered, on the disk too.

    Raises:
        MetricUnavailable: The weights of InceptionV3 cannot be had.
        ImageTooSmall: The sample has too few feature vectors.
        ValueError: There is no such layer.
    """
    return _distance(photo, sample, sifid_extractor(layer))


def si_fd(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h2 w2"], depth: str = "relu2_2") -> float:
    """Return what stands in for SIFID where there is no InceptionV3; the values are not comparable.

    The depth in the VGG16 of ST-LPIPS is one of DEPTHS; the rest, errors too, is as for `sifid`.
    """
    return _distance(photo, sample, si_fd_extractor(depth))


def sifid_extractor(layer: str) -> Extractor:
    """Return InceptionV3 up to a layer of SIFID. Raises MetricUnavailable, ValueError."""
    if layer not in LAYERS:
        raise ValueError(f"layer {layer!r}: SIFID has {', '.join(LAYERS)}")
    modules, sha256 = load_inception()
    blocks = inception_up_to(layer, modules)
    return Extractor(f"SIFID, layer {layer}", blocks, LAYERS[layer][1], f"inception-v3 {sha256} {layer}")


def inception_up_to(layer: str, modules: dict[str, nn.Module]) -> list[Block]:
    """Return the blocks of InceptionV3 up to SIFID's `layer`; `modules`: as `inception_blocks` gives them."""
    names = list(INCEPTION_BLOCKS)
    names = names[: names.index(LAYERS[layer][0]) + 1]
    return [Block(modules[name], *INCEPTION_BLOCKS[name]) for name in names]


@functools.cache
def load_inception() -> tuple[dict[str, nn.Module], str]:
    """Return timm's copy of torchvision's weights as blocks, and their SHA-256. Raises MetricUnavailable."""
    try:
        released = weights.load("inception-v3")
    except weights.WeightsError as error:
        raise MetricUnavailable(f"SIFID is absent: its InceptionV3 cannot be had ({error})") from error
    try:
        return inception_blocks(released.state_dict), released.sha256
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MetricUnavailable(
            f"SIFID is absent: {released.source} holds no InceptionV3 of torchvision ({reason})"
        ) from error


def si_fd_extractor(depth: str) -> Extractor:
    """Return the VGG16 of ST-LPIPS up to a depth of the stand-in. Raises ValueError."""
    if depth not in DEPTHS:
        raise ValueError(f"depth {depth!r}: {STAND_IN} has {', '.join(DEPTHS)}")
    index, channels = DEPTHS[depth]
    blocks, taps = perceptual_blocks(cached_shift_tolerant("vgg"))
    identity = f"stlpips-pytorch {importlib.metadata.version('stlpips-pytorch')} {depth}"
    return Extractor(f"{STAND_IN}, {depth}", blocks[: taps[index] + 1], channels, identity)


@torch.inference_mode()
def extract_statistics(image: Float[Tensor, "3 h w"], extractor: Extractor) -> Statistics:
    """Return the statistics of the features of an image in [0, 1], summed band by band. Raises ImageTooSmall.

    The bands are exact; memory grows with the width alone, and is 0.8 GB at 4,096 pixels.
    """
    extractor.check_size(*image.shape[1:])
    pieces = (2 * piece[None].float() - 1 for piece in image.split(ROWS, 1))
    last = len(extractor.blocks) - 1
    bands = in_bands(extractor.blocks, pieces, image.shape[1], [last], BAND_BYTES)
    return accumulate_statistics(rows for _, rows in bands)


def accumulate_statistics(bands: Iterable[Tensor]) -> Statistics:
    """Return the statistics of a feature map's positions, in bands (1, C, n, W) from top to bottom.

    Sums are float64 and of differences from the first vectors' mean: what is large and equal in all vectors
    would cost digits. Raises ValueError for fewer than two vectors.
    """
    shift = total = products = torch.empty(0)
    count = 0
    for vectors in (piece for band in bands for piece in band[0].flatten(1).split(PIECE, 1)):
        vectors = vectors.double()
        if not count:
            shift = vectors.mean(1, keepdim=True)
            total, products = torch.zeros_like(shift), shift.new_zeros(len(shift), len(shift))
        vectors -= shift
        total += vectors.sum(1, keepdim=True)
        products.addmm_(vectors, vectors.T)
        count += vectors.shape[1]
    if count < 2:
        raise ValueError(f"{count} vectors have no covariance")
    covariance = (products - total @ total.T / count) / (count - 1)
    return Statistics((shift + total / count)[:, 0], covariance, count)


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), which is symmetric, and 0 for equal statistics.

    The trace of the root is that of (S1^(1/2) S2 S1^(1/2))^(1/2), which is symmetric: two decompositions of
    symmetric matrices, no complex numbers, and nothing to add to the diagonal if one is singular.
    """
    values, vectors = torch.linalg.eigh(first.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = torch.linalg.eigvalsh(root @ second.covariance @ root)
    traces = first.covariance.trace() + second.covariance.trace()
    difference = (first.mean - second.mean).square().sum()
    # Rounding can leave equal statistics a hair below 0.
    return max(0.0, float(difference + traces - 2 * product.clamp(min=0).sqrt().sum()))


def _distance(photo: Tensor, sample: Tensor, extractor: Extractor) -> float:
    extractor.check_size(*sample.shape[1:])  # before a minute goes into the photo
    return frechet_distance(_photo_statistics(photo, extractor), extract_statistics(sample, extractor))


def _photo_statistics(photo: Tensor, extractor: Extractor) -> Statistics:
    """Return `extract_statistics`, remembered for these pixels and weights in memory and the user's cache."""
    # The number stands for the arithmetic of `accumulate_statistics`: other rounding is another entry.
    hashed = hashlib.sha256(f"2 {extractor.identity} {tuple(photo.shape)} ".encode())
    hashed.update(photo.detach().cpu().float().contiguous().numpy().data)
    key = hashed.hexdigest()
    path = cache_directory() / "statistics" / f"{key}.safetensors"
    statistics = _remembered.get(key) or _read(path, extractor.channels)
    if statistics is None:
        statistics = extract_statistics(photo, extractor)
        _write(path, statistics)
    _remembered[key] = statistics
    return statistics


def _write(path: Path, statistics: Statistics) -> None:
    tensors = {**vars(statistics), "count": torch.tensor(statistics.count)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
    except OSError as error:
        log.info("%s: cannot be written (%s); it will be computed again", path, error.strerror)


def _read(path: Path, channels: int) -> Statistics | None:
    """Return what `_write` left; None where there is nothing, or something else."""
    try:
        tensors = load_file(path)
        statistics = Statistics(tensors["mean"], tensors["covariance"], int(tensors["count"]))
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
    whole = statistics.covariance.shape == (channels, channels) and statistics.mean.shape == (channels,)
    return statistics if whole and statistics.covariance.isfinite().all() else None
