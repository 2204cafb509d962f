"""How much of a picture is copied: what its nearest-neighbour field to the photo says.

Fidelity alone rewards a photocopier, so these numbers stand beside it, for every generator. They come from
one search at 256 px, 7 x 7 patches, pixels only, the mirrored photo as a second source. `calibration` is
what they are read against: the photo and its mirror, which are copies, and its pixels in another order.
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from ourgan.projection.carry import components
from ourgan.projection.plain_search import PATCH
from ourgan.projection.search import (
    UNIT,
    Distance,
    Field,
    Pixels,
    random_field,
    resized,
    sources_of,
    sweep,
    uses,
)

WIDTH = 256  # pixels of the photo in the search
SWEEPS = 16
CALIBRATION = ("photo itself", "photo mirrored", "photo shuffled")
# Of matches that are equally good (a white sky), the one that continues its neighbours'.
PLAIN = Distance(vertical=0.0, reuse=0.0, alone=4 / UNIT, mirror=True)


@dataclasses.dataclass(frozen=True)
class Copying:
    """Numbers of one nearest-neighbour field.

    Attributes:
        coherent: share of pairs of neighbouring patches whose matches are neighbours alike: 1 for a copy.
        largest: the largest coherent piece as a share of the picture: 1 for a copy.
        piece: size in pixels of the piece in which a pixel lies, the mean over pixels.
        use: how often a patch of the photo is a match, the mean over those that are.
        use_99: the same, 99th percentile.
        diversity: compressed size of the field by its size, by zlib (NNFDIV of SinFusion, Nikankin et al.
            2023, Sec. 7.2, there for 3 x 3 x 3 patches of videos): near 0 for a copy.
    """

    coherent: float
    largest: float
    piece: float
    use: float
    use_99: float
    diversity: float


def copying(picture: Pixels, photo: Pixels, *, seed: int = 0, threads: int = 1) -> Copying:
    """Search a picture's patches in the photo and return what the field says.

    Args:
        picture: (h, w, 3) uint8 of any size; scaled so that a picture as high as the photo has its height.
        photo: (H, W, 3) uint8.
        seed: of the random search.
        threads: change the time only.
    """
    keys = _size(photo)
    query = (keys[0], max(PATCH + 1, round(picture.shape[1] * keys[0] / len(picture))))
    field = correspondences(resized(picture, query), resized(photo, keys), seed=seed, threads=threads)
    return measured(field, keys)


def calibration(photo: Pixels) -> dict[str, Pixels]:
    """Return what tells how a copy scores, and what has nothing but the photo's colours: (h, 256, 3) uint8.

    `photo`: (H, W, 3) uint8. Keys are `CALIBRATION`. Pixels are shuffled at the size of the search: shuffled
    before, they would be one grey there.
    """
    small = resized(photo, _size(photo))
    shuffled = np.random.default_rng(0).permutation(small.reshape(-1, 3)).reshape(small.shape)
    return dict(zip(CALIBRATION, (small, np.ascontiguousarray(small[:, ::-1]), shuffled), strict=True))


def _size(photo: Pixels) -> tuple[int, int]:
    """Return the (height, width) of a photo in the search."""
    return max(PATCH + 1, round(WIDTH * len(photo) / photo.shape[1])), WIDTH


def correspondences(query: Pixels, photo: Pixels, *, seed: int = 0, threads: int = 1) -> Field:
    """Return the field of a picture's patches in the photo and its mirror, by their pixels alone."""
    sources = sources_of(photo, True)
    keys = (photo.shape[0], photo.shape[1])
    field = random_field((query.shape[0], query.shape[1]), keys, seed, True)
    radii = [max(keys) >> halved for halved in range(max(keys).bit_length())]
    for turn in range(1, SWEEPS + 1):
        field, _ = sweep(query, sources, field, PLAIN, radii=radii, seed=seed, turn=turn, threads=threads)
    return field


def measured(field: Field, photo_size: tuple[int, int]) -> Copying:
    """Return the numbers of a field of matches in a photo of `photo_size` = (height, width)."""
    ways = field.astype(np.int64)
    ways[..., 0] -= np.arange(field.shape[0])[:, None]
    ways[..., 1] -= np.arange(field.shape[1])
    pairs = [(ways[1:] == ways[:-1]).all(2).ravel(), (ways[:, 1:] == ways[:, :-1]).all(2).ravel()]
    pieces = np.bincount(components(ways).ravel())
    used = uses(field, (photo_size[0] - PATCH + 1, photo_size[1] - PATCH + 1))
    used = used[used > 0]
    # One plane after the other, modulo 256, as the authors' program compresses them.
    planes = np.ascontiguousarray(ways[..., :2].transpose(2, 0, 1).astype(np.uint8))
    return Copying(
        coherent=float(np.concatenate(pairs).mean()),
        largest=float(pieces.max() / pieces.sum()),
        piece=float((pieces**2).sum() / pieces.sum()),
        use=float(used.mean()),
        use_99=float(np.percentile(used, 99)),
        diversity=len(zlib.compress(planes.tobytes())) / planes.size,
    )
