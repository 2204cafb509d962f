"""A sample of step 1 redrawn from the photo's patches, coarse to fine.

Texture optimisation (Kwatra et al. 2005; GPNN, Granot et al. 2022): at every size the patches of the picture
so far are replaced by their nearest of the photo and averaged where they overlap, a few times. The first
search of a size compares with the photo blurred as much as the picture is; values are always the sharp
photo's. Sizes begin where the layout is kept and the paint is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ourgan.projection.plain_search import PATCH
from ourgan.projection.search import (
    Distance,
    Field,
    Pixels,
    contrast,
    enlarged_field,
    random_field,
    resized,
    reuse_price,
    sources_of,
    sweep,
    vote,
)

RATIO = 0.75  # of a size to the next, as GPNN
SMALLEST = 20  # pixels of a side that has a layout
TURNS = 1000  # of random numbers that a size may use


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How a sample is projected.

    Attributes:
        distance: what a match costs, for the middle of `novelty`.
        start: the first size, as a share of step 1's, for the middle of `novelty`: at a lower one there is
            more of the photo's layout and less of the scene's.
        novelty: from 0, large pieces of the photo, to 1, small ones in new arrangements (see `settled`).
        passes: searches and votes at each size.
        sweeps: of PatchMatch in a search.
        seed: of the random search; the scene is the sample's.
    """

    distance: Distance = dataclasses.field(default_factory=Distance)
    start: float = 0.2
    novelty: float = 0.5
    passes: int = 4
    sweeps: int = 3
    seed: int = 0

    def settled(self) -> Schedule:
        """Return this schedule for the middle of `novelty`: a half more is twice `start`, `alone` by 4."""
        factor = 4.0 ** (2 * self.novelty - 1)
        distance = dataclasses.replace(self.distance, alone=self.distance.alone / factor)
        return dataclasses.replace(self, distance=distance, start=self.start * factor**0.5, novelty=0.5)


@dataclasses.dataclass(frozen=True)
class Projection:
    """A picture made of a photo's patches, and where they are from.

    Attributes:
        picture: (h, w, 3) uint8.
        field: (h - 6, w - 6, 3) int16: for the upper left corner of every patch the row and column of its
            match's in the photo of `photo_size`, and whether that is the mirrored photo's (1).
        photo_size: (height, width) of the photo at the picture's scale.
    """

    picture: Pixels
    field: Field
    photo_size: tuple[int, int]


def project(
    sample: Pixels,
    photo: Pixels,
    schedule: Schedule = Schedule(),
    *,
    size: tuple[int, int] | None = None,
    threads: int = 1,
) -> Projection:
    """Redraw a sample from the photo's patches: the last of `coarse_to_fine`, whose arguments these are."""
    *_, last = coarse_to_fine(sample, photo, schedule, size=size, threads=threads)
    return last


def coarse_to_fine(
    sample: Pixels,
    photo: Pixels,
    schedule: Schedule = Schedule(),
    *,
    size: tuple[int, int] | None = None,
    threads: int = 1,
) -> Iterator[Projection]:
    """Yield a sample redrawn from the photo's patches at every size, smallest first.

    Args:
        sample: (h, w, 3) uint8, a picture of step 1 at any width.
        photo: (H, W, 3) uint8, the photo at its own size or any above step 1's.
        schedule: the sizes, the passes and the distance.
        size: (height, width) of the photo at the sample's scale; None: as high as the sample.
        threads: change the time only.

    Raises:
        ValueError: if the sample or the photo is not `large_enough`.
    """
    schedule = schedule.settled()
    size = size or (len(sample), max(1, round(len(sample) * photo.shape[1] / len(photo))))
    shares = _shares(schedule.start, min(*_pair(sample.shape), *size))
    if not large_enough(_pair(sample.shape), size):
        raise ValueError(f"{sample.shape[1]}x{len(sample)} pixels are too few to be made of patches")
    photo = resized(photo, size) if shares[-1] == 1 else photo
    now: Projection | None = None
    for number, share in enumerate(shares):
        here = _scaled(sample.shape[:2], share), _scaled(size, share)
        now = unsought(resized(sample, here[0]), here[1], schedule) if now is None else enlarged(now, *here)
        now = redrawn(now, resized(photo, here[1]), schedule, number, coarse=share < 1, threads=threads)
        yield now


def unsought(picture: Pixels, photo_size: tuple[int, int], schedule: Schedule) -> Projection:
    """Return a picture with random matches in a photo of `photo_size`, for `redrawn` to begin with."""
    field = random_field(_pair(picture.shape), photo_size, schedule.seed, schedule.distance.mirror)
    return Projection(picture, field, photo_size)


def enlarged(now: Projection, size: tuple[int, int], photo_size: tuple[int, int]) -> Projection:
    """Return a projection, and where its matches lie, at other sizes of the picture and the photo."""
    field = enlarged_field(now.field, _pair(now.picture.shape), size, now.photo_size, photo_size)
    return Projection(resized(now.picture, size), field, photo_size)


def redrawn(
    now: Projection,
    photo: Pixels,
    schedule: Schedule,
    number: int,
    *,
    coarse: bool = False,
    threads: int = 1,
) -> Projection:
    """Redraw a picture at one size, from matches everywhere in the photo.

    Args:
        now: the picture, blurred as from the size below, and its matches so far.
        photo: (H, W, 3) uint8 of `now.photo_size`.
        schedule: of which `passes`, `sweeps`, `distance` and `seed` are taken.
        number: of the size, from 0: of its random numbers.
        coarse: whether all patches count alike in votes: those across a cut blur it, and so it moves.
        threads: change the time only.
    """
    reach = [max(now.photo_size) >> halved for halved in range(max(now.photo_size).bit_length())]
    return _optimised(now, photo, schedule, reach, number, RATIO, coarse, threads)


def large_enough(sample: tuple[int, int], photo: tuple[int, int]) -> bool:
    """Return whether pictures of these sizes, at one scale, can be made of patches."""
    return min(*sample, *photo) >= SMALLEST


def refine(
    projection: Projection,
    photo: Pixels,
    schedule: Schedule = Schedule(),
    *,
    factor: int = 4,
    threads: int = 1,
) -> Projection:
    """Return a projection at `factor` (a power of 2) times its size, its field searched again nearby.

    Each doubling asks the neighbours and a few pixels about every match, which undoes the lattice that an
    enlarged field has. `photo`: (H, W, 3) uint8, at least at that size.
    """
    schedule = schedule.settled()
    schedule = dataclasses.replace(
        schedule, passes=2, sweeps=2, distance=dataclasses.replace(schedule.distance, reuse=0.0)
    )
    height, width = projection.photo_size
    for number in range(1, factor.bit_length()):
        picture, keys = (
            (2 * length for length in lengths)
            for lengths in (projection.picture.shape[:2], projection.photo_size)
        )
        projection = enlarged(projection, _pair(picture), _pair(keys))
        near = resized(photo, (height << number, width << number))
        projection = _optimised(projection, near, schedule, [4, 2, 1], 100 + number, 0.5, False, threads)
    return projection


def _optimised(
    now: Projection,
    photo: Pixels,
    schedule: Schedule,
    radii: list[int],
    number: int,
    ratio: float,
    coarse: bool,
    threads: int,
) -> Projection:
    """Search and vote at one size, `schedule.passes` times."""
    distance, picture, field = schedule.distance, now.picture, now.field
    sharp = sources_of(photo, distance.mirror)
    contrasts: NDArray[Any] | None = contrast(photo) if distance.reuse else None
    price: NDArray[np.int32] | None = None
    for turn in range(schedule.passes):
        query, keys = (picture, sharp) if turn else (_blurred(picture, ratio), None)
        keys = sources_of(_blurred(photo, ratio), distance.mirror) if keys is None else keys
        for again in range(schedule.sweeps):
            if contrasts is not None:
                fresh = reuse_price(field, contrasts, len(sharp), distance.reuse)
                # The mean with the last price: what all flee at once would be sought by all the next time.
                price = fresh if price is None else (price + fresh) // 2
            field, cost = sweep(
                query, keys, field, distance, price=price, seed=schedule.seed, threads=threads,
                radii=radii, steps=(8, 4, 2, 1) if ratio == RATIO else (4, 2, 1),
                turn=(number * TURNS + turn * schedule.sweeps + again),
            )  # fmt: skip
        picture = vote(sharp, field, None if coarse else cost, threads=threads)
    return Projection(picture, field, now.photo_size)


def _shares(start: float, side: int) -> list[float]:
    """Return the sizes as shares of the last, whose shorter side is `side` pixels, smallest first."""
    shares = [1.0]
    while shares[-1] * RATIO >= max(start, SMALLEST / side):
        shares.append(shares[-1] * RATIO)
    return shares[::-1]


def _scaled(size: tuple[int, ...], share: float) -> tuple[int, int]:
    return round(size[0] * share), round(size[1] * share)


def _pair(lengths: Any) -> tuple[int, int]:
    height, width, *_ = lengths
    return int(height), int(width)


def _blurred(picture: Pixels, ratio: float) -> Pixels:
    """Return a picture as blurred as one that was enlarged from the size below."""
    small = (max(PATCH, round(len(picture) * ratio)), max(PATCH, round(picture.shape[1] * ratio)))
    return resized(resized(picture, small), _pair(picture.shape))
