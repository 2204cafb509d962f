"""SIFID (Tables 3 and 4): the Fréchet distance between the features of one photo and of one sample.

Shaham et al., SinGAN, ICCV 2019. Every position of a feature map is one vector. Where InceptionV3 cannot be
had there is no SIFID; `si_fd`, the same distance on another network, has another name and other values. Both
compute on the CPU, in float32.

Published values that were taken from PNG files are wrong by five orders of magnitude: the first script
divided by 255 what its reader had already scaled to [0, 1]. Here every image is in [0, 1], whatever its file.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.metrics.frechet import Statistics, accumulate_statistics, frechet_distance, remember
from ourgan.metrics.lpips import MetricUnavailable
from ourgan.metrics.streaming_features import Block, in_bands, perceptual_blocks
from ourgan.models.feature_nets import INCEPTION_BLOCKS, inception_blocks, shift_tolerant

# Last block of InceptionV3 and its channels: "5" and "13" as the paper counts them (a Mixed block is one),
# "64" by its channels: the first script of SinGAN took it, though SinGAN's text names "5".
LAYERS = {"64": ("Conv2d_2b_3x3", 64), "5": ("Conv2d_4a_3x3", 192), "13": ("Mixed_6e", 768)}
STAND_IN = "SI-FD (VGG16 of ST-LPIPS)"
# Depths of the stand-in: index among the trunk's five, channels. Their maps have a half and an eighth of the
# image's size; SIFID's layers 5 and 13 have 192 and 768 channels at a quarter and a sixteenth.
DEPTHS = {"relu2_2": (1, 128), "relu4_3": (3, 512)}
PIECE = 64  # rows of an image that are fed at a time
BAND_BYTES = 16 * 2**20  # of a block's input, from which on larger bands are not faster


class ImageTooSmall(OurganError):
    """An image with fewer feature vectors than a covariance of their dimension needs."""


@dataclass(frozen=True)
class Extractor:
    """A network up to one of its layers, for images scaled to 2 x - 1.

    Attributes:
        name: what errors call it.
        blocks: the network.
        channels: of its output.
        identity: of its weights and the layer; what is remembered under it depends on nothing else.
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
    """Return the SIFID of a sample to its photo, each at the size it has here; 0 for equal ones.

    The photo's statistics are remembered, on the disk too.

    Args:
        photo: an image in [0, 1].
        sample: another, of any size.
        layer: "5" (Conv2d_4a_3x3, 192 channels), "13" (Mixed_6e, 768), or "64" (Conv2d_2b_3x3), which
            SinGAN's first script took.

    Raises:
        MetricUnavailable: The weights of InceptionV3 cannot be had.
        ImageTooSmall: The sample has too few feature vectors.
        ValueError: There is no such layer.
    """
    return _distance(photo, sample, sifid_extractor(layer))


def si_fd(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h2 w2"], depth: str = "relu2_2") -> float:
    """Return what stands in for SIFID where there is no InceptionV3; the values are not comparable.

    Args:
        photo: an image in [0, 1].
        sample: another, of any size.
        depth: of the VGG16 of ST-LPIPS, after "relu2_2" (128 channels) or "relu4_3" (512).

    Raises:
        ImageTooSmall: The sample has too few feature vectors.
        ValueError: There is no such depth.
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
    return [
        Block(modules[name], *INCEPTION_BLOCKS[name]) for name in names[: names.index(LAYERS[layer][0]) + 1]
    ]


@functools.cache
def load_inception() -> tuple[dict[str, nn.Module], str]:
    """Return `inception_blocks` with the released weights, and their SHA-256. Raises MetricUnavailable.

    The weights are timm's copy of torchvision's, from the Hub or its cache.
    """
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
    blocks, taps = perceptual_blocks(_vgg16())
    version = importlib.metadata.version("stlpips-pytorch")
    return Extractor(
        f"{STAND_IN}, {depth}", blocks[: taps[index] + 1], channels, f"stlpips-pytorch {version} {depth}"
    )


@functools.cache
def _vgg16() -> Any:
    return shift_tolerant("vgg")


@torch.inference_mode()
def extract_statistics(image: Float[Tensor, "3 h w"], extractor: Extractor) -> Statistics:
    """Return the statistics of the features of an image in [0, 1], summed band by band. Raises ImageTooSmall.

    The bands are exact; memory grows with the width alone, and is 0.8 GB at 4,096 pixels.
    """
    extractor.check_size(*image.shape[1:])
    pieces = (2 * piece[None].float() - 1 for piece in image.split(PIECE, 1))
    last = len(extractor.blocks) - 1
    bands = in_bands(extractor.blocks, pieces, image.shape[1], [last], BAND_BYTES)
    return accumulate_statistics(rows for _, rows in bands)


def _distance(photo: Tensor, sample: Tensor, extractor: Extractor) -> float:
    extractor.check_size(*sample.shape[1:])  # before a minute goes into the photo
    return frechet_distance(_photo_statistics(photo, extractor), extract_statistics(sample, extractor))


def _photo_statistics(photo: Tensor, extractor: Extractor) -> Statistics:
    """Return `extract_statistics`, remembered for these pixels and weights."""
    # The number stands for the arithmetic of `accumulate_statistics`: other rounding is another entry.
    key = hashlib.sha256(f"2 {extractor.identity} {tuple(photo.shape)} ".encode())
    key.update(photo.detach().cpu().float().contiguous().numpy().data)
    return remember(key.hexdigest(), extractor.channels, lambda: extract_statistics(photo, extractor))
