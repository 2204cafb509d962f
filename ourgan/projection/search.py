"""For every patch of one picture the nearest of another: PatchMatch with the height in its distance.

The distance of a patch of the query and a patch of the photo is the sum of squared differences of their
7 x 7 x 3 8-bit values, plus `vertical` * (row of the query - row of the match)^2, plus a penalty on what is
used again, plus one for every neighbour whose match does not continue this one (Barnes et al. 2009 for the
search, the vertical coordinate after OUR-GAN's Eq. 1 to 3). All of it is in whole numbers: a function of its
arguments, the same on any number of threads, on any processor, with and without numba.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ourgan.projection.kernels import over_rows, search_loops
from ourgan.projection.plain_search import PATCH, mixed, within

Array = NDArray[Any]
Pixels = NDArray[np.uint8]  # (h, w, 3)
Field = NDArray[np.int16]  # (h - 6, w - 6, 3)

UNIT = 255 * 255  # of a distance: squares of [0, 1]
SHARES = 4096  # heights in whole numbers
WINDOW = (1, 4, 10, 14, 10, 4, 1)  # of a vote: a pixel listens most to the patches in whose middle it lies
REUSE_FREE, REUSE_MOST = 384, 1024  # 1/256 of the mean use: what costs nothing, and where the price ends
REUSE_RADIUS = 32  # use is averaged over squares of 1/16 of the photo's width


@dataclasses.dataclass(frozen=True)
class Distance:
    """What a match costs beside the difference of its pixels.

    Attributes:
        vertical: lambda of the height's term; rows from 0 to 1, pixels from 0 to 1. 0 leaves it out.
        reuse: share of a patch's own contrast (sum of squares about its mean) that it costs to use it once
            more than the mean. 0 leaves it out.
        alone: for each of four neighbours whose match does not continue this one, in squares of [0, 1]. The
            larger, the larger the pieces that are taken over as they are.
        mirror: whether the mirrored photo is a second source.
    """

    vertical: float = 60.0
    reuse: float = 0.3
    alone: float = 0.02
    mirror: bool = False


def resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a picture at `size` = (height, width), bicubic with antialiasing, in Pillow's whole numbers."""
    if picture.shape[:2] == size:
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def sources_of(photo: Pixels, mirror: bool) -> Pixels:
    """Return the photo, and its mirror if wanted, as (1 or 2, h, 3 * w)."""
    both = (photo, photo[:, ::-1]) if mirror else (photo,)
    return np.stack([flat(picture) for picture in both])


def flat(picture: Pixels) -> Pixels:
    """Return (h, w, 3) as (h, 3 * w), contiguous."""
    return np.ascontiguousarray(picture).reshape(len(picture), -1)


def random_field(query: tuple[int, int], keys: tuple[int, int], seed: int, mirror: bool) -> Field:
    """Return a field for pictures of these sizes: any column, rows within an eighth of the query's own."""
    height, width = query[0] - PATCH + 1, query[1] - PATCH + 1
    tall, wide = keys[0] - PATCH + 1, keys[1] - PATCH + 1
    y, x = (axis.ravel() for axis in np.mgrid[0:height, 0:width])
    bits, more = mixed(seed, 0, y, x, 128), mixed(seed, 0, y, x, 129)
    field = np.empty((height, width, 3), np.int16)
    rows = y * tall // height + within(bits & np.uint64(0xFFFFFFFF), max(1, tall // 8))
    field[..., 0] = np.clip(rows, 0, tall - 1).reshape(height, width)
    field[..., 1] = ((bits >> np.uint64(32)) * np.uint64(wide) >> np.uint64(32)).reshape(height, width)
    field[..., 2] = (more & np.uint64(int(mirror))).reshape(height, width)
    return field


def enlarged_field(
    field: Field, old: tuple[int, int], new: tuple[int, int], old_keys: tuple[int, int], keys: tuple[int, int]
) -> Field:
    """Return the field of pictures of sizes `new`, `keys` from that of `old`, `old_keys`.

    A match is kept as the way from the query's patch to the photo's, which grows with the size.
    """
    out = np.empty((new[0] - PATCH + 1, new[1] - PATCH + 1, 3), np.int16)
    at = [np.arange(length) for length in out.shape[:2]]
    half = PATCH // 2
    near = [
        np.clip((2 * (at[k] + half) + 1) * old[k] // (2 * new[k]) - half, 0, field.shape[k] - 1)
        for k in (0, 1)
    ]
    nearest = field[near[0]][:, near[1]].astype(np.int64)
    for k, shape in ((0, (-1, 1)), (1, (1, -1))):
        way = nearest[..., k] - near[k].reshape(shape)
        way = (2 * way * keys[k] + old_keys[k]) // (2 * old_keys[k])
        out[..., k] = np.clip(at[k].reshape(shape) + way, 0, keys[k] - PATCH)
    out[..., 2] = nearest[..., 2]
    return out


def contrast(photo: Pixels) -> Array:
    """Return for every patch the sum of its squared differences from its mean colour: (h - 6, w - 6)."""
    values = photo.astype(np.int64)
    squares = _sums((values * values).sum(2), PATCH)
    return squares - sum(_sums(values[..., k], PATCH) ** 2 for k in range(3)) // (PATCH * PATCH)


def _sums(values: Array, size: int) -> Array:
    """Return sums over squares: (h, w) to (h - size + 1, w - size + 1)."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def uses(field: Field, keys: tuple[int, int]) -> Array:
    """Return how many patches of the query have each patch of the photo as their match, in any source."""
    counts = np.zeros(keys, np.int64)
    columns = np.where(field[..., 2] == 0, field[..., 1], keys[1] - 1 - field[..., 1])
    np.add.at(counts, (field[..., 0], columns), 1)
    return counts


def reuse_price(field: Field, contrasts: Array, sources: int, share: float) -> NDArray[np.int32]:
    """Return what each match costs for being used more than the mean: (pages, sources, h - 6, w - 6).

    A price in proportion to the contrast: the same leaf twice is seen, the same blue sky is not. Use is
    counted in pages of a wide picture, as wide as the photo and half over each other: what comes again
    farther away is no repeat.
    """
    keys = contrasts.shape
    radius = max(3, keys[1] // REUSE_RADIUS)
    margin = ((radius, radius), (radius, radius))
    area = _sums(np.pad(np.ones(keys, np.int64), margin), 2 * radius + 1)
    step, width = max(1, keys[1] // 2), field.shape[1]
    pages = max(1, width // step - 1)
    prices = []
    for page in range(pages):
        part = field[:, page * step : width if page + 1 == pages else (page + 2) * step]
        used = _sums(np.pad(uses(part, keys), margin), 2 * radius + 1)
        queries = max(part.shape[0] * part.shape[1], contrasts.size)
        over = np.clip(used * 256 * contrasts.size // (area * queries) - REUSE_FREE, 0, REUSE_MOST)
        price = np.minimum(over * contrasts // 256 * round(share * 256) // 256, 2**24).astype(np.int32)
        prices.append(np.stack([price, price[:, ::-1]][:sources]))
    return np.stack(prices)


def sweep(
    query: Pixels,
    sources: Pixels,
    field: Field,
    distance: Distance,
    *,
    price: NDArray[np.int32] | None = None,
    steps: Sequence[int] = (8, 4, 2, 1),
    radii: Sequence[int] = (),
    seed: int = 0,
    turn: int = 0,
    threads: int = 1,
) -> tuple[Field, NDArray[np.int32]]:
    """Improve a field once and return it with its costs.

    Args:
        query: (h, w, 3).
        sources: from `sources_of`.
        field: (h - 6, w - 6, 3), rows, columns and source of the matches' upper left corners.
        distance: what a match costs beside its pixels.
        price: from `reuse_price`; None is free.
        steps: how far away neighbours are asked for their matches.
        radii: of the random search about the best match so far.
        seed: of the random search.
        turn: differs from sweep to sweep, so that the random numbers do.
        threads: change the time only.

    Returns:
        The field and costs (h - 6, w - 6) in 8-bit levels squared, none larger than under the old field.
    """
    tall, wide = sources.shape[1] - PATCH + 1, sources.shape[2] // 3 - PATCH + 1
    if price is None:
        price = np.zeros((1, len(sources), tall, wide), np.int32)
    found, cost = np.empty_like(field), np.empty(field.shape[:2], np.int32)
    loop = search_loops().sweep
    over_rows(
        loop, len(field), flat(query), sources, field, found, cost,
        _heights(len(field), len(query)), _heights(tall, sources.shape[1]), round(distance.vertical * UNIT),
        price, round(distance.alone * UNIT), np.array(steps, np.int64), np.array(radii, np.int64),
        seed % 2**63, turn, threads=threads,
    )  # fmt: skip
    return found, cost


def _heights(patches: int, height: int) -> NDArray[np.int64]:
    """Return the heights of the patches' middles, from 0 to SHARES."""
    return (2 * np.arange(patches) + PATCH) * (SHARES // 2) // height


def vote(sources: Pixels, field: Field, cost: Array | None = None, *, threads: int = 1) -> Pixels:
    """Return the picture (h, w, 3) in which every pixel is a weighted mean of the matches over it.

    With `cost` a patch counts 1 / (1 + cost / (2 * third quartile))^2, never nothing: where all costs are
    large the mean is still one. Without it all count alike.
    """
    weight = np.ones(field.shape[:2], np.int32)
    if cost is not None:
        scale = 2 * max(1, int(np.partition(cost, cost.size * 3 // 4, axis=None)[cost.size * 3 // 4]))
        share = 1024 * scale // (scale + cost.astype(np.int64))
        weight = np.maximum(1, share * share >> 10).astype(np.int32)
    height, width = (length + PATCH - 1 for length in field.shape[:2])
    picture = np.empty((height, 3 * width), np.uint8)
    window = np.array(WINDOW, np.int64)
    over_rows(search_loops().vote, height, field, weight, window, sources, picture, threads=threads)
    return picture.reshape(height, width, 3)
