"""The metrics of `ourgan evaluate` and `ourgan benchmark`: one line each, under one name each.

A metric takes pictures of any size. Who is resized to what belongs to its definition, and is said by the
function here that does it: `at_picture_size`, `at_layout_size`, `over_pairs`, `over_pixels`, `copied`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.io.pixels import resize, to_uint8
from ourgan.io.read import read_image
from ourgan.metrics.layout import (
    distance_to_photo,
    layout_size,
    pixel_differences,
    row_colour_error,
    row_distribution_distance,
)
from ourgan.metrics.lpips import MetricUnavailable, lpips_network, pairwise
from ourgan.metrics.sifid import STAND_IN, si_fd, sifid, sifid_extractor
from ourgan.projection.copying import Copying, copying

OfPicture = Callable[[Tensor, Tensor], Any]
"""Of the photo and a picture, both (3, H, W) in [0, 1]: a number, or several as attributes."""
OfPictures = Callable[[Sequence[Path]], list[float]]
"""Of all pictures of one model: each one's mean distance to the others, whose mean is that over all pairs."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number about pictures of a photo.

    Attributes:
        name, key: in the benchmark's tables and cached results, and in the report of `ourgan evaluate`.
        column: what a reader calls it, with its unit.
        of_picture, of_pairs: the measure, one of the two.
        part: which attribute of what `of_picture` returns, where several metrics share a measure.
        needs: raises MetricUnavailable where its networks cannot be had.
        paper: the column of the paper's Table 4 that it is: "sifid-5", "sifid-13" or "lpips".
        stands_for: the column whose order it may speak about where the metric itself is absent.
        version: to be raised when the same pictures would get another number.
    """

    name: str
    key: str
    column: str
    of_picture: OfPicture | None = None
    of_pairs: OfPictures | None = None
    part: str = ""
    needs: Callable[[], Any] = lambda: None
    paper: str = ""
    stands_for: str = ""
    version: int = 1

    @property
    def degree(self) -> int:
        """How many pictures one distance is of; see `benchmark.paper.Number`."""
        return 1 if self.of_pairs is None else 2

    @property
    def family(self) -> str:
        """Its key without the layer, "SIFID" or "LPIPS": what is absent if `needs` cannot be had."""
        return self.key.partition(" layer ")[0].removesuffix(" over pairs")

    def read(self, found: Any) -> float:
        """Return this metric's number of what `of_picture` returned."""
        return float(getattr(found, self.part) if self.part else found)

    def absent(self) -> str:
        """Return why it cannot be measured here, or ""."""
        try:
            self.needs()
        except MetricUnavailable as error:
            return str(error)
        return ""


def by_measure(metrics: Iterable[Metric]) -> dict[OfPicture, list[Metric]]:
    """Return those of single pictures by their measure, which is to be computed once for all that read it."""
    measures: dict[OfPicture, list[Metric]] = {}
    for metric in metrics:
        if metric.of_picture is not None:
            measures.setdefault(metric.of_picture, []).append(metric)
    return measures


def at_picture_size(measure: OfPicture) -> OfPicture:
    """Return `measure` of a photo that is reduced to the picture's size first: SIFID and SI-FD.

    Features depend on the scale at which a texture is seen, so a photo wider than the picture is resized to
    the picture's width and height. A narrower one stays as it is, since enlarging would only blur it; the
    picture is never resized.
    """

    def of_picture(photo: Tensor, picture: Tensor) -> float:
        height, width = picture.shape[1:]
        return measure(resize(photo, (height, width)) if photo.shape[2] > width else photo, picture)

    return of_picture


def at_layout_size(measure: OfPicture) -> OfPicture:
    """Return `measure` of photo and picture both resized to `layout_size` of the photo, 256 pixels wide."""

    def of_picture(photo: Tensor, picture: Tensor) -> float:
        size = layout_size(photo)
        return measure(resize(photo, size), resize(picture, size))

    return of_picture


def copied(photo: Float[Tensor, "3 h w"], picture: Float[Tensor, "3 h2 w2"]) -> Copying:
    """Return how much of a picture is the photo's: the photo is scaled to 256 pixels, the picture with it."""
    return copying(to_uint8(picture), to_uint8(photo))


def over_pairs(name: str) -> OfPictures:
    """Return LPIPS or ST-LPIPS of each picture to the others; nothing is resized, all must be of one size."""
    return lambda pictures: _to_the_others(pairwise(pictures, name))


def over_pixels(pictures: Sequence[Path]) -> list[float]:
    """Return `pixel_differences` of each picture to the others, all resized to `layout_size` of the first."""
    if len(pictures) < 2:
        raise OurganError(f"diversity of {len(pictures)} picture: give two or more")
    size = layout_size(read_image(pictures[0]))
    return _to_the_others(pixel_differences([resize(read_image(path), size) for path in pictures]))


def _to_the_others(distances: Tensor) -> list[float]:
    """Return the means over the rows of (n, n) without the diagonal, which is 0."""
    means: list[float] = (distances.sum(1) / (len(distances) - 1)).tolist()
    return means


def _layout(name: str, column: str, measure: OfPicture) -> Metric:
    return Metric(name, name.replace("-", "_"), f"{column}, 8-bit levels", at_layout_size(measure))


def _sifid(layer: str) -> Metric:
    name, needs = f"sifid-{layer}", functools.partial(sifid_extractor, layer)
    measure = at_picture_size(functools.partial(sifid, layer=layer))
    return Metric(name, f"SIFID layer {layer}", f"SIFID, layer {layer}", measure, needs=needs, paper=name)


def _si_fd(depth: str, stands_for: str) -> Metric:
    measure = at_picture_size(functools.partial(si_fd, depth=depth))
    key, column = f"{STAND_IN} {depth}", f"{STAND_IN}, {depth}"
    return Metric(f"si-fd-{depth}", key, column, measure, stands_for=stands_for)


def _perceptual(name: str, column: str, **more: Any) -> Metric:
    of_pairs = over_pairs(name.replace("-", "_"))
    return Metric(name, f"{column} over pairs", column, of_pairs=of_pairs, **more)


def _copied(part: str, column: str) -> Metric:
    name = f"copying-{part}".replace("_", "-")
    return Metric(name, f"copying_{part}", column, copied, part=part)


# Beside fidelity, which alone would reward a photocopier. `projection.copying.calibration` goes with them.
COPYING = (
    _copied("coherent", "neighbouring patches copied together, share"),
    _copied("largest", "largest piece copied as a whole, share of the picture"),
    _copied("piece", "piece copied as a whole, pixels"),
    _copied("use", "use of a patch of the photo, mean"),
    _copied("use_99", "use of a patch of the photo, 99th percentile"),
    _copied("diversity", "diversity of the nearest-neighbour field"),
)

METRICS = (
    _sifid("5"),
    _sifid("13"),
    _perceptual("lpips", "LPIPS", needs=lpips_network, paper="lpips"),
    _si_fd("relu2_2", stands_for="sifid-5"),
    _si_fd("relu4_3", stands_for="sifid-13"),
    _perceptual("st-lpips", "ST-LPIPS", stands_for="lpips"),
    _layout("row-colour-error", "row colour error", row_colour_error),
    _layout("row-distribution", "distance of the rows' colours", row_distribution_distance),
    Metric("diversity", "diversity", "difference of pixels, 8-bit levels", of_pairs=over_pixels),
    _layout("distance-to-photo", "distance to the photo", distance_to_photo),
    *COPYING,
)


def find_metric(name: str) -> Metric:
    """Return one of METRICS by its name."""
    return next(metric for metric in METRICS if metric.name == name)
