"""The metrics of the benchmark: one line each, under one name each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ourgan.io.pixels import resize
from ourgan.io.read import read_image
from ourgan.metrics.layout import distance_to_photo, row_colour_error, row_distribution_distance
from ourgan.metrics.lpips import MetricUnavailable, lpips_network
from ourgan.metrics.pairs import pairwise
from ourgan.metrics.sifid import STAND_IN, si_fd, sifid, sifid_extractor

LAYOUT_WIDTH = 256  # pixels at which layouts are compared, as in `ourgan evaluate`

OfPicture = Callable[[Tensor, Tensor], float]
"""Of the photo and a picture, both (3, H, W) in [0, 1]."""
OfPictures = Callable[[Sequence[Path]], list[float]]
"""Of all pictures of one model: each one's mean distance to the others, whose mean is that over all pairs."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number about pictures of a photo.

    Attributes:
        name: its key, in cells and tables.
        column: what a reader calls it, with its unit.
        of_picture, of_pairs: one of the two measures.
        needs: raises MetricUnavailable where its networks cannot be had.
        paper: the column of the paper's Table 4 that it is: "sifid-5", "sifid-13" or "lpips".
        stands_for: the column whose order it may speak about where the metric itself is absent.
        version: to be raised when the same pictures would get another number.
    """

    name: str
    column: str
    of_picture: OfPicture | None = None
    of_pairs: OfPictures | None = None
    needs: Callable[[], Any] = lambda: None
    paper: str = ""
    stands_for: str = ""
    version: int = 1

    @property
    def degree(self) -> int:
        """How many pictures one distance is of; see `verdicts.Number`."""
        return 1 if self.of_pairs is None else 2

    def absent(self) -> str:
        """Why it cannot be measured here, or nothing."""
        try:
            self.needs()
        except MetricUnavailable as error:
            return str(error)
        return ""


def reduced(photo: Tensor, picture: Tensor) -> Tensor:
    """The photo at the picture's size, if it is larger; never enlarged, which would only blur it."""
    size = (picture.shape[1], picture.shape[2])
    return resize(photo, size) if photo.shape[2] > size[1] else photo


def _features(measure: Callable[[Tensor, Tensor, str], float], layer: str) -> OfPicture:
    def of_picture(photo: Tensor, picture: Tensor) -> float:
        return measure(reduced(photo, picture), picture, layer)

    return of_picture


def _layout(measure: OfPicture) -> OfPicture:
    def of_picture(photo: Tensor, picture: Tensor) -> float:
        size = (max(1, round(LAYOUT_WIDTH * photo.shape[1] / photo.shape[2])), LAYOUT_WIDTH)
        return measure(resize(photo, size), resize(picture, size))

    return of_picture


def _to_the_others(distances: Tensor) -> list[float]:
    """Means over the rows of (N, N) without the diagonal, which is 0."""
    means: list[float] = (distances.sum(1) / (len(distances) - 1)).tolist()
    return means


def _perceptual(name: str) -> OfPictures:
    return lambda pictures: _to_the_others(pairwise(pictures, name))


def _diversity(pictures: Sequence[Path]) -> list[float]:
    first = read_image(pictures[0])
    size = (max(1, round(LAYOUT_WIDTH * first.shape[1] / first.shape[2])), LAYOUT_WIDTH)
    small = torch.stack([resize(read_image(path), size) for path in pictures])
    return _to_the_others(torch.stack([(small - one).abs().mean((1, 2, 3)) * 255 for one in small]))


METRICS = (
    Metric(
        "sifid-5",
        "SIFID, layer 5",
        of_picture=_features(sifid, "5"),
        needs=functools.partial(sifid_extractor, "5"),
        paper="sifid-5",
    ),
    Metric(
        "sifid-13",
        "SIFID, layer 13",
        of_picture=_features(sifid, "13"),
        needs=functools.partial(sifid_extractor, "13"),
        paper="sifid-13",
    ),
    Metric("lpips", "LPIPS", of_pairs=_perceptual("lpips"), needs=lpips_network, paper="lpips"),
    Metric(
        "si-fd-relu2_2",
        f"{STAND_IN}, relu2_2",
        of_picture=_features(si_fd, "relu2_2"),
        stands_for="sifid-5",
    ),
    Metric(
        "si-fd-relu4_3",
        f"{STAND_IN}, relu4_3",
        of_picture=_features(si_fd, "relu4_3"),
        stands_for="sifid-13",
    ),
    Metric("st-lpips", "ST-LPIPS", of_pairs=_perceptual("st_lpips"), stands_for="lpips"),
    Metric("row-colour-error", "row colour error, levels of 255", of_picture=_layout(row_colour_error)),
    Metric(
        "row-distribution",
        "distance of the rows' colours, levels of 255",
        of_picture=_layout(row_distribution_distance),
    ),
    Metric("diversity", "difference of pixels, levels of 255", of_pairs=_diversity),
    Metric("distance-to-photo", "distance to the photo, levels", of_picture=_layout(distance_to_photo)),
)


def metric(name: str) -> Metric:
    """One of METRICS by its name."""
    return next(each for each in METRICS if each.name == name)
