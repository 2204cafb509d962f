"""Detail from the photo (notebook 08): patches, the search, the field as colours, pieces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from ourgan.io.pixels import contact_sheet, from_uint8, preview
from ourgan.projection.carry import Pieces, bands, components
from ourgan.projection.plain_carry import PARTS
from ourgan.projection.plain_search import PATCH
from ourgan.projection.project import Projection
from ourgan.projection.search import resized
from ourgan.reproduce.figures.style import COLOURS, MARK, SECOND_MARK

Pixels = UInt8[np.ndarray, "_ _ 3"]
Corner = tuple[int, int]
"""(row, column) of a patch's upper left corner."""

HALF = PATCH // 2
GAIN = 8  # of what is added, to be seen
CORNERS = ((31, 120, 255), (255, 40, 130)), ((20, 190, 90), (255, 205, 20))  # colours of the photo's corners
THIRD_MARK = "#ff4fa3"
STRIPE = 4  # pixels: of what marks the mirrored photo


def draw_matches(
    scene: Pixels, photo: Pixels, query: Corner, matches: Mapping[str, Sequence[tuple[Corner, float]]]
) -> Figure:
    """Draw one patch of a scene and its nearest of the photo: where they lie, and their pixels.

    Args:
        scene: at the size of the search.
        photo: at that size, too.
        query: the scene's patch.
        matches: patches of the photo and their distances, nearest first, by two names.
    """
    count = max(map(len, matches.values()))
    figure = plt.figure(figsize=(8, 5.6), layout="constrained")
    grid = figure.add_gridspec(3, 2 * (count + 1), height_ratios=(3.4, 1, 1))
    left = _picture(figure.add_subplot(grid[0, : count + 1]), scene, "the scene")
    right = _picture(figure.add_subplot(grid[0, count + 1 :]), photo, "the photo")
    left.add_patch(_box(query, MARK))
    for row, (colour, (name, found)) in enumerate(
        zip((SECOND_MARK, THIRD_MARK), matches.items(), strict=True), 1
    ):
        cells = [("the patch", scene, query, "black")]
        for corner, distance in found:
            right.add_patch(_box(corner, colour))
            cells.append((f"{distance:.2f}", photo, corner, colour))
        cells[1] = (f"{name}: {cells[1][0]}", *cells[1][1:])
        for n, (title, picture, (y, x), edge) in enumerate(cells):
            axes = _picture(figure.add_subplot(grid[row, 2 * n : 2 * n + 2]), picture, "")
            axes.set_title(title, fontsize=9, loc="left")
            axes.set(xlim=(x - 0.5, x + PATCH - 0.5), ylim=(y + PATCH - 0.5, y - 0.5))
            for spine in axes.spines.values():
                spine.set(color=edge, linewidth=3)
    return figure


def draw_search(costs: Mapping[str, Sequence[float]], exact: float) -> Figure:
    """Draw the mean distances of two searches over the sweeps, above that of the true nearest patches."""
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for (name, values), line in zip(costs.items(), ("o--", "o-"), strict=True):
        axes.plot(range(len(values)), values, line, color=COLOURS["photo"], label=name)
    axes.axhline(exact, color=COLOURS["paper"], lw=0.8, ls=":", label="every patch of the photo compared")
    axes.set(xlabel="sweeps", ylabel="mean distance, squares of [0, 1]", yscale="log")
    axes.legend()
    return figure


def source_sheet(photo: Pixels, made: Mapping[str, Projection], height: int) -> Image.Image:
    """Show the photo and pictures made of it, and below each where in the photo its pixels are from.

    Args:
        photo: at any size.
        made: by caption.
        height: at which all are shown.
    """
    photo = resized(photo, (height, round(height * photo.shape[1] / photo.shape[0])))
    own = np.stack([*np.mgrid[: photo.shape[0], : photo.shape[1]], np.zeros(photo.shape[:2], int)], 2)
    rows = [[photo], [_tinted(photo, own, (photo.shape[0], photo.shape[1]))]]
    for each in made.values():
        inner = each.picture[HALF:-HALF, HALF:-HALF]  # the patches' middles
        shape = height, round(height * inner.shape[1] / inner.shape[0])
        for row, picture in zip(rows, (inner, _tinted(inner, each.field, each.photo_size)), strict=True):
            row.append(np.asarray(Image.fromarray(picture).resize(shape[::-1], Image.Resampling.NEAREST)))
    captions = ["the photo", *made] + ["its places as colours"] + ["where it is from"] * len(made)
    return contact_sheet([from_uint8(picture) for row in rows for picture in row], len(rows[0]), captions)


def pieces_sheet(pieces: Pieces, photo: Pixels, side: int = 300) -> Image.Image:
    """Show pieces, what is added to them, and a window without and with that, at 100 %.

    Args:
        pieces: of a picture at 1K.
        photo: at any size above.
        side: of each picture, at most. The window is where most is added to what is smooth; its contrast is
            three times the true one.
    """
    photo, added = resized(photo, pieces.photo_size), pieces.added.astype(np.int64)
    bare = dataclasses.replace(pieces, added=np.zeros_like(pieces.added))
    without, whole = (next(bands(each, photo, rows=len(added))).astype(np.int64) for each in (bare, pieces))
    number = components(pieces.labels)
    colours = np.random.default_rng(0).integers(60, 256, (int(number.max()) + 1, 3))[number]
    wide, tall = min(side, added.shape[1]), min(side * 3 // 4, added.shape[0])
    rough = np.pad(np.abs(np.diff(whole, axis=1)), ((0, 0), (0, 1), (0, 0)))
    shares = [
        sliding_window_view(each.sum(2), (tall, wide))[::8, ::8].mean((2, 3)) for each in (abs(added), rough)
    ]
    at = np.unravel_index((shares[0] / (shares[1] + 1)).argmax(), shares[0].shape)
    window = slice(8 * at[0], 8 * at[0] + tall), slice(8 * at[1], 8 * at[1] + wide)
    middle = whole[window].mean((0, 1))
    shown = [
        from_uint8(each.clip(0, 255).astype(np.uint8)) for each in (colours, 128 + GAIN * added // PARTS)
    ]
    shown = [from_uint8(np.asarray(preview(each, side))) for each in shown]
    steps = [
        (middle + 3 * (each[window] - middle)).clip(0, 255).astype(np.uint8) for each in (without, whole)
    ]
    captions = ["pieces", f"what is added, {GAIN} times", "a window without it", "and with it"]
    return contact_sheet([*shown, *map(from_uint8, steps)], 2, captions)


def _picture(axes: Axes, picture: Pixels, title: str) -> Axes:
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title)
    return axes


def _tinted(picture: Pixels, field: NDArray[Any], photo_size: tuple[int, int]) -> Pixels:
    """Return a picture in the colours of where it is from; stripes mark the mirrored photo.

    `field`: (h, w, 3), rows, columns and sources in a photo of `photo_size`; 1 is the mirrored photo.
    """
    height, width = photo_size
    across = np.where(field[..., 2] == 1, width - 1 - field[..., 1], field[..., 1])
    down, across = (part[..., None] / length for part, length in ((field[..., 0], height), (across, width)))
    (one, two), (three, four) = np.array(CORNERS)
    colours = (1 - down) * ((1 - across) * one + across * two) + down * ((1 - across) * three + across * four)
    stripes = np.add.outer(*map(np.arange, field.shape[:2])) // STRIPE % 2 == 1
    colours[stripes & (field[..., 2] == 1)] *= 0.3
    grey = picture.mean(2, keepdims=True)
    return (0.75 * colours + 0.75 * (grey - 96)).clip(0, 255).round().astype(np.uint8)


def _box(corner: Corner, colour: str) -> Any:
    y, x = corner
    return Rectangle((x - 0.5, y - 0.5), PATCH, PATCH, fill=False, color=colour, lw=2)
