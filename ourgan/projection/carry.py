"""A projection as pieces of the photo, and those pieces at any size: 1K, 4K, 16K.

Votes blur where patches disagree. So the field is turned into a label for every pixel, whole pieces of the
photo with seams moved to where the pieces agree; what steps are left in the low frequencies is added to the
pieces, smoothly, until it is gone (gradient domain, with a pull to 0). That much is done once, at 1K. At
larger sizes a label is the same way many times as long, and pixels are the photo's own. A window, a band of
rows or the whole picture read the same labels and give the same bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ourgan.projection.kernels import carry_loops, gather_loop, over_rows
from ourgan.projection.plain_carry import ONE, PARTS
from ourgan.projection.plain_search import PATCH
from ourgan.projection.project import Projection
from ourgan.projection.search import Pixels, flat, resized, sources_of

Array = NDArray[Any]
Box = tuple[int, int, int, int]  # top, left, height, width

CUTS = 8  # rounds of moving seams
LENGTH = 200  # energy of one pixel of seam, in 8-bit levels squared
SMALLEST = 24  # pixels of a piece; smaller ones are islands
LIMIT = 24  # 8-bit levels: a larger step in the low frequencies is no fault of a seam
REACH = 96  # pixels over which a step is evened out
ROUNDS = 40  # of relaxation at each size
BLUR = 4  # radius of the box, used twice, that leaves the low frequencies


@dataclasses.dataclass(frozen=True)
class Pieces:
    """A picture as pieces of a photo.

    Attributes:
        labels: (h, w, 3) int16: for every pixel the way to the photo's pixel, in rows and columns of a photo
            of `photo_size`, and the source: 1 is the mirrored photo.
        added: (h, w, 3) int16: what is added to the photo's pixel, in 1/64 of an 8-bit level.
        photo_size: (height, width) of the photo at the labels' scale.
    """

    labels: NDArray[np.int16]
    added: NDArray[np.int16]
    photo_size: tuple[int, int]


def pieces_of(projection: Projection, photo: Pixels, *, threads: int = 1) -> Pieces:
    """Turn a projection, best one at 1K, into pieces whose seams lie where they agree.

    `photo`: (H, W, 3) uint8, at the projection's scale or larger.
    """
    photo = resized(photo, projection.photo_size)
    mirror = bool(projection.field[..., 2].any())
    sources, target = sources_of(photo, mirror), flat(projection.picture)
    labels = _labels(projection.field)
    for last in (False, True):
        for turn in range(2 * CUTS):
            over_rows(
                carry_loops().cut, len(labels), turn % 2, sources, target, labels, LENGTH, threads=threads
            )
        if not last:
            _without_islands(labels, sources, target)
    blur = ImageFilter.BoxBlur(BLUR)
    smooth = np.asarray(Image.fromarray(photo).filter(blur).filter(blur))
    added = _evened(labels, sources_of(smooth, mirror), threads)
    return Pieces(labels, added, projection.photo_size)


def carry(
    pieces: Pieces, photo: Pixels, factor: int = 1, box: Box | None = None, *, threads: int = 1
) -> Pixels:
    """Return the picture, or a window of it, `factor` times as large as the labels.

    Args:
        pieces: from `pieces_of`.
        photo: uint8 (`factor` * height, `factor` * width, 3) of `pieces.photo_size`, an array or a file
            mapped into memory; only what the window points to is read (see `windows_needed`).
        factor: of the size of the labels.
        box: (top, left, height, width) in pixels of the large picture; None is all of it.
        threads: change the time only.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: for a photo of another size, or a window that is not inside.
    """
    tall, wide = (factor * length for length in pieces.photo_size)
    if photo.shape != (tall, wide, 3):
        raise ValueError(f"a photo of {photo.shape[1]}x{photo.shape[0]} pixels: {wide}x{tall} are wanted")
    whole = tuple(factor * length for length in pieces.labels.shape[:2])
    top, left, height, width = box or (0, 0, *whole)
    if min(top, left) < 0 or min(height, width) < 1 or top + height > whole[0] or left + width > whole[1]:
        raise ValueError(f"window {width}x{height} at ({left}, {top}) is not inside {whole[1]}x{whole[0]}")
    picture = np.empty((height, 3 * width), np.uint8)
    over_rows(
        gather_loop(), height, top, left, factor, pieces.labels, pieces.added,
        photo.reshape(tall, -1), picture, threads=threads,
    )  # fmt: skip
    return picture.reshape(height, width, 3)


def bands(
    pieces: Pieces, photo: Pixels, factor: int = 1, *, rows: int = 64, first: int = 0, threads: int = 1
) -> Iterator[Pixels]:
    """Yield the picture from row `first` on, `rows` at a time: all the memory that a picture needs."""
    height, width = (factor * length for length in pieces.labels.shape[:2])
    for top in range(first, height, rows):
        yield carry(pieces, photo, factor, (top, 0, min(rows, height - top), width), threads=threads)


def windows_needed(pieces: Pieces, factor: int, box: Box, tile: int) -> list[Box]:
    """Return the tiles of the large photo, `tile` pixels a side, that a window of the picture reads."""
    height, width = pieces.labels.shape[:2]
    top, left, tall, wide = box
    rows = np.arange(max(0, top // factor - 1), min(height, (top + tall - 1) // factor + 2))
    columns = np.arange(max(0, left // factor - 1), min(width, (left + wide - 1) // factor + 2))
    found: set[tuple[int, int]] = set()
    for dy in (-1, 0, 1):  # a cell's pixels may show what its neighbours' labels point to
        for dx in (-1, 0, 1):
            label = pieces.labels[np.clip(rows + dy, 0, height - 1)][:, np.clip(columns + dx, 0, width - 1)]
            v = np.clip(rows[:, None] + label[..., 0], 0, pieces.photo_size[0] - 1)
            u = np.clip(columns + label[..., 1], 0, pieces.photo_size[1] - 1)
            u = np.where(label[..., 2] == 1, pieces.photo_size[1] - 1 - u, u)
            for y in (v * factor // tile, (v * factor + factor - 1) // tile):
                for x in (u * factor // tile, (u * factor + factor - 1) // tile):
                    found.update(zip(y.ravel().tolist(), x.ravel().tolist(), strict=True))
    size = tuple(factor * length for length in pieces.photo_size)
    return [
        (y * tile, x * tile, min(tile, size[0] - y * tile), min(tile, size[1] - x * tile))
        for y, x in sorted(found)
    ]


def _labels(field: Array) -> NDArray[np.int16]:
    """Return the way that the patch in whose middle a pixel lies goes to its match."""
    labels = field.copy()
    labels[..., 0] -= np.arange(field.shape[0], dtype=np.int16)[:, None]
    labels[..., 1] -= np.arange(field.shape[1], dtype=np.int16)
    half = PATCH // 2
    return np.ascontiguousarray(np.pad(labels, ((half, half), (half, half), (0, 0)), mode="edge"))


def components(labels: Array) -> NDArray[np.int64]:
    """Return for every pixel the number of its piece: connected pixels of one label, numbered from 0."""
    height, width = labels.shape[:2]
    starts = np.ones((height, width), bool)
    starts[:, 1:] = (labels[:, 1:] != labels[:, :-1]).any(2)
    runs = starts.ravel().cumsum().reshape(height, width) - 1  # pieces of one row
    joined = (labels[1:] == labels[:-1]).all(2)
    pairs = np.unique(np.stack([runs[:-1][joined], runs[1:][joined]], 1), axis=0)
    root = np.arange(runs[-1, -1] + 1)
    while True:
        ends = root[pairs]
        least = ends.min(1)
        if (ends == least[:, None]).all():
            break
        for side in (0, 1):
            np.minimum.at(root, ends[:, side], least)
        while (root[root] != root).any():
            root = root[root]
    return np.unique(root, return_inverse=True)[1][runs]


def _without_islands(labels: Array, sources: Pixels, target: Pixels) -> None:
    """Give pieces of fewer than SMALLEST pixels the labels about them, from their rim inwards, in place."""
    height, width = labels.shape[:2]
    piece = components(labels)
    unset = (np.bincount(piece.ravel()) < SMALLEST)[piece]
    if unset.all():
        return
    pixels = sources.reshape(*sources.shape[:2], -1, 3)
    while unset.any():
        y, x = np.nonzero(unset)
        best, least = labels[y, x].copy(), np.full(len(y), 1 << 60)
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            ny, nx = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
            label = labels[ny, nx].astype(np.int64)
            v, u = y + label[:, 0], x + label[:, 1]
            inside = (v >= 0) & (v < pixels.shape[1]) & (u >= 0) & (u < pixels.shape[2]) & ~unset[ny, nx]
            shown = pixels[
                label[:, 2], np.clip(v, 0, pixels.shape[1] - 1), np.clip(u, 0, pixels.shape[2] - 1)
            ]
            wanted = target.reshape(height, width, 3)[y, x]
            energy = np.where(inside, ((shown.astype(np.int64) - wanted) ** 2).sum(1), 1 << 60)
            better = energy < least
            best[better], least[better] = label[better], energy[better]
        reached = least < 1 << 60
        if not reached.any():
            return
        labels[y[reached], x[reached]] = best[reached]
        unset[y[reached], x[reached]] = False


def _evened(labels: Array, smooth: Pixels, threads: int) -> NDArray[np.int16]:
    """Return what to add to each pixel so that open seams have no step, from a coarse grid to every pixel."""
    added: Array | None = None
    coarse: Array | None = None
    for stride in (16, 8, 4, 2, 1):
        here = np.ascontiguousarray(labels[stride // 2 :: stride, stride // 2 :: stride])
        if min(here.shape[:2]) < 2:
            continue
        added = np.zeros(here.shape, np.int32) if added is None else _finer(added, coarse, here)
        steps = [np.zeros(here.shape, np.int32) for _ in range(2)]
        opened = [np.zeros(here.shape[:2], np.int32) for _ in range(2)]
        loops = carry_loops()
        over_rows(loops.seams, len(here), here, stride, smooth, LIMIT, *steps, *opened, threads=threads)
        keep = max(1, ONE * stride * stride // (REACH * REACH))
        for turn in range(2 * (ROUNDS if stride > 1 else ROUNDS // 4)):
            over_rows(loops.relax, len(here), turn % 2, keep, *steps, *opened, added, threads=threads)
        coarse = here
    if added is None:
        return np.zeros(labels.shape, np.int16)
    return (added * PARTS // 4096).astype(np.int16)


def _finer(added: Array, coarse: Any, fine: Array) -> Array:
    """Return `added` on a grid twice as fine: from the nearest of nine coarse pixels with the same label."""
    y, x = (
        np.minimum(np.arange(n) // 2, m - 1) for n, m in zip(fine.shape[:2], coarse.shape[:2], strict=True)
    )
    out = added[y][:, x].copy()
    unset = (coarse[y][:, x] != fine).any(2)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            ny, nx = np.clip(y + dy, 0, coarse.shape[0] - 1), np.clip(x + dx, 0, coarse.shape[1] - 1)
            found = unset & (coarse[ny][:, nx] == fine).all(2)
            out[found] = added[ny][:, nx][found]
            unset &= ~found
    return out
